"""What ``import gpubench`` offers: documents for a notebook, runs in this process, the page about both."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gpubench
from gpubench.devices import runtimes
from gpubench.errors import (
    BenchmarkFailed,
    Cancelled,
    CatalogError,
    DeviceLost,
    InvalidDocument,
    InvalidParameters,
    MissingDependency,
    NoSuchDevice,
    OutOfDeviceMemory,
    UnknownBenchmark,
    VerificationFailed,
)
from gpubench.results.document import Summary, encode_document
from gpubench.results.progress import Progress
from tests import documents
from tests.documents import measurement
from tests.running import PATIENCE_SECONDS, PINNED, RunningServer
from tests.simulated import SimulatedDevice

MIB = 1 << 20
QUICK = {"footprint_bytes": 2 * MIB, "time_limit_seconds": 0.02, **PINNED}
LATENCY = Summary(1e-7, 0.9e-7, 1.1e-7, 0.9e-7, 1.1e-7, 0.9e-7, 1.1e-7)


def points(*footprints: int) -> list[Any]:
    return [
        measurement(
            1.0,
            "latency",
            axes={"footprint_bytes": footprint},
            quantity="latency",
            unit="s",
            bandwidth_bytes_per_second=None,
            latency_seconds=LATENCY,
        )
        for footprint in footprints
    ]


def document(*measurements: Any, **fields: Any) -> gpubench.RunDocument:
    return gpubench.RunDocument.of(documents.document(*measurements, **fields))


def test_importing_it_loads_nothing_heavy() -> None:
    program = "import sys, gpubench; print(*sorted(sys.modules)); gpubench.RunDocument"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert not {"msgspec", "numpy", "rich", "tomllib", "gpubench.library"} & set(ran.stdout.split())


def test_every_name_that_it_lists_is_there() -> None:
    assert {name for name in gpubench.__all__ if getattr(gpubench, name) is None} == set()
    assert set(gpubench.__all__) <= set(dir(gpubench))
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        gpubench.nope  # noqa: B018


def test_one_figure_is_a_measurement_and_a_curve_is_a_list() -> None:
    found = document(measurement(1600.0), *points(4096, 8192), measurement(9.0, "map", status="skipped"))
    assert found["triad"] is found.measurements[0]
    assert found["latency"] == found.measurements[1:3]
    assert found["map"] == [found.measurements[3]]  # a curve without points, too
    assert list(found) == ["triad", "latency", "map"]
    assert "latency" in found and "copy" not in found


def test_one_kernel_at_several_settings_is_a_list() -> None:
    found = document(*(measurement(1600.0, parameters={"dtype": dtype}) for dtype in ("float", "double")))
    assert found["triad"] == found.measurements


def test_a_benchmark_that_was_not_run_is_a_key_error() -> None:
    with pytest.raises(KeyError, match=r"no benchmark 'copy'; it has: triad, latency"):
        document(measurement(1600.0), *points(4096, 8192))["copy"]
    with pytest.raises(KeyError, match="it has: none"):
        document()["copy"]


def test_records_have_a_row_for_each_point_and_units_in_keys() -> None:
    run = document(measurement(1600.0, "triad", "drifting", "contended"), *points(4096, 8192))
    triad, first, second = rows = run.to_records()
    assert (triad["run_id"], triad["device"], triad["benchmark"]) == (
        "run-1", "NVIDIA GeForce RTX 5090", "triad",
    )  # fmt: skip
    assert triad["bandwidth_bytes_per_second.median"] == 1600e9
    assert triad["latency_seconds.median"] is None
    assert triad["parameters.dtype"] == "float64"
    assert triad["flags"] == "drifting,contended"
    assert triad["samples"] == 20
    assert [row["axes.footprint_bytes"] for row in (first, second)] == [4096, 8192]
    assert first["latency_seconds.low"] == 0.9e-7
    assert first["bandwidth_bytes_per_second.p95"] is first["shape.unroll"] is None
    assert set(triad) <= set(first)
    assert json.loads(json.dumps(rows)) == rows


def test_a_data_frame_has_the_records() -> None:
    run = document(measurement(1600.0), *points(4096, 8192))
    frame = run.to_dataframe()
    assert list(frame["benchmark"]) == ["triad", "latency", "latency"]
    assert frame["bandwidth_bytes_per_second.median"].max() == 1600e9
    assert list(frame["axes.footprint_bytes"].dropna()) == [4096, 8192]


def test_without_pandas_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependency, match="pip install pandas"):
        document().to_dataframe()


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    run, path = document(measurement(1600.0), *points(4096)), tmp_path / "run.json"
    run.save(str(path))
    assert gpubench.load(path) == gpubench.load(str(path)) == gpubench.load(path.read_bytes()) == run
    with path.open("rb") as raw, path.open() as text:
        assert gpubench.load(raw) == gpubench.load(text) == run
    assert isinstance(gpubench.load(path), gpubench.RunDocument)


def test_a_file_that_cannot_be_written_whole_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    document(run_id="before").save(path)

    def full(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        document(run_id="after").save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
    assert gpubench.load(path).run_id == "before"


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"run_id": 1}'])
def test_what_is_no_document_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(InvalidDocument, match=r"run\.json is not a run document"):
        gpubench.load(path)
    with pytest.raises(InvalidDocument, match="the data is not a run document"):
        gpubench.load(text.encode())
    with pytest.raises(InvalidDocument, match="the file is not a run document"):
        gpubench.load(io.StringIO(text))
    with pytest.raises(FileNotFoundError):
        gpubench.load(tmp_path / "nope.json")


def test_a_notebook_shows_the_report() -> None:
    shown = document(measurement(1600.0))._repr_markdown_()
    assert shown.startswith("# Memory bandwidth")
    assert "**triad: 1600" in shown


def test_one_document_is_compared_with_theory() -> None:
    [result] = gpubench.compare(document(measurement(1600.0))).results
    assert result.nominal_ratio == pytest.approx(1600 / 1792.128)


def test_two_sides_are_compared_run_by_run() -> None:
    before, after = (
        [document(measurement(rate), run_id=f"{rate}-{number}") for number in range(5)]
        for rate in (1600.0, 1500.0)
    )
    [verdict] = gpubench.compare(before, after)
    assert (verdict.verdict, verdict.runs_a, verdict.runs_b) == ("SLOWER", 5, 5)
    [verdict] = gpubench.compare(before[0], after[0])
    assert (verdict.verdict, verdict.runs_a, verdict.runs_b) == ("AMBIGUOUS", 1, 1)
    with pytest.raises(InvalidParameters, match=r"compare\(before, after\)"):
        gpubench.compare(before)  # type: ignore[call-overload]


def test_theory_of_boards_and_technologies() -> None:
    assert gpubench.theory("RTX 5090").peak_bytes_per_second == pytest.approx(1792e9)
    assert gpubench.theory("gddr7-32", bus_width_bits=256).peak_bytes_per_second == pytest.approx(1024e9)
    with pytest.raises(CatalogError, match="no board"):
        gpubench.theory("no such board")


def test_a_run_in_process_gives_its_document() -> None:
    heard: list[Progress] = []
    run = gpubench.run(
        ["triad", gpubench.BenchmarkRequest("read", {"seed": 7})],
        device="opencl-cpu0",
        parameters={**QUICK, "seed": 3},
        memory=gpubench.StatedMemory("ddr5-4800", 128),
        on_progress=heard.append,
    )
    assert (run.outcome, run.error) == ("ok", None)
    assert [(m.benchmark, m.verified, m.parameters["seed"]) for m in run.measurements] == [
        ("triad", True, 3), ("read", True, 7),
    ]  # fmt: skip
    assert run.theory and run.theory.technology == "ddr5-4800"
    assert [each["name"] for each in run.requested] == ["triad", "read"]
    assert run.created_at <= (run.started_at or "") <= (run.finished_at or "")
    assert run.environment and run.environment.clocks_after is not None
    assert run.telemetry.before
    assert {each.benchmark for each in heard} == {"triad", "read"}


def test_a_callback_may_end_a_run_and_what_was_finished_is_kept() -> None:
    def stop(progress: Progress) -> None:
        if progress.benchmark == "read":
            raise Cancelled("that is enough")

    with pytest.raises(Cancelled, match="that is enough") as caught:
        gpubench.run(["triad", "read"], parameters=QUICK, on_progress=stop)
    run = caught.value.document
    assert isinstance(run, gpubench.RunDocument)
    assert caught.value.details["document"] is run
    assert (run.outcome, [m.benchmark for m in run.measurements]) == ("cancelled", ["triad"])


def test_a_callback_that_fails_ends_the_run_with_its_own_error() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        gpubench.run("triad", parameters=QUICK, on_progress=lambda progress: 1 / 0)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, Cancelled)
    assert caught.value.__cause__.document.outcome == "cancelled"
    assert gpubench.run("triad", parameters=QUICK).outcome == "ok"


@pytest.mark.parametrize(
    ("benchmarks", "options", "error", "message"),
    [
        ("nope", {}, UnknownBenchmark, "allowed: benchmarks copy"),
        ([], {}, InvalidParameters, "name a benchmark or a suite"),
        ("triad", {"parameters": {"nope": 1}}, InvalidParameters, "allowed: footprint_bytes"),
        ("triad", {"device": "nope"}, NoSuchDevice, "allowed: opencl:"),
        ("triad", {"memory": gpubench.StatedMemory("ddr9-1", 128)}, CatalogError, "ddr9-1"),
        ("triad", {"memory": gpubench.StatedMemory("ddr5-4800", 1)}, InvalidParameters, "bus_width_bits"),
        ("triad", {"parameters": {"footprint_bytes": 1 << 46}}, OutOfDeviceMemory, "is too large"),
    ],
)
def test_mistakes_end_a_run_before_anything_is_measured(
    benchmarks: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        gpubench.run(benchmarks, **options)


def test_a_benchmark_that_fails_is_an_error_with_the_document() -> None:
    wrong = gpubench.BenchmarkRequest("triad", {**QUICK, "dtype": "float", "vector_bytes": 128})
    with pytest.raises(BenchmarkFailed, match="vector_bytes 128") as caught:
        gpubench.run([wrong])
    assert caught.value.document and caught.value.document.outcome == "failed"


def test_a_device_that_is_lost_costs_what_was_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor can it be closed; the error is that of the run."""
    device = SimulatedDevice()
    monkeypatch.setattr(runtimes, "survey", lambda names: ([device.info], []))
    monkeypatch.setattr(runtimes, "open_device", lambda device_id: device)

    def lose(progress: Progress) -> None:
        if progress.benchmark == "copy":
            device.lost_at_seconds = device.clock.seconds

    quick = {"footprint_bytes": MIB, "stop": "count", "samples": 20}
    with device.clock.rules(), pytest.raises(DeviceLost, match="as the test has it") as caught:
        gpubench.run(["read", "copy", "write"], parameters=quick, on_progress=lose)
    run = caught.value.document
    assert isinstance(run, gpubench.RunDocument)
    assert (run.outcome, [m.benchmark for m in run.measurements]) == ("device_lost", ["read"])
    with pytest.raises(DeviceLost):
        device.close()


def test_an_error_has_the_document_that_the_wire_gave_it() -> None:
    kept = document(measurement(1600.0))
    assert VerificationFailed("wrong", document=kept).document is kept
    assert VerificationFailed("wrong").document is None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One at the address that the page takes."""
    with RunningServer(tmp_path / "server") as running:
        host, port = running.tcp
        monkeypatch.setenv("GPUBENCH_SERVER", f"tcp://{host}:{port}")
        yield


@pytest.mark.usefixtures("server")
def test_the_program_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "library.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.S | re.M)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/library.md", "exec"), names)
    printed = capsys.readouterr().out
    assert re.match(r"\d+\.\d GB/s", printed)
    for said in ("\n4096 random ", "\ncancelled ok\n", "\n1792 and 1024 GB/s\n", "\ntriad "):
        assert said in printed
    assert re.search(r"^measuring: \d+%$", printed, re.M)
    assert [names[run].outcome for run in ("triad_there", "read_there")] == ["ok", "ok"]
    assert len(names["frame"]) == len(names["curve"]["latency"]) > 4
    assert msgspec.json.decode(encode_document(names["document"])) == json.loads(
        (tmp_path / "run.json").read_text()
    )

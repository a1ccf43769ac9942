"""The same interface without a server: real worker processes, real kernels."""

from __future__ import annotations

import pytest
from gpubench_client import LocalClient

from gpubench import errors
from gpubench.executor.supervisor import StopRequest
from gpubench.protocol.messages import Accepted
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.progress import Progress
from tests.running import long, quick


def test_a_run_on_this_machine() -> None:
    accepted: list[Accepted] = []
    progress: list[Progress] = []
    with LocalClient("opencl") as client:
        (device,) = client.devices().devices
        document = client.run(
            [BenchmarkRequest(**quick())],
            device=device.alias,
            key="k",
            memory=StatedMemory("ddr5-4800", 128),
            on_accepted=accepted.append,
            on_progress=progress.append,
        )
    assert document.outcome == "ok"
    assert document.device is not None
    assert document.device.id == device.id
    assert document.key == "k"
    assert document.theory is not None
    assert document.theory.technology == "ddr5-4800"
    assert [each.run_id for each in accepted] == [document.run_id]
    assert {each.benchmark for each in progress} == {"triad"}


@pytest.mark.parametrize(
    ("benchmarks", "options", "error", "said"),
    [
        ("nope", {}, errors.UnknownBenchmark, "triad"),
        ([BenchmarkRequest("triad", {"nope": 1})], {}, errors.InvalidParameters, "allowed: footprint_bytes"),
        ("triad", {"deadline_seconds": 0.0}, errors.InvalidParameters, r"\$\.params\.deadline_seconds"),
        ("triad", {"memory": StatedMemory("ddr9", 128)}, errors.CatalogError, "ddr9"),
        ("triad", {"memory": StatedMemory("ddr5-4800", 1)}, errors.InvalidParameters, "bus_width_bits"),
        ("triad", {"device": "nope"}, errors.NoSuchDevice, "allowed: opencl:"),
    ],
)
def test_wrong_options_are_errors_before_measuring(
    benchmarks: str, options: dict[str, object], error: type[errors.GpubenchError], said: str
) -> None:
    with pytest.raises(error, match=said):
        LocalClient("opencl").run(benchmarks, on_accepted=pytest.fail, **options)  # type: ignore[arg-type]


@pytest.mark.timing
def test_a_deadline_keeps_finished_measurements() -> None:
    with pytest.raises(errors.DeadlineExceeded, match="deadline of 5 s") as caught:
        LocalClient("opencl").run(
            [BenchmarkRequest(**quick()), BenchmarkRequest(**long("copy"))], deadline_seconds=5
        )
    document = caught.value.document
    assert document.outcome == "timeout"
    assert [m.benchmark for m in document.measurements if m.status == "ok"] == ["triad"]


def test_a_stop_set_before_the_run_ends_it() -> None:
    stop = StopRequest()
    stop.set(errors.Cancelled("never mind"))
    with pytest.raises(errors.Cancelled, match="never mind"):
        LocalClient("opencl").run([BenchmarkRequest(**long())], stop=stop)

"""The file in which a gateway exposes what it counts."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpubench_server.cli import main
from gpubench_server.gateway.metrics_file import PERIOD_SECONDS, MetricsFile, Snapshot
from prometheus_client.parser import text_string_to_metric_families

from gpubench.errors import InvalidParameters
from tests.running import PATIENCE_SECONDS, RunningServer, within
from tests.server.gateway import ROOT, USER, Place

REFUSED = 'refusals_total{reason="not_authenticated"}'
IN_TIME_SECONDS = PERIOD_SECONDS + PATIENCE_SECONDS


@pytest.fixture(scope="module")
def core(place: Place, token: str) -> Iterator[RunningServer]:
    with place.core() as running:
        yield running


@pytest.fixture
def file(place: Place, core: RunningServer) -> Path:
    """In a folder of the gateway's user."""
    folder = place.directory / "textfile"
    folder.mkdir(exist_ok=True)
    place.hand_over(folder)
    return folder / "gateway.prom"


def samples(file: Path) -> dict[str, float]:
    """By name and labels, as they are written, without the common beginning."""
    found = {}
    for family in text_string_to_metric_families(file.read_text()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            name = sample.name.removeprefix("gpubench_gateway_")
            found[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found


def mode(file: Path) -> int:
    """0 if there is none."""
    return stat.S_IMODE(file.stat().st_mode) if file.exists() else 0


def test_what_is_counted_is_in_the_file(place: Place, token: str, file: Path) -> None:
    old = os.umask(0o077)  # as in the unit
    try:
        with place.gateway("--metrics-file", str(file), max_connections=3) as gateway:
            assert mode(file) == 0o644
            file.unlink()
            assert within(IN_TIME_SECONDS, lambda: mode(file) == 0o644)
            first = samples(file)
            assert (first["up"], first["max_connections"], first[REFUSED]) == (1, 3, 0)
            with gateway.open() as client, gateway.connect(token):
                client.refused("hello", {"token": "wrong"})
                assert within(IN_TIME_SECONDS, lambda: samples(file)[REFUSED] == 1)
                child = gateway.children()[-1]
                os.kill(child, signal.SIGSEGV)
                assert within(
                    IN_TIME_SECONDS, lambda: samples(file)['process_faults_total{fault="crashed"}'] == 1
                )
            assert gateway.stop() == 0
    finally:
        os.umask(old)
    last = samples(file)
    assert (last["up"], last["connections"], last["connections_accepted_total"]) == (0, 0, 2)
    assert mode(file) == 0o644
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_gateway_that_cannot_write_its_file_goes_on(place: Place, token: str, file: Path) -> None:
    """And writes again as soon as it can."""
    away = file.parent.with_name("away")
    with place.gateway("--metrics-file", str(file)) as gateway:
        file.parent.rename(away)
        assert within(IN_TIME_SECONDS, lambda: gateway.said(f"the metrics file {file} cannot be written"))
        with gateway.connect(token) as client:
            assert client.ask("ping")
            away.rename(file.parent)
            file.unlink()
            assert within(IN_TIME_SECONDS, lambda: file.exists())
            assert samples(file)["connections"] == 1
        assert gateway.stop() == 0


def test_each_trouble_with_the_file_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "folder"
    kept = MetricsFile(folder / "gateway.prom")
    nothing = Snapshot(Counter(), 0, 1, is_serving=False)
    for _ in range(2):
        for _ in range(3):
            kept.end(nothing)
        folder.mkdir()
        kept.end(nothing)
        shutil.rmtree(folder)
    assert caplog.text.count("cannot be written: No such file or directory") == 2


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """Writing to it would keep the gateway waiting."""
    os.mkfifo(tmp_path / "gateway.prom")
    with pytest.raises(InvalidParameters, match="cannot be written: it is not a regular file"):
        MetricsFile(tmp_path / "gateway.prom").begin(Snapshot(Counter(), 0, 1, is_serving=True))


@pytest.mark.parametrize("command", ["gateway", "check-config"])
def test_a_folder_that_is_not_there_is_refused(
    command: str, place: Place, core: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place.directory / "none" / "gateway.prom"
    words = ["--config", os.devnull, "--core", place.core_url, "--tokens", str(place.tokens)]
    words += ["--listen", "tcp://127.0.0.1:0", "--metrics-file", str(file)]
    words += ["--user", USER] if ROOT else []
    if command == "gateway":
        with pytest.raises(RuntimeError, match=f"the metrics file {file} cannot be written: No such file"):
            place.gateway("--metrics-file", str(file))
    else:
        assert main(["check-config", "gateway", *words]) == 2
        assert f"the metrics file {file} cannot be used" in capsys.readouterr().err


def test_a_name_that_nobody_reads_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--config", os.devnull, "--metrics-file", "/tmp/metrics.txt"]) == 2
    assert "'/tmp/metrics.txt' must end in .prom, because" in capsys.readouterr().err

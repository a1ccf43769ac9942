"""The client against a real server."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from gpubench_client import Client, LocalClient

import gpubench
from gpubench import errors
from gpubench.executor.supervisor import StopRequest
from gpubench.protocol.messages import PROTOCOL, Accepted
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.progress import Progress
from tests.client.conftest import Connect, url_of
from tests.client.proxy import Proxy
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick, within


def test_requests_about_the_server(connect: Connect, url: str) -> None:
    with connect(url) as client:
        devices = client.devices().devices
        hello = client.hello()
        assert hello.protocol == PROTOCOL
        assert hello.server == gpubench.__version__
        assert client.ping().pong
        assert hello.devices == [device.id for device in devices]
        assert "triad" in [benchmark.name for benchmark in client.benchmarks().benchmarks]
        assert client.status().state == "ready"


def test_a_run_reports_progress_and_returns_the_document(connect: Connect, url: str) -> None:
    accepted: list[Accepted] = []
    progress: list[Progress] = []
    with connect(url) as client:
        document = client.run(
            [BenchmarkRequest(**quick("triad")), BenchmarkRequest(**quick("copy"))],
            memory=StatedMemory("ddr5-4800", 128),
            on_accepted=accepted.append,
            on_progress=progress.append,
        )
        assert client.result(document.run_id) == document
        assert document.run_id in [run.run_id for run in client.results(limit=5).runs]
    assert document.outcome == "ok"
    assert [m.benchmark for m in document.measurements] == ["triad", "copy"]
    assert all(m.verified for m in document.measurements)
    assert document.theory is not None
    assert document.theory.source == "stated"
    assert [each.run_id for each in accepted] == [document.run_id]
    assert {"triad", "copy"} <= {each.benchmark for each in progress}
    assert progress == sorted(progress, key=lambda each: each.done_ratio)


def test_the_same_key_gives_the_same_run(connect: Connect, url: str) -> None:
    with connect(url) as client:
        first, again = (client.run([BenchmarkRequest(**quick())], key="the same") for _ in range(2))
        assert first == again
        with pytest.raises(errors.KeyConflict):
            client.run([BenchmarkRequest(**quick("copy"))], key="the same")


@pytest.mark.parametrize(
    ("benchmarks", "options", "error", "said"),
    [
        (["nope"], {}, errors.UnknownBenchmark, "triad"),
        ([BenchmarkRequest("triad", {"nope": 1})], {}, errors.InvalidParameters, "allowed: footprint_bytes"),
        ([BenchmarkRequest("triad", {"dtype": "half"})], {}, errors.InvalidParameters, "float, double"),
        ("triad", {"device": "nope"}, errors.NoSuchDevice, "opencl:"),
        ("triad", {"deadline_seconds": -1.0}, errors.InvalidParameters, "deadline_seconds"),
        ([], {}, errors.InvalidParameters, "benchmarks"),
    ],
)
def test_an_error_leaves_the_connection_usable(
    connect: Connect,
    url: str,
    benchmarks: list[BenchmarkRequest | str],
    options: dict[str, object],
    error: type[errors.GpubenchError],
    said: str,
) -> None:
    with connect(url) as client:
        with pytest.raises(error, match=said):
            client.run(benchmarks, **options)  # type: ignore[arg-type]
        assert client.ping().pong


def test_stop_cancels_and_keeps_finished_measurements(connect: Connect, url: str) -> None:
    stop = StopRequest()

    def stop_in_the_second(progress: Progress) -> None:
        if progress.benchmark == "copy" and progress.phase == "measuring":
            stop.set(errors.Cancelled("enough"))

    with connect(url) as client:
        with pytest.raises(errors.Cancelled) as caught:
            client.run(
                [BenchmarkRequest(**quick()), BenchmarkRequest(**long("copy"))],
                stop=stop,
                on_progress=stop_in_the_second,
            )
        document = caught.value.document
        assert document.outcome == "cancelled"
        assert [m.benchmark for m in document.measurements if m.status == "ok"] == ["triad"]
        assert client.run([BenchmarkRequest(**quick())]).outcome == "ok"


def test_an_exception_in_a_callback_cancels_the_run(
    connect: Connect, server: RunningServer, url: str
) -> None:
    def fail(progress: Progress) -> None:
        raise ZeroDivisionError

    with connect(url) as client, pytest.raises(ZeroDivisionError):
        client.run([BenchmarkRequest(**long())], on_progress=fail)
    assert within(10, lambda: server.running() is None)


def test_cancel_from_another_connection(connect: Connect, url: str) -> None:
    with connect(url) as client, connect(url) as other:
        with pytest.raises(errors.Cancelled) as caught:
            client.run(
                [BenchmarkRequest(**long())], on_accepted=lambda accepted: cancel(other, accepted.run_id)
            )
        assert not other.cancel(caught.value.document.run_id).cancelled


def cancel(client: Client, run_id: str) -> None:
    assert client.cancel(run_id).cancelled


def test_a_submitted_run_is_fetched_later(connect: Connect, url: str) -> None:
    with connect(url) as client:
        accepted = client.submit([BenchmarkRequest(**quick())])
        states = {"queued", "running"}

        def ended() -> bool:
            (state,) = [run.state for run in client.results().runs if run.run_id == accepted.run_id] or [
                "queued"
            ]
            return state not in states

        assert within(30, ended)
        assert client.result(accepted.run_id).outcome == "ok"
        with pytest.raises(errors.NoSuchRun):
            client.result("nope")


def test_a_killed_worker_is_device_lost_for_one_run_only(
    connect: Connect, server: RunningServer, url: str
) -> None:
    def kill(progress: Progress) -> None:
        if progress.phase == "measuring":
            for pid in server.children():
                os.kill(pid, signal.SIGKILL)

    with connect(url) as client:
        with pytest.raises(errors.DeviceLost) as caught:
            client.run([BenchmarkRequest(**long())], on_progress=kill)
        assert caught.value.document.outcome == "device_lost"
        assert client.run([BenchmarkRequest(**quick())]).outcome == "ok"


def test_a_request_to_a_full_queue_is_repeated(connect: Connect, tmp_path: Path) -> None:
    waits: list[float] = []
    with RunningServer(tmp_path, max_queue_length=1) as server, connect(url_of(server)) as other:
        running, waiting = (other.submit([BenchmarkRequest(**long())]) for _ in range(2))

        def make_room(error: errors.GpubenchError, seconds: float) -> None:
            assert isinstance(error, errors.QueueFull)
            assert seconds >= error.details["retry_after_seconds"]
            waits.append(seconds)
            for run in (waiting, running):
                other.cancel(run.run_id)

        with connect(url_of(server), patience_seconds=0) as client, pytest.raises(errors.QueueFull):
            client.run([BenchmarkRequest(**quick())])
        with connect(url_of(server), patience_seconds=600, on_retry=make_room) as client:
            assert client.run([BenchmarkRequest(**quick())]).outcome == "ok"
    assert waits


def test_stop_ends_the_wait_for_a_busy_server(connect: Connect, tmp_path: Path) -> None:
    stop = StopRequest()
    with RunningServer(tmp_path, max_queue_length=1) as server, connect(url_of(server)) as other:
        for _ in range(2):
            other.submit([BenchmarkRequest(**long())])
        impatient = connect(
            url_of(server),
            patience_seconds=600,
            on_retry=lambda error, seconds: stop.set(errors.Cancelled("enough")),
        )
        with impatient, pytest.raises(errors.Cancelled, match="enough"):
            impatient.run([BenchmarkRequest(**quick())], stop=stop)
        for run in other.results().runs:
            other.cancel(run.run_id)


def test_a_refused_connection_is_repeated(connect: Connect, tmp_path: Path) -> None:
    with RunningServer(tmp_path, max_connections=1) as server:
        first = connect(url_of(server))
        first.ping()
        refusals: list[errors.GpubenchError] = []

        def make_room(error: errors.GpubenchError, seconds: float) -> None:
            refusals.append(error)
            first.close()

        with connect(url_of(server), patience_seconds=0) as client, pytest.raises(errors.TooManyConnections):
            client.ping()
        with connect(url_of(server), on_retry=make_room) as client:
            assert client.ping().pong
        assert isinstance(refusals[0], errors.TooManyConnections)


@pytest.mark.timing
def test_an_idle_connection_that_was_closed_is_replaced(connect: Connect, tmp_path: Path) -> None:
    with RunningServer(tmp_path, idle_seconds=1.0) as server, connect(url_of(server)) as client:
        client.ping()
        assert within(PATIENCE_SECONDS, lambda: server.metric("gpubench_open_connections") == 0)
        assert client.ping().pong


def test_a_request_that_changes_nothing_is_sent_again(connect: Connect, server: RunningServer) -> None:
    """If its idle connection ended while it was on its way. A run may have been accepted, so its is not."""
    with Proxy(server.tcp) as proxy, connect(proxy.url) as client:
        client.ping()
        proxy.cuts_next_request = True
        assert client.status().state == "ready"
        assert (proxy.connections, proxy.cuts_next_request) == (2, False)
        proxy.cuts_next_request = True
        with pytest.raises(errors.Unreachable):
            client.submit([BenchmarkRequest(**quick())])
        assert (proxy.connections, proxy.cuts_next_request) == (2, False)


def test_a_server_killed_during_a_run_is_unreachable(connect: Connect, tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:

        def kill(progress: Progress) -> None:
            if progress.phase == "measuring":
                server.kill()

        with connect(url_of(server)) as client:
            with pytest.raises(errors.Unreachable):
                client.run([BenchmarkRequest(**long())], on_progress=kill)
            with pytest.raises(errors.Unreachable, match="no server answers"):
                client.ping()


def test_an_option_that_does_not_exist_is_a_type_error(url: str) -> None:
    """The type checker says so too: the ignored errors below must be errors."""
    with Client(url) as client, LocalClient("opencl") as local:
        with pytest.raises(TypeError, match="devcie"):
            client.run("triad", devcie="x")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="on_progress"):
            client.submit("triad", on_progress=print)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="detach"):
            local.run("triad", detach=True)  # type: ignore[call-arg]

"""What waits for a run goes on after its connection broke: the run is joined again."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

import pytest
from gpubench_client import BenchmarkRequest

from gpubench import errors
from gpubench.protocol.messages import Accepted
from gpubench.results.progress import Progress
from tests.client.conftest import Connect
from tests.client.proxy import Proxy
from tests.running import RunningServer, quick

RUN = [BenchmarkRequest(**quick(time_limit_seconds=2.0, target_ratio=0.0001))]
"""Two seconds, so that a test has time to intervene."""


class Cutter:
    """Cuts the connection when a run is first measuring, and keeps what is heard of it."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.accepted: list[Accepted] = []
        self.after: list[Progress] = []
        self.retries: list[errors.GpubenchError] = []

    def progress(self, progress: Progress) -> None:
        if self.retries:
            self.after.append(progress)
        elif progress.phase == "measuring":
            self._proxy.cut()

    def retry(self, error: errors.GpubenchError, seconds: float) -> None:
        self.retries.append(error)


def test_a_run_is_joined_again_by_its_key(connect: Connect, server: RunningServer) -> None:
    with Proxy(server.tcp) as proxy:
        cutter = Cutter(proxy)
        with connect(proxy.url, on_retry=cutter.retry) as client:
            document = client.run(
                RUN,
                detach=True,
                key=uuid.uuid4().hex,
                on_accepted=cutter.accepted.append,
                on_progress=cutter.progress,
            )
        assert proxy.connections == 2
    assert document.outcome == "ok"
    assert [each.run_id for each in cutter.accepted] == [document.run_id] * 2
    assert [each.replayed for each in cutter.accepted] == [False, True]
    assert [type(error) for error in cutter.retries] == [errors.Unreachable]
    assert cutter.after


def test_who_follows_a_run_goes_on_following_it(connect: Connect, server: RunningServer) -> None:
    with Proxy(server.tcp) as proxy:
        cutter = Cutter(proxy)
        with connect(proxy.url, on_retry=cutter.retry) as client:
            run_id = client.submit(RUN).run_id
            document = client.result(run_id, on_progress=cutter.progress)
    assert (document.run_id, document.outcome) == (run_id, "ok")
    assert cutter.retries
    assert cutter.after


def test_a_run_without_a_key_is_lost_with_its_connection(connect: Connect, server: RunningServer) -> None:
    with Proxy(server.tcp) as proxy:
        cutter = Cutter(proxy)
        with connect(proxy.url, on_retry=cutter.retry) as client:
            with pytest.raises(errors.Unreachable) as caught:
                client.run(RUN, detach=True, on_progress=cutter.progress)
            assert not cutter.retries
            assert client.result(caught.value.details["run_id"]).outcome == "ok"


@pytest.mark.parametrize("connect", ["asyncio"], indirect=True)  # starting servers is slow
def test_a_server_that_was_restarted_begins_the_run_again(connect: Connect, tmp_path: Path) -> None:
    accepted: list[Accepted] = []
    with contextlib.ExitStack() as servers:
        first = servers.enter_context(RunningServer(tmp_path))
        proxy = servers.enter_context(Proxy(first.tcp))

        def restart(progress: Progress) -> None:
            if progress.phase == "measuring" and first.process.poll() is None:
                first.kill()
                proxy.target = servers.enter_context(RunningServer(tmp_path)).tcp

        with connect(proxy.url) as client:
            document = client.run(
                RUN, detach=True, key="restarted", on_accepted=accepted.append, on_progress=restart
            )
            interrupted, again = (each.run_id for each in accepted)
            assert (document.run_id, document.outcome) == (again, "ok")
            error = client.result(interrupted).error
            assert error is not None
            assert error.kind == "interrupted"

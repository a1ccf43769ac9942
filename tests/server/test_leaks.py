"""An exception after anything was taken gives it back: slots, tickets, runs, files, processes, events.

Each statement of the functions that take something fails once, on a real server with real runs, and what is
held is counted before and after.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gpubench_server import transports
from gpubench_server.addresses import UnixEndpoint
from gpubench_server.app import Server, Settings
from gpubench_server.connection import ClientConnection
from gpubench_server.device_queue import DeviceQueue
from gpubench_server.limits import Limits
from gpubench_server.line_servers import LineServer, UnixLineServer
from gpubench_server.live_run import LiveRun
from gpubench_server.outbox import Outbox
from gpubench_server.places import Places
from gpubench_server.run_records import RunRecords
from gpubench_server.scheduler import Scheduler
from gpubench_server.service import Service
from gpubench_server.signals import ServerSignals
from gpubench_server.transports import BoundedMixIn
from gpubench_server.unix_sockets import SocketFile

from gpubench import atomic_files
from gpubench.executor.probe import workers_for
from gpubench.executor.worker_process import WorkerProcess
from gpubench.executor.worker_slot import WorkerSlot
from gpubench.results import database, unfinished
from gpubench.results.connections import Connections
from gpubench.results.data_directory import HeldDirectory
from gpubench.results.store import Store
from tests.running import Lines, long, quick, within
from tests.server.embedded import ANY_PORT, ANY_TCP, EmbeddedServer
from tests.server.faults import Fault, Function, lines_of

log = logging.getLogger(__name__)

SOON_SECONDS = 15.0

SMALL = quick(footprint_bytes=1 << 20, time_limit_seconds=0.02)
DONE = {"benchmarks": [SMALL], "key": "done before the tests"}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


# What serves clients.

CONNECTING: list[tuple[Function, type[Exception]]] = [
    (BoundedMixIn.get_request, OSError),  # socketserver goes on after an OSError; any other ends the server
    (BoundedMixIn.process_request, MemoryError),
    (Places.take, MemoryError),
    (Places.keep, MemoryError),
    (Server._serve, MemoryError),
    (ClientConnection.__init__, MemoryError),
    (ClientConnection.serve, MemoryError),
    (ClientConnection._serve_lines, MemoryError),
    (ClientConnection._serve_line, MemoryError),
    (Service.respond, MemoryError),
]
ACCEPTING = (
    Service._run,
    Scheduler.submit,
    Scheduler._begin,
    LiveRun.join,
    Outbox.open,
    DeviceQueue.put,
)
FETCHING = (Service._result, Scheduler.replay, Scheduler.fetch, Outbox.open)
EXECUTING = (
    Scheduler._started,
    RunRecords.started,
    RunRecords.ended,
    RunRecords.count,
    DeviceQueue._supervise,
    WorkerSlot.worker_for,
)


class Watched:
    """A server whose threads are traced, and what it holds."""

    def __init__(self, server: EmbeddedServer, fault: Fault) -> None:
        self.server = server
        self.fault = fault

    def held(self) -> dict[str, Any]:
        parts = self.server.server
        scheduler: Scheduler = parts._scheduler
        (tcp,) = parts._lines
        with parts._store._reading() as store:
            (unfinished,) = store.execute("SELECT count(*) FROM runs WHERE finished = 0").fetchone()
        return {
            "connections": tcp.open_connections,
            "places": [tcp.places._new, tcp.places._replaced, tcp.places._reachable],
            "runs": list(scheduler._runs),
            "running": [each.running for each in scheduler._queues.values() if each.running],
            "waiting": [run for each in scheduler._queues.values() for run in each.waiting],
            "hardware in use": parts._registry._active_runs,
            "unfinished in the store": unfinished,
        }


NOTHING = {
    "connections": 0,
    "places": [{}, set(), set()],
    "runs": [],
    "running": [],
    "waiting": [],
    "hardware in use": 0,
    "unfinished in the store": 0,
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    fault = Fault()
    patch = pytest.MonkeyPatch()
    actions = BoundedMixIn.service_actions

    def follow_again(self: BoundedMixIn) -> None:
        fault.follow()
        actions(self)

    patch.setattr(LineServer, "service_actions", follow_again)
    take = DeviceQueue._take

    def follow_then_take(self: DeviceQueue) -> LiveRun | None:
        fault.follow()
        return take(self)

    patch.setattr(DeviceQueue, "_take", follow_then_take)
    # One run to a connection: a request that is left behind refuses the next one.
    limits = Limits(max_runs_per_connection=1)
    with fault.in_new_threads(), EmbeddedServer(tmp_path_factory.mktemp("data"), limits) as server:
        with server.connect() as client:
            assert client.ask("run", DONE)["outcome"] == "ok"
        yield Watched(server, fault)
    patch.undo()
    assert server.failure is None


def answered_or_closed(client: Lines) -> bool:
    """Whether the last request has a response, or the connection is at its end: nobody waits for nothing."""
    with contextlib.suppress(EOFError, ConnectionError):
        client.response()
    return True


def ping(client: Lines) -> None:
    client.request("ping")
    assert answered_or_closed(client)


def begin_and_leave(client: Lines) -> None:
    client.request("run", {"benchmarks": [long()]})
    with contextlib.suppress(EOFError, ConnectionError):
        client.read()


def fetch(client: Lines) -> None:
    client.request("run", DONE)
    assert answered_or_closed(client)
    accepted = [each["params"]["run_id"] for each in client.notifications if each["method"] == "accepted"]
    client.request("result", {"run_id": accepted[0] if accepted else "none"})
    assert answered_or_closed(client)


def run(client: Lines) -> None:
    client.request("run", {"benchmarks": [SMALL]})
    assert answered_or_closed(client)


CASES: list[tuple[Function, type[Exception], Callable[[Lines], None]]] = [
    *((function, error, ping) for function, error in CONNECTING),
    *((function, MemoryError, begin_and_leave) for function in ACCEPTING),
    *((function, MemoryError, fetch) for function in FETCHING),
    *((function, MemoryError, run) for function in EXECUTING),
]


@pytest.mark.parametrize(
    ("function", "error", "client_does"), CASES, ids=lambda value: getattr(value, "__qualname__", None)
)
def test_a_fault_at_any_line_leaves_nothing_behind(
    watched: Watched, function: Function, error: type[Exception], client_does: Callable[[Lines], None]
) -> None:
    hits = 0
    assert within(SOON_SECONDS, lambda: watched.held() == NOTHING)
    before = descriptors()
    for line in lines_of(function):
        watched.fault.arm(function, line, error)
        with contextlib.suppress(ConnectionError), watched.server.connect() as client:
            client_does(client)
        assert within(SOON_SECONDS, lambda: watched.held() == NOTHING), (line, watched.held())
        hits += watched.fault.hit.is_set()
        watched.fault.disarm()
        with watched.server.connect() as client:
            client.ask("ping")
    assert hits > 0
    # A worker that a fault ended is two descriptors less: its connection, and the pipe of its stderr.
    assert within(SOON_SECONDS, lambda: descriptors() <= before + 2)


def test_a_request_that_fails_to_join_waits_for_nothing(watched: Watched) -> None:
    """A request that fails to join a live run waits for nothing."""
    scheduler = watched.server.server._scheduler
    for line in lines_of(LiveRun.join):
        with watched.server.connect() as owner, watched.server.connect() as client:
            run_id = owner.begin(long())
            watched.fault.arm(LiveRun.join, line, MemoryError)
            assert client.refused("result", {"run_id": run_id})["data"]["kind"] == "internal_error"
            assert len(scheduler._runs[run_id]._tickets) == 1
            # A request left behind would count as the one that this connection may have.
            assert client.refused("result", {"run_id": "none"})["data"]["kind"] == "no_such_run"
        assert within(SOON_SECONDS, lambda: watched.held() == NOTHING)


# What is opened once.


def open_store(directory: Path) -> None:
    Store(directory).close()


def open_server(directory: Path) -> None:
    endpoints = [*ANY_TCP, UnixEndpoint("unix", directory / "socket")]
    server = Server(Settings(endpoints, ANY_PORT, directory, ["opencl"], Limits()), ServerSignals())
    server.close()


def start_worker(directory: Path) -> None:
    WorkerProcess().end()


def start_workers(directory: Path) -> None:
    with workers_for(["opencl", "cuda"]):
        pass


def write_a_file(directory: Path) -> None:
    atomic_files.write_file(directory / "file", b"data")


OPENING: list[tuple[Function, Callable[[Path], None]]] = [
    (HeldDirectory.__init__, open_store),
    (database.open_database, open_store),
    (Store.__init__, open_store),
    (database.open_reader, open_store),
    (Connections.__init__, open_store),
    (unfinished.end_interrupted, open_store),
    (Server.__init__, open_server),
    (transports.listen, open_server),
    (UnixLineServer.__init__, open_server),
    (UnixLineServer.server_bind, open_server),
    (SocketFile.__init__, open_server),
    (SocketFile.bind, open_server),
    (SocketFile._remove_stale, open_server),
    (WorkerProcess.__init__, start_worker),
    (workers_for, start_workers),
    (atomic_files.write_file, write_a_file),
]


@pytest.mark.parametrize(("function", "use"), OPENING, ids=lambda value: value.__qualname__)
def test_a_fault_while_opening_leaves_nothing_open(
    tmp_path: Path, function: Function, use: Callable[[Path], None]
) -> None:
    use(tmp_path)  # what the first use of all leaves, such as modules and caches, is not a leak
    before, usual = descriptors(), {each.name for each in tmp_path.iterdir()}
    fault = Fault()
    hits = 0
    for line in lines_of(function):
        fault.arm(function, line, MemoryError)
        with fault.here(), contextlib.suppress(MemoryError):
            use(tmp_path)
        hits += fault.hit.is_set()
        fault.disarm()
        assert {each.name for each in tmp_path.iterdir()} - {"file"} <= usual, line
        # The server of the other tests opens files for a moment, and closes what it no longer needs.
        assert within(SOON_SECONDS, lambda: descriptors() <= before), line
        use(tmp_path)  # nothing is locked, and nothing is in the way
    assert hits > 0
    assert within(SOON_SECONDS, lambda: not _children())


def _children() -> list[str]:
    """Processes of this one that have not ended; those that have are reaped."""
    subprocess._cleanup()  # type: ignore[attr-defined]
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return [pid for pid in path.read_text().split() if "gpubench.executor" in _command(pid)]


def _command(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""

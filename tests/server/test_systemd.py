"""What systemd is told and what it passes, with a stand-in for it and with its own tools."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from gpubench_server import watchdog
from gpubench_server.line_servers import LineServer
from gpubench_server.systemd import Systemd
from gpubench_server.transports import BoundedMixIn
from gpubench_server.watchdog import Watchdog

from gpubench.errors import CannotListen
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, long, quick, within
from tests.server.embedded import EmbeddedServer


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    """Where systemd would hear it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(PATIENCE_SECONDS)
        yield listening


def next_of(notified: socket.socket, beginning: str) -> list[str]:
    """The lines of the next message that begins so."""
    while not (text := notified.recv(65_536).decode()).startswith(beginning):
        pass
    return text.split("\n")


# Notifications.


def test_systemd_is_told_of_the_start_and_the_end(tmp_path: Path, notified: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": notified.getsockname()}
    with RunningServer(tmp_path / "data", environment=environment, drain_seconds=300) as server:
        assert next_of(notified, "") == ["READY=1", f"STATUS=listening on {', '.join(server.urls)}"]
        with server.connect() as client:
            client.begin_measuring(quick(time_limit_seconds=1))
            for worker in server.children():
                assert b"NOTIFY_SOCKET" not in Path(f"/proc/{worker}/environ").read_bytes()
            server.process.send_signal(signal.SIGTERM)
            stopping, extend, status = next_of(notified, "")
            assert (stopping, status.partition(":")[0]) == ("STOPPING=1", "STATUS=draining")
            name, _, microseconds = extend.partition("=")
            assert name == "EXTEND_TIMEOUT_USEC" and 300e6 < int(microseconds) < 400e6
            assert client.response()["result"]["outcome"] == "ok"
        assert server.wait() == 0


def test_systemd_is_told_that_the_server_is_alive(tmp_path: Path, notified: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": notified.getsockname(), "WATCHDOG_USEC": "300000"}
    with RunningServer(tmp_path / "data", environment=environment):
        for _ in range(4):
            assert next_of(notified, "WATCHDOG") == ["WATCHDOG=1"]


def test_nobody_is_told_anything_without_systemd() -> None:
    for environment in ({}, {"WATCHDOG_USEC": "1"}, {"NOTIFY_SOCKET": "/nowhere/notify"}):
        systemd = Systemd(environment)
        systemd.ready(["tcp://127.0.0.1:1"])
        systemd.alive()
        assert systemd.watchdog_seconds is None
        assert systemd.endpoints() == []
        assert environment == {}


def test_variables_that_are_for_another_process_are_not_used() -> None:
    other = str(os.getpid() + 1)
    environment = {"NOTIFY_SOCKET": "@name", "WATCHDOG_USEC": "1", "WATCHDOG_PID": other, "LISTEN_PID": other}
    systemd = Systemd({**environment, "LISTEN_FDS": "1"})
    assert systemd.watchdog_seconds is None
    assert systemd.endpoints() == []


# The watchdog.


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("data")) as server:
        yield server


def watched(server: EmbeddedServer) -> Watchdog:
    return Watchdog(lambda: list(server.server._serving), server.server._scheduler)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_LOOP_SECONDS", 1.0)
    monkeypatch.setattr(watchdog, "_LOCK_SECONDS", 0.1)


def test_a_server_that_serves_has_no_problem(embedded: EmbeddedServer) -> None:
    with embedded.connect() as client:
        client.begin_measuring(long())
        assert watched(embedded).problem is None


def test_an_accept_loop_that_hangs_is_a_problem(
    embedded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    go_on = threading.Event()
    usual = BoundedMixIn.service_actions

    def hang(self: BoundedMixIn) -> None:
        usual(self)
        go_on.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(LineServer, "service_actions", hang)
    try:
        assert within(PATIENCE_SECONDS, lambda: "accept loop" in (watched(embedded).problem or ""))
    finally:
        go_on.set()
    assert within(PATIENCE_SECONDS, lambda: watched(embedded).problem is None)


def test_a_scheduler_that_nobody_gets_is_a_problem(embedded: EmbeddedServer, impatient: None) -> None:
    done = threading.Event()

    def hold(taken: threading.Event) -> None:
        with embedded.server._scheduler._lock:
            taken.set()
            done.wait(PATIENCE_SECONDS)

    taken = threading.Event()
    holder = threading.Thread(target=hold, args=(taken,))
    holder.start()
    assert taken.wait(PATIENCE_SECONDS)
    assert "the scheduler has been busy" in (watched(embedded).problem or "")
    done.set()
    holder.join(PATIENCE_SECONDS)
    assert watched(embedded).problem is None


def test_a_run_that_outlasts_its_limit_is_a_problem(embedded: EmbeddedServer) -> None:
    scheduler = embedded.server._scheduler
    limit = embedded.server._limits.max_run_seconds
    assert scheduler.stuck(1.0, -limit) is None
    with embedded.connect() as client:
        client.begin_measuring(long())
        assert "has not ended" in (scheduler.stuck(1.0, -limit) or "")
        assert scheduler.stuck(1.0, 0.0) is None


def test_a_problem_is_logged_once(
    embedded: EmbeddedServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A problem is logged once and nobody is told that all is well."""
    monkeypatch.setattr(watchdog, "_LOOP_SECONDS", -1.0)  # every loop is late
    looks: list[None] = []

    def look(seconds: float) -> None:
        looks.append(None)
        if len(looks) == 3:
            monkeypatch.setattr(watchdog, "_LOOP_SECONDS", 1000.0)
        if len(looks) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=time.monotonic, sleep=look))
    told: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        watched(embedded).run(0.1, lambda: told.append(len(looks)))
    assert told == [3, 4]
    assert "an accept loop has not come round for 0 s" in caplog.text


# Sockets.

PASS_ON = (
    "import fcntl, os, sys\n"
    "count = int(sys.argv[1])\n"
    "kept = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[2:2 + count]]\n"
    "for number, each in enumerate(kept, 3):\n"
    "    os.dup2(each, number)\n"
    "os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='a:b')\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'gpubench_server', *sys.argv[2 + count:]])\n"
)
"""Starts the server as systemd does, with sockets from number 3 on."""


@contextlib.contextmanager
def activated(tmp_path: Path, *passed: socket.socket, options: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """What a server that gets these sockets says first; it must end well."""
    numbers = [each.fileno() for each in passed]
    command = [sys.executable, "-c", PASS_ON, str(len(passed)), *map(str, numbers)]
    command += ["--http", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"), "--runtime", "opencl"]
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, pass_fds=numbers
    ) as process:
        assert process.stderr is not None
        try:
            yield [next((line for line in process.stderr if "gpubench-server: " in line), "")]
        finally:
            process.terminate()
            process.stderr.read()
    assert process.returncode == 0


def bound(family: int, kind: int, where: object) -> socket.socket:
    opened = socket.socket(family, kind)
    opened.bind(where)  # type: ignore[arg-type]
    if kind == socket.SOCK_STREAM:
        opened.listen()
    return opened


def test_passed_sockets_are_served_and_their_files_stay(tmp_path: Path) -> None:
    """Sockets that systemd passes are served and their files stay."""
    path, datagrams = tmp_path / "stream.sock", tmp_path / "datagram.sock"
    with (
        bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)) as tcp,
        bound(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)) as tcp6,
        bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)) as udp,
        bound(socket.AF_UNIX, socket.SOCK_STREAM, str(path)) as unix,
        bound(socket.AF_UNIX, socket.SOCK_DGRAM, str(datagrams)) as unixgram,
    ):
        passed = (tcp, tcp6, udp, unix, unixgram)
        with activated(tmp_path, *passed, options=("--listen", "tcp://127.0.0.1:0")) as (line,):
            urls = [word.strip(",") for word in line.split() if "://" in word]
            assert urls[0] == f"tcp://127.0.0.1:{tcp.getsockname()[1]}"
            assert urls[1] == f"tcp://[::1]:{tcp6.getsockname()[1]}"
            assert urls[2] == f"unix://{path}"
            assert [url.partition("://")[0] for url in urls[3:]] == ["tcp", "udp", "unixgram", "http"]
            for address in (tcp.getsockname(), tcp6.getsockname()[:2], path):
                with Lines(address) as client:
                    assert client.ask("ping") == {"pong": True}
            with Lines(path) as client:
                assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"
    assert path.is_socket() and datagrams.is_socket()


def test_passed_sockets_are_enough(tmp_path: Path) -> None:
    """Passed sockets are enough and may be limited to loopback."""
    with (
        bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)) as tcp,
        activated(tmp_path, tcp) as (line,),
    ):
        assert line.count("tcp://") == 1
    for family, where in ((socket.AF_INET, ("0.0.0.0", 0)), (socket.AF_INET6, ("::", 0))):
        with bound(family, socket.SOCK_STREAM, where) as everywhere:
            with pytest.raises(AssertionError), activated(tmp_path, everywhere) as (line,):
                pass
            assert "--insecure" in line
            with activated(tmp_path, everywhere, options=("--insecure",)) as (line,):
                assert "listening on" in line


def connected() -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


def abstract() -> socket.socket:
    return bound(socket.AF_UNIX, socket.SOCK_STREAM, "")


@pytest.mark.parametrize(("opened", "reason"), [(connected, "Accept=no"), (abstract, "needs ListenStream=")])
def test_other_sockets_are_refused(opened: Callable[[], socket.socket], reason: str) -> None:
    with opened() as passed:
        systemd = Systemd({})
        number = os.dup(passed.fileno())
        systemd._passed = range(number, number + 1)
        with pytest.raises(CannotListen, match=reason):
            systemd.endpoints()


def test_what_is_no_socket_is_refused() -> None:
    with open(os.devnull) as file:  # noqa: PTH123
        systemd = Systemd({})
        systemd._passed = range(file.fileno(), file.fileno() + 1)
        with pytest.raises(CannotListen, match="systemd passed no socket as number"):
            systemd.endpoints()


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_systemds_own_program_activates_the_server(tmp_path: Path) -> None:
    path = tmp_path / "activated.sock"
    command = ["systemd-socket-activate", "-l", str(path), "-E", f"PYTHONPATH={os.pathsep.join(sys.path)}"]
    command += [sys.executable, "-m", "gpubench_server", "--http", "127.0.0.1:0", "--runtime", "opencl"]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "data")], stderr=subprocess.DEVNULL
    ) as process:
        assert within(PATIENCE_SECONDS, path.is_socket)
        with Lines(path) as client:  # which starts the server
            assert client.ask("ping") == {"pong": True}
            assert client.ask("drain") == {"draining": True}
        assert process.wait(PATIENCE_SECONDS) == 0
    assert path.is_socket()

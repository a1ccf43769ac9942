"""Several addresses at once, and Unix sockets: their files, and who may use them."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gpubench_client import BenchmarkRequest
from gpubench_server.cli import main
from gpubench_server.unix_sockets import SocketFile, UnixAccess

from gpubench.errors import CannotListen, Unreachable
from gpubench.results.document import decode_document
from tests.cli.command import QUICK, gpubench
from tests.client.conftest import Connect, connect  # noqa: F401
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, long, quick, within

NOBODY = 65_534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gpubench.sock"


def listening(path: Path, *options: str) -> RunningServer:
    return RunningServer(path.parent / "data", "--listen", f"unix://{path}", *options)


def failed_start(path: Path, url: str) -> str:
    """What a server says that cannot listen there."""
    with pytest.raises(RuntimeError) as caught:
        RunningServer(path.parent / "other-data", "--listen", url)
    return str(caught.value)


def refusal(path: Path) -> str:
    """Why a server of this process would not listen there."""
    with pytest.raises(CannotListen) as caught:
        SocketFile(path, socket.SOCK_STREAM)
    return str(caught.value)


def bound(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Another program's socket."""
    other = socket.socket(socket.AF_UNIX, kind)
    other.bind(str(path))
    if kind == socket.SOCK_STREAM:
        other.listen()
    return other


def test_one_service_behind_several_addresses(path: Path) -> None:
    listen = ("tcp://127.0.0.1:0", "tcp://[::1]:0", f"unix://{path}")
    addresses = path.with_name("addresses.json")
    options = [word for url in listen for word in ("--listen", url)]
    with RunningServer(path.parent / "data", *options, "--address-file", str(addresses)) as server:
        ipv4, ipv6, unix, http = server.urls
        assert unix == f"unix://{path}"
        assert within(PATIENCE_SECONDS, addresses.exists)
        assert json.loads(addresses.read_text()) == {"tcp": ipv4, "unix": unix, "http": http}
        port = int(ipv6.rpartition(":")[2])
        with Lines(path) as first, Lines(("::1", port)) as second, server.connect() as third:
            run_id = first.begin_measuring(long())
            assert second.ask("status")["open_connections"] == 3
            assert third.ask("cancel", {"run_id": run_id})["cancelled"]
            assert first.response()["error"]["data"]["kind"] == "cancelled"
        assert within(PATIENCE_SECONDS, lambda: server.metric("gpubench_open_connections") == 0)
        assert server.metric("gpubench_open_connections_limit") == 3 * 64
        status, text = server.get("/")
        assert status == 200 and ipv4 in text and unix in text
        assert server.stop() == 0
    assert not path.exists()


def test_one_address_leaves_others_their_connections(path: Path) -> None:
    """Clients of one address leave the others their connections."""
    options = ("--listen", "tcp://127.0.0.1:0", "--listen", f"unix://{path}")
    with RunningServer(path.parent / "data", *options, max_connections=1) as server, server.connect() as held:
        held.ask("ping")
        with server.connect() as refused:
            assert refused.read()["error"]["data"]["kind"] == "too_many_connections"
        with Lines(path) as client:
            assert client.ask("ping") == {"pong": True}


def test_a_client_on_the_wrong_protocol_is_answered_as_on_tcp(path: Path) -> None:
    with listening(path), Lines(path) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.reader.readline().startswith(b"HTTP/1.1 400 ")


def test_the_clients_run_over_a_unix_socket(path: Path, connect: Connect) -> None:  # noqa: F811
    with listening(path):
        with connect(f"unix://{path}") as client:
            assert client.run([BenchmarkRequest(**quick())]).outcome == "ok"
        ran = gpubench("run", "triad", *QUICK, "--json", "--server", f"unix://{path}")
        assert decode_document(ran.stdout).outcome == "ok", ran.stderr
        ran = gpubench("devices", "--json", GPUBENCH_SERVER=f"unix://{path}")
        assert json.loads(ran.stdout)["devices"]
        with connect(f"unix://{path}") as client:
            assert client.drain().draining
    with connect(f"unix://{path}") as client, pytest.raises(Unreachable, match="No such file or directory"):
        client.ping()


# Who may use it.


@pytest.mark.parametrize(("options", "mode"), [((), 0o600), (("--unix-mode", "660"), 0o660)])
def test_the_socket_has_the_mode_whatever_the_umask(path: Path, options: tuple[str, ...], mode: int) -> None:
    """The file has the mode that was asked for whatever the umask is."""

    def prepare() -> None:
        os.umask(0o077 if mode == 0o660 else 0)

    arguments = ("--listen", f"unix://{path}", *options)
    with RunningServer(path.parent / "data", *arguments, prepare=prepare):
        assert stat.S_IMODE(path.stat().st_mode) == mode


class Noting(socket.socket):
    """Notes the permissions of the file that ``bind`` makes."""

    mode = 0

    def bind(self, where: Any) -> None:
        super().bind(where)
        self.mode = stat.S_IMODE(Path(where).stat().st_mode)


def test_nobody_gets_in_before_the_file_has_its_mode(path: Path) -> None:
    before = os.umask(0)
    try:
        with Noting(socket.AF_UNIX) as listener:
            file = SocketFile(path, socket.SOCK_STREAM)
            file.bind(listener, 0o600)
            file.remove()
    finally:
        os.umask(before)
    assert listener.mode == 0o600


@pytest.fixture
def open_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A path that every user can reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    directory = tmp_path_factory.mktemp("open")
    above = [each for each in (directory, *directory.parents) if not each.stat().st_mode & stat.S_IXOTH]
    for each in above:
        each.chmod(each.stat().st_mode | stat.S_IXOTH)
    yield directory / "gpubench.sock"
    for each in above:
        each.chmod(each.stat().st_mode & ~stat.S_IXOTH)


def as_nobody(path: Path, method: str) -> str:
    """The line that another user gets, or the name of the error with which connecting fails."""
    program = (
        "import os, socket, sys\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "try:\n"
        f"    client.connect({str(path)!r})\n"
        "except OSError as error:\n"
        "    sys.exit(print(type(error).__name__))\n"
        f'client.sendall(b\'{{"jsonrpc":"2.0","id":1,"method":"{method}"}}\\n\')\n'
        "print(client.makefile().readline())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return ended.stdout.strip()


def test_only_users_whom_mode_and_uid_admit_are_served(open_path: Path) -> None:
    with listening(open_path):
        assert as_nobody(open_path, "ping") == "PermissionError"
    with listening(open_path, "--unix-mode", "666") as server:
        assert json.loads(as_nobody(open_path, "ping"))["result"] == {"pong": True}
        refused = json.loads(as_nobody(open_path, "drain"))["error"]
        assert (refused["code"], refused["data"]["kind"]) == (-32004, "forbidden")
        with Lines(open_path) as client:
            assert client.ask("status")["state"] != "draining"
    with listening(open_path, "--unix-mode", "666", "--unix-user", "1") as server:
        refused = json.loads(as_nobody(open_path, "ping"))["error"]
        assert (refused["code"], refused["data"]["kind"]) == (-32004, "forbidden")
        assert f"--unix-user {NOBODY}" in refused["message"]
        assert f"--gateway-user {NOBODY}" in refused["message"]
        assert server.metric('gpubench_connections_rejected_total{reason="forbidden"}') == 1
        with Lines(open_path) as client:  # root is always served
            client.ask("ping")
    with listening(open_path, "--unix-mode", "666", "--unix-user", "nobody"):
        assert json.loads(as_nobody(open_path, "ping"))["result"] == {"pong": True}


def test_the_servers_own_user_and_root_administer() -> None:
    access = UnixAccess(uids=frozenset({7}))
    own = os.geteuid()
    assert [uid for uid in (0, 7, 8, own) if access.admits(uid)] == [0, 7, own]
    assert [uid for uid in (0, 7, 8, own) if access.administers(uid)] == [0, own]


def test_drain_lets_the_current_run_end_and_then_the_server(path: Path) -> None:
    with listening(path, "--listen", "tcp://127.0.0.1:0") as server:
        with server.connect() as remote:
            refused = remote.refused("drain")
            assert (refused["code"], refused["data"]["kind"]) == (-32004, "forbidden")
            assert "--listen unix://" in refused["message"]
            remote.begin_measuring(quick(time_limit_seconds=1))
            with Lines(path) as client:
                assert client.ask("drain") == {"draining": True}
                assert within(PATIENCE_SECONDS, lambda: client.ask("status")["state"] == "draining")
                assert client.refused("run", {"benchmarks": [quick()]})["data"]["kind"] == "draining"
                assert client.ask("drain") == {
                    "draining": True
                }  # unlike a second SIGTERM, it cancels nothing
                assert within(PATIENCE_SECONDS, lambda: not path.exists())
            assert remote.response()["result"]["outcome"] == "ok"
        assert server.wait() == 0


def test_a_signal_cancels_what_a_drain_let_go_on(path: Path) -> None:
    with listening(path) as server, Lines(path) as client, Lines(path) as admin:
        client.begin_measuring(long())
        admin.ask("drain")
        assert within(PATIENCE_SECONDS, lambda: admin.ask("status")["state"] == "draining")
        server.process.send_signal(signal.SIGTERM)
        assert client.response()["error"]["data"]["kind"] == "cancelled"
        assert server.wait() == 0


# The file.


def test_the_socket_of_a_killed_server_is_replaced(path: Path) -> None:
    with listening(path) as server:
        server.kill()
    assert path.is_socket()
    with listening(path), Lines(path) as client:
        client.ask("ping")
    assert not path.exists()


def test_the_socket_of_a_live_server_is_refused_and_stays(path: Path) -> None:
    with listening(path) as server:
        error = failed_start(path, f"unix://{path}")
        assert f"unix://{path} is in use by another gpubench-server (process {server.process.pid})" in error
        with Lines(path) as client:
            client.ask("ping")


def test_two_addresses_with_one_path_are_refused(path: Path) -> None:
    with pytest.raises(RuntimeError, match="is in use by another"):
        listening(path, "--listen", f"unix://{path}")


def test_files_of_others_are_refused_and_stay(path: Path) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with bound(path, kind):
            assert "another program listens on it" in refusal(path)
        assert "is a socket that another program left" in refusal(path)
        assert path.is_socket()
        path.unlink()
    for make in (path.touch, path.mkdir, lambda: path.symlink_to("nowhere")):
        make()
        assert "the file exists and is not a socket" in refusal(path)
        assert os.path.lexists(path)
        path.rmdir() if path.is_dir() else path.unlink()
    lock = path.with_name("gpubench.sock.lock")
    lock.write_text("theirs")
    assert f"{lock} exists, and is not a lock file" in refusal(path)
    assert lock.read_text() == "theirs"


def test_a_socket_that_took_the_place_of_a_killed_servers_stays(path: Path) -> None:
    """The lock file of the killed server is still there."""
    with listening(path) as server:
        server.kill()
    path.unlink()
    with bound(path):
        assert "another program listens on it" in refusal(path)
    path.rename(path.with_name("kept"))  # so that its inode is not used again
    bound(path).close()
    assert "is a socket that another program left" in refusal(path)
    assert path.is_socket()


def test_a_file_that_took_our_place_stays_when_we_end(path: Path) -> None:
    with listening(path) as server:
        path.rename(path.with_name("kept"))
        path.write_text("theirs")
        assert server.stop() == 0
    assert path.read_text() == "theirs"


def test_of_many_that_start_at_once_one_gets_the_path(path: Path) -> None:
    """Of many that start at once after a kill one gets the path."""
    for _ in range(30):
        left = SocketFile(path, socket.SOCK_STREAM)
        with socket.socket(socket.AF_UNIX) as listener:
            left.bind(listener, 0o600)
        left._at_end.close()  # as the system does for a process that is killed
        begin = threading.Barrier(4)
        held: list[SocketFile] = []
        refused: list[CannotListen] = []

        def start() -> None:
            begin.wait(PATIENCE_SECONDS)  # noqa: B023
            try:
                file = SocketFile(path, socket.SOCK_STREAM)
            except CannotListen as error:
                refused.append(error)  # noqa: B023
                return
            with socket.socket(socket.AF_UNIX) as listener:
                file.bind(listener, 0o600)
            held.append(file)  # noqa: B023

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert (len(held), len(refused)) == (1, 3)
        held[0].remove()
        assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--listen", "unix://gpubench.sock"], "the path of a socket is absolute"),
        (["--listen", "unix:///run/"], "the path of a socket is absolute and names a file"),
        (["--listen", f"unix:///{'x' * 107}"], "the system allows 107 for a socket"),
        (["--listen", "tsl://127.0.0.1:1"], "use tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH"),
        (["--unix-mode", "9"], "--unix-mode: '9' is not allowed; allowed: three octal digits"),
        (["--unix-mode", "rw"], "--unix-mode: 'rw' is not allowed"),
        (["--unix-user", "no one"], "--unix-user: this machine has no user 'no one'"),
    ],
)
def test_options_that_are_not_valid(
    tmp_path: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data-dir", str(tmp_path / "data"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert not list(tmp_path.iterdir())


def test_a_directory_that_does_not_exist_is_named(path: Path) -> None:
    assert "cannot listen on unix:///nowhere/socket: No such file" in refusal(Path("/nowhere/socket"))

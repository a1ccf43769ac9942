"""``ping`` and ``status`` by datagram: one out for one in, and never a longer one."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gpubench_client import Client
from gpubench_server.authentication import Authenticator
from gpubench_server.datagrams import DatagramService
from gpubench_server.encode import raw, result_line
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from hypothesis import given
from hypothesis import strategies as st

from gpubench.errors import InvalidParameters, Unreachable
from gpubench.protocol.messages import DATAGRAM_METHODS, MAX_DATAGRAM_BYTES, PARAMETERS, Pong
from tests.client.conftest import Connect, connect  # noqa: F401
from tests.running import PATIENCE_SECONDS, RunningServer, within


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on UDP and on a Unix datagram socket."""
    directory = tmp_path_factory.mktemp("datagrams")
    path = directory / "datagrams.sock"
    options = (
        "--listen",
        "tcp://127.0.0.1:0",
        "--listen",
        "udp://127.0.0.1:0",
        "--listen",
        f"unixgram://{path}",
    )
    with RunningServer(directory / "data", *options) as running:
        yield running
        assert running.stop() == 0
    assert not path.exists()


@pytest.fixture(params=["udp", "unixgram"])
def url(both: RunningServer, request: pytest.FixtureRequest) -> str:
    return next(each for each in both.urls if each.startswith(f"{request.param}://"))


class Asking:
    """A client of datagrams that sends what it is told."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        host, _, port = rest.rpartition(":")
        family = socket.AF_UNIX if scheme == "unixgram" else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.where: Any = rest if scheme == "unixgram" else (host, int(port))
        if scheme == "unixgram":
            self.socket.bind("")
        self.socket.settimeout(PATIENCE_SECONDS)

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self.where)

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.socket.recv(65_536))
        return found

    def answers_to(self, *questions: bytes) -> list[dict[str, Any]]:
        """What comes back for these; a last ping, which is answered, shows where it ends."""
        for each in questions:
            self.send(each)
        self.send(question("ping", id="last"))
        answers = []
        while (answer := self.answer())["id"] != "last":
            answers.append(answer)
        return answers


@pytest.fixture
def asking(url: str) -> Iterator[Asking]:
    with Asking(url) as asking:
        yield asking


def question(method: str, length: int = MAX_DATAGRAM_BYTES, **fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, **fields}).encode().ljust(length)


def outcomes(server: RunningServer) -> dict[str, float]:
    names = ("answered", "malformed", "too_long", "unpadded", "forbidden", "unanswerable")
    return {name: server.metric(f'gpubench_datagrams_total{{outcome="{name}"}}') or 0.0 for name in names}


def test_the_clients_ask_for_a_pong_and_the_status(url: str, connect: Connect) -> None:  # noqa: F811
    with connect(url) as client:
        assert client.ping().pong
        assert client.status().server
        for refused in (client.hello, client.devices, lambda: client.run("triad"), client.drain):
            with pytest.raises(InvalidParameters, match="use tcp:// or unix:// for everything else"):
                refused()


def test_every_answer_is_as_short_as_its_question(both: RunningServer, asking: Asking) -> None:
    before = outcomes(both)
    pong = json.dumps({"id": 1, "jsonrpc": "2.0", "result": {"pong": True}}, separators=(",", ":")) + "\n"
    assert asking.answers_to(question("ping", len(pong))) == [json.loads(pong)]
    assert asking.answers_to(question("ping", len(pong) - 1)) == []
    assert asking.answers_to(question("status", 100)) == []
    after = outcomes(both)
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {
        "answered": 4,
        "unpadded": 2,
    }


def service_with(answer: bytes) -> DatagramService:
    """Answers everything so."""
    metrics = MetricsState()
    authenticator = Authenticator(None, None, Limits(), metrics)
    return DatagramService(lambda session, line, outbox: answer, authenticator, metrics)


def test_a_status_that_is_too_long_is_refused() -> None:
    """A status that is too long is refused if there is room for that."""
    answer = result_line(1, msgspec.Raw(b'"' + b"x" * 900 + b'"'))
    service = service_with(answer)
    assert service.answer(question("status", len(answer))) == answer
    refusal = service.answer(question("status", len(answer) - 1))
    assert refusal is not None
    error = json.loads(refusal)["error"]
    assert error["data"]["kind"] == "limit_exceeded"
    assert f"the answer has {len(answer)} bytes, more than the question: pad that" in error["message"]
    assert service.answer(question("status", len(refusal) - 1)) is None


def test_only_ping_and_status_are_served(asking: Asking) -> None:
    others = sorted(PARAMETERS.keys() - DATAGRAM_METHODS)
    answers = asking.answers_to(*map(question, others))
    assert [each["error"]["data"]["kind"] for each in answers] == ["forbidden"] * len(others)
    (unknown,) = asking.answers_to(question("shutdown"))
    assert unknown["error"]["data"]["kind"] == "unknown_method"


def test_what_is_no_question_gets_no_answer_and_is_counted(both: RunningServer, asking: Asking) -> None:
    before = outcomes(both)
    notification = json.dumps({"jsonrpc": "2.0", "method": "ping"}).encode().ljust(MAX_DATAGRAM_BYTES)
    response = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}).encode().ljust(MAX_DATAGRAM_BYTES)
    malformed = [b"", b"\0", b"x" * 500, b"{" * 1000, b"[" * MAX_DATAGRAM_BYTES, notification, response]
    assert asking.answers_to(*malformed, question("ping", MAX_DATAGRAM_BYTES + 1)) == []
    after = outcomes(both)
    assert after["malformed"] - before["malformed"] == len(malformed)
    assert after["too_long"] - before["too_long"] == 1


PONG = result_line(1, raw(Pong()))


@given(st.binary(max_size=80) | st.integers(0, 90).map(lambda length: question("ping", length)))
def test_no_datagram_is_answered_with_a_longer_one(datagram: bytes) -> None:
    service = service_with(PONG)
    assert len(service.answer(datagram) or b"") <= len(datagram)


def test_clients_that_do_not_read_keep_nobody_waiting(both: RunningServer, url: str) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(40):  # each has room for ten answers in its queue, or more in its buffer
            before = outcomes(both)
            asking = opened.enter_context(Asking(url))
            for _ in range(25):
                asking.send(question("ping"))
            assert within(PATIENCE_SECONDS, lambda: outcomes(both)["answered"] >= before["answered"] + 25)  # noqa: B023
        with Client(url) as client:
            assert client.ping().pong


# Unix sockets.


@pytest.mark.parametrize("name", [None, "mine"])
def test_a_unix_socket_answers_to_abstract_names_only(
    both: RunningServer, tmp_path: Path, name: str | None
) -> None:
    """A path could have become a link to the socket of another program, to which the server would write."""
    before = outcomes(both)["unanswerable"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        if name is not None:
            asking.bind(str(tmp_path / name))
        asking.sendto(question("ping"), both.urls[2].removeprefix("unixgram://"))
        assert within(PATIENCE_SECONDS, lambda: outcomes(both)["unanswerable"] == before + 1)
        asking.setblocking(False)
        with pytest.raises(BlockingIOError):
            asking.recv(1)


def test_a_client_that_only_hears_its_peer_is_not_answered(both: RunningServer) -> None:
    with Asking(both.urls[2]) as asking:
        asking.socket.connect(asking.where)
        before = outcomes(both)["unanswerable"]
        asking.socket.send(question("ping"))
        assert within(PATIENCE_SECONDS, lambda: outcomes(both)["unanswerable"] == before + 1)


def test_file_descriptors_that_a_client_passes_are_not_taken(both: RunningServer) -> None:
    held = Path(f"/proc/{both.process.pid}/fd")
    with Asking(both.urls[2]) as asking:
        asking.answers_to()
        before = len(list(held.iterdir()))
        for count in (1, 2, 8):
            passed = array.array("i", [asking.socket.fileno()] * count)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)
            asking.socket.sendmsg([question("ping")], [rights], 0, asking.where)
            assert asking.answer()["result"] == {"pong": True}
        # The socket of the last answer may still be open.
        assert within(5.0, lambda: len(list(held.iterdir())) <= before)


def test_other_users_are_dropped(tmp_path_factory: pytest.TempPathFactory) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    directory = tmp_path_factory.mktemp("users")
    path = directory / "datagrams.sock"
    options = ("--listen", "tcp://127.0.0.1:0", "--listen", f"unixgram://{path}", "--unix-user", "1")
    with RunningServer(directory / "data", *options) as server, Asking(f"unixgram://{path}") as asking:
        os.setresuid(65_534, 0, 0)  # who sends, as the system says it, is the real user
        try:
            asking.send(question("ping"))
        finally:
            os.setresuid(0, 0, 0)
        assert within(PATIENCE_SECONDS, lambda: outcomes(server)["forbidden"] == 1)
        asking.send(question("ping"))  # root is always served
        assert asking.answer()["result"] == {"pong": True}


# Without a server.


def test_no_answer_is_unreachable(tmp_path: Path, connect: Connect) -> None:  # noqa: F811
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{silent.getsockname()[1]}"
        no_answer = pytest.raises(Unreachable, match="did not answer; a server answers datagrams only if")
        with connect(url, connect_timeout_seconds=1.2) as client, no_answer:
            client.ping()
        first = json.loads(silent.recv(65_536))
        assert first == json.loads(silent.recv(65_536))  # it asked twice
        assert first["id"] != 1  # or anybody could answer
    for nobody in (url, f"unixgram://{tmp_path}/nobody"):
        with connect(nobody) as client, pytest.raises(Unreachable, match="no server answers at"):
            client.ping()


def test_datagrams_alone_are_not_enough_to_listen_on(tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match="only ping and status are answered by datagram; for everything else"
    ):
        RunningServer(tmp_path, "--listen", "udp://127.0.0.1:0")


def test_udp_beyond_loopback_needs_insecure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="--insecure"):
        RunningServer(tmp_path, "--listen", "tcp://127.0.0.1:0", "--listen", "udp://0.0.0.0:0")


def test_a_port_in_use_is_named(both: RunningServer, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="is in use by another program"):
        RunningServer(tmp_path, "--listen", "tcp://127.0.0.1:0", "--listen", both.urls[1])

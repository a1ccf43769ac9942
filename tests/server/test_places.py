"""Who gets a place when all are taken: silent clients cannot shut others out, and served ones keep theirs."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.connection import ClientConnection
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.outbox import Outbox
from gpubench_server.places import MAX_ENDING, Places
from gpubench_server.principals import THIS_MACHINE, Principal
from gpubench_server.session import Session

from tests.certificates import Authority
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, within
from tests.server.test_roles import add_token

REPLACED = 'gpubench_connections_rejected_total{reason="replaced"}'


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("data"), max_connections=3) as server:
        yield server


def said(client: Lines) -> str:
    return str(client.response()["error"]["data"]["kind"])


def test_the_oldest_silent_one_makes_room(small: RunningServer) -> None:
    before = small.metric(REPLACED) or 0
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(small.connect()) for _ in range(3)]
        silent[1].send(b'{"half a')  # a part of a line asks for nothing
        for oldest in silent[:2]:
            newest = stack.enter_context(small.connect())
            assert newest.ask("ping") == {"pong": True}
            assert said(oldest) == "too_many_connections"
            assert oldest.ended()
        assert silent[2].ask("ping") == {"pong": True}
    assert small.metric(REPLACED) == before + 2


def test_a_client_that_was_served_keeps_its_place(small: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        served = [stack.enter_context(small.connect()) for _ in range(2)]
        assert all(client.ask("ping") for client in served)
        silent = stack.enter_context(small.connect())
        for _ in range(10):
            with small.connect() as another:
                another.ask("ping")
            assert within(PATIENCE_SECONDS, lambda: small.metric("gpubench_open_connections") == 2)
        assert said(silent) == "too_many_connections"
        assert all(client.ask("ping") for client in served)
        served.append(stack.enter_context(small.connect()))
        served[-1].ask("ping")
        with small.connect() as late:  # there is no silent client to replace
            assert said(late) == "too_many_connections"
        assert all(client.ask("ping") for client in served)


def test_silence_in_the_handshake_keeps_nobody_out(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    options = ("--listen", "tls://127.0.0.1:0", *authority.issue("server").server_options)
    with (
        RunningServer(tmp_path / "data", *options, max_connections=4, handshake_seconds=600) as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(10):
            for _ in range(6):
                stack.enter_context(socket.create_connection(server.tls, PATIENCE_SECONDS))
            with Lines(server.tls, authority.context) as client:
                assert client.ask("ping") == {"pong": True}


def test_nothing_but_a_valid_token_keeps_the_place(tmp_path: Path) -> None:
    add_token(tmp_path, "alice", "run")
    token = (tmp_path / "alice").read_text().strip()
    options = ("--tokens", str(tmp_path / "tokens.json"))
    with (
        RunningServer(tmp_path / "data", *options, max_connections=2, authentication_seconds=600) as server,
        contextlib.ExitStack() as stack,
    ):
        known = stack.enter_context(server.connect())
        known.ask("hello", {"token": token})
        blank = stack.enter_context(server.connect())
        blank.send(b"\n\n")
        for _ in range(5):
            last = stack.enter_context(server.connect())
        assert said(blank) == "too_many_connections"
        last.ask("hello", {"token": token})
        assert known.ask("ping") == {"pong": True}


def session_of(principal: Principal | None, keep_place: Callable[[], bool]) -> Session:
    authenticator = Authenticator(None, None, Limits(), MetricsState())
    return Session(authenticator, Origin("127.0.0.1", confidential=True), principal, keep_place)


def test_only_a_known_client_keeps_its_place() -> None:
    """An empty line asks for nothing, and needs no token."""
    kept: list[str] = []
    for name, principal in (("unknown", None), ("known", THIS_MACHINE)):
        session = session_of(principal, lambda name=name: not kept.append(name))  # type: ignore[misc]
        assert session.settle()
        assert session.settled == (principal is not None)
    assert kept == ["known"]


def test_a_client_that_is_known_too_late_has_no_place() -> None:
    """Its place went to another while its token was checked."""
    session = session_of(THIS_MACHINE, lambda: False)
    assert not session.settle()
    assert not session.settled


def test_a_request_on_a_replaced_connection_is_not_executed() -> None:
    """A request that arrives while its connection's place is given away."""
    limits = Limits()
    served: list[bytes] = []

    def respond(line: bytes, outbox: Outbox) -> bytes:
        served.append(line)
        return b"done\n"

    session = session_of(THIS_MACHINE, lambda: False)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"run\n")
        connection = ClientConnection(theirs, respond, lambda ticket: None, limits, "http://here", session)
        thread = threading.Thread(target=connection.serve, daemon=True)
        thread.start()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert served == []


def test_connections_whose_threads_do_not_end_are_bounded() -> None:
    dismissed: list[socket.socket] = []
    places = Places(2, dismissed.append)
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.socket()) for _ in range(2 + MAX_ENDING + 2)]
        *fit, one_more, last = made
        assert all(places.take(each) for each in fit)
        assert not places.take(one_more)
        assert dismissed == made[:MAX_ENDING]
        assert places.taken == 2
        places.release(made[0])
        assert places.take(last)
        assert dismissed == made[: MAX_ENDING + 1]
        for each in made:
            places.release(each)
        assert places.taken == 0
        assert places.wait_until_empty(0)


def test_a_closed_descriptor_is_left_alone() -> None:
    """It may be another connection's by then."""
    places = Places(2, lambda connection: None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        places.take(theirs)
        places.detach(theirs)
        places.shut_down(socket.SHUT_RDWR)
        theirs.sendall(b"still open\n")
        assert ours.recv(100) == b"still open\n"
        assert places.taken == 1


def test_a_refusal_is_a_line_of_json(small: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        oldest, *_ = (stack.enter_context(small.connect()) for _ in range(4))
        line = oldest.reader.readline()
        assert json.loads(line)["error"]["data"] == {
            "kind": "too_many_connections",
            "retryable": True,
            "retry_after_seconds": 1,
        }

"""A full gateway: silent clients make room for others, and those whose token was valid keep their places."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from gpubench_client.steps import Connect
from gpubench_client.tls import failure
from gpubench_client.urls import parse_url
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.gateway import children as room
from gpubench_server.gateway import link
from gpubench_server.gateway.children import Child, Children
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.principals import Quota
from gpubench_server.tokens import add_token
from gpubench_server.wrong_protocol import TLS_REFUSAL

from gpubench.errors import GpubenchError, TooManyConnections
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, default_signals, state, within
from tests.server.gateway import Place, RunningGateway

PATIENT = {"handshake_seconds": 600, "authentication_seconds": 600, "authentication_delay_seconds": 600}
"""No deadline makes room."""

PLAIN = ("--listen", "tcp://127.0.0.1:0")


@pytest.fixture(scope="module")
def core(place: Place, token: str) -> Iterator[RunningServer]:
    with place.core() as running:
        yield running


@pytest.fixture(scope="module")
def plain(place: Place, core: RunningServer) -> Iterator[RunningGateway]:
    with place.gateway(*PLAIN, max_connections=3, **PATIENT) as running:
        yield running


@pytest.fixture
def empty(plain: RunningGateway) -> RunningGateway:
    """Without the clients of the test before."""
    assert within(PATIENCE_SECONDS, lambda: not plain.children() and not plain.zombies())
    return plain


def said(client: Lines) -> str:
    return str(client.response()["error"]["data"]["kind"])


def is_cut_off(client: Lines) -> bool:
    try:
        client.reader.read()
    except TimeoutError:
        return False
    except OSError:  # TLS suspects an attack
        pass
    return True


def silent(gateway: RunningGateway) -> socket.socket:
    """A client that does not begin its handshake."""
    return socket.create_connection(gateway.address, PATIENCE_SECONDS)


def test_silence_in_the_handshake_keeps_nobody_out(place: Place, core: RunningServer, token: str) -> None:
    with place.gateway(max_connections=4, **PATIENT) as gateway, contextlib.ExitStack() as stack:
        first = stack.enter_context(silent(gateway))
        for _ in range(3):
            for _ in range(6):
                stack.enter_context(silent(gateway))
            with gateway.connect(token) as client:
                assert client.ask("ping") == {"pong": True}
        with first.makefile("rb") as reader:
            assert reader.read() == TLS_REFUSAL
        assert gateway.said("refused a client at 127.0.0.1: replaced: it showed no valid token")
        assert within(PATIENCE_SECONDS, lambda: not gateway.zombies())
        assert not gateway.said("was killed")


def test_silence_after_the_handshake_keeps_nobody_out(place: Place, core: RunningServer, token: str) -> None:
    with place.gateway(max_connections=2, **PATIENT) as gateway, contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(gateway.open()) for _ in range(2))
        with gateway.connect(token) as client:
            assert client.ask("ping") == {"pong": True}
            with pytest.raises(OSError):  # what it gets is not encrypted, as before the handshake
                first.reader.readline()
            second.request("hello", {"token": token})
            assert second.response()["result"]["principal"] == "token alice"


def test_without_tls_the_replaced_one_is_told_why(empty: RunningGateway, token: str) -> None:
    with contextlib.ExitStack() as stack:
        blank, half, last = (stack.enter_context(empty.open()) for _ in range(3))
        blank.send(b"\n\n")
        half.send(b'{"half a')  # asks for nothing
        for oldest in (blank, half):
            stack.enter_context(empty.connect(token))
            error = oldest.response()["error"]
            assert (error["code"], error["data"]["retry_after_seconds"]) == (-32012, 1)
            assert oldest.ended()
        assert last.ask("hello", {"token": token})["principal"] == "token alice"


def test_a_wrong_token_keeps_no_place(empty: RunningGateway, token: str) -> None:
    with contextlib.ExitStack() as stack:
        guessing = stack.enter_context(empty.open())
        guessing.request("hello", {"token": token[:-1]})  # answered after a long delay
        for _ in range(3):
            last = stack.enter_context(empty.connect(token))
        assert said(guessing) == "too_many_connections"
        assert last.ask("ping") == {"pong": True}


def test_a_client_that_was_authenticated_keeps_its_place(empty: RunningGateway, token: str) -> None:
    with contextlib.ExitStack() as stack:
        known = [stack.enter_context(empty.connect(token)) for _ in range(2)]
        children = set(empty.children())
        oldest = stack.enter_context(empty.open())
        for _ in range(5):
            newest = stack.enter_context(empty.open())
            assert said(oldest) == "too_many_connections"
            oldest = newest
        known.append(oldest)
        oldest.ask("hello", {"token": token})
        with empty.open() as late:  # there is none to replace
            assert said(late) == "too_many_connections"
            assert late.ended()
        assert all(client.ask("ping") == {"pong": True} for client in known)
        assert children < set(empty.children())


def test_a_stopped_child_makes_room_too(empty: RunningGateway, token: str) -> None:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(empty.open())
        assert within(PATIENCE_SECONDS, lambda: bool(empty.children()))
        (child,) = empty.children()
        os.kill(child, signal.SIGSTOP)
        stack.callback(_go_on, child)
        for _ in range(3):
            stack.enter_context(empty.connect(token))
        assert said(client) == "too_many_connections"
        assert within(PATIENCE_SECONDS, lambda: child not in empty.children() and not empty.zombies())


def _go_on(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(child, signal.SIGCONT)


def test_replaced_ones_leave_nothing_behind(place: Place, core: RunningServer, token: str) -> None:
    """With 30 descriptors for the parent, none of which is closed by a time-out; some children are killed."""

    def few_descriptors() -> None:
        default_signals()
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))

    limits = {"max_connections": 3, "linger_seconds": 600, **PATIENT}
    with place.gateway(prepare=few_descriptors, **limits) as gateway, contextlib.ExitStack() as stack:
        known = stack.enter_context(gateway.connect(token))
        (kept,) = gateway.children()
        waiting: list[Lines] = []
        for index in range(50):
            waiting.append(stack.enter_context(gateway.open()))
            if index % 10 == 9:
                for child in set(gateway.children()) - {kept}:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                assert all(map(is_cut_off, waiting))
                waiting.clear()
            elif len(waiting) > 2:
                assert is_cut_off(waiting.pop(0))
        assert known.ask("ping") == {"pong": True}
        assert within(PATIENCE_SECONDS, lambda: gateway.children() == [kept] and not gateway.zombies())
        assert not gateway.said("Too many open files")
        assert not gateway.said("ERROR")
    assert gateway.said("ended: accepted 51, crashed ")
    assert gateway.said("replaced 4")  # all but those killed by others, and some of the first two


def test_replaced_after_its_handshake_a_client_reads_why(place: Place, core: RunningServer) -> None:
    """The alert is in clear text then, and OpenSSL only sees a broken record."""
    with (
        place.gateway(max_connections=1, **PATIENT) as gateway,
        gateway.open() as first,
        gateway.open(),
        pytest.raises(ssl.SSLError) as caught,
    ):
        first.reader.read()
    error = failure(caught.value, Connect(parse_url(gateway.urls[0]), PATIENCE_SECONDS), connected=True)
    assert "refuses new connections: it has too many, or is shutting down" in error.message
    assert error.retryable


@pytest.mark.parametrize("hard", [None, 40], ids=["soft limit", "hard limit"])
def test_a_low_limit_of_files_shuts_nobody_out(
    place: Place, core: RunningServer, token: str, hard: int | None
) -> None:
    """A soft limit is raised. Under a hard one fewer clients fit, and the oldest silent ones make room."""

    def few_descriptors() -> None:
        default_signals()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, most))

    limits = {"max_connections": 20, **PATIENT}
    with place.gateway(*PLAIN, prepare=few_descriptors, **limits) as gateway, contextlib.ExitStack() as stack:
        for _ in range(25):
            stack.enter_context(gateway.open())

        def is_served() -> bool:
            try:
                with gateway.connect(token) as client:
                    return bool(client.ask("ping") == {"pong": True})
            except (AssertionError, OSError, ValueError):  # refused, in whatever way
                return False

        assert within(PATIENCE_SECONDS, is_served)
        assert gateway.said("this process may have 40: raise the hard limit") is (hard is not None)
        if hard is None:
            assert not gateway.said("Too many open files")


def test_a_child_that_crashed_unseen_counts_as_crashed(place: Place, core: RunningServer) -> None:
    """Also if its place is given away before the parent has noticed."""
    with place.gateway(*PLAIN, max_connections=1, **PATIENT) as gateway, contextlib.ExitStack() as stack:
        stack.enter_context(gateway.open())
        assert within(PATIENCE_SECONDS, lambda: len(gateway.children()) == 1)
        (child,) = gateway.children()
        os.kill(gateway.process.pid, signal.SIGSTOP)
        os.kill(child, signal.SIGSEGV)
        assert within(PATIENCE_SECONDS, lambda: state(child) == "Z")
        stack.enter_context(gateway.open())
        os.kill(gateway.process.pid, signal.SIGCONT)
        assert within(PATIENCE_SECONDS, lambda: gateway.said("was killed by SIGSEGV"))


# The parent's part by itself.

CLIENT = Origin.internet("192.0.2.1", encrypted=True)


class FullGateway:
    """One place, and children that are processes without a client."""

    def __init__(
        self, directory: Path, selector: selectors.BaseSelector, stack: contextlib.ExitStack
    ) -> None:
        self.token, _ = add_token(directory / "tokens.json", "alice", "run", Quota(), None)
        authenticator = Authenticator(directory / "tokens.json", None, Limits(), MetricsState())
        self.children = Children(selector, authenticator, Limits(max_connections=1))
        self.turned_away: list[GpubenchError] = []
        self._stack = stack

    def add(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A child, and its end of the link."""
        process = self._stack.enter_context(
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        )
        self._stack.callback(process.kill)
        parents, childs = (self._stack.enter_context(end) for end in link.pair())
        childs.settimeout(PATIENCE_SECONDS)
        client = self._stack.enter_context(socket.socket())
        self.children.add(Child(process.pid, CLIENT, parents, client, self._turn_away))
        return process, childs

    def _turn_away(self, client: socket.socket, why: GpubenchError) -> None:
        self.turned_away.append(why)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[FullGateway]:
    with selectors.PollSelector() as selector, contextlib.ExitStack() as stack:
        yield FullGateway(tmp_path, selector, stack)


def test_a_token_that_is_still_to_be_checked_counts(full: FullGateway) -> None:
    """It was shown before the newcomer came, and the parent has not read it yet."""
    process, childs = full.add()
    childs.send(msgspec.json.encode(link.Shown(full.token)))
    with pytest.raises(TooManyConnections, match="maximum of 1 connections"):
        full.children.make_room("127.0.0.1")
    assert process.poll() is None
    assert msgspec.json.decode(childs.recv(4096), type=link.Verdict).principal == "token alice"


def test_children_that_do_not_end_are_bounded(full: FullGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reaps them here, as if each took its time."""
    monkeypatch.setattr(room, "MAX_ENDING", 2)
    processes = [full.add()[0]]
    for _ in range(2):
        full.children.make_room("127.0.0.1")
        processes.append(full.add()[0])
    with pytest.raises(TooManyConnections):
        full.children.make_room("127.0.0.1")
    assert [type(why) for why in full.turned_away] == [TooManyConnections] * 2
    first = processes[0]
    _, status = os.waitpid(first.pid, 0)
    first.returncode = -signal.SIGKILL
    full.children.ended(first.pid, status)
    full.children.make_room("127.0.0.1")
    assert full.children.counts == {"accepted": 3, "replaced": 3}

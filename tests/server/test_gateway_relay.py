"""The gateway's parts by themselves: what a line becomes, how two sides are joined, what a child may say."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.gateway import link
from gpubench_server.gateway.children import Child, Children
from gpubench_server.gateway.relay import ClientGone, Relay
from gpubench_server.gateway.requests import BadRequest, check
from gpubench_server.gateway.server import call_ready
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.principals import Quota
from gpubench_server.tokens import add_token

from gpubench.errors import NotAuthenticated
from gpubench.framing import LineBuffer
from gpubench.protocol.messages import MAX_REQUEST_BYTES
from tests.running import PATIENCE_SECONDS, within

PING = b'{"jsonrpc":"2.0","id":7,"method":"ping"}\n'


# Lines.


def test_a_line_is_written_anew() -> None:
    odd = '{ "method" : "result",\t"id":"\\u00e9","params": {"run_id": "\\u0061b"}, "jsonrpc":"2.0", "x":1}\r'
    line = check(odd.encode()).line
    assert line.endswith(b"}\n") and line.count(b"\n") == 1 and b"\\u" not in line and b"x" not in line
    assert json.loads(line) == {"jsonrpc": "2.0", "id": "é", "method": "result", "params": {"run_id": "ab"}}
    assert check(line).line == line


def test_a_run_keeps_what_was_asked_for() -> None:
    params = {
        "benchmarks": ["copy", {"name": "triad", "parameters": {"unroll": 8, "x": [1.5, None, {"é": True}]}}],
        "key": "k",
        "deadline_seconds": 1e-3,
        "detach": True,
        "labels": {"a": "\u2028"},
    }
    line = check(json.dumps({"jsonrpc": "2.0", "method": "run", "id": None, "params": params}).encode()).line
    sent = json.loads(line)
    assert sent["id"] is None
    for name, value in params.items():
        if name != "benchmarks":
            assert sent["params"][name] == value
    assert sent["params"]["benchmarks"][1]["parameters"] == params["benchmarks"][1]["parameters"]  # type: ignore[index]


def test_the_token_is_taken_out_of_a_line() -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"token": "secret", "client": "c"}}
    checked = check(json.dumps(hello).encode())
    assert checked.token == "secret"
    assert b"secret" not in checked.line and b"token" not in checked.line and b'"client":"c"' in checked.line


def test_a_line_that_would_become_too_long_is_refused() -> None:
    """It is short enough as it was sent, and too long for the server once it is written out."""
    many = b"1e14," * 9000
    benchmark = b'{"name":"a","parameters":{"x":[' + many + b"1]}}"
    line = b'{"jsonrpc":"2.0","id":1,"method":"run","params":{"benchmarks":[' + benchmark + b"]}}"
    assert len(line) < MAX_REQUEST_BYTES
    with pytest.raises(BadRequest) as caught:
        check(line)
    assert caught.value.error.kind == "line_too_long"
    assert caught.value.answer is not None and json.loads(caught.value.answer)["id"] == 1


# The relay.


class Joined:
    """A relay in a thread, with both its sides and its parent's link in the test's hands."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.client, client = socket.socketpair()
        self.core, core = socket.socketpair()
        self.parent, child = link.pair()
        for end in (self.client, self.core):
            end.settimeout(PATIENCE_SECONDS)
        for end in (client, core):
            end.setblocking(False)
        self._ends = (self.client, self.core, self.parent, client, core, child)
        relay = Relay(
            client,
            core,
            link.Link(child),
            LineBuffer(MAX_REQUEST_BYTES),
            limits or Limits(),
            lambda line: check(line).line,
        )
        self.gone = False

        def run() -> None:
            try:
                relay.run(b"first\n")
            except ClientGone:
                self.gone = True
            client.close()
            core.close()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert self.core.recv(100) == b"first\n"

    def close(self) -> None:
        self.client.close()
        self.core.close()
        self.thread.join(PATIENCE_SECONDS)
        for end in self._ends:
            end.close()
        assert not self.thread.is_alive()


@pytest.fixture
def joined() -> Iterator[Callable[..., Joined]]:
    with contextlib.ExitStack() as stack:

        def join(**limits: float) -> Joined:
            made = Joined(Limits(**limits))  # type: ignore[arg-type]
            stack.callback(made.close)
            return made

        yield join


def everything(end: socket.socket) -> bytes:
    received = b""
    while chunk := end.recv(1 << 16):
        received += chunk
    return received


def test_own_answers_come_between_whole_lines_of_the_server(joined: Callable[..., Joined]) -> None:
    relay = joined()
    relay.core.sendall(b'{"half":')
    assert relay.client.recv(100) == b'{"half":'
    relay.client.sendall(b"nonsense\n" + PING)
    assert b"ping" in relay.core.recv(1000)  # so the nonsense has been seen
    relay.core.sendall(b"1}\n{}\n")
    relay.core.close()
    lines = everything(relay.client).splitlines()
    assert lines[0] == b"1}" and lines[2] == b"{}"
    assert json.loads(lines[1])["error"]["data"]["kind"] == "parse_error"


def test_a_client_that_does_not_read_holds_the_server_up(joined: Callable[..., Joined]) -> None:
    """So that the server notices it, and the relay's memory stays small."""
    relay = joined(send_deadline_seconds=1.0)
    relay.core.settimeout(0.3)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 64 << 20:
            sent += relay.core.send(b"x" * 65_536)
    assert sent < 4 << 20
    relay.thread.join(PATIENCE_SECONDS)
    assert relay.gone


def test_a_server_that_does_not_read_holds_the_client_up(joined: Callable[..., Joined]) -> None:
    relay = joined()
    relay.client.settimeout(0.3)
    line = PING.replace(b"7", b'"%s"' % (b"x" * 60_000))
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 8 << 20:
            sent += relay.client.send(line[sent % len(line) :])
    assert sent < 4 << 20
    relay.client.shutdown(socket.SHUT_WR)
    received = everything(relay.core)  # once it does, nothing is lost
    assert received.count(b"\n") == sent // len(line) + (sent % len(line) == len(line) - 1)


def test_all_that_the_server_said_arrives_before_the_end(joined: Callable[..., Joined]) -> None:
    relay = joined()
    text = b"x" * (8 << 20) + b"\n"

    def say() -> None:
        relay.core.sendall(text)
        relay.core.close()

    saying = threading.Thread(target=say)
    saying.start()
    assert everything(relay.client) == text
    saying.join()


def test_the_end_of_the_link_ends_the_requests(joined: Callable[..., Joined]) -> None:
    relay = joined()
    relay.parent.shutdown(socket.SHUT_WR)
    assert relay.core.recv(100) == b""
    relay.core.sendall(b"last\n")
    relay.core.close()
    assert everything(relay.client) == b"last\n"


@pytest.mark.timing
def test_a_flood_of_bad_lines_is_relayed_slowly(joined: Callable[..., Joined]) -> None:
    """Those that were saved up at once, the others at the rate; all are answered, after the end too."""
    relay = joined(max_bad_lines_per_second=100)
    passed_on = []

    def serve() -> None:
        passed_on.append(everything(relay.core))
        relay.core.close()

    serving = threading.Thread(target=serve)
    serving.start()
    begun = time.monotonic()
    relay.client.sendall(b"bad\n" * 540 + PING + b"bad\n" * 40)
    relay.client.shutdown(socket.SHUT_WR)
    assert everything(relay.client).count(b"parse_error") == 580
    assert time.monotonic() - begun > 0.7
    serving.join()
    assert len(passed_on) == 1 and passed_on[0].count(b"\n") == 1


@pytest.mark.timing
def test_some_bad_lines_slow_no_relay_down(joined: Callable[..., Joined]) -> None:
    relay = joined(max_bad_lines_per_second=0.2, line_deadline_seconds=0.3)
    relay.client.sendall(b"bad\n" + PING)
    assert b"ping" in relay.core.recv(1000)  # the next would have to wait for 5 s after a second bad one
    relay.client.sendall(b"bad\n" + PING + b"half")
    relay.core.settimeout(0.5)
    with pytest.raises(TimeoutError):  # nor is it the client that is late
        relay.core.recv(1)
    relay.parent.shutdown(socket.SHUT_WR)
    assert relay.core.recv(1) == b""


# The link.

CLIENT = Origin.internet("192.0.2.1", encrypted=True)


def child_at(parents: socket.socket, pid: int = 1) -> Child:
    """Without a client."""
    with socket.socket() as client:  # closed: nobody uses it
        return Child(pid, CLIENT, parents, client, turn_away=lambda client, why: None)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    add_token(tmp_path / "tokens.json", "alice", "run", Quota(), None)
    authenticator = Authenticator(tmp_path / "tokens.json", None, Limits(), MetricsState())
    with selectors.PollSelector() as selector:
        yield Children(selector, authenticator, Limits(max_connections=1))


@pytest.mark.parametrize(
    "garbage",
    [b"x", b"\xff", b"[" * 4000, b'{"type":"Shown","token":"' + b"x" * 300 + b'"}', b'{"type":"Kill"}'],
    ids=["no JSON", "not UTF-8", "deep", "long", "unknown"],
)
def test_a_child_that_sends_garbage_is_killed(children: Children, garbage: bytes) -> None:
    parents, childs = link.pair()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process, childs, parents:
        children.add(child_at(parents, process.pid))
        childs.send(garbage)
        call_ready(children._selector, PATIENCE_SECONDS)
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert not children._selector.get_map()


def test_a_child_that_shows_a_second_token_is_killed(children: Children) -> None:
    parents, childs = link.pair()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process, childs, parents:
        children.add(child_at(parents, process.pid))
        for _ in range(4):
            childs.send(msgspec.json.encode(link.Shown("wrong")))
        for _ in range(2):
            call_ready(children._selector, PATIENCE_SECONDS)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == -signal.SIGKILL
        children.ended(process.pid, status)
    assert children.counts == {"accepted": 1, "not_authenticated": 1, "taken_over": 1}


def test_a_child_that_failed_is_counted_once(children: Children) -> None:
    """Its exit code is not another fault."""
    parents, childs = link.pair()
    with parents, childs:
        child = child_at(parents)
        children.add(child)
        assert (children.snapshot(True).connections, children.snapshot(False).connections) == (1, 0)
        for _ in range(3):
            childs.send(msgspec.json.encode(link.Failed("ValueError: no")))
        call_ready(children._selector, PATIENCE_SECONDS)
        children.ended(child.pid, 1 << 8)
    assert children.counts == {"accepted": 1, "failed": 1}


def test_reasons_that_a_child_makes_up_are_counted_as_one(children: Children) -> None:
    parents, childs = link.pair()
    with parents, childs:
        child = child_at(parents)
        for index in range(50):
            childs.send(msgspec.json.encode(link.Refused(f"reason {index}", "because")))
            assert children._hear(child)
        childs.send(msgspec.json.encode(link.Refused("line_too_long", "because")))
        assert children._hear(child)
    assert children.counts == {"other": 50, "line_too_long": 1}


def test_a_file_that_was_closed_meanwhile_is_left_out() -> None:
    """As when a child is reaped whose last words were ready."""
    one, two = socket.socketpair()
    called = []
    with selectors.PollSelector() as selector, one, two:

        def close_both() -> None:
            called.append(True)
            for end in (one, two):
                selector.unregister(end)
                end.close()

        for end in (one, two):
            selector.register(end, selectors.EVENT_WRITE, close_both)
        call_ready(selector, PATIENCE_SECONDS)
    assert called == [True]


def test_a_child_is_told_whose_token_it_is(children: Children, tmp_path: Path) -> None:
    token, _ = add_token(tmp_path / "tokens.json", "bob", "read", Quota(), None)
    children._authenticator.reload()
    with contextlib.ExitStack() as stack:
        asked: list[tuple[str, socket.socket]] = []
        for shown in (token, token[:-1]):
            parents, childs = (stack.enter_context(end) for end in link.pair())
            hear = functools.partial(children._hear, child_at(parents))
            children._selector.register(parents, selectors.EVENT_READ, hear)
            asked.append((shown, childs))
        results: list[object] = []

        def ask() -> None:
            for shown, childs in asked:
                try:
                    results.append(link.Link(childs).verify(shown))
                except NotAuthenticated as error:
                    results.append(error.message)

        asking = threading.Thread(target=ask)
        asking.start()
        assert within(PATIENCE_SECONDS, lambda: _turn(children) and len(results) == 2)
        asking.join()
    assert results[0] == "token bob"
    assert "this server does not know the token" in str(results[1])
    assert children.counts["not_authenticated"] == 1


def _turn(children: Children) -> bool:
    call_ready(children._selector, 0.1)
    return True

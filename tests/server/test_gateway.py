"""The gateway: a real one in front of a real server, with honest clients, hostile ones, and faults."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gpubench_client import BenchmarkRequest, Client
from gpubench_server.tokens import revoke_token

from gpubench.protocol.messages import MAX_REQUEST_BYTES
from tests.certificates import Authority
from tests.running import (
    PATIENCE_SECONDS,
    Lines,
    RunningServer,
    default_signals,
    dispositions,
    long,
    quick,
    within,
)
from tests.server.gateway import GID, ROOT, UID, USER, Place, RunningGateway, certificate_name, reachable

PING = b'{"jsonrpc":"2.0","id":7,"method":"ping"}\n'


@pytest.fixture(scope="module")
def core(place: Place, token: str) -> Iterator[RunningServer]:
    with place.core(max_requests_per_second=1e6) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(place: Place, core: RunningServer) -> Iterator[RunningGateway]:
    limits = {"max_tokens_per_minute": 1000, "authentication_delay_seconds": 0.05}
    with place.gateway(**limits) as running:
        yield running


@pytest.fixture
def own_place(authority: Authority) -> Iterator[Place]:
    """For a test whose gateway or server is its own."""
    with reachable() as directory:
        yield Place(directory, authority)


def kind_of(answer: dict[str, Any]) -> str:
    return str(answer["error"]["data"]["kind"])


# Honest clients.


def test_a_run_through_the_gateway(gateway: RunningGateway, token: str) -> None:
    host, port = gateway.address
    ca_file = str(gateway.place.authority.certificate)
    with Client(f"tls://{host}:{port}", token=token, ca_file=ca_file) as client:
        hello = client.hello()
        assert (hello.principal, hello.role) == ("token alice", "run")
        assert client.run([BenchmarkRequest(**quick())]).outcome == "ok"


def test_lines_that_come_together_are_answered_in_order(gateway: RunningGateway, token: str) -> None:
    hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"token": token}}).encode()
    with gateway.open() as client:
        client.send(hello + b"\n\n" + PING + PING.replace(b"ping", b"benchmarks") + hello + b"\n")
        assert client.read()["result"]["principal"] == "token alice"
        assert client.read()["result"] == {"pong": True}
        assert len(client.read()["result"]["benchmarks"]) > 10
        assert client.read()["result"]["principal"] == "token alice"


def test_a_client_that_ends_its_input_gets_its_answers(gateway: RunningGateway, token: str) -> None:
    with gateway.connect(token) as client:
        client.request("run", {"benchmarks": [quick()], "notifications": False})
        client.send(PING.rstrip())  # and this line is ended by the end
        socket.socket.shutdown(client.socket, socket.SHUT_WR)
        answers = [json.loads(line) for line in client.reader]
        assert sorted(answer["id"] for answer in answers) == [1, 7]
        assert all("result" in answer for answer in answers)


def test_a_client_that_vanishes_ends_its_run(
    gateway: RunningGateway, core: RunningServer, token: str
) -> None:
    client, child = gateway.child_of(lambda: gateway.connect(token))
    run_id = client.begin_measuring(long())
    client.vanish()
    with gateway.connect(token) as other:
        assert within(PATIENCE_SECONDS, lambda: child not in gateway.children())
        document = other.ask("result", {"run_id": run_id})
        assert document["error"]["kind"] == "cancelled"


# Who gets in.


def counters(core: RunningServer) -> list[str]:
    """What the server counts of clients, as it exposes it."""
    names = ("requests_total", "connections_", "authentication_failures", "refusals")
    lines = core.get("/metrics")[1].splitlines()
    return [line for line in lines if line.startswith(tuple(f"gpubench_{name}" for name in names))]


def wrong_tokens(place: Place, token: str) -> dict[str, str]:
    expired = place.token("expired", lifetime=timedelta(seconds=-1))
    revoked = place.token("revoked")
    revoke_token(place.tokens, "revoked")
    other = f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}"
    return {
        "secret": other,
        "id": f"gpb_{'0' * 12}_{'x' * 43}",
        "form": "x",
        "time": expired,
        "file": revoked,
    }


def test_a_wrong_token_never_reaches_the_server(
    gateway: RunningGateway, core: RunningServer, token: str
) -> None:
    before = counters(core), len(core.log)
    for wrong in wrong_tokens(gateway.place, token).values():
        with gateway.open() as client:
            error = client.refused("hello", {"token": wrong})
            assert (error["code"], error["data"]["kind"]) == (-32003, "not_authenticated")
            assert client.ended()
    for method in ("ping", "hello", "run", "drain"):
        with gateway.open() as client:
            client.request(method, {"benchmarks": ["triad"]} if method == "run" else None)
            client.request("hello", {"token": token}, 2)  # too late
            assert kind_of(client.read()) == "not_authenticated"
            assert client.ended()
    assert (counters(core), len(core.log)) == before
    assert gateway.said("a client at 127.0.0.1 is not authenticated: wrong")
    with gateway.connect(token) as client:
        assert client.ask("ping") == {"pong": True}
        assert client.refused("drain")["data"]["kind"] == "forbidden"  # the role is the token's
    assert counters(core) != before[0]


@pytest.mark.parametrize("transport", ["tls", "tcp"])
def test_log_lines_about_clients_name_their_transport(
    place: Place, core: RunningServer, token: str, transport: str
) -> None:
    options = ("--listen", "tcp://127.0.0.1:0") if transport == "tcp" else ()
    with place.gateway("--log-format", "json", *options, authentication_delay_seconds=0.01) as gateway:
        gateway.connect(token).close()
        with gateway.open() as client:
            client.refused("hello", {"token": token[:-1]})
        with gateway.open() as client:
            client.refused("ping")
    about = [line for line in map(json.loads, gateway.log) if "client at 127.0.0.1" in line["message"]]
    assert len(about) == 3
    assert {(line["peer"], line["transport"]) for line in about} == {("127.0.0.1", transport)}


def test_an_address_that_guesses_is_refused_for_a_while(
    place: Place, core: RunningServer, token: str
) -> None:
    with place.gateway(max_tokens_per_minute=3, authentication_delay_seconds=0.01) as gateway:
        gateway.connect(token).close()
        messages = []
        for _ in range(4):
            with gateway.open() as client:
                error = client.refused("hello", {"token": token[:-1]})
                messages.append(error["message"])
        assert "too many tokens were tried from 127.0.0.1, allowed: 3 a minute" in messages[-1]
        assert error["data"]["retryable"] and error["data"]["retry_after_seconds"] > 0
        gateway.connect(token).close()  # whoever was right before is not shut out


def test_a_revoked_token_is_refused_on_open_connections(place: Place, core: RunningServer) -> None:
    short_lived = place.token("carol")
    with place.gateway() as gateway, gateway.connect(short_lived) as client:
        revoke_token(place.tokens, "carol")
        assert within(PATIENCE_SECONDS, lambda: "result" not in _asked(client))
        assert client.ended()


def _asked(client: Lines) -> dict[str, Any]:
    client.request("ping")
    answer = client.response()
    assert "result" in answer or kind_of(answer) == "not_authenticated"
    return answer


def test_one_connection_has_one_token(gateway: RunningGateway, core: RunningServer, token: str) -> None:
    other = gateway.place.token("bob", "admin")
    with gateway.connect(token) as client:
        before = counters(core)
        error = client.refused("hello", {"token": other})
        assert error["data"]["kind"] == "invalid_parameters"
        assert counters(core) == before
        assert client.ask("hello")["principal"] == "token alice"


def test_the_gateways_user_needs_a_token_at_the_server(core: RunningServer, place: Place) -> None:
    """Like a child that an attacker controls: it connects to the server directly."""
    program = (
        "import os, socket, sys\n"
        f"if os.geteuid() == 0: os.setgroups([]); os.setgid({GID}); os.setuid({UID})\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        f"client.connect({str(place.socket)!r})\n"
        "client.sendall(sys.argv[1].encode() + b'\\n')\n"
        "print(client.makefile().read())\n"
    )
    for method in ("ping", "run", "drain", "status"):
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method})
        done = subprocess.run(
            [sys.executable, "-c", program, line], capture_output=True, text=True, check=True
        )
        (answer,) = done.stdout.splitlines()[:1]
        assert kind_of(json.loads(answer)) == "not_authenticated"


# Hostile lines.

DEEP = b"[" * 30_000 + b"]" * 30_000
BAD_LINES = {
    "no JSON": (b"nonsense", "parse_error"),
    "not UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}', "parse_error"),
    "not UTF-8 in parameters": (
        b'{"jsonrpc":"2.0","id":1,"method":"result","params":{"run_id":"\xff"}}',
        "parse_error",
    ),
    "deep": (DEEP, "parse_error"),
    "deep parameters": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + DEEP + b"}", "parse_error"),
    "a batch": (b"[" + PING.strip() + b"]", "invalid_request"),
    "no version": (b'{"id":1,"method":"ping"}', "invalid_request"),
    "unknown method": (b'{"jsonrpc":"2.0","id":1,"method":"exec"}', "unknown_method"),
    "unknown field": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1}}', "invalid_parameters"),
    "wrong type": (
        b'{"jsonrpc":"2.0","id":1,"method":"run","params":{"benchmarks":3}}',
        "invalid_parameters",
    ),
    "NaN": (b'{"jsonrpc":"2.0","id":1,"method":"run","params":{"deadline_seconds":NaN}}', "parse_error"),
}


def test_bad_lines_are_answered_by_the_gateway(
    gateway: RunningGateway, core: RunningServer, token: str
) -> None:
    with gateway.connect(token) as client:
        before = counters(core), len(core.log)
        for line, kind in BAD_LINES.values():
            client.send(line + b"\n")
            assert kind_of(client.read()) == kind, line[:80]
        client.send(b'{"jsonrpc":"2.0","method":"exec"}\n')  # a notification: no answer
        assert (counters(core), len(core.log)) == before
        assert client.ask("ping") == {"pong": True}


@pytest.mark.parametrize("line", [line for line, _ in BAD_LINES.values()], ids=BAD_LINES)
def test_a_bad_first_line_ends_the_connection(
    gateway: RunningGateway, core: RunningServer, line: bytes
) -> None:
    before = counters(core)
    with gateway.open() as client:
        client.send(line + b"\n" + PING)
        assert "error" in client.read()
        assert client.reader.read() == b""
    assert counters(core) == before


@pytest.mark.parametrize("shown", [True, False], ids=["authenticated", "unknown"])
def test_a_line_that_is_too_long_ends_the_connection(
    gateway: RunningGateway, core: RunningServer, token: str, shown: bool
) -> None:
    with gateway.connect(token) if shown else gateway.open() as client:
        before = counters(core)
        client.send(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * MAX_REQUEST_BYTES)
        assert kind_of(client.read()) == "line_too_long"
        assert client.ended()
    assert [line for line in counters(core) if "requests" in line] == [
        line for line in before if "requests" in line
    ]


def test_wrong_protocols_get_an_explanation(gateway: RunningGateway) -> None:
    with socket.create_connection(gateway.address, PATIENCE_SECONDS) as plain, plain.makefile("rb") as reader:
        plain.sendall(PING)
        assert b"this port speaks TLS: connect to tls://127.0.0.1" in reader.read()
    with gateway.open() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.reader.readline().startswith(b"HTTP/1.1 400 ")


@pytest.mark.timing
def test_clients_that_are_slow_or_silent_are_cut_off(place: Place, core: RunningServer, token: str) -> None:
    limits = {
        "handshake_seconds": 0.3,
        "authentication_seconds": 0.5,
        "line_deadline_seconds": 0.3,
        "send_deadline_seconds": 0.5,
    }
    with place.gateway(**limits) as gateway:
        with socket.create_connection(gateway.address, PATIENCE_SECONDS) as silent:
            assert silent.recv(1) == b""  # in the handshake
        with gateway.open() as client:
            assert client.reader.read() == b""  # before it has said who it is
        for connect in (gateway.open, lambda: gateway.connect(token)):
            with connect() as client:
                client.send(b'{"jsonrpc"')
                assert kind_of(client.read()) == "request_timeout"
                assert client.ended()
        client, child = gateway.child_of(lambda: gateway.connect(token))
        client.socket.settimeout(0.5)
        with client, pytest.raises(OSError):  # it never reads, and there is an end to what is taken from it
            while True:
                client.send(PING.replace(b"ping", b"benchmarks") * 100)
        assert within(PATIENCE_SECONDS, lambda: child not in gateway.children())


# Children.


def test_a_killed_child_harms_nobody_else(gateway: RunningGateway, token: str) -> None:
    with gateway.connect(token) as other:
        client, child = gateway.child_of(lambda: gateway.connect(token))
        run_id = client.begin_measuring(quick(time_limit_seconds=1), detach=True)
        os.kill(child, signal.SIGKILL)
        assert client.ended()
        client.close()
        assert other.ask("ping") == {"pong": True}
        with gateway.connect(token) as later:
            assert later.ask("result", {"run_id": run_id})["outcome"] == "ok"
    assert within(
        PATIENCE_SECONDS, lambda: gateway.said(f"the process {child} of a client at 127.0.0.1 was killed")
    )
    assert gateway.said("was killed by SIGKILL")
    assert within(PATIENCE_SECONDS, lambda: not gateway.zombies())


def test_the_resources_of_a_child_are_capped(gateway: RunningGateway, token: str) -> None:
    client, child = gateway.child_of(lambda: gateway.connect(token))
    with client:
        rows = Path(f"/proc/{child}/limits").read_text().splitlines()[1:]
        caps = {row[:26].strip(): row[26:].split()[:2] for row in rows}
        assert caps["Max cpu time"] == ["300", "300"]
        assert caps["Max open files"] == ["16", "16"]
        for none in ("Max file size", "Max core file size", "Max processes"):
            assert caps[none] == ["0", "0"]
        soft, hard = caps["Max address space"]
        assert soft == hard and int(soft) < 1 << 30
        assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} <= dispositions(child)["SigIgn"]


def test_a_child_holds_its_own_connection_alone(gateway: RunningGateway, token: str) -> None:
    """And not those of its siblings, whose ends it would keep open."""
    if not ROOT:
        pytest.skip("only root may look into a process of the gateway")
    with gateway.connect(token), gateway.open():  # the parent keeps this one's connection, too
        client, child = gateway.child_of(lambda: gateway.connect(token))
        with client:
            held = [str(each.readlink()) for each in Path(f"/proc/{child}/fd").iterdir()]
            standard = [str(Path(f"/proc/{child}/fd/{number}").readlink()) for number in range(3)]
    assert len([name for name in held if name.startswith("socket:")]) == 3  # client, server, parent
    assert len(held) == 6
    assert standard == [os.devnull] * 3  # it cannot write into the log


def test_no_process_of_the_same_user_may_read_its_memory(gateway: RunningGateway, token: str) -> None:
    program = (
        "import os, sys\n"
        f"if os.geteuid() == 0: os.setgroups([]); os.setgid({GID}); os.setuid({UID})\n"
        "try: open(f'/proc/{sys.argv[1]}/mem', 'rb')\n"
        "except PermissionError: print('refused')\n"
    )
    client, child = gateway.child_of(lambda: gateway.connect(token))
    with client:
        for pid in (gateway.process.pid, child):
            words = [sys.executable, "-c", program, str(pid)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.stdout == "refused\n", done.stderr


def test_privileges_are_given_up(gateway: RunningGateway, token: str) -> None:
    client, child = gateway.child_of(lambda: gateway.connect(token))
    with client:
        for pid in (gateway.process.pid, child):
            fields = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            assert fields["NoNewPrivs"] == "1"
            if ROOT:
                assert fields["Uid"].split() == [str(UID)] * 4
                assert fields["Gid"].split() == [str(GID)] * 4
                assert "0" not in fields["Groups"].split()
                assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0


def test_many_connections_leave_nothing_behind(place: Place, core: RunningServer, token: str) -> None:
    """With 40 descriptors for the parent, one that is left open by each of 100 would be noticed."""

    def few_descriptors() -> None:
        default_signals()
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    with place.gateway(prepare=few_descriptors) as gateway:
        for index in range(100):
            with gateway.open() if index % 4 == 0 else gateway.connect(token) as client:
                if index % 2:
                    client.ask("ping")
                client.vanish()
        assert within(PATIENCE_SECONDS, lambda: not gateway.children() and not gateway.zombies())
        assert within(PATIENCE_SECONDS, lambda: core.metric("gpubench_open_connections") == 0)
        with gateway.connect(token) as client:
            assert client.ask("ping") == {"pong": True}
        assert not gateway.said("Too many open files")


def test_one_client_too_many_is_refused_and_may_retry(place: Place, core: RunningServer, token: str) -> None:
    with place.gateway("--listen", "tcp://127.0.0.1:0", max_connections=2) as gateway:
        with gateway.connect(token) as first, gateway.connect(token):
            with gateway.open() as refused:
                error = refused.read()["error"]
                assert (error["code"], error["data"]["kind"]) == (-32012, "too_many_connections")
                assert error["data"]["retry_after_seconds"] > 0
                assert refused.ended()
            assert first.ask("ping") == {"pong": True}
        assert within(PATIENCE_SECONDS, lambda: not gateway.children())
        with gateway.connect(token) as client:
            assert client.ask("ping") == {"pong": True}


def test_over_tls_one_too_many_gets_an_alert(place: Place, core: RunningServer, token: str) -> None:
    with (
        place.gateway(max_connections=1) as gateway,
        gateway.connect(token),
        pytest.raises(ssl.SSLError, match=r"(?i)internal.error"),
    ):
        gateway.open()


# The server behind it.


def test_a_server_that_is_away_and_comes_back(own_place: Place) -> None:
    token = own_place.token("alice")
    with own_place.gateway() as gateway:
        assert gateway.said("clients get the error unreachable until it does")
        with gateway.open() as client:
            error = client.refused("hello", {"token": token})
            assert (error["data"]["kind"], error["data"]["retryable"]) == ("unreachable", True)
            assert error["data"]["retry_after_seconds"] == 1
            assert client.ended()
        with own_place.core() as core, gateway.connect(token) as client:
            assert client.ask("ping") == {"pong": True}
            core.kill()
            assert client.ended()
        with own_place.core(), gateway.connect(token) as client:
            assert client.ask("ping") == {"pong": True}


def test_it_does_not_start_if_it_is_served_without_token(own_place: Place) -> None:
    own_place.token("alice")
    with own_place.bare_core(), pytest.raises(RuntimeError) as caught:
        own_place.gateway()
    assert f"start it with --gateway-user {UID} and with --tokens FILE" in str(caught.value)


@pytest.mark.parametrize("reads_tokens", [False, True], ids=["no tokens", "tokens"])
def test_a_server_that_stops_asking_gets_no_client(own_place: Place, reads_tokens: bool) -> None:
    """Its clients would have the rights of the gateway's user, and not their tokens'; or, if it reads tokens,
    whoever takes a child over would."""
    token = own_place.token("reader", "read")
    options = ("--tokens", str(own_place.tokens)) if reads_tokens else ()
    with own_place.gateway() as gateway, own_place.bare_core(*options) as core:
        with gateway.open() as client:
            assert client.refused("hello", {"token": token})["data"]["kind"] == "internal_error"
            assert client.ended()
        assert core.metric('gpubench_requests_total{method="run",code="ok"}') in (None, 0)
        assert within(PATIENCE_SECONDS, lambda: gateway.said("takes this connection for unix user"))


def test_no_connection_looks_like_an_attempt_to_get_in(
    gateway: RunningGateway, core: RunningServer, token: str
) -> None:
    """Though the gateway finds out each time whether the server asks for a token."""

    def attempts() -> tuple[list[str], list[str]]:
        counted = [line for line in counters(core) if "failures" in line or "refusals" in line]
        return counted, [line for line in core.log if "refused" in line or "WARNING" in line]

    before = attempts()
    for _ in range(2):
        gateway.connect(token).close()
    assert attempts() == before


# Signals.


def test_sigterm_lets_outstanding_requests_be_answered(place: Place, core: RunningServer, token: str) -> None:
    with place.gateway() as gateway, gateway.connect(token) as idle:
        with gateway.connect(token) as client, gateway.open() as unknown:
            client.begin_measuring(quick(time_limit_seconds=1))
            gateway.process.send_signal(signal.SIGTERM)
            assert kind_of(unknown.read()) == "draining"
            assert idle.ended()
            with pytest.raises(ConnectionRefusedError):
                gateway.open()
            assert client.response()["result"]["outcome"] == "ok"
            assert client.ended()
        assert gateway.wait() == 0


@pytest.mark.parametrize("how", ["deadline", "second signal"])
def test_draining_has_an_end(place: Place, core: RunningServer, token: str, how: str) -> None:
    limits = {"drain_seconds": 0.5} if how == "deadline" else {}
    with place.gateway(**limits) as gateway, gateway.connect(token) as client:
        client.begin_measuring(long())
        gateway.process.send_signal(signal.SIGTERM)
        assert within(PATIENCE_SECONDS, lambda: gateway.said("draining"))
        if how == "second signal":
            gateway.process.send_signal(signal.SIGINT)
        assert gateway.wait() == 0
        assert client.ended()
        assert within(PATIENCE_SECONDS, lambda: core.metric("gpubench_open_connections") == 0)


def test_children_end_with_a_parent_that_is_killed(place: Place, core: RunningServer, token: str) -> None:
    with place.gateway(drain_seconds=0.5) as gateway:
        client, child = gateway.child_of(lambda: gateway.connect(token))
        run_id = client.begin_measuring(long())
        gateway.process.kill()
        assert client.ended()
        client.close()
        assert within(PATIENCE_SECONDS, lambda: not Path(f"/proc/{child}").exists())
    with place.gateway() as gateway, gateway.connect(token) as client:
        document = client.ask("result", {"run_id": run_id})
        assert document["error"]["kind"] == "cancelled"  # it did not end by itself


def test_sighup_replaces_certificate_and_tokens(own_place: Place) -> None:
    alice = own_place.token("alice")
    used, renewed = own_place.certificate, own_place.authority.issue("renewed")
    own_place.hand_over(used.certificate, used.key, own_place.tokens)
    with own_place.gateway() as gateway:
        assert certificate_name(gateway) == "gateway"
        own_place.tokens.write_text('{"version": 1, "tokens": []}')
        assert within(PATIENCE_SECONDS, lambda: "not_authenticated" in str(refusal(gateway, alice)))
        used.certificate.write_bytes(renewed.certificate.read_bytes())
        gateway.process.send_signal(signal.SIGHUP)  # the key does not match
        assert within(PATIENCE_SECONDS, lambda: gateway.said("stays in use"))
        assert certificate_name(gateway) == "gateway"
        used.key.write_bytes(renewed.key.read_bytes())
        gateway.process.send_signal(signal.SIGHUP)
        assert within(PATIENCE_SECONDS, lambda: certificate_name(gateway) == "renewed")
        assert gateway.said("SIGHUP: reading certificate and tokens again")


def refusal(gateway: RunningGateway, token: str) -> dict[str, Any]:
    with gateway.open() as client:
        return client.refused("hello", {"token": token})


def test_what_only_root_may_read_is_read_once(place: Place, core: RunningServer, token: str) -> None:
    if not ROOT:
        pytest.skip("only root can read what the gateway's user cannot")
    with place.gateway() as gateway:
        assert gateway.said(f"user {USER} cannot read {place.tokens}")
        gateway.process.send_signal(signal.SIGHUP)
        assert within(PATIENCE_SECONDS, lambda: gateway.said("stays in use"))
        with gateway.connect(token) as client:
            assert client.ask("ping") == {"pong": True}

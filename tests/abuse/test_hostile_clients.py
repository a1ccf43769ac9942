"""Clients that are slow, silent, greedy, lost or mistaken: they do not affect any other client."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import signal
import socket
import struct
import time
from pathlib import Path

import pytest

from tests.running import PATIENCE_SECONDS, Lines, RunningServer, default_signals, long, quick, within

PING = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n'


def test_a_line_over_64_kib(server: RunningServer) -> None:
    with server.connect() as client:
        client.send(b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * 70_000)
        error = client.response()["error"]
        assert (error["code"], error["data"]["kind"]) == (-32002, "line_too_long")
        assert client.ended()
    server.ask("ping")


def test_a_line_of_just_under_64_kib_is_accepted(server: RunningServer) -> None:
    with server.connect() as client:
        client.send(PING.rstrip(b"\n").ljust((1 << 16) - 1) + b"\n")
        assert client.response()["result"] == {"pong": True}


def test_half_a_line_and_then_silence(server: RunningServer) -> None:
    with server.connect() as client:
        client.send(PING + PING[:20])
        assert client.response()["result"] == {"pong": True}
        error = client.response()["error"]
        assert (error["code"], error["data"]["kind"]) == (-32001, "request_timeout")
        assert client.ended()


@pytest.mark.timing
def test_single_bytes_do_not_restart_the_deadline(server: RunningServer) -> None:
    with server.connect() as client:
        client.socket.settimeout(0.05)
        answer = b""
        while not answer:  # each byte comes well within the deadline of 0.5 s; the line does not
            client.send(b"x")
            with contextlib.suppress(TimeoutError):
                answer = client.socket.recv(4096)
        assert json.loads(answer)["error"]["data"]["kind"] == "request_timeout"


@pytest.mark.timing
def test_a_complete_line_outlives_a_pause_of_the_server(server: RunningServer) -> None:
    """For example of its virtual machine."""
    with server.connect() as client:
        client.send(PING + PING[:20])
        client.response()
        server.process.send_signal(signal.SIGSTOP)
        try:
            client.send(PING[20:])
            time.sleep(1)  # twice the deadline of a line
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert client.response()["result"] == {"pong": True}


@pytest.mark.timing
def test_a_client_that_vanishes_during_a_run_frees_the_device(server: RunningServer) -> None:
    client = server.connect()
    run_id = client.begin_measuring(long())
    assert server.running() == run_id
    client.vanish()
    assert within(1.0, lambda: server.running() is None)
    document = server.ask("result", {"run_id": run_id})
    assert document["outcome"] == "cancelled"
    assert "gone" in document["error"]["message"]
    server.run_ok()


@pytest.mark.timing
def test_a_client_that_resets_its_connection_frees_the_device(server: RunningServer) -> None:
    client = server.connect()
    client.begin_measuring(long())
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.vanish()
    assert within(1.0, lambda: server.running() is None)


@pytest.mark.timing
def test_a_client_that_vanishes_from_the_queue_frees_its_slot(server: RunningServer) -> None:
    with server.connect() as first:
        first.begin_measuring(long())
        second = server.connect()
        second.begin(long())
        second.vanish()
        assert within(1.0, lambda: server.ask("status")["queues"][0]["queued"] == [])
    assert within(1.0, lambda: server.running() is None)


def test_a_client_that_only_ended_its_requests_is_not_gone(server: RunningServer) -> None:
    with server.connect() as client:
        client.request("run", {"benchmarks": [quick()]})
        client.socket.shutdown(socket.SHUT_WR)  # as `echo ... | nc -N` does
        assert client.response()["result"]["outcome"] == "ok"
        assert client.ended()


def test_a_client_that_does_not_read_is_disconnected(tmp_path: Path) -> None:
    with RunningServer(tmp_path, send_deadline_seconds=0.5) as server, server.connect() as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        benchmarks = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "benchmarks"}).encode() + b"\n"
        with pytest.raises(OSError, match=r"reset|pipe"):
            while True:  # far more responses than all buffers on the way can hold
                deaf.send(benchmarks * 1000)
                server.ask("ping")
        assert within(PATIENCE_SECONDS, lambda: server.ask("status")["open_connections"] == 1)


def test_the_65th_connection_is_refused_with_an_error(server: RunningServer) -> None:
    assert within(5.0, lambda: server.ask("status")["open_connections"] == 1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(64)]
        assert all(client.ask("ping") == {"pong": True} for client in clients)
        for _ in range(3):
            with server.connect() as late:
                error = late.response()["error"]
                assert (error["code"], error["data"]["kind"]) == (-32012, "too_many_connections")
                assert error["data"]["retryable"]
                assert late.ended()
        assert all(client.ask("ping") == {"pong": True} for client in clients)
    assert within(PATIENCE_SECONDS, lambda: _answers(server))
    server.run_ok()


def _answers(server: RunningServer) -> bool:
    with server.connect() as client:
        client.send(PING)
        return "result" in client.response()


def test_a_refused_connection_that_sends_first_gets_the_error(server: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(server.connect()).ask("ping")
        with server.connect() as late:
            with contextlib.suppress(OSError):
                late.send(PING * 1000)
            assert late.response()["error"]["code"] == -32012
    assert within(PATIENCE_SECONDS, lambda: _answers(server))


def test_a_full_queue(tmp_path: Path) -> None:
    with RunningServer(tmp_path, max_queue_length=2) as server, server.connect() as client:
        client.begin_measuring(long())
        client.request("run", {"benchmarks": [quick()]}, request_id=2)
        client.request("run", {"benchmarks": [quick()]}, request_id=3)
        client.request("run", {"benchmarks": [quick()]}, request_id=4)
        answer = client.response()
        assert answer["id"] == 4
        error = answer["error"]
        assert (error["code"], error["data"]["kind"], error["data"]["retryable"]) == (
            -32011,
            "queue_full",
            True,
        )
        assert error["data"]["queue_length"] == 2
        assert error["data"]["retry_after_seconds"] > 0
        running = server.running()
        client.request("cancel", {"run_id": running}, request_id=5)
        ended = {}
        while len(ended) < 4:
            answer = client.response()
            ended[answer["id"]] = answer.get("result", answer.get("error"))
        assert ended[1]["data"]["kind"] == "cancelled"
        assert ended[2]["outcome"] == ended[3]["outcome"] == "ok"


def test_one_client_cannot_fill_the_queue(server: RunningServer) -> None:
    with server.connect() as client:
        for _ in range(8):
            client.begin(long())
        client.request("run", {"benchmarks": [quick()]}, request_id="ninth")
        answer = client.response()
        assert answer["id"] == "ninth"
        assert answer["error"]["data"]["kind"] == "limit_exceeded"
    assert within(PATIENCE_SECONDS, lambda: server.running() is None)
    server.run_ok()


def test_silent_and_slow_scrapers_delay_nobody(server: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for opening in (b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: x\r\n") * 10:
            silent = stack.enter_context(socket.create_connection(server.http, 30))
            silent.sendall(opening)
        assert server.get("/healthz") == (200, "alive\n")
        assert server.get("/metrics")[0] == 200
        assert silent.recv(100).startswith(b"HTTP/1.1 408 ")  # the last of them, after its deadline
    server.ask("ping")


def test_a_scraper_with_endless_headers_is_disconnected(server: RunningServer) -> None:
    with socket.create_connection(server.http, 30) as greedy, contextlib.suppress(OSError):
        greedy.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000)
        assert greedy.recv(100).startswith(b"HTTP/1.1 431 ")
    assert server.get("/")[0] == 200


@pytest.mark.parametrize("method", ["POST", "DELETE", "BREW"])
def test_http_methods_that_are_not_served(server: RunningServer, method: str) -> None:
    connection = http.client.HTTPConnection(*server.http, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, "/readyz")
        assert connection.getresponse().status in (405, 501)


def test_out_of_file_descriptors_the_server_waits_and_recovers(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        server.ask("devices")
        pid = server.process.pid
        usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        with contextlib.ExitStack() as stack:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + 4, usual[1]))
            for _ in range(40):  # more than the few files that happened to be open and are closed meanwhile
                stack.enter_context(server.connect())
            assert within(PATIENCE_SECONDS, lambda: any("trying again" in line for line in server.log))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
            server.ask("ping")
        server.run_ok()


def test_a_soft_limit_of_files_is_raised(tmp_path: Path) -> None:
    """To what `max_connections` needs: the usual 1,024 would shut out clients of a server for more."""

    def few_files() -> None:
        default_signals()
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    with RunningServer(tmp_path, prepare=few_files) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(60)]
        assert all(client.ask("ping") == {"pong": True} for client in clients)
        assert server.run_ok()["outcome"] == "ok"
        assert not any("Too many open files" in line for line in server.log)


def test_lines_of_many_clients_at_once(server: RunningServer) -> None:
    """All are served: each sends a burst, and reads only when all have sent."""
    with contextlib.ExitStack() as stack:
        clients: list[Lines] = [stack.enter_context(server.connect()) for _ in range(60)]
        for client in clients:
            client.send(PING * 50)
        for client in clients:
            assert [client.response()["result"] for _ in range(50)] == [{"pong": True}] * 50

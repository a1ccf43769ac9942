"""What must survive any bytes: each target takes some, and raises unless a proper answer comes of them.

The same targets are used with inputs from hypothesis (``make test``) and from atheris (``make fuzz``).
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.connection import ClientConnection
from gpubench_server.datagrams import DatagramService
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.encode import error_line
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.outbox import Outbox
from gpubench_server.principals import THIS_MACHINE, Principal
from gpubench_server.readiness import Readiness
from gpubench_server.scheduler import Scheduler
from gpubench_server.service import Service
from gpubench_server.session import Session
from gpubench_server.storage_watch import StorageWatch
from gpubench_server.vital import VitalThreads

from gpubench.benchmarks.plan import plan
from gpubench.errors import GpubenchError, LineTooLong, ProtocolError
from gpubench.framing import LineBuffer
from gpubench.protocol.messages import MAX_REQUEST_BYTES, PARAMETERS, RunParams
from gpubench.protocol.session import ClientSession
from gpubench.protocol.validation import decode_params, decode_request
from gpubench.results.store import Store

PATIENCE_SECONDS = 20.0
"""An input that takes longer is a hang."""

MAX_ERROR_BYTES = 4096
"""The longest error, whatever the request was: errors name what was wrong, and do not repeat all of it."""

LIMITS = Limits(probe_age_seconds=7 * 86_400, max_bad_lines_per_second=1_000_000)

NAMES = ("framing", "decoder", "service", "connection", "datagram", "client")


class Targets:
    """The targets by name; those of the server share a service without devices."""

    def __init__(self, directory: Path) -> None:
        self.longest_answer_bytes = 0
        metrics = MetricsState()
        threads = VitalThreads(_failed)
        self._store = Store(directory)
        registry = DeviceRegistry([], LIMITS.probe_age_seconds)
        registry.start(threads)
        registry.fresh()
        self._scheduler = Scheduler(self._store, registry, metrics, LIMITS, threads)
        readiness = Readiness(self._scheduler, registry, StorageWatch(self._store))
        self._service = Service(
            self._store, registry, self._scheduler, metrics, LIMITS, readiness, lambda: 1, lambda: None
        )
        self._authenticator = Authenticator(None, None, LIMITS, metrics)
        self._datagrams = DatagramService(self._service.respond, self._authenticator, metrics)
        named: list[Callable[[bytes], None]] = [
            framing,
            self.decoder,
            self.service,
            self.connection,
            self.datagram,
            client,
        ]
        self.named = dict(zip(NAMES, named, strict=True))

    def close(self) -> None:
        self._store.close()

    def decoder(self, data: bytes) -> None:
        """What a server does with a line before it does anything else."""
        try:
            request = decode_request(data)
            params = decode_params(request.params, PARAMETERS.get(request.method, PARAMETERS["run"]))
            if isinstance(params, RunParams):
                plan(params.benchmarks)
        except ProtocolError as error:
            self._check_answer(error_line(None, error))

    def service(self, data: bytes) -> None:
        """A line of a client of this machine, and of one that is not known."""
        for principal in (THIS_MACHINE, None):
            with self._outbox() as outbox:
                answer = self._service.respond(self._session(principal), data, outbox)
                if answer is not None:
                    self._check_answer(answer)

    def connection(self, data: bytes) -> None:
        """All that a client sends on one connection, which it ends then."""
        ours, theirs = socket.socketpair()
        session = self._session(THIS_MACHINE)

        def respond(line: bytes, outbox: Outbox) -> bytes | None:
            return self._service.respond(session, line, outbox)

        def serve() -> None:
            with theirs:
                ClientConnection(
                    theirs, respond, self._scheduler.abandon, LIMITS, "http://here", session
                ).serve()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with ours:
            ours.settimeout(PATIENCE_SECONDS)
            with contextlib.suppress(BrokenPipeError):
                ours.sendall(data)
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
            answers = b"".join(iter(lambda: ours.recv(1 << 16), b""))
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
        if answers.startswith((b"HTTP/1.1 400 ", b"\x15\x03\x01")):  # for those who mistook the port
            return
        *lines, rest = answers.split(b"\n")
        assert not rest, rest[:60]
        for line in lines:
            self._check_answer(line + b"\n")

    def datagram(self, data: bytes) -> None:
        answer = self._datagrams.answer(data)
        if answer is not None:
            assert len(answer) <= len(data)
            self._check_answer(answer)

    def _session(self, principal: Principal | None) -> Session:
        return Session(self._authenticator, Origin("127.0.0.1", confidential=True), principal)

    @contextlib.contextmanager
    def _outbox(self) -> Iterator[Outbox]:
        outbox = Outbox(lambda: None, heartbeat_seconds=1.0, progress_interval_seconds=1.0)
        yield outbox
        for ticket in outbox.close():
            self._scheduler.abandon(ticket)

    def _check_answer(self, line: bytes) -> None:
        """Raises ``AssertionError`` unless it is one line of JSON-RPC 2.0, and no fault of the server."""
        assert line.endswith(b"\n"), line[-60:]
        assert b"\n" not in line[:-1]
        message = json.loads(line.decode("utf-8"), parse_constant=_not_json)
        assert message["jsonrpc"] == "2.0"
        assert isinstance(message["id"], int | str | None), message["id"]
        assert not isinstance(message["id"], bool)
        assert ("result" in message) != ("error" in message)
        if "error" in message:
            self._check_error(message["error"], len(line) - len(json.dumps(message["id"])))
        else:
            assert isinstance(message["result"], dict)
        self.longest_answer_bytes = max(self.longest_answer_bytes, len(line))

    @staticmethod
    def _check_error(error: dict[str, Any], size_bytes: int) -> None:
        assert type(error["code"]) is int
        assert isinstance(error["message"], str)
        assert error["message"]
        assert isinstance(error["data"]["retryable"], bool)
        assert error["data"]["kind"] != "internal_error", error
        assert size_bytes <= MAX_ERROR_BYTES, (size_bytes, error["message"][:200])


def framing(data: bytes) -> None:
    """The first two bytes are the longest line and the size of the pieces; all else is what arrives."""
    if len(data) < 2:
        return
    maximum_bytes, piece_bytes, stream = 1 + data[0], 1 + data[1], data[2:]
    buffer = LineBuffer(maximum_bytes)
    lines: list[bytes] = []
    too_long = False
    try:
        for at in range(0, len(stream), piece_bytes):
            buffer.feed(stream[at : at + piece_bytes])
            while (line := buffer.next_line()) is not None:
                lines.append(line)
    except LineTooLong:
        too_long = True
    expected = stream.split(b"\n")
    fitting = [len(line) < maximum_bytes for line in expected]
    count = fitting.index(False) if False in fitting else len(expected)
    assert lines == expected[: min(count, len(expected) - 1)]
    assert too_long == (False in fitting)
    assert too_long or buffer.peek(len(stream)) == expected[-1]


def client(data: bytes) -> None:
    """What a client may be sent in place of its answers."""
    session = ClientSession()
    session.request("run", RunParams(benchmarks=["triad"]))
    session.request("ping")
    with contextlib.suppress(GpubenchError):
        session.feed(data + b"\n")


def seeds() -> list[bytes]:
    """Inputs to begin with: requests of every method, right and wrong, and what is not a request."""
    requests = [
        {"method": method, "params": params}
        for method, params in (
            ("hello", {"protocol": 1, "client": "x", "token": "gpb_a_b"}),
            *((method, {}) for method in PARAMETERS),
            ("run", {"benchmarks": ["triad"], "device": "opencl0", "key": "k", "deadline_seconds": 5}),
            ("run", {"benchmarks": [{"name": "copy", "parameters": {"dtype": "float"}}], "detach": True}),
            ("run", {"benchmarks": ["stream"], "memory": {"technology": "GDDR7", "data_rate_gbps": 28}}),
            ("run", {"benchmarks": ["triad"], "labels": {"rack": "7"}, "notifications": False}),
            ("cancel", {"run_id": "20260101T000000Z-abcdef"}),
            ("result", {"run_id": "x"}),
            ("results", {"limit": 5, "device": "opencl0"}),
            ("history", {"benchmark": "triad", "since": "2026-01-31T12:00:00Z", "limit": 10}),
        )
    ]
    lines = [json.dumps({"jsonrpc": "2.0", "id": 1, **each}).encode() for each in requests]
    wrong = [
        b"[" * 5000,
        b'{"jsonrpc":"2.0","id":1,"method":"run","params":' + b'{"a":' * 2000,
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
        b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":18446744073709551616,"method":"ping"}',
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
        b'{"jsonrpc":"2.0","method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"result":{"pong":true}}',
        b'{"jsonrpc":"2.0","method":"accepted","params":{"request_id":1,"run_id":"r1","position":0}}',
        b'{"jsonrpc":"2.0","id":2,"error":{"code":-32011,"message":"full","data":{"kind":"queue_full"}}}',
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\xff\xfe\x00",
        b"\n\r\n \n",
        b"x" * (MAX_REQUEST_BYTES + 1),
    ]
    return [*lines, b"\n".join(lines), *wrong, b"\x04\x03" + b"ab\nabc\n\n" * 9]


def words() -> list[str]:
    """Words that the protocol knows, for a fuzzer to put together."""
    fields = {field for struct in PARAMETERS.values() for field in struct.__struct_fields__}
    return sorted({'"jsonrpc":"2.0"', '"id":', '"method":', '"params":', *PARAMETERS, *fields})


def _not_json(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def _failed(error: GpubenchError) -> NoReturn:
    raise error

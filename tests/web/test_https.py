"""The HTTP port over TLS."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from gpubench_server.cli import main
from gpubench_server.principals import Quota
from gpubench_server.tokens import add_token
from gpubench_server.wrong_protocol import TLS_REFUSAL

from gpubench.results.store import Store
from tests.certificates import Authority
from tests.documents import document, measurement
from tests.running import PATIENCE_SECONDS, RunningServer, within
from tests.server.test_exposure import own_address
from tests.web.browsing import Browsing

LONG = "long"
"""A run whose document is larger than what the system takes for a client that does not read."""

HTTPS = ("--http", "https://127.0.0.1:0")


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """It asks for the token in ``alice``, or for a certificate, and has a long run."""
    data = tmp_path_factory.mktemp("data")
    samples = [0.001 + number / 1e9 for number in range(330_000)]
    with Store(data) as store:
        store.accept(
            run := document(measurement(1600, samples_seconds=samples), run_id=LONG), "", "cuda:0", ["triad"]
        )
        store.finish(run)
    token, _ = add_token(data / "tokens.json", "alice", "read", Quota(), None)
    (data / "alice").write_text(token)
    options = [*HTTPS, *authority.issue("server").server_options, "--tokens", str(data / "tokens.json")]
    options += ["--tls-client-ca", str(authority.certificate), "--metrics-access", "open"]
    limits = {"handshake_seconds": 1, "http_connections": 4, "http_deadline_seconds": 1}
    with RunningServer(data, *options, **limits) as running:
        yield running


@pytest.fixture
def browser(server: RunningServer, authority: Authority) -> Browsing:
    return Browsing(server.http, authority.context)


def test_a_browser_signs_in(server: RunningServer, browser: Browsing) -> None:
    assert server.urls[-1].startswith("https://127.0.0.1:")
    token = (server.data_directory / "alice").read_text()
    assert browser.get("/").status == 303
    told = browser.sign_in(token).headers["set-cookie"]
    assert told.startswith(f"__Host-gpubench-{server.http[1]}=")
    flags = {each.strip().lower() for each in told.split(";")[1:]}
    assert flags == {"httponly", "samesite=strict", "path=/", "secure"}
    assert "alice, role read" in browser.get("/").text
    # The cookies of another name are others.
    assert browser.get("/", host="any.name.of.the.certificate").status == 303


def test_a_certificate_takes_the_place_of_a_token(server: RunningServer, authority: Authority) -> None:
    context = authority.context_with(authority.issue("node7"))
    page = Browsing(server.http, context).get("/")
    assert page.status == 200
    assert "Sign out" not in page.text


def test_a_client_without_tls_gets_an_explanation(server: RunningServer, browser: Browsing) -> None:
    with (
        closing(socket.create_connection(server.http, PATIENCE_SECONDS)) as client,
        client.makefile("rb") as reader,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert re.match(rb"HTTP/1.1 400 [^$]*this port speaks TLS: connect to https://127", reader.read())
    assert browser.get("/healthz").status == 200


def test_silent_clients_keep_nobody_out_for_long(server: RunningServer, browser: Browsing) -> None:
    """Twice as many as there are places; the last in the middle of a handshake."""
    before = len(server.log)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(server.http, PATIENCE_SECONDS)) for _ in range(8)
        ]
        silent[-1].sendall(b"\x16\x03\x01")
        silent[-1].settimeout(20)  # long before asyncio itself would end the handshake
        assert within(PATIENCE_SECONDS, lambda: reachable(browser))
        assert all(len(what_comes(each)) < 100 for each in silent)  # an alert, or nothing

    def log() -> str:
        return " ".join(server.log[before:])

    assert within(PATIENCE_SECONDS, lambda: "no TLS with an HTTP client at 127.0.0.1" in log())
    assert "ERROR" not in log()


def test_silent_clients_make_room_at_once(authority: Authority, tmp_path: Path) -> None:
    """In the handshake, in its middle and after it, the one that has been silent for longest first."""
    limits = {"http_connections": 3, "handshake_seconds": 60, "http_deadline_seconds": 60}
    options = [*HTTPS, *authority.issue("patient").server_options]
    with RunningServer(tmp_path, *options, **limits) as server, ExitStack() as stack:
        connections: list[socket.socket] = []

        def connect() -> None:
            connections.append(stack.enter_context(socket.create_connection(server.http, PATIENCE_SECONDS)))

        def shake_hands() -> bool:
            """Whether there was a place; a new connection keeps its own for a moment."""
            connect()
            try:
                connections[-1] = stack.enter_context(
                    authority.context.wrap_socket(connections[-1], server_hostname="localhost")
                )
            except OSError:
                connections.pop()
                return False
            return True

        connect()
        connect()
        connections[1].sendall(b"\x16\x03\x01")
        for _ in range(4):
            assert within(PATIENCE_SECONDS, shake_hands)
        silent, half_way, first, *later = connections
        assert what_comes(silent) == b""
        assert what_comes(half_way) == b""
        answer = what_comes(first)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"no request had come on this one" in answer
        later[0].sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        page = what_comes(later[0]).decode()
        assert 'gpubench_connections_rejected_total{reason="replaced"} 3.0' in page
        for each in connections:
            each.close()
        assert server.stop() == 0
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


def test_one_address_leaves_room_for_others(authority: Authority, tmp_path: Path) -> None:
    host = own_address()
    options = ("--http", "https://0.0.0.0:0", "--insecure", *authority.issue("exposed").server_options)
    limits = {"http_connections": 4, "handshake_seconds": 60}
    with RunningServer(tmp_path, *options, **limits) as server, ExitStack() as stack:
        address = host, server.http[1]
        silent = [stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS)) for _ in range(3)]
        assert what_comes(silent[0]) == b""
        browser = Browsing(("127.0.0.1", server.http[1]), authority.context)
        assert browser.get("/healthz").status == 200
        assert server.stop() == 0
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


def test_one_address_may_not_connect_too_often(authority: Authority, tmp_path: Path) -> None:
    host = own_address()
    options = ("--http", "https://0.0.0.0:0", "--insecure", *authority.issue("exposed").server_options)
    with RunningServer(tmp_path, *options, max_connections_per_second=0.01) as server:
        browser = Browsing(("127.0.0.1", server.http[1]), authority.context)
        for _ in range(2):
            with socket.create_connection((host, server.http[1]), PATIENCE_SECONDS) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                last = connection.recv(100)
        assert last == TLS_REFUSAL
        assert browser.get("/healthz").status == 200
        assert 'reason="rate"' in browser.get("/metrics").text


def what_comes(client: socket.socket) -> bytes:
    """Until the server closes; a reset, if it had not read all."""
    came = b""
    with suppress(ConnectionResetError):
        while part := client.recv(100):
            came += part
    return came


def reachable(browser: Browsing) -> bool:
    try:
        return browser.get("/healthz").status == 200
    except OSError:
        return False


@pytest.mark.timing
def test_a_response_has_as_much_time_as_its_size_needs(server: RunningServer, authority: Authority) -> None:
    """So a slow client gets all of it, and one that does not read is cut off."""

    def held() -> int:
        """Connections that the server has not closed."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(f":{server.http[1]:04X}") and row[3] in ("01", "08") for row in rows)

    context = authority.context_with(authority.issue("slow"))
    with ExitStack() as stack:
        clients = []
        for _ in range(3):
            plain = stack.enter_context(socket.socket())
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect(server.http)
            clients.append(stack.enter_context(context.wrap_socket(plain, server_hostname="localhost")))
            clients[-1].sendall(f"GET /api/v1/runs/{LONG} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert held() >= 3
        time.sleep(3)  # longer than ``http_deadline_seconds``
        clients[0].settimeout(PATIENCE_SECONDS)
        body = b""
        while chunk := clients[0].recv(1 << 16):
            body += chunk
        head, _, body = body.partition(b"\r\n\r\n")
        (size,) = re.findall(rb"(?i)content-length: (\d+)", head)
        assert len(body) == int(size) > 3_500_000  # more than the system keeps for a client
        assert within(PATIENCE_SECONDS, lambda: held() == 0)


def test_a_request_that_is_not_completed(server: RunningServer, authority: Authority) -> None:
    with (
        closing(socket.create_connection(server.http, PATIENCE_SECONDS)) as plain,
        authority.context.wrap_socket(plain, server_hostname="localhost") as client,
        client.makefile("rb") as reader,
    ):
        client.sendall(b"GET / HT")
        assert reader.read().startswith(b"HTTP/1.1 408 ")


def test_a_new_certificate_is_used_after_sighup(authority: Authority, tmp_path: Path) -> None:
    used = authority.issue("used")
    with RunningServer(tmp_path, *HTTPS, *used.server_options) as server:
        assert served_name(server, authority) == "used"
        renewed = authority.issue("renewed")
        used.certificate.write_bytes(renewed.certificate.read_bytes())
        used.key.write_bytes(renewed.key.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        assert within(PATIENCE_SECONDS, lambda: served_name(server, authority) == "renewed")
        assert server.stop() == 0
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


def served_name(server: RunningServer, authority: Authority) -> str:
    with (
        closing(socket.create_connection(server.http, PATIENCE_SECONDS)) as plain,
        authority.context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        subject = client.getpeercert()["subject"]  # type: ignore[index]
        return str(subject[0][0][1])  # type: ignore[index]


def test_no_old_protocol(server: RunningServer, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.certificate)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-SHA256:@SECLEVEL=0")  # without forward secrecy
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Browsing(server.http, context).get("/healthz")


def test_https_needs_a_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-dir", str(tmp_path / "data"), *HTTPS]) == 2
    assert "https://127.0.0.1:0 needs a certificate: add --tls-cert FILE" in capsys.readouterr().err

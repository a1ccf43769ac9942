"""Both clients over TLS and with tokens: which servers they trust, and what they say of the others."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpubench_client import steps
from gpubench_client.access import Access, token_from
from gpubench_client.cli.main import UNAVAILABLE, USAGE, main
from gpubench_client.tls import failure
from gpubench_client.urls import parse_url

from gpubench.errors import Cancelled, InvalidParameters, NotAuthenticated, NotTrusted, Unreachable
from gpubench.requests import BenchmarkRequest
from tests.certificates import Authority, Certificate
from tests.client.conftest import Connect
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick
from tests.server.test_roles import add_token


@pytest.fixture(scope="module")
def tls(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("tls")
    add_token(directory, "alice", "run")
    with RunningServer(
        directory / "data",
        *("--listen", "tls://127.0.0.1:0", *authority.issue("server").server_options),
        *("--tokens", str(directory / "tokens.json"), "--tls-client-ca", str(authority.certificate)),
        authentication_delay_seconds=0.05,
    ) as running:
        yield running


@pytest.fixture
def tls_url(tls: RunningServer) -> str:
    return f"tls://localhost:{tls.tls[1]}"


@pytest.fixture
def token_file(tls: RunningServer) -> Path:
    return tls.data_directory.parent / "alice"


@pytest.fixture
def token(token_file: Path) -> str:
    return token_file.read_text().strip()


def test_a_run_with_a_token(connect: Connect, tls_url: str, authority: Authority, token: str) -> None:
    for url in (tls_url, tls_url.replace("localhost", "127.0.0.1")):
        with connect(url, ca_file=str(authority.certificate), token=token) as client:
            assert client.hello().principal == "token alice"
            assert client.run([BenchmarkRequest(**quick())]).outcome == "ok"


def test_a_run_with_a_certificate(connect: Connect, tls_url: str, authority: Authority) -> None:
    own = authority.issue("node7")
    files = {"cert_file": str(own.certificate), "key_file": str(own.key)}
    with connect(tls_url, ca_file=str(authority.certificate), **files) as client:
        assert client.hello().principal == "certificate node7"


def test_without_a_token_the_server_says_what_is_missing(
    connect: Connect, tls_url: str, authority: Authority
) -> None:
    for wrong in (None, "guess"):
        with (
            connect(tls_url, ca_file=str(authority.certificate), token=wrong) as client,
            pytest.raises(NotAuthenticated, match=r"--token-file|does not know the token"),
        ):
            client.ping()


def test_a_run_is_cancelled_and_its_progress_seen(
    connect: Connect, tls_url: str, authority: Authority, token: str
) -> None:
    from gpubench.executor.supervisor import StopRequest

    stop, heard = StopRequest(), []

    def on_progress(progress: object) -> None:
        heard.append(progress)
        stop.set(Cancelled("enough"))

    with (
        connect(tls_url, ca_file=str(authority.certificate), token=token) as client,
        pytest.raises(Cancelled),
    ):
        client.run([BenchmarkRequest(**long())], on_progress=on_progress, stop=stop)
    assert heard


# Servers that are not trusted.


class Impostor:
    """Listens with a certificate of its own; shakes hands, and says nothing more."""

    def __init__(self, own: Certificate) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(own.certificate, own.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tls://localhost:{self._listener.getsockname()[1]}"
        self.heard = b""
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Impostor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(PATIENCE_SECONDS)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(PATIENCE_SECONDS)
            try:
                with self._context.wrap_socket(connection, server_side=True) as encrypted:
                    self.heard = encrypted.recv(1000)
            except OSError:
                pass


@pytest.mark.parametrize(
    ("name", "hosts", "days", "reason"),
    [
        ("expired", "DNS:localhost", -1, "its certificate has expired; its operator must renew it"),
        ("elsewhere", "DNS:gpu7.example.org", 1, "for another host than localhost; use a name that"),
        ("numbers", "IP:192.0.2.1", 1, "for another host than localhost"),
    ],
)
def test_a_certificate_that_is_not_right(
    connect: Connect, authority: Authority, name: str, hosts: str, days: int, reason: str
) -> None:
    with Impostor(authority.issue(name, hosts, days)) as impostor:
        with (
            connect(impostor.url, ca_file=str(authority.certificate), token="secret") as client,
            pytest.raises(NotTrusted, match=reason) as caught,
        ):
            client.ping()
        assert not caught.value.retryable
    assert impostor.heard == b""


def test_an_authority_that_is_not_known(
    connect: Connect, authority: Authority, tls_url: str, tmp_path: Path, token: str
) -> None:
    others = Authority(tmp_path / "others")
    for ca_file, words in ((None, "this system's authorities"), (others.certificate, "authorities in ")):
        options = {} if ca_file is None else {"ca_file": str(ca_file)}
        with (
            connect(tls_url, token=token, **options) as client,
            pytest.raises(
                NotTrusted, match=rf"{words}.*name the certificate of its authority with --ca-file"
            ),
        ):
            client.ping()


def test_a_server_without_tls(connect: Connect, url: str, authority: Authority) -> None:
    wrong = url.replace("tcp://", "tls://")
    with (
        connect(wrong, ca_file=str(authority.certificate)) as client,
        pytest.raises(Unreachable, match="use tcp:// if the server listens without TLS"),
    ):
        client.ping()


def test_a_server_with_tls_asked_without(connect: Connect, tls: RunningServer) -> None:
    with (
        connect(f"tcp://127.0.0.1:{tls.tls[1]}") as client,
        pytest.raises(Exception, match="connect to tls://"),
    ):
        client.ping()


def test_a_server_that_ends_the_handshake(connect: Connect, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        with (
            connect(
                f"tls://localhost:{listener.getsockname()[1]}", ca_file=str(authority.certificate)
            ) as client,
            pytest.raises(Unreachable, match=r"refuses new connections|reset by peer"),
        ):
            client.ping()
        thread.join()


@pytest.mark.parametrize("kind", [ssl.SSLEOFError, ssl.SSLZeroReturnError])
def test_both_kinds_of_an_end_mean_the_same(kind: type[ssl.SSLError]) -> None:
    """Python raises one or the other for a server that closes, depending on the moment."""
    error = failure(kind(6, "closed"), steps.Connect(parse_url("tls://localhost:1"), 1.0))
    assert "refuses new connections" in error.message


@pytest.mark.parametrize("name", ["BAD_RECORD_TYPE", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"])
def test_clear_text_after_the_handshake_is_a_refusal(name: str) -> None:
    """What versions of OpenSSL call it; in a handshake, all but the first mean that there is no TLS."""
    broken = ssl.SSLError(1, name)
    broken.reason = name
    connecting = steps.Connect(parse_url("tls://localhost:1"), 1.0)
    assert "refuses new connections" in failure(broken, connecting, connected=True).message
    speaks_none = "does not speak TLS" in failure(broken, connecting).message
    assert speaks_none is (name != "BAD_RECORD_TYPE")


def test_a_server_that_says_nothing(connect: Connect, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tls://localhost:{listener.getsockname()[1]}"
        with (
            connect(address, ca_file=str(authority.certificate), connect_timeout_seconds=0.3) as client,
            pytest.raises(Unreachable, match="timed out"),
        ):
            client.ping()


def test_a_server_that_is_killed(connect: Connect, authority: Authority, tmp_path: Path) -> None:
    options = ("--listen", "tls://127.0.0.1:0", *authority.issue("killed").server_options)
    with RunningServer(tmp_path, *options) as server:
        address = f"tls://localhost:{server.tls[1]}"
        with (
            connect(address, ca_file=str(authority.certificate)) as client,
            pytest.raises(Unreachable, match=r"closed the connection|broke"),
        ):
            client.run([BenchmarkRequest(**long())], on_progress=lambda _: server.process.kill())


# What a client does not do.


@pytest.mark.parametrize("url", ["tcp://192.0.2.1", "tcp://gpu7", "udp://gpu7"])
def test_a_token_is_not_sent_where_others_can_read_it(connect: Connect, url: str) -> None:
    with pytest.raises(InvalidParameters, match=r"a token is not sent to .*; use tls://") as caught:
        connect(url, token="very-secret")
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in repr(Access(token="very-secret"))


@pytest.mark.parametrize(
    "url", ["tls://gpu7", "tcp://localhost", "tcp://127.0.0.2", "tcp://[::1]", "unix:///s"]
)
def test_where_a_token_is_sent(url: str) -> None:
    assert Access(token="t").token_for(parse_url(url)) == "t"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ca_file": "ca.pem"}, "certificates are for tls:// addresses"),
        ({"key_file": "key.pem"}, "key_file is the key of a certificate; give cert_file too"),
    ],
)
def test_options_that_do_not_fit(connect: Connect, options: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidParameters, match=reason):
        connect("tcp://localhost", **options)


@pytest.mark.parametrize("text", ["", "two words", "a\nb\n"])
def test_a_token_file_holds_one_token(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(InvalidParameters, match="it must hold one token"):
        token_from(str(file), {})
    file.write_text("  token\n")
    assert token_from(str(file), {"GPUBENCH_TOKEN": "other"}) == "token"
    assert token_from(None, {"GPUBENCH_TOKEN": " other\n"}) == "other"
    assert token_from(None, {"GPUBENCH_TOKEN": ""}) is None


# The command line.


def test_the_command_line(
    tls_url: str,
    authority: Authority,
    token_file: Path,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--server", tls_url, "--ca-file", str(authority.certificate)]
    assert main(["status", *options, "--token-file", str(token_file)]) == 0
    assert "ready" in capsys.readouterr().out
    monkeypatch.setenv("GPUBENCH_TOKEN", token)
    assert main(["status", *options]) == 0
    assert main(["status", "--server", tls_url]) == UNAVAILABLE
    assert main(["status", *options, "--ca-file", str(token_file)]) == USAGE
    assert "must hold certificates of authorities in PEM" in capsys.readouterr().err
    assert main(["status", *options, "--token-file", "missing"]) == USAGE
    assert "the token file missing cannot be read" in capsys.readouterr().err

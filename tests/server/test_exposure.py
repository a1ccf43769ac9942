"""Addresses that other machines can reach: what a server must have there, and what --insecure says."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from gpubench_server.cli import main

from tests.certificates import Authority
from tests.running import Lines, RunningServer
from tests.server.test_roles import add_token

HTTP_ENCRYPTION = "lacks encryption (--http https://HOST:PORT, with --tls-cert FILE)"
ENCRYPTION, AUTHENTICATION = "lacks encryption (listen on tls://", "authentication (--tokens FILE"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    authority = Authority(tmp_path / "authority")
    server = authority.issue("server")
    add_token(tmp_path, "alice", "run")
    return {
        "cert": str(server.certificate),
        "key": str(server.key),
        "ca": str(authority.certificate),
        "tokens": str(tmp_path / "tokens.json"),
    }


TLS = ("--listen", "tls://0.0.0.0:0", "--tls-cert", "{cert}", "--tls-key", "{key}")


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (("--listen", "tcp://0.0.0.0:0"), [ENCRYPTION, AUTHENTICATION]),
        (("--listen", "tcp://[::]:0"), [ENCRYPTION, AUTHENTICATION]),
        (("--listen", "tcp://0.0.0.0:0", "--tokens", "{tokens}"), [ENCRYPTION]),
        (TLS, [AUTHENTICATION]),
        (("--listen", "udp://0.0.0.0:0", "--listen", "tcp://127.0.0.1:0"), ["which UDP here does not have"]),
        (("--http", "0.0.0.0:0", "--listen", "tcp://127.0.0.1:0"), [HTTP_ENCRYPTION, AUTHENTICATION]),
        (("--http", "0.0.0.0:0", "--tokens", "{tokens}"), [HTTP_ENCRYPTION]),
        (("--http", "https://0.0.0.0:0", "--tls-cert", "{cert}", "--tls-key", "{key}"), [AUTHENTICATION]),
        ((*TLS, "--tokens", "{tokens}", "--listen", "tcp://0.0.0.0:0"), [ENCRYPTION]),
    ],
)
def test_a_server_that_lacks_something_does_not_start(
    tmp_path: Path,
    files: dict[str, str],
    words: tuple[str, ...],
    missing: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = tmp_path / "data"
    arguments = ["--http", "127.0.0.1:0", "--data-dir", str(data), *(word.format(**files) for word in words)]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "can be reached from other machines" in line
    assert all(each in line for each in missing)
    assert (ENCRYPTION in line, AUTHENTICATION in line) == (ENCRYPTION in missing, AUTHENTICATION in missing)
    assert not data.exists()


@pytest.mark.parametrize("who", [("--tokens", "{tokens}"), ("--tls-client-ca", "{ca}")])
def test_with_both_it_starts(tmp_path: Path, files: dict[str, str], who: tuple[str, ...]) -> None:
    words = [word.format(**files) for word in (*TLS, *who, "--http", "https://0.0.0.0:0")]
    with RunningServer(tmp_path / "data", *words) as server:
        assert server.urls[0].startswith("tls://0.0.0.0:")
        assert server.urls[-1].startswith("https://0.0.0.0:")
        assert "insecure" not in " ".join(server.log)


def test_insecure_is_said_at_each_start_with_what_is_missing(tmp_path: Path, files: dict[str, str]) -> None:
    words = [word.format(**files) for word in (*TLS, "--listen", "tcp://0.0.0.0:0")]
    with RunningServer(tmp_path / "data", *words, "--insecure") as server:
        log = [line for line in server.log if "--insecure" in line]
        assert len(log) == 2
        assert "tls://0.0.0.0:0" in log[0]
        assert AUTHENTICATION in log[0]
        assert ENCRYPTION not in log[0]
        assert "tcp://0.0.0.0:0" in log[1]
        assert ENCRYPTION in log[1]


def own_address() -> str:
    """An address of this machine beyond loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address beyond loopback")
        return str(probe.getsockname()[0])


def test_a_token_that_was_sent_in_clear_text_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    host = own_address()
    options = ("--listen", f"tcp://{host}:0", "--insecure", "--tokens", files["tokens"])
    with RunningServer(tmp_path / "data", *options, authentication_delay_seconds=0.05) as server:
        token = (tmp_path / "alice").read_text().strip()
        with Lines(server.tcp) as client:
            assert "have it revoked" in client.refused("hello", {"token": token})["message"]
            assert client.ended()
        failed = 'gpubench_authentication_failures_total{reason="not_confidential"}'
        assert server.metric(failed) == 1


def test_an_address_that_connects_too_often_is_refused(tmp_path: Path) -> None:
    host = own_address()
    options = ("--listen", f"tcp://{host}:0", "--insecure")
    with RunningServer(tmp_path / "data", *options, max_connections_per_second=0.2) as server:
        for _ in range(2):
            with Lines(server.tcp) as client:
                assert client.ask("hello")["principal"] == f"anonymous {host}"
        with Lines(server.tcp) as client:
            error = client.read()["error"]
            assert (error["code"], error["data"]["limit"]) == (-32013, "connection_rate")
            assert error["data"]["retryable"]
        assert server.metric('gpubench_connections_rejected_total{reason="rate"}') == 1

"""TLS on the server's side: versions, handshakes that fail or never end, reloading, client certificates."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpubench_server.cli import main

from tests.certificates import OPENSSL, Authority
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, long, quick, within

LISTEN = ("--listen", "tls://127.0.0.1:0")


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    options = (*LISTEN, *authority.issue("server").server_options)
    with RunningServer(tmp_path_factory.mktemp("data"), *options) as running:
        yield running


def test_a_run_over_tls(server: RunningServer, authority: Authority) -> None:
    with Lines(server.tls, authority.context) as client:
        assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"
        # Longer than one record, and several lines in one.
        client.send(
            b'{"jsonrpc":"2.0","id":1,"method":"benchmarks"}\n{"jsonrpc":"2.0","id":2,"method":"ping"}\n'
        )
        assert len(json.dumps(client.response()["result"])) > 2**14
        assert client.response()["result"] == {"pong": True}


def test_the_last_word_of_the_server_is_an_end_of_tls(server: RunningServer, authority: Authority) -> None:
    """Without it, a client cannot tell the end from an attack."""
    context = ssl.create_default_context(cafile=authority.certificate)
    with socket.create_connection(server.tls, PATIENCE_SECONDS) as plain:
        client = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        client.sendall(b"x" * (65 * 1024) + b"\n")
        received = b""
        while chunk := client.recv(1 << 16):
            received += chunk
        assert json.loads(received)["error"]["data"]["kind"] == "line_too_long"
        client.close()


def test_a_client_that_ends_its_requests_gets_its_answers(
    server: RunningServer, authority: Authority
) -> None:
    with socket.create_connection(server.tls, PATIENCE_SECONDS) as plain:
        client = authority.context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        client.sendall(
            b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n{"jsonrpc":"2.0","id":2,"method":"status"}\n'
        )
        socket.socket.shutdown(client, socket.SHUT_WR)
        received = b""
        while chunk := client.recv(1 << 16):  # raises an error if the end is not one of TLS
            received += chunk
        assert [json.loads(line)["id"] for line in received.splitlines()] == [1, 2]
        client.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_versions_that_are_spoken(
    server: RunningServer, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=authority.certificate)
    context.minimum_version = context.maximum_version = version
    with Lines(server.tls, context) as client:
        assert client.ask("ping") == {"pong": True}
        assert isinstance(client.socket, ssl.SSLSocket)
        cipher = client.socket.cipher()
        assert cipher is not None
        assert any(kind in cipher[0] for kind in ("GCM", "CHACHA20"))


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "NULL:aNULL:@SECLEVEL=0"),
    ],
    ids=["TLS 1.1", "TLS 1.0", "no forward secrecy or authenticated encryption", "no encryption"],
)
def test_what_is_weak_is_not_spoken(
    server: RunningServer, authority: Authority, options: tuple[str, ...]
) -> None:
    host, port = server.tls
    tried = subprocess.run(
        [OPENSSL, "s_client", "-connect", f"{host}:{port}", "-CAfile", authority.certificate, *options],
        input=b"",
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    assert tried.returncode != 0
    assert b"Cipher is (NONE)" in tried.stdout


def test_openssl_is_a_client(server: RunningServer, authority: Authority) -> None:
    host, port = server.tls
    command = [OPENSSL, "s_client", "-connect", f"{host}:{port}", "-CAfile", authority.certificate]
    with subprocess.Popen(
        [*command, "-verify_return_error", "-quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(b'{"jsonrpc":"2.0","id":7,"method":"ping"}\n')
        client.stdin.flush()
        assert json.loads(client.stdout.readline()) == {"id": 7, "jsonrpc": "2.0", "result": {"pong": True}}
        client.kill()


@pytest.mark.parametrize(
    ("opening", "beginning"), [(b'{"jsonrpc"', b'{"id":null'), (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 ")]
)
def test_a_client_without_tls_is_told_so_in_its_language(
    server: RunningServer, opening: bytes, beginning: bytes
) -> None:
    with socket.create_connection(server.tls, PATIENCE_SECONDS) as client, client.makefile("rb") as reader:
        client.sendall(opening)
        said = reader.read()
        assert said.startswith(beginning)
        assert b"this port speaks TLS: connect to tls://127.0.0.1" in said


def test_clients_that_never_shake_hands_keep_nobody_waiting(authority: Authority, tmp_path: Path) -> None:
    options = (*LISTEN, *authority.issue("patient").server_options)
    with RunningServer(tmp_path, *options, handshake_seconds=1) as server:
        silent = [socket.create_connection(server.tls, PATIENCE_SECONDS) for _ in range(5)]
        silent[0].sendall(b"\x16\x03\x01")  # one of them in the middle of its first record
        with Lines(server.tls, authority.context) as client:
            assert client.ask("ping") == {"pong": True}
            for each in silent:  # and they are disconnected
                assert each.recv(100) == b""
                each.close()
            assert client.ask("ping") == {"pong": True}
        rejected = 'gpubench_connections_rejected_total{reason="handshake"}'
        assert within(PATIENCE_SECONDS, lambda: server.metric(rejected) == 5)
        assert "no TLS with a client at 127.0.0.1" in " ".join(server.log)


def test_one_client_too_many_is_refused_by_an_alert(authority: Authority, tmp_path: Path) -> None:
    options = (*LISTEN, *authority.issue("small").server_options)
    with (
        RunningServer(tmp_path, *options, max_connections=1) as server,
        Lines(server.tls, authority.context) as held,
    ):
        held.ask("ping")
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            Lines(server.tls, authority.context)


def test_a_new_certificate_is_used_after_sighup(authority: Authority, tmp_path: Path) -> None:
    used = authority.issue("used")
    options = (*LISTEN, *used.server_options)
    with RunningServer(tmp_path, *options) as server, Lines(server.tls, authority.context) as before:
        before.begin_measuring(long())
        renewed = authority.issue("renewed")
        used.certificate.write_bytes(renewed.certificate.read_bytes())
        server.process.send_signal(signal.SIGHUP)  # the key does not match
        assert within(PATIENCE_SECONDS, lambda: "stays in use" in " ".join(server.log))
        assert name_of(server, authority) == "used"
        used.key.write_bytes(renewed.key.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        assert within(PATIENCE_SECONDS, lambda: name_of(server, authority) == "renewed")
        assert before.notified("progress", lambda _: True)  # old connections go on


def name_of(server: RunningServer, authority: Authority) -> str:
    with Lines(server.tls, authority.context) as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        subject = client.socket.getpeercert()["subject"]  # type: ignore[index]
        return str(subject[0][0][1])  # type: ignore[index]


def test_a_client_certificate_says_who_a_client_is(authority: Authority, tmp_path: Path) -> None:
    others = Authority(tmp_path / "others")
    options = (*authority.issue("server").server_options, "--tls-client-ca", str(authority.certificate))
    with RunningServer(tmp_path / "data", *LISTEN, *options) as server:
        with Lines(server.tls, authority.context_with(authority.issue("node7"))) as client:
            hello = client.ask("hello")
            assert (hello["principal"], hello["role"]) == ("certificate node7", "run")
            assert client.refused("drain")["data"]["kind"] == "forbidden"
        with Lines(server.tls, authority.context) as client:
            assert client.refused("ping")["data"]["kind"] == "not_authenticated"
            assert client.ended()
        stranger = authority.context_with(others.issue("node7"))
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)), Lines(server.tls, stranger) as client:
            client.ask("ping")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--listen", "tls://127.0.0.1:0"], "needs a certificate: add --tls-cert FILE"),
        (["--tls-cert", "{server}.pem"], "--tls-cert is for tls:// addresses; add --listen tls://HOST:PORT"),
        (["--tls-key", "{server}.key"], "--tls-key needs --tls-cert FILE too"),
        ([*LISTEN, "--tls-cert", "{server}.pem"], "cannot be used: not PEM, or not complete"),
        ([*LISTEN, "--tls-cert", "{server}.pem", "--tls-key", "{other}.key"], "key values mismatch"),
        ([*LISTEN, "--tls-cert", "missing.pem"], "missing.pem cannot be read: No such file"),
        ([*LISTEN, "--tls-cert", "{server}.pem", "--tls-key", "{locked}"], "without a password"),
    ],
)
def test_options_and_files_that_do_not_fit(
    authority: Authority,
    tmp_path: Path,
    arguments: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, other = authority.issue("a"), authority.issue("b")
    locked = tmp_path / "locked.key"
    done = subprocess.run(
        [OPENSSL, "ec", "-in", server.key, "-aes128", "-passout", "pass:secret", "-out", locked],
        capture_output=True,
    )
    assert done.returncode == 0
    words = [
        word.format(server=server.key.with_suffix(""), other=other.key.with_suffix(""), locked=locked)
        for word in arguments
    ]
    assert main(["--data-dir", str(tmp_path / "data"), "--http", "127.0.0.1:0", *words]) in (1, 2)
    line = capsys.readouterr().err.splitlines()[-1]
    assert reason in line

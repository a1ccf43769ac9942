"""Who is asked for a token, what each role may do, and whose runs are whose."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpubench_server.principals import METHODS

from gpubench.protocol.messages import PARAMETERS
from tests.running import PATIENCE_SECONDS, Lines, RunningServer, long, quick, within


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With tokens of all roles, in files of their names beside its data."""
    directory = tmp_path_factory.mktemp("server")
    options = ("--tokens", str(directory / "tokens.json"))
    for role in ("read", "run", "admin"):
        add_token(directory, f"the-{role}", role)
    listen = ("--listen", "tcp://127.0.0.1:0", "--listen", f"unix://{directory / 'socket'}")
    with RunningServer(
        directory / "data", *listen, *options, authentication_seconds=2, authentication_delay_seconds=0.05
    ) as running:
        yield running


def add_token(directory: Path, name: str, role: str, *quotas: str) -> None:
    """Make a token by the command, and keep it in a file of its name."""
    words = (name, "--role", role, "--tokens", str(directory / "tokens.json"), *quotas)
    command = (sys.executable, "-m", "gpubench_server", "token", "add", *words)
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    (directory / name).write_text(made.stdout)


def connected(server: RunningServer, name: str) -> Lines:
    """A client that has shown the token of this name."""
    client = server.connect()
    token = (server.data_directory.parent / name).read_text().strip()
    assert client.ask("hello", {"token": token})["principal"] == f"token {name}"
    return client


def test_nothing_is_answered_before_a_token_was_shown(server: RunningServer) -> None:
    right = (server.data_directory.parent / "the-run").read_text().strip()
    for method in ("ping", "hello", "status", "nonsense"):
        with server.connect() as client:
            client.request(method)
            client.request("hello", {"token": right})  # too late
            assert client.read()["error"]["data"]["kind"] in ("not_authenticated", "unknown_method")
            assert client.reader.read() == b""


def test_a_wrong_token_ends_the_connection(server: RunningServer) -> None:
    failures = 'gpubench_authentication_failures_total{reason="unknown"}'
    before = server.metric(failures) or 0
    right = (server.data_directory.parent / "the-run").read_text().strip()
    with server.connect() as client:
        client.request("hello", {"token": "guess"})
        client.request("hello", {"token": right})  # one attempt for each connection
        assert client.read()["error"]["data"] == {"kind": "not_authenticated", "retryable": False}
        assert client.reader.read() == b""
    assert server.metric(failures) == before + 1
    assert "a client at 127.0.0.1 is not authenticated: unknown" in " ".join(server.log)
    refused = 'gpubench_refusals_total{principal="unknown",reason="not_authenticated"}'
    assert (server.metric(refused) or 0) >= 1


def test_whoever_does_not_say_who_he_is_is_disconnected(server: RunningServer) -> None:
    with server.connect() as client:
        client.socket.settimeout(20)  # long before it would be disconnected for being idle
        assert client.reader.read() == b""


def test_a_token_that_is_revoked_ends_open_connections(server: RunningServer) -> None:
    directory = server.data_directory.parent
    add_token(directory, "gone", "run")
    server.process.send_signal(signal.SIGHUP)
    assert within(PATIENCE_SECONDS, lambda: "read 4 tokens" in " ".join(server.log))
    with connected(server, "gone") as client:
        command = (sys.executable, "-m", "gpubench_server", "token", "revoke", "gone")
        subprocess.run([*command, "--tokens", str(directory / "tokens.json")], check=True)
        server.process.send_signal(signal.SIGHUP)
        assert within(PATIENCE_SECONDS, lambda: "read 3 tokens" in " ".join(server.log))
        assert client.refused("ping")["data"]["kind"] == "not_authenticated"
        assert client.ended()


@pytest.mark.parametrize("role", ["read", "run", "admin"])
def test_the_methods_of_a_role(server: RunningServer, role: str) -> None:
    with connected(server, f"the-{role}") as client:
        for method in PARAMETERS.keys() - {"hello", "drain"}:
            client.request(method, {"unknown": 1})
            # Refused for its parameters, and not for who asks.
            kind = client.response()["error"]["data"]["kind"]
            assert kind == ("invalid_parameters" if method in METHODS[role] else "forbidden"), method
        if role != "admin":
            error = client.refused("drain")
            assert error["code"] == -32004
            assert (
                f"`drain` needs the role admin, and token the-{role} has the role {role}" in error["message"]
            )
            assert error["data"]["allowed_roles"] == ["admin"]


def test_only_the_owner_and_admins_cancel_a_run(server: RunningServer) -> None:
    directory = server.data_directory.parent
    with (
        connected(server, "the-run") as owner,
        connected(server, "the-read") as reader,
        connected(server, "the-admin") as admin,
        Lines(directory / "socket") as local,
    ):
        run_id = owner.begin(long(), detach=True)
        foreign = local.begin(long(), detach=True)
        assert owner.refused("cancel", {"run_id": foreign})["data"]["kind"] == "forbidden"
        assert reader.refused("cancel", {"run_id": run_id})["data"]["kind"] == "forbidden"
        with connected(server, "the-run") as again:
            assert again.ask("cancel", {"run_id": run_id})["cancelled"]
        assert admin.ask("cancel", {"run_id": foreign})["cancelled"]
        assert reader.ask("result", {"run_id": run_id})["outcome"] == "cancelled"
    assert f"run {run_id}: accepted from token the-run" in " ".join(server.log)
    refused = 'gpubench_refusals_total{principal="the-read",reason="forbidden"}'
    assert (server.metric(refused) or 0) >= 1


def test_a_unix_socket_knows_who_its_clients_are(server: RunningServer) -> None:
    with Lines(server.data_directory.parent / "socket") as client:
        assert client.ask("hello")["role"] == "admin"
        assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"


def test_an_administrator_drains_over_the_network(tmp_path: Path) -> None:
    add_token(tmp_path, "boss", "admin")
    with RunningServer(tmp_path / "data", "--tokens", str(tmp_path / "tokens.json")) as server:
        with connected(server, "boss") as client:
            assert client.ask("drain") == {"draining": True}
        assert server.wait() == 0
        assert "token boss at 127.0.0.1 asks to drain" in " ".join(server.log)


def test_a_server_without_tokens_ignores_one(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server, server.connect() as client:
        hello = client.ask("hello", {"token": "for another server"})
        assert (hello["principal"], hello["role"]) == ("anonymous this machine", "run")

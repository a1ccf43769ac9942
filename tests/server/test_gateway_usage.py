"""Mistakes on the gateway's command line: one line, exit code 2, and nothing was started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gpubench_server.cli import main
from gpubench_server.principals import Quota
from gpubench_server.tokens import add_token, read_tokens

from gpubench.errors import InvalidParameters
from tests.running import loaded
from tests.server.gateway import ROOT, USER

CORE = ("--core", "unix:///run/gpubench/gateway.sock")
TCP = ("--listen", "tcp://127.0.0.1:0")


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.json"
    add_token(path, "alice", "run", Quota(), None)
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["gateway", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    line = str(err.splitlines()[-1])
    assert line.startswith("gpubench-server: ")
    return line


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            TCP,
            "the gateway needs --core URL, GPUBENCH_GATEWAY_CORE, or core in the configuration file: the s",
        ),
        ((*CORE, "--lisen", "x"), "unknown option --lisen; did you mean --listen?"),
        ((*CORE, "--log-level", "loud"), "--log-level: 'loud' is not allowed; allowed: debug"),
        ((*CORE, *TCP), "the gateway needs --tokens FILE, GPUBENCH_GATEWAY_TOKENS, or tokens in the conf"),
        ((*CORE, *TCP, "--tls-client-ca", "x"), "--tls-client-ca: a gateway takes no client certificates"),
        (
            (*CORE, "--listen", "tcp://0.0.0.0:0", "--tokens", "x"),
            "can be reached from other machines, and lacks",
        ),
        ((*CORE, "--listen", "udp://127.0.0.1:0", "--tokens", "x"), "a gateway listens on tls://HOST:PORT"),
        ((*CORE, "--listen", "unix:///x", "--tokens", "x"), "a gateway listens on tls://HOST:PORT"),
        ((*CORE, "--tokens", "x"), "needs a certificate: add --tls-cert FILE"),
        (
            (*CORE, *TCP, "--tokens", "x", "--tls-cert", "x"),
            "is for tls:// addresses; add --listen tls://HOST:PORT",
        ),
        (
            ("--core", "tcp://127.0.0.1:1", *TCP, "--tokens", "x"),
            "--core: tcp://127.0.0.1:1 is not allowed; allowed",
        ),
        (("--core", "unix://run/a.sock"), "--core: "),
        ((*CORE, "--listen", "0.0.0.0:7707", "--tokens", "x"), "a gateway listens on tls://HOST:PORT"),
        ((*CORE, *TCP, "--tokens", "x", "--tls-key", "x"), "--tls-key needs --tls-cert FILE too"),
        (("--core", "/run/a.sock"), "--core: /run/a.sock is not allowed; allowed: unix:///PATH"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert text in refused(capsys, *words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--user", "nobody-of-this-name"), "--user: this machine has no user 'nobody-of-this-name'"),
        (("--user", "root"), "--user: the gateway does not serve as root"),
        (("--user", "4294967295999"), "--user: this machine has no user"),
        (
            ("--limit", "max_run_seconds=3"),
            "unknown limit 'max_run_seconds'; allowed for a gateway: max_connections, ",
        ),
        (
            ("--limit", "max_conections=3"),
            "unknown limit 'max_conections'; did you mean max_connections?",
        ),
        (("--limit", "linger_seconds=x"), "limit linger_seconds must be a number from 0.01"),
    ],
)
def test_users_and_limits_that_are_refused(
    words: tuple[str, ...], text: str, tokens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("--user", USER) if "--user" not in words else ()
    assert text in refused(capsys, *CORE, *TCP, "--tokens", str(tokens), *own, *words)


def test_root_must_become_somebody_else(tokens: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (*CORE, *TCP, "--tokens", str(tokens))
    if ROOT:
        assert "the gateway does not serve as root: add --user NAME" in refused(capsys, *words)
    else:
        text = refused(capsys, *words, "--user", "nobody")
        assert "--user: only root can become nobody; start the gateway as root, or as that user" in text


def test_the_server_needs_tokens_for_a_gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listen = ("--listen", f"unix://{tmp_path / 'core.sock'}", "--http", "127.0.0.1:0")
    assert main([*listen, "--data-dir", str(tmp_path / "data"), "--gateway-user", "nobody"]) == 2
    assert "--gateway-user needs --tokens FILE too" in capsys.readouterr().err


def test_the_group_may_read_the_gateways_tokens_alone(tokens: Path) -> None:
    tokens.chmod(0o640)
    assert [each.name for each in read_tokens(tokens, os.geteuid())] == ["alice"]
    with pytest.raises(InvalidParameters, match="has the mode 640, which lets other users in; allowed: 600"):
        read_tokens(tokens)
    tokens.chmod(0o644)
    with pytest.raises(InvalidParameters, match="allowed: 640; run chmod 640"):
        read_tokens(tokens, os.geteuid())


def test_no_runtime_and_no_server_is_loaded() -> None:
    """Forked processes must not hold a CUDA context, and nothing is loaded that could make one."""
    runtimes = ("numpy", "pyopencl", "pycuda", "pynvml")
    parts = ("gpubench_server.app", "gpubench.results.store", "gpubench.executor.worker")
    program = "import gpubench_server.__main__, gpubench_server.gateway"
    assert loaded(program, *runtimes, "starlette", "multiprocessing", *parts) == []

"""``gpubench-server check-config``: every option with its source, and every file that a start would need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gpubench_server.cli import main
from gpubench_server.options import SERVER

from tests.certificates import Authority
from tests.running import PATIENCE_SECONDS
from tests.server.test_roles import add_token


def checked(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], list[str]]:
    """The exit code, the answer as JSON, and the lines on stderr."""
    code = main(["check-config", "--json", *words])
    out, err = capsys.readouterr()
    return code, json.loads(out), [line.removeprefix("gpubench-server: ") for line in err.splitlines()]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    authority = Authority(tmp_path / "authority")
    server, other = authority.issue("server"), authority.issue("other")
    add_token(tmp_path, "alice", "run")
    return {
        "tls_cert": str(server.certificate),
        "tls_key": str(server.key),
        "tokens": str(tmp_path / "tokens.json"),
        "data_dir": str(tmp_path / "not/there/yet"),
        "other": str(other.key),
    }


def test_every_option_has_its_value_and_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(f'# data\ndata_dir = "{tmp_path}"\n')
    monkeypatch.setenv("GPUBENCH_SERVER_LIMIT_IDLE_SECONDS", "5")
    words = ("--config", str(file), "--unix-mode", "660", "--http", "127.0.0.1:0")
    code, answer, said = checked(*words, capsys=capsys)
    assert (code, said, answer["problems"], answer["file"]) == (0, [], [], str(file))
    rows = {row.pop("key"): row for row in answer["settings"]}
    assert list(rows) == list(SERVER.options)
    changed = {key: tuple(row.values()) for key, row in rows.items() if row["source"] != "default"}
    assert changed == {
        "unix_mode": ("660", "flag", "--unix-mode"),
        "http": ("127.0.0.1:0", "flag", "--http"),
        "data_dir": (str(tmp_path), "file", f"{file}, line 2"),
        "limits.idle_seconds": (5.0, "environment", "GPUBENCH_SERVER_LIMIT_IDLE_SECONDS"),
    }
    assert rows["listen"] == {"value": ["tcp://127.0.0.1:7707"], "source": "default", "where": None}
    assert main(["check-config", *words]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == f"configuration file: {file}"
    cells = [line.split(maxsplit=2) for line in table if line.startswith(("data_dir", "limits.idle_seconds"))]
    assert cells == [
        ["data_dir", str(tmp_path), f"file: {file}, line 2"],
        ["limits.idle_seconds", "5", "environment: GPUBENCH_SERVER_LIMIT_IDLE_SECONDS"],
    ]


def test_nothing_is_made_by_a_check(
    tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    words = (
        f"--data-dir={files['data_dir']}",
        f"--listen=unix://{tmp_path}/a.sock",
        f"--tokens={files['tokens']}",
    )
    assert checked(*words, capsys=capsys)[0] == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tls_cert": "{tmp}/none.pem"}, "none.pem"),
        ({"tls_key": "{other}"}, "key"),
        ({"tokens": "{tmp}/none.json"}, "the token file {tmp}/none.json cannot be read"),
        ({"data_dir": "{tmp}/tokens.json/data"}, "the data directory {tmp}/tokens.json/data cannot be used"),
        ({"address_file": "{tokens}"}, "the address file {tokens} exists, and is not a server's"),
        (
            {"address_file": "{tmp}/none/a.json"},
            "the address file {tmp}/none/a.json cannot be used: {tmp}/none",
        ),
        ({"listen": "unix://{tmp}/none/a.sock"}, "the socket {tmp}/none/a.sock cannot be used"),
        ({"listen": "tcp://0.0.0.0:0"}, "can be reached from other machines"),
        ({"http": "0.0.0.0:0"}, "can be reached from other machines"),
        ({"listen": "udp://127.0.0.1:0", "tls_cert": "", "tls_key": ""}, "only ping and status"),
    ],
)
def test_what_would_stop_a_start_is_reported(
    tmp_path: Path,
    files: dict[str, str],
    changes: dict[str, str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {**files, "tmp": str(tmp_path)}
    other = names.pop("other")
    listen = {"listen": "tls://127.0.0.1:0"}
    good = {key: names[key] for key in ("tls_cert", "tls_key", "tokens", "data_dir")} | listen
    assert checked(*flags(good), capsys=capsys)[::2] == (0, [])
    wrong = good | {key: text.format(other=other, **names) for key, text in changes.items()}
    if "listen" in changes and wrong["tls_cert"]:  # a certificate needs a tls:// address
        wrong["listen"] += f" {listen['listen']}"
    code, answer, lines = checked(*flags(wrong), capsys=capsys)
    assert code == 2
    assert [line for line in lines if said.format(other=other, **names) in line]
    assert answer["problems"] == lines


def flags(values: dict[str, str]) -> list[str]:
    words = ((SERVER.options[key].flag, text) for key, text in values.items() if text)
    return [f"{flag}={each}" for flag, text in words for each in text.split()]


# The sockets of a systemd socket unit.


def test_sockets_of_systemd_replace_the_default(
    tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"--data-dir={tmp_path}", f"--tls-cert={files['tls_cert']}", f"--tls-key={files['tls_key']}")
    assert "--tls-cert is for tls:// addresses" in checked(*words, capsys=capsys)[2][0]
    sockets = ("--socket=tcp://127.0.0.1:80", "--socket=unix:///made/by/systemd.sock")
    code, answer, said = checked(*words, *sockets, capsys=capsys)
    assert (code, said) == (0, [])
    assert listen_of(answer) == {
        "value": ["tls://127.0.0.1:80", "unix:///made/by/systemd.sock"],
        "source": "flag",
        "where": "--socket",
    }


def test_sockets_of_systemd_stand_beside_listen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (f"--data-dir={tmp_path}", "--listen=udp://127.0.0.1:0", f"--listen=unix://{tmp_path}/no/a.sock")
    _, answer, said = checked(*words, "--socket=tcp://127.0.0.1:80", capsys=capsys)
    assert listen_of(answer)["where"] == "--listen"
    assert [line.partition(" cannot be used")[0] for line in said] == [f"the socket {tmp_path}/no/a.sock"]


@pytest.mark.parametrize(
    ("sockets", "missing"),
    [
        (["tcp://:7707"], "encryption (listen on tls://, with --tls-cert FILE) and authentication"),
        (["tcp://[::]:7707"], "encryption"),
        (["tcp://127.0.0.1:7707", "udp://:7707"], "UDP here does not have"),
        (["unixgram:///made/by/systemd.sock"], "only ping and status are answered by datagram"),
    ],
)
def test_sockets_of_systemd_are_judged(
    tmp_path: Path, sockets: list[str], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"--data-dir={tmp_path}", *(f"--socket={url}" for url in sockets)]
    code, _, said = checked(*words, capsys=capsys)
    assert (code, len(said)) == (2, 1)
    assert missing in said[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7707", "write ListenStream=PORT as tcp://:PORT"),
        ("/run/a.sock", "ListenStream=/PATH as unix:///PATH"),
        ("tls://:7707", "a socket unit cannot ask for TLS. Write tcp://"),
        ("tcp://127.0.0.1:99999", "Port out of range"),
    ],
)
def test_a_socket_is_named_by_an_address(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--socket", text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gpubench-server: --socket: {text if 'Port' in said else repr(text)} is not ")
    assert said in line


@pytest.mark.parametrize(
    ("word", "hint"), [("gatway", " did you mean gateway?"), ("tcp://127.0.0.1:7707", "")]
)
def test_a_word_that_is_no_option_is_named(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", word, "--json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"unexpected argument {word!r};{hint} check-config takes" in line


def listen_of(answer: dict[str, Any]) -> dict[str, Any]:
    (row,) = (row for row in answer["settings"] if row["key"] == "listen")
    del row["key"]
    return dict(row)


def test_every_problem_is_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--listen=tls://127.0.0.1:0", f"--tokens={tmp_path}/none", f"--address-file={tmp_path}/no/a"]
    code, _, lines = checked(*words, f"--data-dir={tmp_path}", capsys=capsys)
    assert (code, len(lines)) == (2, 3)
    assert "needs a certificate" in lines[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_files_are_tried_as_the_user_who_asks() -> None:
    program = (
        "import os, sys; from gpubench_server.cli import main\n"
        "words = ['check-config', '--config', '/dev/null', '--data-dir', '/not-there/data']\n"
        "assert main(words) == 0  # root may; and now every module is loaded\n"
        "os.setgroups([]); os.setuid(65534); sys.exit(main(words))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "the data directory /not-there/data cannot be used: / cannot be written" in ran.stderr

"""The log's two formats: what a line has, and that text from outside cannot forge it."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gpubench_server.gateway.log import DirectHandler
from gpubench_server.log_context import about
from gpubench_server.logs import Log

from tests.running import PATIENCE_SECONDS, RunningServer, quick, within
from tests.server.test_roles import add_token

HOSTILE = [
    "x\n2026-01-01 00:00:00,000 CRITICAL gpubench_server: forged",
    "x\r\x1b[2J\x1b]0;title\x07",
    'x", "run_id": "forged", "level": "critical',
    "x\u2028\u2029\x85\x0b\x0c\x1c\u202e",
    "x\0\ud800\udcff\U000e0001",
    "x [run_id=forged principal=forged]: y",
    "%s %d {message} \\n",
]


def logged(form: str, record: Callable[[logging.Logger], object]) -> str:
    """What a log in this format writes."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        log = Log(stream, "INFO", form)
        record(logging.getLogger("a.logger"))
        assert log.end(PATIENCE_SECONDS)
    finally:
        root.handlers[:], level = before[0], before[1]
        root.setLevel(level)
    stream.getvalue().encode()  # also where the stream takes nothing but UTF-8
    return stream.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_within_its_message(text: str) -> None:
    fields = {"run_id": "a-run", "principal": f"certificate {text}", "peer": text}

    def record(log: logging.Logger) -> None:
        with about(lambda: fields):
            log.warning("refused: %s", text)

    (line,) = logged("text", record).splitlines()
    head = re.match(
        r'[\d-]+ [\d:,]+ WARNING a\.logger \[run_id=a-run principal="((?:[^"\\]|\\.)*)"\]: ', line
    )
    assert head is not None
    assert line[head.end() :].startswith("refused: ")
    assert line.isprintable()
    raw = logged("json", record)
    assert raw.count("\n") == 1 == len(raw.splitlines())
    found: dict[str, Any] = json.loads(raw)
    assert found.keys() == {"time", "level", "logger", "message", "run_id", "principal", "peer"}
    assert (found["run_id"], found["level"]) == ("a-run", "warning")
    visible = text.replace("\ud800", "\\ud800").replace("\udcff", "\\xff")
    assert found["message"] == f"refused: {visible}"
    assert found["peer"] == visible


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_belongs_to_its_line(form: str) -> None:
    def record(log: logging.Logger) -> None:
        try:
            raise ValueError(HOSTILE[0])
        except ValueError:
            log.exception("it failed")

    first, *rest = logged(form, record).splitlines()
    if form == "json":
        assert rest == []
        assert json.loads(first)["exception"].endswith(f"ValueError: {HOSTILE[0]}")
    else:
        assert first.endswith(" ERROR a.logger: it failed")
        assert rest[0] == "  Traceback (most recent call last):"
        assert all(line.startswith("  ") for line in rest)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_of_the_gateway_fits_and_is_one(form: str) -> None:
    """It is written at once, without a thread, so it must fit into a pipe whatever a client made it say."""
    reading, writing = os.pipe()
    handler = DirectHandler(writing, form)
    for text in (*HOSTILE, "\u202e" * 20_000):
        handler.emit(logging.LogRecord("a", logging.INFO, "", 1, "it said %s", (text,), None))
        line = os.read(reading, 1 << 16).decode()
        assert line.isascii() or form == "text"
        assert len(line.splitlines()) == 1 == line.count("\n")
        assert len(line.encode()) <= select.PIPE_BUF
        if form == "json":
            assert json.loads(line)["message"].startswith("it said ")
    os.close(reading)
    os.close(writing)


def test_fields_end_with_what_they_are_about() -> None:
    def record(log: logging.Logger) -> None:
        with about(lambda: {"peer": "a", "transport": "tcp"}):
            with about(lambda: {"run_id": "one", "unknown": "x"}):
                log.info("1")
                log.info("2", extra={"run_id": "own"})
            log.info("3")
        log.info("4")

    found = [json.loads(line) for line in logged("json", record).splitlines()]
    names = ("run_id", "peer", "transport", "unknown")
    assert [{name: line[name] for name in names if name in line} for line in found] == [
        {"run_id": "one", "peer": "a", "transport": "tcp"},
        {"run_id": "own", "peer": "a", "transport": "tcp"},
        {"peer": "a", "transport": "tcp"},
        {},
    ]


def test_every_line_of_a_server_is_an_object(tmp_path: Path) -> None:
    """From the first to the last, with a run and a refusal between them."""
    add_token(tmp_path, "alice", "run")
    words = ("--log-format", "json", "--tokens", str(tmp_path / "tokens.json"))
    with RunningServer(tmp_path / "data", *words) as server:
        with server.connect() as client:
            client.ask("hello", {"token": (tmp_path / "alice").read_text().strip()})
            run_id = client.ask("run", {"benchmarks": [quick()]})["run_id"]
            client.refused("drain")
        assert within(PATIENCE_SECONDS, lambda: any("refused drain" in line for line in server.log))
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["level"] in ("debug", "info", "warning", "error", "critical")
        assert line["logger"].startswith("gpubench")
    (listening,) = [line for line in lines if line["message"].startswith("listening on")]
    assert listening["logger"] == "gpubench_server"
    accepted, ended = (line for line in lines if line["message"].startswith(f"run {run_id}: "))
    client_fields = {"principal": "token alice", "peer": "127.0.0.1", "transport": "tcp"}
    assert client_fields.items() | {("run_id", run_id)} <= accepted.items()
    assert {("run_id", run_id), ("principal", "token alice")} <= set(ended.items())
    assert "peer" not in ended
    (refused,) = [line for line in lines if line["message"].startswith("refused drain")]
    assert client_fields.items() <= refused.items()
    assert "run_id" not in refused


def test_a_failed_start_is_an_object_too(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    command = [sys.executable, "-m", "gpubench_server", "--config=/dev/null", "--log-format=json"]
    words = ("--listen=tcp://127.0.0.1:0", "--http=127.0.0.1:0", f"--data-dir={tmp_path / 'data'}")
    ran = subprocess.run([*command, *words], stderr=subprocess.PIPE, text=True, check=False)
    (line,) = ran.stderr.splitlines()
    found = json.loads(line)
    assert ran.returncode == 1
    assert (found["level"], found["logger"]) == ("critical", "gpubench_server")
    assert str(tmp_path / "data") in found["message"]

"""A log record as one line of text, or as one JSON object.

Messages quote text from clients, drivers and files. It can neither end a line nor add a field: in the text
format, unprintable characters are escaped, and the fields come before the message.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from gpubench.command_line import choice
from gpubench.text import encodable

_IN_TEXT = ("run_id", "principal")
"""Of a record's fields; messages about a connection have the address anyway."""

_PLAIN = re.compile(r"[\w.:/@-]+", re.ASCII)


class LogLine(logging.LogRecord):
    """A record that is ready to be written by another thread: nothing in it can change any more."""

    def __init__(self, record: logging.LogRecord, fields: Mapping[str, str]) -> None:
        message = record.getMessage()
        super().__init__(record.name, record.levelno, record.pathname, record.lineno, message, None, None)
        self.created, self.msecs = record.created, record.msecs
        self.fields = fields
        self.traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""

    def shorten(self, most: int) -> None:
        """Keep the beginning of the message and the end of the traceback: so many characters of each."""
        self.msg = self.msg[:most]
        self.traceback = self.traceback[-most:]


class TextFormatter(logging.Formatter):
    """``TIME LEVEL LOGGER [FIELDS]: MESSAGE``; the lines of a traceback follow, indented."""

    def format(self, record: LogLine) -> str:  # type: ignore[override]  # `Log` hands on nothing else
        fields = " ".join(
            f"{name}={_quoted(value)}"
            for name, value in record.fields.items()
            if name in _IN_TEXT and value not in record.msg
        )
        place = f"{record.name} [{fields}]" if fields else record.name
        line = f"{self.formatTime(record)} {record.levelname} {place}: {one_line(record.msg)}"
        return "\n".join((line, *(f"  {one_line(each)}" for each in record.traceback.splitlines())))


class JsonFormatter(logging.Formatter):
    """``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, the fields, and ``exception``."""

    def format(self, record: LogLine) -> str:  # type: ignore[override]  # `Log` hands on nothing else
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": encodable(record.msg),
            **{name: encodable(value) for name, value in record.fields.items()},
        }
        if record.traceback:
            line["exception"] = encodable(record.traceback)
        return json.dumps(line)


FORMATS: Mapping[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}

_LEVELS = ("debug", "info", "warning", "error")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-level",
        **choice(_LEVELS),
        default="info",
        help="the least severe messages to log (default: info)",
    )
    parser.add_argument(
        "--log-format",
        **choice(FORMATS),
        default="text",
        help="write the log as text, or as JSON, one object per line (default: text)",
    )


def one_line(text: str) -> str:
    """``text`` with what ends a line, moves the cursor or cannot be seen written as ``\\n`` or ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in encodable(text)
    )


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)

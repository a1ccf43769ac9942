"""Arguments that several commands share, and the types of their values.

A type raises ``argparse.ArgumentTypeError``, whose message is shown behind the option's name. Only
argparse is imported for every command line: help must be quick.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from gpubench.command_line import file_name, one_of
from gpubench.command_line import text as text_of

SERVERS = "tcp://HOST[:PORT], tls://HOST[:PORT] or unix:///PATH"

MIN_FOOTPRINT_BYTES, MAX_FOOTPRINT_BYTES = 1 << 20, 1 << 46
MAX_TIME_LIMIT_SECONDS = 600.0
MAX_DEADLINE_SECONDS = 86_400.0
MIN_PICTURE_WIDTH, MAX_PICTURE_WIDTH = 320, 2400
MIN_DIGITS = 16
MAX_REPEAT = 1000
MAX_LISTED = 1000
MAX_RUN_ID = 128
MAX_LABELS, MAX_LABEL_KEY, MAX_LABEL_VALUE = 16, 63, 256
MIN_BUS_WIDTH_BITS, MAX_BUS_WIDTH_BITS = 8, 65_536


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-store",
        action="store_true",
        help="without a server: do not keep the runs in --data-dir",
    )
    add_data_dir(parser)
    add_retention(parser)


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=file_name,
        help="without a server: where runs are kept (default: $GPUBENCH_DATA_DIR, else in the user's data "
        "directory)",
    )


def add_retention(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-runs",
        metavar="COUNT",
        type=_stored_runs,
        help="of the runs in --data-dir, remove all but the newest COUNT (1 to 10000000; default: 100000)",
    )
    parser.add_argument(
        "--keep-time",
        metavar="TIME",
        type=stored_time,
        help="of the runs in --data-dir, remove those that ended longer ago, such as 365d (default: 3650d)",
    )


def add_references(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--references",
        action=argparse.BooleanOptionalAction,
        help="compare with graphics boards and GDDR memories (default: yes, except for processors)",
    )


def add_out(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("-o", "--out", metavar="FILE", type=file_name, action=_Once, help=text)


class _Once(argparse.Action):
    """Of two files, only the second would be written."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: Any = None
    ) -> None:
        earlier = getattr(namespace, self.dest)
        if earlier is not None:
            parser.error(f"{option}: {earlier} was given before; only one file can be written at a time")
        setattr(namespace, self.dest, value)


def add_run_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_id",
        metavar="RUN_ID",
        type=_run_id,
        help="the id that `gpubench run` printed, or its first characters; `gpubench runs` lists the ids",
    )


def add_needed_server(parser: argparse.ArgumentParser) -> None:
    """For commands that are about a server."""
    add_server(parser, f"required: {SERVERS}; default: $GPUBENCH_SERVER")


def add_backend(parser: argparse.ArgumentParser) -> None:
    """For commands that work on a server or without one."""
    add_server(parser, f"{SERVERS}; default: $GPUBENCH_SERVER, else measure on this machine")
    parser.add_argument(
        "--runtime",
        metavar="{auto,opencl,cuda}",
        type=one_of("auto", "opencl", "cuda"),
        help="without a server: which runtime's devices to use (default: auto, all that are installed)",
    )


def add_server(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--server", metavar="URL", help=text)
    parser.add_argument(
        "--wait",
        metavar="TIME",
        type=_duration(MAX_DEADLINE_SECONDS, allow_zero=True),
        default=30.0,
        help="how long to retry if the server is busy, or if `result` and `watch` lose the connection: "
        "seconds, or with a unit such as 5m (default: 30; 0: no retry)",
    )
    for option, text_of_option in (
        (
            "--token-file",
            "a file that holds the token for the server (default: the token in $GPUBENCH_TOKEN)",
        ),
        ("--ca-file", "with tls://: trust servers by these authorities, PEM (default: the system's)"),
        ("--cert-file", "with tls://: this client's own certificate, PEM, for servers that ask for one"),
        ("--key-file", "the key of --cert-file, PEM (default: in the same file)"),
    ):
        parser.add_argument(option, metavar="FILE", type=file_name, help=text_of_option)


def _duration(maximum_seconds: float, *, allow_zero: bool = False) -> Callable[[str], float]:
    """A type for a duration, in seconds."""

    def parse(text: str) -> float:
        from gpubench.errors import InvalidParameters
        from gpubench.units import parse_seconds

        try:
            seconds = parse_seconds(text)
        except InvalidParameters as error:
            raise argparse.ArgumentTypeError(error.message) from None
        if 0 <= seconds <= maximum_seconds and (seconds or allow_zero):
            return seconds
        lowest = "0" if allow_zero else "more than 0"
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is {seconds:g} s; allowed: {lowest} to {maximum_seconds:g} s"
        )

    return parse


wait_time = _duration(365 * 86_400.0)
stored_time = _duration(36_500 * 86_400.0)
time_limit = _duration(MAX_TIME_LIMIT_SECONDS)
deadline = _duration(MAX_DEADLINE_SECONDS)


def footprint(text: str) -> int:
    """A type for a size, in bytes."""
    from gpubench.errors import InvalidParameters
    from gpubench.units import format_bytes, parse_bytes

    try:
        size = parse_bytes(text)
    except InvalidParameters as error:
        raise argparse.ArgumentTypeError(error.message) from None
    if not MIN_FOOTPRINT_BYTES <= size <= MAX_FOOTPRINT_BYTES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is {format_bytes(size)}; allowed: {format_bytes(MIN_FOOTPRINT_BYTES)} to "
            f"{format_bytes(MAX_FOOTPRINT_BYTES)}"
        )
    return size


def is_whole(text: str, lowest: int, highest: int, most_digits: int = 9) -> bool:
    """Whether a text is a whole number of this range: so many ASCII digits at most, and nothing else."""
    return text.isascii() and text.isdigit() and len(text) <= most_digits and lowest <= int(text) <= highest


def count_up_to(most: int) -> Callable[[str], int]:
    """A type for a number of 1 or more."""

    def parse(text: str) -> int:
        digits = text.strip()
        if not is_whole(digits, 1, most):
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} is not a valid count; allowed: 1 to {most}; write 5"
            )
        return int(digits)

    return parse


repetitions = count_up_to(MAX_REPEAT)
listed_runs = count_up_to(MAX_LISTED)
_stored_runs = count_up_to(10_000_000)


def _run_id(word: str) -> str:
    stripped = text_of(word).strip()
    if not 1 <= len(stripped) <= MAX_RUN_ID:
        raise argparse.ArgumentTypeError(
            f"{word[:40]!r} is not the id of a run; allowed: 1 to {MAX_RUN_ID} characters"
        )
    return stripped


def label(text: str) -> tuple[str, str]:
    """A type for ``KEY=VALUE``, the user's own words about a run."""
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", key) or len(key) > MAX_LABEL_KEY:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a label; write KEY=VALUE, such as node=rack7-n12; a key has letters, "
            f"digits, _, . and -, begins with a letter or _, and has at most {MAX_LABEL_KEY} characters"
        )
    if len(value) > MAX_LABEL_VALUE:
        raise argparse.ArgumentTypeError(
            f"the value of {key} has {len(value)} characters; allowed: {MAX_LABEL_VALUE}"
        )
    return key, text_of(value)


def bus_width(text: str) -> int:
    """A type for a number of bits."""
    digits = text.strip()
    if not is_whole(digits, MIN_BUS_WIDTH_BITS, MAX_BUS_WIDTH_BITS):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a valid bus width; allowed: {MIN_BUS_WIDTH_BITS} to {MAX_BUS_WIDTH_BITS} "
            "bits; write 128 or 256"
        )
    return int(digits)


def width(text: str) -> int:
    """A type for the width of a picture, in pixels."""
    if not is_whole(text, MIN_PICTURE_WIDTH, MAX_PICTURE_WIDTH, most_digits=5):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a valid width; allowed: {MIN_PICTURE_WIDTH} to {MAX_PICTURE_WIDTH} pixels"
        )
    return int(text)


def digest(text: str) -> str:
    """A type for a SHA-256 in hexadecimal, or its beginning."""
    digits = text.strip().lower()
    if not MIN_DIGITS <= len(digits) <= 64 or set(digits) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is not a SHA-256; allowed: its 64 hexadecimal digits, or at least "
            f"the first {MIN_DIGITS} of them"
        )
    return digits

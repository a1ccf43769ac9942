"""The commands ``gpubench-server token add``, ``list`` and ``revoke``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from gpubench.command_line import Parser, choice
from gpubench.errors import InvalidParameters
from gpubench.units import parse_seconds
from gpubench.validation import convert
from gpubench_server.columns import aligned
from gpubench_server.principals import ROLES, Quota
from gpubench_server.tokens import StoredToken, add_token, read_tokens, revoke_token

ACTIONS = ("add", "list", "revoke")

_MAX_LIFETIME_SECONDS = 10 * 365 * 86_400.0

_QUOTAS = (
    ("--max-runs", "N", int, "runs waiting or running at once"),
    ("--max-queue-places", "N", int, "runs waiting for one device"),
    ("--max-run-seconds", "S", float, "length of a run in seconds"),
    ("--max-memory-share-ratio", "X", float, "share of a device's free memory, up to 0.9"),
    ("--max-requests-per-second", "X", float, "requests per second"),
)


def run(words: Sequence[str]) -> int:
    """Perform one command; returns the exit code. Raises ``InvalidParameters``."""
    if words and words[0] in ACTIONS:
        options = token_parser(words[0]).parse(words[1:])
        _COMMANDS[words[0]](options)
        return 0
    if words and words[0] in ("-h", "--help"):
        top_parser().parse(words)
    raise InvalidParameters(
        f"`gpubench-server token` needs one of: {', '.join(ACTIONS)}; `gpubench-server token add --help` "
        "describes its options"
    )


def top_parser() -> Parser:
    return Parser(
        prog="gpubench-server token",
        description="Make, list and revoke the tokens that clients show a server.",
        usage="gpubench-server token {add,list,revoke} --tokens FILE [ARGUMENT ...]",
    )


def token_parser(action: str) -> Parser:
    """The parser of one command's arguments."""
    parser = Parser(prog=f"gpubench-server token {action}", description=_DESCRIPTIONS[action])
    parser.add_argument(
        "--tokens", type=Path, metavar="FILE", required=True, help="the server's token file, of mode 600"
    )
    if action == "list":
        parser.add_argument("--json", action="store_true", help="print the tokens as JSON")
        return parser
    parser.add_argument("name", metavar="NAME", help="whose token it is" if action == "add" else "name or id")
    if action == "add":
        parser.add_argument(
            "--role",
            **choice(ROLES),
            default="run",
            help="read: look at devices and results; run: also run, and cancel own runs; admin: also cancel "
            "others' runs, and drain (default: run)",
        )
        parser.add_argument(
            "--expires",
            type=_lifetime,
            metavar="TIME",
            help="valid for this time, such as 90d (default: for ever)",
        )
        for option, metavar, kind, text in _QUOTAS:
            parser.add_argument(
                option, type=kind, metavar=metavar, help=f"most {text} (default: the server's limit)"
            )
    return parser


def _add(options: argparse.Namespace) -> None:
    names = (option.removeprefix("--").replace("-", "_") for option, *_ in _QUOTAS)
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    try:
        quota = convert(given, Quota, "")
    except InvalidParameters as error:
        option = error.details.get("path", "").strip(".").replace("_", "-")
        raise InvalidParameters(f"--{option}: {error.message}") from None
    token, made = add_token(options.tokens, options.name, options.role, quota, options.expires)
    sys.stdout.write(f"{token}\n")
    sys.stdout.flush()
    sys.stderr.write(
        f"gpubench-server: token {made.name} with the role {made.role}, {_validity(made)}; it is shown this "
        "once\n"
    )


def _list(options: argparse.Namespace) -> None:
    tokens = read_tokens(options.tokens)
    if options.json:
        shown = [
            {k: v for k, v in msgspec.to_builtins(each).items() if k not in ("salt", "hash", "cost")}
            for each in tokens
        ]
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
        return
    rows = [("NAME", "ROLE", "ID", "VALID", "QUOTAS")]
    for each in tokens:
        quota = " ".join(f"{name}={value:g}" for name, value in msgspec.to_builtins(each.quota).items())
        rows.append((each.name, each.role, each.id, _validity(each), quota or "-"))
    for line in aligned(rows):
        sys.stdout.write(f"{line}\n")


def _revoke(options: argparse.Namespace) -> None:
    gone = revoke_token(options.tokens, options.name)
    sys.stderr.write(
        f"gpubench-server: token {gone.name} is revoked; running servers notice it within a second\n"
    )


def _validity(token: StoredToken) -> str:
    if token.expires_at is None:
        return "for ever"
    return f"{'expired' if token.expired else 'until'} {token.expires_at:%Y-%m-%d %H:%M} UTC"


def _lifetime(text: str) -> timedelta:
    try:
        seconds = parse_seconds(text)
    except InvalidParameters as error:
        raise argparse.ArgumentTypeError(error.message) from None
    if not 1 <= seconds <= _MAX_LIFETIME_SECONDS:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not allowed; allowed: 1s to 3650d")
    return timedelta(seconds=seconds)


_COMMANDS = {"add": _add, "list": _list, "revoke": _revoke}

_DESCRIPTIONS = {
    "add": "Make a token, add it to the file, and print it: only a hash is kept.",
    "list": "List the tokens of a file, without what would let anybody use them.",
    "revoke": "Remove a token from the file.",
}

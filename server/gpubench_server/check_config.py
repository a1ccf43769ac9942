"""The command ``gpubench-server check-config``: the options in effect, and whether a start would succeed.

Nothing is started, made or changed. Files are checked with the permissions of the user who runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gpubench.command_line import Parser
from gpubench.errors import GpubenchError, InvalidParameters
from gpubench.suggestions import did_you_mean
from gpubench_server import gateway, options, serve, socket_units
from gpubench_server.addresses import UnixEndpoint, parse_endpoint
from gpubench_server.announcements import say
from gpubench_server.columns import aligned
from gpubench_server.configuration import Configuration, from_flags, given
from gpubench_server.configuration_file import usual_places
from gpubench_server.folders import check_folder
from gpubench_server.http_options import http_port, https_urls
from gpubench_server.option_table import OptionTable
from gpubench_server.security import Security, check_reach, security
from gpubench_server.tls import Tls
from gpubench_server.tokens import read_tokens

_GATEWAY = "gateway"
"""The word that asks for the gateway's options."""

_Check = Callable[[argparse.Namespace], None]
"""Raises a ``GpubenchError`` for what would keep a command from starting."""


def run(words: Sequence[str]) -> int:
    """Perform it; returns the exit code. Raises ``InvalidParameters`` for a value that is not allowed."""
    if words[:1] == [_GATEWAY]:
        return _run(gateway.GATEWAY, gateway_parser(), words[1:], gateway.CHECKS)
    if words and not words[0].startswith("-"):
        hint = did_you_mean(words[0], [_GATEWAY])
        raise InvalidParameters(
            f"unexpected argument {words[0]!r};{hint} check-config takes the options to check, and before "
            f"them {_GATEWAY} if they are the gateway's"
        )
    return _run(options.SERVER, parser(), words, _CHECKS)


def _run(table: OptionTable, made: Parser, words: Sequence[str], checks: Sequence[_Check]) -> int:
    flags = given(made, words)
    configuration = from_flags(table, flags, os.environ)
    found = configuration.options
    found.passed = socket_units.passed(flags.socket, found.tls_cert is not None)
    problems = list(dict.fromkeys(_problems(found, checks)))
    configuration = socket_units.shown_in(configuration, found.passed)
    if flags.json:
        sys.stdout.write(_as_json(configuration, problems))
    else:
        sys.stdout.write(_as_text(configuration, usual_places(table.file_name)))
    for problem in problems:
        say(problem)
    return 2 if problems else 0


def parser() -> Parser:
    return _parser(options.SERVER, "check-config", "gpubench-server", "the server's user")


def gateway_parser() -> Parser:
    command = f"gpubench-server {_GATEWAY}"
    return _parser(gateway.GATEWAY, f"check-config {_GATEWAY}", command, "the user who starts the gateway")


def _parser(table: OptionTable, name: str, command: str, user: str) -> Parser:
    made = table.parser(
        prog=f"gpubench-server {name}",
        description=f"Show the options that {command} would use with the same arguments, and where each "
        f"comes from; check the files that they name. Run it as {user}. `gpubench-server check-config "
        f"{_GATEWAY}` does the same for the gateway.",
    )
    socket_units.add_argument(made)
    made.add_argument("--json", action="store_true", help="print the answer as JSON")
    return made


def _as_json(configuration: Configuration, problems: Sequence[str]) -> str:
    settings = [
        {
            "key": key,
            "value": setting.shown,
            "source": setting.origin.kind,
            "where": setting.origin.where or None,
        }
        for key, setting in configuration.settings.items()
    ]
    file = None if configuration.file is None else str(configuration.file)
    answer = {"file": file, "settings": settings, "problems": list(problems)}
    return json.dumps(answer, indent=2) + "\n"


def _as_text(configuration: Configuration, usual: Sequence[Path]) -> str:
    rows = [("OPTION", "VALUE", "FROM")]
    for key, setting in configuration.settings.items():
        rows.append((key, _cell(setting.shown), str(setting.origin)))
    read = configuration.file or f"none; looked for {' and '.join(map(str, usual))}"
    return "\n".join((f"configuration file: {read}", "", *aligned(rows), ""))


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# What would keep the server from starting.


def _problems(found: argparse.Namespace, checks: Sequence[_Check]) -> Iterator[str]:
    """One message for each check that fails."""
    for check in checks:
        try:
            check(found)
        except GpubenchError as error:
            yield error.message


def _security(found: argparse.Namespace) -> Security:
    return security(found, serve.endpoints_of(found.listen, found.passed), https_urls(found))


def _check_addresses(found: argparse.Namespace) -> None:
    endpoints = serve.endpoints_of(found.listen, found.passed)
    chosen = _security(found)
    check_reach(endpoints, chosen, found.insecure)
    serve.check_gateway(found, chosen)
    for endpoint in map(parse_endpoint, found.listen):  # those of systemd are made by systemd
        if isinstance(endpoint, UnixEndpoint):
            check_folder(f"the socket {endpoint.path}", endpoint.path.parent)


def _check_http(found: argparse.Namespace) -> None:
    http_port(found, _security(found))


def _check_certificate(found: argparse.Namespace) -> None:
    files = _security(found).tls
    if files is not None:
        Tls(files)


def _check_tokens(found: argparse.Namespace) -> None:
    if found.tokens is not None:
        read_tokens(found.tokens)


def _check_data_directory(found: argparse.Namespace) -> None:
    path = found.data_dir.absolute()
    there = next(each for each in (path, *path.parents) if os.path.exists(each))  # noqa: PTH110  # no error
    check_folder(f"the data directory {path}", there)


def _check_address_file(found: argparse.Namespace) -> None:
    if found.address_file is not None and str(found.address_file) != "-":
        serve.check_replaceable(found.address_file)
        check_folder(f"the address file {found.address_file}", found.address_file.absolute().parent)


_CHECKS: tuple[_Check, ...] = (
    _check_addresses,
    _check_http,
    _check_certificate,
    _check_tokens,
    _check_data_directory,
    _check_address_file,
)

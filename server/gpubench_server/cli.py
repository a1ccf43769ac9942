"""The command ``gpubench-server``: it serves, or performs one of its commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gpubench.command_line import Parser
from gpubench.errors import GpubenchError, InvalidParameters
from gpubench.standard_streams import with_standard_streams
from gpubench.suggestions import did_you_mean
from gpubench_server import check_config, gateway, options, serve, token_cli
from gpubench_server.announcements import say
from gpubench_server.configuration import from_flags, given


class Command(NamedTuple):
    """``run`` takes the words after the command's name, and returns the exit code."""

    summary: str
    run: Callable[[Sequence[str]], int]


COMMANDS: Mapping[str, Command] = {
    "token": Command("make, list and revoke tokens", token_cli.run),
    "gateway": Command("serve other machines through an unprivileged process", gateway.run),
    "check-config": Command("show the options in effect and check them, without serving", check_config.run),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it, or perform a command; returns the exit code."""
    return with_standard_streams(lambda: _command(sys.argv[1:] if arguments is None else arguments))


def _command(words: Sequence[str]) -> int:
    try:
        if words and not words[0].startswith("-"):
            return _named(words[0]).run(words[1:])
        configuration = from_flags(options.SERVER, given(command_parser(), words), os.environ)
    except GpubenchError as error:
        say(error.message)
        return 2 if isinstance(error, InvalidParameters) else 1
    return serve.run(configuration.options)


def _named(word: str) -> Command:
    """Raises ``InvalidParameters`` for a word that is no command."""
    if word not in COMMANDS:
        allowed = ", ".join(COMMANDS)
        hint = did_you_mean(word, COMMANDS)
        raise InvalidParameters(f"unexpected argument {word!r};{hint} commands: {allowed}")
    return COMMANDS[word]


def command_parser() -> Parser:
    """The parser of a command line without a command."""
    width = max(map(len, COMMANDS)) + 2
    listed = [f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items()]
    usage = "`gpubench-server COMMAND --help` describes the arguments of a command."
    return options.command_parser(epilog="\n".join(["commands:", *listed, "", usage]))

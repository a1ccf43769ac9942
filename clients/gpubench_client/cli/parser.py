"""From the words of a command line to a command and its arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from gpubench import __version__
from gpubench.errors import InvalidParameters
from gpubench_client.cli.command import Command
from gpubench_client.cli.commands import COMMANDS

PROGRAM = "gpubench"
EXIT_CODES = (
    "0 ok, 1 failed, 2 usage error, 3 checked and not all right, 4 server busy or not reachable, "
    "130 interrupted"
)


def parse(argv: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The command, and its arguments with ``quiet``.

    Raises ``InvalidParameters`` for what is wrong, and ``SystemExit`` after ``--help`` and ``--version``.
    """
    name_index = next((i for i, word in enumerate(argv) if not word.startswith("-")), len(argv))
    top = _top_parser()
    common = top.parse(argv[:name_index])
    if name_index == len(argv):
        raise InvalidParameters(f"no command; allowed: {_names()}; `gpubench --help` describes them")
    command = _command(argv[name_index])
    parser = _Parser(prog=f"{PROGRAM} {command.name}", description=f"{_capital(command.summary)}.")
    command.add_arguments(parser)
    _add_quiet(parser)
    args = parser.parse(argv[name_index + 1 :])
    args.quiet = args.quiet or common.quiet
    return command, args


class _Parser(argparse.ArgumentParser):
    """Raises an error instead of printing its whole usage, and suggests the option that was meant."""

    def __init__(
        self, prog: str, description: str, usage: str | None = None, epilog: str | None = None
    ) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, usage, description, epilog, formatter_class=formatter, allow_abbrev=False)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        # Intermixed: options may stand between the names of benchmarks.
        args, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            self.error(self._unknown(next((word for word in unknown if word.startswith("-")), unknown[0])))
        return args

    def error(self, message: str) -> NoReturn:
        if message.startswith("the following arguments are required"):
            message += f"; `{self.prog} --help` describes them"
        raise InvalidParameters(message.removeprefix("argument "))

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"unexpected argument {word!r}; `{self.prog} --help` describes the arguments"
        from gpubench_client.cli.suggestions import did_you_mean

        option = word.partition("=")[0]
        hint = did_you_mean(option, re.findall(r"--[a-z-]+", self.format_usage()))
        if self.prog == PROGRAM:
            hint += " a command's options stand after its name;"
        return f"unknown option {option};{hint} `{self.prog} --help` describes the options"


def _top_parser() -> _Parser:
    parser = _Parser(
        prog=PROGRAM,
        description="Measure the memory of GPUs, and say what the figure means.",
        usage="gpubench [-h] [--version] [-q] COMMAND [ARGUMENT ...]",
        epilog="\n".join(
            [
                "commands:",
                *(f"  {command.name:<12}{command.summary}" for command in COMMANDS),
                "",
                "`gpubench COMMAND --help` describes the arguments of a command.",
                "",
                "sizes: 256MiB, 256Mi and 256M are 256 x 1024^2 bytes, as in dd; 256MB are 256 x 1000^2",
                "times: 90 and 90s are seconds; 200ms, 5m, 2h and 1d, as in sleep",
                "",
                f"exit codes: {EXIT_CODES}",
            ]
        ),
    )
    parser.add_argument("--version", action="version", version=f"gpubench {__version__}")
    _add_quiet(parser)
    return parser


def _add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes on stderr")


def _command(name: str) -> Command:
    for command in COMMANDS:
        if command.name == name:
            return command
    from gpubench.benchmarks.registry import BENCHMARKS
    from gpubench.benchmarks.suites import suites
    from gpubench_client.cli.suggestions import did_you_mean

    if name.lower() in (*BENCHMARKS, *suites()):
        raise InvalidParameters(f"{name} is not a command but a benchmark; write `gpubench run {name}`")
    hint = did_you_mean(name, (command.name for command in COMMANDS))
    raise InvalidParameters(f"no command {name!r};{hint} allowed: {_names()}")


def _names() -> str:
    return ", ".join(command.name for command in COMMANDS)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

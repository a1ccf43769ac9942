"""From the words of a command line to a command and its arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gpubench import __version__
from gpubench.command_line import Parser
from gpubench.errors import InvalidParameters
from gpubench_client.cli.command import Command
from gpubench_client.cli.commands import COMMANDS

PROGRAM = "gpubench"
EXIT_CODES = (
    "0 ok, 1 failed, 2 usage error, 3 checked and not all right, 4 server busy or not reachable, "
    "130 interrupted, 128 + N ended by signal N"
)


def parse(argv: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The command, and its arguments with ``quiet``.

    Raises ``InvalidParameters`` for what is wrong, and ``SystemExit`` after ``--help`` and ``--version``.
    """
    name_index = next((i for i, word in enumerate(argv) if not word.startswith("-")), len(argv))
    top = top_parser()
    common = top.parse(argv[:name_index])
    if name_index == len(argv):
        raise InvalidParameters(f"no command; allowed: {_names()}; `gpubench --help` describes them")
    name, rest = argv[name_index], argv[name_index + 1 :]
    if name == "help":
        return parse([*rest[:1], "--help"])
    command = _command(name)
    args = command_parser(command).parse(rest)
    args.quiet = args.quiet or common.quiet
    return command, args


def command_parser(command: Command) -> Parser:
    """The parser of one command's arguments."""
    parser = _CommandParser(prog=f"{PROGRAM} {command.name}", description=f"{_capital(command.summary)}.")
    command.add_arguments(parser)
    _add_quiet(parser)
    return parser


def full_parser() -> argparse.ArgumentParser:
    """All commands in one parser, for what describes the command line rather than reads it."""
    parser = top_parser()
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for command in COMMANDS:
        child = commands.add_parser(command.name, help=command.summary, allow_abbrev=False)
        command.add_arguments(child)
        _add_quiet(child)
    return parser


class _CommandParser(Parser):
    def hint(self, option: str) -> str:
        if self.prog == PROGRAM:
            return f"{super().hint(option)} a command's options stand after its name;"
        return super().hint(option) or self._setting(option)

    def _setting(self, option: str) -> str:
        """The parameters of benchmarks are no options of their own."""
        if "--set" not in self._option_string_actions:
            return ""
        from gpubench.benchmarks.registry import BENCHMARKS

        name = option.lstrip("-").replace("-", "_")
        known = any(name in benchmark.parameters.__struct_fields__ for benchmark in BENCHMARKS.values())
        return f" write --set {name}=VALUE;" if known else ""


def top_parser() -> Parser:
    parser = _CommandParser(
        prog=PROGRAM,
        description="Measure the memory of GPUs, and say what the figure means.",
        usage="gpubench [-h] [--version] [-q] COMMAND [ARGUMENT ...]",
        epilog="\n".join(
            [
                "commands:",
                *(f"  {command.name:<12}{command.summary}" for command in COMMANDS),
                "",
                "`gpubench COMMAND --help` and `gpubench help COMMAND` describe the arguments of a command.",
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
    from gpubench.suggestions import did_you_mean

    if name.lower() in (*BENCHMARKS, *suites()):
        raise InvalidParameters(
            f"{name} is not a command but a benchmark; write `gpubench run {name}`, or "
            f"`gpubench explain {name}`"
        )
    hint = did_you_mean(name, (command.name for command in COMMANDS))
    raise InvalidParameters(f"no command {name!r};{hint} allowed: {_names()}")


def _names() -> str:
    return ", ".join(command.name for command in COMMANDS)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

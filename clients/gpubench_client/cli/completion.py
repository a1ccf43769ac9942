"""``gpubench completion``: what a shell reads to complete commands, options and names."""

from __future__ import annotations

import argparse
from typing import Any

from gpubench.command_line import one_of
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

SHELLS = ("bash", "zsh", "fish", "tcsh")

_EPILOG = """\
bash: gpubench completion bash > ~/.local/share/bash-completion/completions/gpubench
zsh:  gpubench completion zsh > DIRECTORY/_gpubench, with a DIRECTORY of $fpath
fish: gpubench completion fish > ~/.config/fish/completions/gpubench.fish
tcsh: gpubench completion tcsh > FILE, and `source FILE` in ~/.tcshrc
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("shell", metavar="SHELL", type=one_of(*SHELLS), help=", ".join(SHELLS))


def execute(args: argparse.Namespace, output: Output) -> None:
    import shtab

    from gpubench_client.cli.parser import full_parser

    parser = full_parser()
    for child in _commands(parser):
        for action in child._actions:
            _describe(action)
    output.text(shtab.complete(parser, args.shell))


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return [child for group in groups for child in group.choices.values()]


def _describe(action: Any) -> None:
    """What the values of one argument are: files, or known names."""
    import shtab

    from gpubench.benchmarks.registry import BENCHMARKS
    from gpubench.benchmarks.suites import suites

    names = {"BENCHMARK": (*BENCHMARKS, *suites()), "SHELL": SHELLS}
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if metavar in names:
        action.choices = names[metavar]
    elif metavar.startswith("{") and not action.choices:
        action.choices = metavar.strip("{}").split(",")
    elif "FILE" in metavar or metavar.startswith("RUN.JSON"):
        action.complete = shtab.FILE


COMMAND = Command("completion", "print the completion script of a shell", add_arguments, execute)

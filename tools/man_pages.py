"""The manual pages of both commands, made from their parsers; the same under every version of Python."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable

from gpubench_client.cli.parser import EXIT_CODES, full_parser
from gpubench_server import check_config
from gpubench_server.cli import command_parser
from gpubench_server.gateway import command_parser as gateway_parser
from gpubench_server.token_cli import ACTIONS, token_parser

import gpubench


def man_pages() -> dict[str, str]:
    """Each page by the name of its file; ends with a newline."""
    return {
        "gpubench.1": _page("gpubench", full_parser(), "gpubench-server"),
        "gpubench-server.1": _page(
            "gpubench-server",
            command_parser(),
            "gpubench",
            [
                _without(check_config.parser(), command_parser()),
                _without(check_config.gateway_parser(), gateway_parser()),
                *map(token_parser, ACTIONS),
                gateway_parser(),
            ],
        ),
    }


def _without(parser: argparse.ArgumentParser, other: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """A parser without the options that another one has, too."""
    known = {string for action in other._actions for string in action.option_strings}
    for action in parser._actions[:]:
        if known.issuperset(action.option_strings):
            parser._remove_action(action)
    return parser


def _page(
    name: str, parser: argparse.ArgumentParser, other: str, more: Iterable[argparse.ArgumentParser] = ()
) -> str:
    """``more`` are parsers of commands whose arguments are not part of ``parser``."""
    description = _text(parser.description or "")
    lines = [
        f'.TH {name.upper()} 1 "" "gpubench {gpubench.__version__}"',
        ".SH NAME",
        f"{_text(name)} \\- {description[0].lower()}{description[1:].rstrip('.')}",
        ".SH SYNOPSIS",
        *_synopsis(name, parser),
        ".SH DESCRIPTION",
        description,
        ".SH OPTIONS",
        *_options(parser),
    ]
    for command, summary, child in _commands(parser):
        lines += [f'.SH "{command.upper()}"', f"{_text(summary)[0].upper()}{_text(summary)[1:]}."]
        lines += [".PP", *_synopsis(f"{name} {command}", child), *_options(child)]
        if child.epilog:
            lines += [".PP", ".nf", *map(_text, child.epilog.splitlines()), ".fi"]
    for child in more:
        lines += [f'.SH "{child.prog.removeprefix(name).strip().upper()}"', _text(child.description or "")]
        lines += [".PP", *_synopsis(child.prog, child), *_options(child)]
    if any(_commands(parser)):
        lines += [".SH EXIT STATUS", f"{_text(EXIT_CODES)}."]
    lines += [".SH SEE ALSO", f".BR {_text(other)} (1)"]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser) -> list[tuple[str, str, argparse.ArgumentParser]]:
    """Name, summary and parser of each."""
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return [
        (choice.dest, choice.help or "", group.choices[choice.dest])
        for group in groups
        for choice in group._choices_actions
    ]


def _synopsis(name: str, parser: argparse.ArgumentParser) -> list[str]:
    optional = [each for each in parser._actions if each.option_strings]
    words = [f"[{_text(each.option_strings[-1])}{_value(each)}]" for each in optional]
    if any(_commands(parser)):
        words.append("\\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]")
    else:
        words += [_positional(each) for each in parser._actions if not each.option_strings]
    return [f".B {_text(name)}", " ".join(words)]


def _positional(action: argparse.Action) -> str:
    name = f"\\fI{_text(_metavar(action))}\\fR"
    return {"*": f"[{name} ...]", "+": f"{name} ...", "?": f"[{name}]"}.get(str(action.nargs), name)


def _options(parser: argparse.ArgumentParser) -> Iterable[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        names = ", ".join(f"\\fB{_text(each)}\\fR" for each in action.option_strings)
        yield ".TP"
        yield f"{names}{_value(action)}" if names else _positional(action)
        yield _text((action.help or "") % {"default": action.default})


def _value(action: argparse.Action) -> str:
    return "" if action.nargs == 0 else f" \\fI{_text(_metavar(action))}\\fR"


def _metavar(action: argparse.Action) -> str:
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def _text(text: str) -> str:
    """For roff: no escapes, no requests, and a hyphen that can be copied as one."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", " ".join(escaped.split()))

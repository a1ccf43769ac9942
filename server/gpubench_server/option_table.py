"""The options of a command that serves: one table for flags, variables, configuration file and documentation.

A row is an argument of the parser, or one limit: the parser knows types, choices, defaults and help.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubench.command_line import Parser
from gpubench.suggestions import closest, did_you_mean
from gpubench_server.limits import Limits, ranges

LIMITS = "limits"
"""The table of the configuration file that has the limits."""

_NOT_IN_A_FILE = ("help", "version", "config")


@dataclass(frozen=True)
class Option:
    """One option, under all its names."""

    table: OptionTable
    key: str
    """In the configuration file; a limit's begins with ``limits.``."""
    action: argparse.Action

    @property
    def flag(self) -> str:
        return self.action.option_strings[0]

    @property
    def limit(self) -> str | None:
        """The name of the limit that it is, if it is one."""
        table, _, name = self.key.rpartition(".")
        return name if table == LIMITS else None

    @property
    def variable(self) -> str:
        name = f"limit_{self.limit}" if self.limit else self.key
        return f"{self.table.variable_prefix}{name.upper()}"

    @property
    def ways(self) -> str:
        """How to set it, for the error that it is missing."""
        return f"{self.flag} {self.action.metavar}, {self.variable}, or {self.key} in the configuration file"

    @property
    def is_switch(self) -> bool:
        return self.action.nargs == 0

    @property
    def is_list(self) -> bool:
        return not self.limit and isinstance(self.action.default, list)

    @property
    def default(self) -> Any:
        """The value if the option is set nowhere."""
        return getattr(Limits(), self.limit) if self.limit else self.action.default

    def word(self, text: str) -> str:
        """The command-line argument that sets it to ``text``."""
        return f"{self.flag}={self.limit}={text}" if self.limit else f"{self.flag}={text}"


@dataclass(frozen=True)
class OptionTable:
    """The options of one command."""

    parser: Callable[..., Parser]
    """Makes a parser of all flags; takes ``prog`` and ``description`` in place of the command's own."""
    variable_prefix: str
    file_name: str
    """In the usual places of configuration files."""
    default_listen: str
    """The address that is used if ``listen`` is set nowhere."""
    limits: Sequence[str] | None = None
    """The names of those that can be set; None for all."""

    @property
    def file_variable(self) -> str:
        """The environment variable that names the configuration file."""
        return f"{self.variable_prefix}CONFIG"

    @functools.cached_property
    def options(self) -> Mapping[str, Option]:
        """Every option by its key, in the order of the help."""
        rows: dict[str, Option] = {}
        for action in self.own_parser._actions:
            if action.dest == "limit":
                keys = [f"{LIMITS}.{name}" for name in self.limits or ranges()]
                rows |= {key: Option(self, key, action) for key in keys}
            elif action.dest not in _NOT_IN_A_FILE:
                rows[action.dest] = Option(self, action.dest, action)
        return rows

    @functools.cached_property
    def own_parser(self) -> Parser:
        """The one that reads values from elsewhere than the command line."""
        return self.parser()

    def meant(self, key: str) -> str:
        """What may have been meant by an unknown key, to be put behind a sentence.

        Also for a limit that stands outside its table, and for an option that stands in one.
        """
        last = key.rpartition(".")[2]
        elsewhere = {option.limit or option.key: option.key for option in self.options.values()}
        if last in elsewhere:
            return f" did you mean {elsewhere[last]}?"
        return self._of_the_server(last) or did_you_mean(key, self.options)

    def variable_meant(self, name: str) -> str:
        """The same for an unknown environment variable."""
        limit = name.removeprefix(f"{self.variable_prefix}LIMIT_").lower()
        # Compared without the prefix, which makes any two of them alike.
        known = {
            option.variable.removeprefix(self.variable_prefix): option for option in self.options.values()
        }
        meant = closest(name.removeprefix(self.variable_prefix), known)
        hint = f" did you mean {known[meant].variable}?" if meant else ""
        return self._of_the_server(limit) or hint

    @staticmethod
    def _of_the_server(name: str) -> str:
        """Of a name that this command does not know: whether it is a limit, which then the server has."""
        return f" {name} is a limit of the server only;" if name in ranges() else ""


def add_limit(parser: argparse.ArgumentParser, read: Callable[[str], str], names: Iterable[str]) -> None:
    """The flag that sets a limit; ``read`` checks NAME=VALUE."""
    parser.add_argument(
        "--limit",
        action="append",
        type=read,
        default=[],
        metavar="NAME=VALUE",
        help=f"set a limit; may be repeated; names: {', '.join(names)}",
    )


def add_config(parser: argparse.ArgumentParser, file_name: str) -> None:
    """The flag that names the configuration file."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"read options from this TOML file (default: gpubench/{file_name} in the user's configuration "
        "directory, else in the system's, if it exists); flags and environment variables override it",
    )

"""What server or gateway does, from flags, environment variables, a file and defaults, in that order.

Every value is read by the option's own argument of the parser, wherever it comes from: so it is checked in
the same way, and gives the same error, preceded by the place that has to be changed.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpubench.command_line import Parser
from gpubench.errors import GpubenchError, InvalidParameters
from gpubench_server import configuration_file
from gpubench_server.configuration_file import PAGE, ConfigurationFile
from gpubench_server.option_table import Option, OptionTable
from gpubench_server.options import SERVER

_SWITCH = {"true": True, "1": True, "false": False, "0": False}

_OCTAL = frozenset({"unix_mode"})
"""TOML reads 660 and 0o660 as other numbers than chmod does: these are written as text."""

_OF_KUBERNETES = re.compile(r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
"""After the prefix: what a pod gets for a Service whose name begins with ``gpubench-server``
or ``gpubench-gateway``."""


@dataclass(frozen=True)
class Origin:
    """Where a value comes from; ``where`` is the flag, the variable, or the file and line."""

    kind: Literal["flag", "environment", "file", "default"]
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}" if self.where else self.kind


_DEFAULT = Origin("default")


@dataclass(frozen=True)
class Setting:
    """An option with its value, as the parser gives it."""

    option: Option
    value: Any
    origin: Origin

    @property
    def shown(self) -> Any:
        """The value as JSON has it, and as a person writes it."""
        if self.option.key == "listen":
            return self.value or [self.option.table.default_listen]
        if self.option.key in _OCTAL:
            return f"{self.value:o}"
        return str(self.value) if isinstance(self.value, Path) else self.value


@dataclass(frozen=True)
class Configuration:
    """Every option's value; ``file`` is the one that was read."""

    file: Path | None
    settings: Mapping[str, Setting]

    @property
    def options(self) -> argparse.Namespace:
        """As if all had been flags."""
        found: dict[str, Any] = {"limit": []}
        for key, setting in self.settings.items():
            if setting.option.limit is None:
                found[key] = setting.value
            elif setting.origin is not _DEFAULT:
                found["limit"].append(f"{setting.option.limit}={setting.value!r}")
        return argparse.Namespace(**found)


def configure(
    words: Sequence[str], environment: Mapping[str, str], table: OptionTable = SERVER
) -> Configuration:
    """What a command line asks for, in this environment.

    Raises ``InvalidParameters`` and ``CannotListen``, which name the flag, the variable, or the file and
    line.
    """
    return from_flags(table, given(table.parser(), words), environment)


def given(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """The values that a command line sets, and None for all others."""
    return parser.parse(words, argparse.Namespace(**{action.dest: None for action in parser._actions}))


def from_flags(
    table: OptionTable, flags: argparse.Namespace, environment: Mapping[str, str]
) -> Configuration:
    """With the flags that ``given`` found; raises as ``configure`` does."""
    file = _file(table, flags, environment)
    found: dict[str, Setting] = {}
    for setting in itertools.chain(
        _of_flags(table, flags), _of_environment(table, environment), _of_file(table, file)
    ):
        found.setdefault(setting.option.key, setting)
    rest = {key: Setting(option, option.default, _DEFAULT) for key, option in table.options.items()}
    return Configuration(file.path if file else None, {**rest, **found})


def _file(
    table: OptionTable, flags: argparse.Namespace, environment: Mapping[str, str]
) -> ConfigurationFile | None:
    if flags.config is not None:
        return configuration_file.read(flags.config)
    named = environment.get(table.file_variable)
    return configuration_file.read(Path(named)) if named else configuration_file.find(table.file_name)


def _of_flags(table: OptionTable, flags: argparse.Namespace) -> Iterator[Setting]:
    limits = dict(text.split("=", 1) for text in flags.limit or [])
    for option in table.options.values():
        if option.limit is None:
            value = getattr(flags, option.key)
        else:
            value = _limit(option, limits[option.limit]) if option.limit in limits else None
        if value is not None:
            yield Setting(option, value, Origin("flag", option.flag))


def _of_environment(table: OptionTable, environment: Mapping[str, str]) -> Iterator[Setting]:
    """A variable that is empty is not set; the values of a list are separated by white space."""
    by_variable = {option.variable: option for option in table.options.values()}
    for name in environment:
        rest = name.removeprefix(table.variable_prefix)
        known = name in by_variable or name == table.file_variable or _OF_KUBERNETES.fullmatch(rest)
        if rest != name and not known:
            raise InvalidParameters(
                f"unknown environment variable {name};{table.variable_meant(name)} {PAGE} lists them"
            )
    for name, option in by_variable.items():
        text = environment.get(name, "")
        if not text:
            continue
        value: Any = text.split() if option.is_list else text
        if option.is_switch:
            value = _SWITCH.get(text.lower(), text)
        yield _setting(option, value, Origin("environment", name), name)


def _of_file(table: OptionTable, file: ConfigurationFile | None) -> Iterator[Setting]:
    if file is None:
        return
    for key, value in file.values.items():
        where = file.where(key)
        option = table.options.get(key)
        if option is None:
            raise InvalidParameters(f"{where}: unknown key {key};{table.meant(key)} {PAGE} lists all keys")
        yield _setting(option, value, Origin("file", where), f"{where}: {key}")


def _setting(option: Option, value: Any, origin: Origin, name: str) -> Setting:
    """The value as its flag would give it; ``name`` is what an error calls it."""
    if option.is_switch:
        if not isinstance(value, bool):
            raise InvalidParameters(f"{name} must be true or false, not {value!r}")
        return Setting(option, value, origin)
    several = value if isinstance(value, list) and option.is_list else [value]
    texts = [_text(option, each, name) for each in several]
    words = [option.word(text) for text in texts]
    try:
        parsed = getattr(given(option.table.own_parser, words), option.action.dest)
    except GpubenchError as error:
        message = error.message.removeprefix(f"{option.flag}: ")
        raise type(error)(f"{name}: {message}", **error.details) from None
    if option.limit:
        return Setting(option, _limit(option, texts[0]), origin)
    return Setting(option, parsed or [] if option.is_list else parsed, origin)


def _text(option: Option, value: Any, name: str) -> str:
    """A value of TOML as it would be written after a flag."""
    if isinstance(value, list | dict):
        raise InvalidParameters(f"{name} must be one value, not {value!r}")
    if option.key in _OCTAL and not isinstance(value, str):
        raise InvalidParameters(f'{name} must be in quotes, such as "660": a number would not be octal')
    return str(value).lower() if isinstance(value, bool) else str(value)


def _limit(option: Option, text: str) -> Any:
    return type(option.default)(text)

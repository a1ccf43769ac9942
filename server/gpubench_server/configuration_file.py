"""The configuration file: TOML, found in its usual places, and the line that a key stands in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from gpubench.errors import InvalidParameters
from gpubench.text import as_utf8

PAGE = "docs/configuration.md"

_TABLE = re.compile(r"\s*\[\s*([\w.\"'-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")


def usual_places(name: str) -> list[Path]:
    """Where the file of this name is looked for: the first that is there is read, and no other."""
    return [
        platformdirs.user_config_path("gpubench") / name,
        platformdirs.site_config_path("gpubench") / name,
    ]


@dataclass(frozen=True)
class ConfigurationFile:
    """What a file says: each value by its key, that of a table as ``table.key``."""

    path: Path
    text: str
    values: dict[str, Any]

    def where(self, key: str) -> str:
        """The file, and the line of the key if it is found without a parser of TOML."""
        line = next((number for number, found in _keys(self.text) if found == key), None)
        return str(self.path) if line is None else f"{self.path}, line {line}"


def find(name: str) -> ConfigurationFile | None:
    """The file in the first of the usual places that has one. Raises ``InvalidParameters``."""
    there = next((path for path in usual_places(name) if _exists(path)), None)
    return None if there is None else read(there)


def read(path: Path) -> ConfigurationFile:
    """Raises ``InvalidParameters`` for a file that cannot be read, or is not TOML."""
    try:
        text = as_utf8(path.read_bytes()).decode()
    except OSError as error:
        raise InvalidParameters(
            f"the configuration file {path} cannot be read: {error.strerror}; check the path and its "
            "permissions, or name another file with --config (--config /dev/null reads none)"
        ) from None
    except ValueError as error:
        raise InvalidParameters(
            f"the configuration file {path} is not UTF-8 text: {error}; save it as UTF-8"
        ) from None
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidParameters(
            f"the configuration file {path} is not TOML: {error}; correct that ({PAGE} has an example)"
        ) from None
    return ConfigurationFile(path, text, dict(_flat(values)))


def _exists(path: Path) -> bool:
    """Also what cannot be read, but not what is in a directory that this user may not search."""
    try:
        return path.exists()
    except OSError:
        return False


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each value, with those of tables one level deep as ``table.key``; an empty table is nothing."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _keys(text: str) -> Iterator[tuple[int, str]]:
    """The number of each line that looks like a key, with the whole key."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _TABLE.match(line):
            table = f"{_plain(found[1])}."
        elif found := _KEY.match(line):
            yield number, f"{table}{_plain(found[1])}"


def _plain(key: str) -> str:
    return key.replace('"', "").replace("'", "")

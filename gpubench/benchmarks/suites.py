"""Suites: benchmarks that are run together under one name, built in or from a user's file."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated

import msgspec
from msgspec import Meta

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.errors import InvalidParameters
from gpubench.requests import BenchmarkRequest, Identifier
from gpubench.validation import convert


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Benchmarks, each with the parameters that are not the defaults; with ``all`` every benchmark."""

    name: Annotated[Identifier, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    summary: str = ""
    benchmarks: tuple[BenchmarkRequest, ...] = ()
    all: bool = False

    @property
    def members(self) -> tuple[BenchmarkRequest, ...]:
        return tuple(map(BenchmarkRequest, BENCHMARKS)) if self.all else self.benchmarks


@functools.cache
def suites() -> Mapping[str, Suite]:
    """The built-in suites by name; read on the first call."""
    text = resources.files("gpubench.benchmarks").joinpath("suites.toml").read_text(encoding="utf-8")
    return parse_suites(text)


def parse_suites(text: str) -> dict[str, Suite]:
    """The suites of a TOML text, by name, in its order.

    Raises ``InvalidParameters`` with the line if it is no TOML, and else with the field, such as
    ``suite[0].benchmarks[2].parameters``. ``plan`` validates the benchmarks and their parameters.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidParameters(f"not TOML: {error}") from None
    rows = data.get("suite")
    if not rows or not isinstance(rows, list) or len(data) > 1:
        wrong = next((f"{name}: unknown" for name in data if name != "suite"), "no suite in it")
        raise InvalidParameters(f"{wrong}; allowed: tables [[suite]], each with [[suite.benchmarks]]")
    found: dict[str, Suite] = {}
    for index, row in enumerate(rows):
        suite = convert(row, Suite, f"suite[{index}]")
        if suite.name in found:
            raise InvalidParameters(f"suite[{index}].name: an earlier suite is also called {suite.name!r}")
        if suite.all == bool(suite.benchmarks):
            raise InvalidParameters(f"suite[{index}]: {suite.name!r} needs either benchmarks or `all = true`")
        found[suite.name] = suite
    return found

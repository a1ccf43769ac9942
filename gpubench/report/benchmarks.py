"""What can be run, for readers: a terminal's list, the README's table, and the page of all benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from gpubench.benchmarks.description import BenchmarkInfo, Benchmarks
from gpubench.report.markdown import escape
from gpubench.report.text_table import clean
from gpubench.units import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType

BEGIN, END = "<!-- made by `make docs` -->", "<!-- end -->"
"""Around what is made from the code in a page that is written by hand."""

MAX_WIDTH = 100
"""Of a line on a terminal: longer ones are hard to read."""

_PAGE = (
    "Every benchmark checks all that it did on the device before its figure is shown. Bandwidth is bus bytes "
    "over time on the device's clock; GB is 10^9 byte. `--set NAME=VALUE` sets a parameter; a figure with "
    "other than the usual ones moves no gauge. This page is made from the program: `gpubench "
    "benchmarks --markdown`."
)
_COMMON = "Of every benchmark, unless its own list above has another line for it."


def benchmark_list(found: Benchmarks) -> RenderableType:
    """Each with its line and its paragraph, then the suites, for a terminal."""
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for row in found.benchmarks:
        parts += [
            Text.assemble((clean(row.name), "bold"), f": {clean(row.summary)}{_arrays(row)}"),
            Padding(Text(clean(row.explanation)), (0, 0, 1, 4)),
        ]
    parts.append(Text("Suites", "bold"))
    for suite in found.suites:
        members = ", ".join(suite.benchmarks)
        parts += [
            Text.assemble((clean(suite.name), "bold"), f": {clean(suite.summary)}"),
            Padding(Text(clean(members), "dim"), (0, 0, 0, 4)),
        ]
    return Constrain(Group(*parts), MAX_WIDTH)


def readme_table(found: Benchmarks) -> str:
    """A line for each benchmark and suite, in Markdown."""
    rows = [(f"`{row.name}`", escape(f"{row.summary}{_arrays(row)}")) for row in found.benchmarks]
    suites = [
        (f"`{suite.name}`", escape(f"{suite.summary}: {_members(suite.benchmarks, len(rows))}"))
        for suite in found.suites
    ]
    tables = (
        markdown_rows(("benchmark", "what it does"), rows),
        markdown_rows(("suite", "what it is"), suites),
    )
    return "\n\n".join(tables)


def page(found: Benchmarks) -> str:
    """All benchmarks with their paragraphs and parameters, in Markdown; ends with a newline."""
    names = set.intersection(*(set(_properties(row)) for row in found.benchmarks))
    common = {name: schema for name, schema in _properties(found.benchmarks[0]).items() if name in names}
    parts = ["# Benchmarks", _PAGE, readme_table(found)]
    for _, rows in groupby(found.benchmarks, key=lambda row: row.family):
        family = list(rows)
        for row in family:
            parts += [
                f"## {escape(row.name)}",
                escape(f"{row.summary}{_arrays(row)}"),
                escape(row.explanation),
            ]
        own = {name: schema for name, schema in _properties(family[0]).items() if schema != common.get(name)}
        if own:
            parts += [f"Parameters of {', '.join(f'`{row.name}`' for row in family)}:", _parameters(own)]
    parts += ["## Parameters", _COMMON, _parameters(common)]
    return "\n\n".join(parts) + "\n"


def between_markers(text: str, made: str) -> str:
    """A page with what stands between its markers replaced; raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} with {END} after it")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def _arrays(row: BenchmarkInfo) -> str:
    return f" ({row.bus_arrays} x array on the bus)" if row.bus_arrays else ""


def _members(names: Sequence[str], of: int) -> str:
    return ", ".join(names) if len(names) < of else f"all {of}"


def markdown_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = (columns, [":--"] * len(columns), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _properties(row: BenchmarkInfo) -> dict[str, dict[str, Any]]:
    """The fields of the struct that a JSON Schema refers to, in its order."""
    name = str(row.parameters["$ref"]).rpartition("/")[2]
    properties: dict[str, dict[str, Any]] = row.parameters["$defs"][name]["properties"]
    return properties


def _parameters(schemas: dict[str, dict[str, Any]]) -> str:
    rows = [
        (
            f"`{name}`",
            escape(_shown(schema.get("default"))),
            escape(_allowed(schema, name)),
            escape(schema.get("description", "")),
        )
        for name, schema in schemas.items()
    ]
    return markdown_rows(("parameter", "usual", "allowed", ""), rows)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _allowed(schema: dict[str, Any], name: str) -> str:
    """What a value may be, in words: ``float, double``, ``1 MiB to 64 TiB``."""
    if "anyOf" in schema:
        return ", ".join(filter(None, (_allowed(each, name) for each in schema["anyOf"])))
    if "items" in schema:
        return f"some of {_allowed(schema['items'], name)}"
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "boolean":
        return "true, false"
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is None or high is None:
        return "" if schema.get("type") == "null" else str(schema.get("type", ""))
    show = format_bytes if name.endswith("_bytes") else _shown
    return f"{'above ' if 'exclusiveMinimum' in schema else ''}{show(low)} to {show(high)}"

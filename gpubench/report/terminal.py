"""Tables for a terminal, with rich; the text in them is text, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpubench.compare import Comparison, Result
from gpubench.report import model
from gpubench.report.words import FLAGS
from gpubench.results.document import DeviceInfo
from gpubench.verdicts import Verdict

_COLORS = {"FASTER": "green", "SLOWER": "red", "AMBIGUOUS": "yellow", "NOT COMPARABLE": "yellow"}


def device_table(infos: Iterable[DeviceInfo]) -> RenderableType:
    """What ``gpubench devices`` shows."""
    return table(model.devices(infos))


def measurement_table(comparison: Comparison) -> RenderableType:
    """The figures of a run, what gave none, and what the flags mean."""
    parts = [table(model.measurements(comparison))] if comparison.results else []
    if comparison.excluded:
        parts.append(table(model.excluded(comparison), style="red"))
    return Group(
        *parts, *_flags(comparison), *(Text(model.clean(note), style="dim") for note in comparison.notes)
    )


def comparison_tables(comparison: Comparison) -> RenderableType:
    """The best unflagged figure against the references, projections, and others' figures."""
    shown = [
        table(model.references(comparison, _best(comparison.results))),
        table(model.projections(comparison)),
        table(_without_sources(model.published(comparison))),
    ]
    limits = Text(
        "References are theoretical peaks; a projection assumes the efficiency measured here.", "dim"
    )
    return Group(*(each for each in shown if each.row_count), limits)


def verdict_table(verdicts: Sequence[Verdict]) -> RenderableType:
    """The second side against the first."""
    shown = table(model.verdicts(verdicts))
    for row, verdict in zip(shown.rows, verdicts, strict=True):
        row.style = _COLORS.get(verdict.verdict, "")
    return shown


def table(found: model.Table, style: str = "") -> Table:
    """One table of the report's model."""
    shown = Table(
        title=found.title, title_justify="left", box=box.SIMPLE, style=style, show_header=any(found.columns)
    )
    for number, name in enumerate(found.columns):
        text = number < found.text_columns
        shown.add_column(Text(name), justify="left" if text else "right", overflow="fold")
    for cells in found.rows:
        shown.add_row(*(Text(cell) for cell in cells))
    return shown


def _best(results: Sequence[Result]) -> list[Result]:
    """One column is what a terminal has room for; a flagged figure only where there is no other."""
    ranked = sorted(results, key=lambda result: (not result.flags, result.bandwidth.median))
    return ranked[-1:]


def _without_sources(found: model.Table) -> model.Table:
    """Addresses do not fit; the Markdown report has them."""
    keep = [number for number, name in enumerate(found.columns) if name not in ("source", "counts")]
    return model.Table(
        found.title,
        tuple(found.columns[number] for number in keep),
        tuple(tuple(row[number] for number in keep) for row in found.rows),
        found.text_columns - 2,
    )


def _flags(comparison: Comparison) -> list[Text]:
    return [
        Text.assemble((flag, "bold yellow"), f": {FLAGS[flag].meaning} {FLAGS[flag].remedy}")
        for flag in model.flags_in([comparison])
        if flag in FLAGS
    ]

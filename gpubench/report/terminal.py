"""Tables for a terminal, with rich; their text is never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpubench.comparison.compare import Comparison
from gpubench.comparison.generations import Generations
from gpubench.comparison.sides import SidesComparison
from gpubench.report import device_tables, sides, tables, text_table
from gpubench.report.curves import Shown, shown_curves
from gpubench.report.fitting_table import FittingTable
from gpubench.report.flag_notes import flag_notes
from gpubench.report.generations import claims_table, generations_table
from gpubench.report.generations import notes as generation_notes
from gpubench.report.text_table import RANGE, RANGE_MARK
from gpubench.results.machine import DeviceInfo

_COLORS = {"FASTER": "green", "SLOWER": "red", "AMBIGUOUS": "yellow", "NOT COMPARABLE": "yellow"}

MAX_ROWS = 12
"""The most rows for a curve; a longer one has a row for each of its series."""

_FIGURES = ("benchmark", "GB/s", "95 % interval", "of theory", "at live clock", "flags")
_SHARES = ("benchmark", "Gbit/s per pin", "GB/s per module", "whole memory", "samples", "flags")
_PUBLISHED = ("tool", "kernel", "GB/s", "here / there")


def device_table(infos: Sequence[DeviceInfo]) -> RenderableType:
    """What ``gpubench devices`` shows."""
    return table(device_tables.devices(infos))


def measurement_table(comparison: Comparison) -> RenderableType:
    """The figures and curves of a run, measurements without one, and the meaning of marks and flags."""
    figures = _with(tables.measurements(comparison), _FIGURES)
    curves = shown_curves(comparison, MAX_ROWS)
    parts: list[RenderableType] = [
        table(figures),
        *(part for shown in curves for part in _curves(shown)),
        table(tables.excluded(comparison), style="red"),
        table(tables.skipped(comparison), style="dim"),
    ]
    return Group(
        *(part for part in parts if not isinstance(part, Table) or part.row_count),
        *_ranges([figures, *(each for shown in curves for each in shown.tables)]),
        *_flags(comparison),
        *(Text(text_table.clean(note), style="dim") for note in comparison.notes if comparison.results),
        *_pages(comparison),
    )


def _pages(comparison: Comparison) -> list[Text]:
    note = device_tables.small_pages_note(comparison.document)
    return [Text(note, style="yellow")] if note else []


def _curves(shown: Shown) -> list[RenderableType]:
    parts: list[RenderableType] = [table(each) for each in shown.tables]
    parts += [Text(f"{shown.benchmark}: {line}") for line in shown.findings]
    if shown.shortened:
        parts.append(Text("The run document has all points.", style="dim"))
    return parts


def comparison_tables(comparison: Comparison) -> RenderableType:
    """The shares of each figure, then one of them against references, projections, others' figures."""
    # A terminal has room for one column of figures.
    shown = tables.headline(comparison.results)
    against = [shown] if shown and tables.is_comparable(shown) else []
    references = tables.references(comparison, against, brief=True)
    projections = tables.projections(comparison)
    title = f"{_share_words(comparison)} for the whole memory"
    parts = [
        table(_with(tables.measurements(comparison), _SHARES, title)),
        table(references),
        table(projections),
        table(_with(tables.published(comparison), _PUBLISHED)),
    ]
    limits = []
    if references.rows:
        limits.append("References are theoretical peaks; the last column is the measured figure over each.")
    if projections.rows:
        limits.append("A projection assumes the efficiency measured here.")
    notes = [Text(" ".join(limits), "dim")] if limits else []
    return Group(*(each for each in parts if each.row_count), *notes)


def _share_words(comparison: Comparison) -> str:
    if any(each.per_module_bytes_per_second for each in comparison.results):
        return "Per pin, per module (32 bits of the bus), and time"
    return "Per pin, and time" if comparison.theory else "Time"


def side_tables(comparison: SidesComparison) -> RenderableType:
    """The sides, what is not the same about them, their figures with verdicts, and why."""
    results, lines = sides.results_table(comparison)
    shown = table(results)
    for row, line in zip(shown.rows, lines, strict=True):
        row.style = _COLORS.get(line.verdict.verdict, "") if line.verdict else ""
    others = [
        table(sides.sides_table(comparison)),
        table(sides.differences_table(comparison), style="yellow"),
        shown,
        table(sides.shares_table(comparison)),
        table(sides.means_table(comparison)),
        table(sides.published_table(comparison)),
    ]
    return Group(*(each for each in others if each.row_count), *map(Text, sides.reasons(comparison)))


def generation_tables(found: Sequence[Generations]) -> RenderableType:
    """Each device against generations of GDDR, vendors' claims, and what nothing of it proves."""
    parts = [part for each in found for part in (generations_table(each), claims_table(each))]
    return Group(*map(table, parts), *(Text(line, "dim") for line in generation_notes(found)))


def pooled_tables(comparison: SidesComparison) -> RenderableType:
    """The runs of one side taken together: their figures, and the spread between them."""
    return Group(*(table(each) for each in sides.pooled_tables(comparison) if each.rows))


def table(found: text_table.Table, style: str = "") -> FittingTable:
    """One table of the report's model, without columns in which no figure is known."""
    shown = FittingTable(
        title=found.title, title_justify="left", box=box.SIMPLE, style=style, show_header=any(found.columns)
    )
    known = [
        number
        for number in range(len(found.columns))
        if found.is_text(number) or any(row[number] != text_table.UNKNOWN for row in found.rows)
    ]
    for number in known:
        add = shown.add_text_column if found.is_text(number) else shown.add_figure_column
        add(found.columns[number])
    for row in found.rows:
        shown.add_row(*(Text(row[number]) for number in known))
    shown.set_widths()
    return shown


def _with(found: text_table.Table, names: Sequence[str], title: str | None = None) -> text_table.Table:
    """Only these columns: a terminal has room for few; the Markdown report has them all."""
    kept = [number for number, name in enumerate(found.columns) if name in names]
    return text_table.Table(
        found.title if title is None else title,
        tuple(found.columns[number] for number in kept),
        tuple(tuple(row[number] for number in kept) for row in found.rows),
        sum(number < found.text_columns for number in kept),
        sum(number >= len(found.columns) - found.last_text for number in kept),
    )


def _ranges(tables: Iterable[text_table.Table]) -> list[Text]:
    """What the mark means, if any of these tables has it."""
    cells = (cell for each in tables for row in each.rows for cell in row)
    return [Text(RANGE)] if any(cell.endswith(RANGE_MARK) for cell in cells) else []


def _flags(comparison: Comparison) -> list[Text]:
    notes = flag_notes(comparison)
    return [Text.assemble((note.flag, "bold yellow"), f": {note.text}") for note in notes]

"""Runs as a Markdown report: the figures, what they mean, and what they do not mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gpubench.comparison.compare import Comparison, compare
from gpubench.report import device_tables, tables, text_table
from gpubench.report.curves import MAX_POINTS, shown_curves
from gpubench.report.flag_notes import flag_notes
from gpubench.report.headline import headline
from gpubench.report.text_table import RANGE
from gpubench.results.document import RunDocument
from gpubench.units import format_bandwidth

_ADDRESS = re.compile(r"https?://[\w./:?=&%+,-]+", re.ASCII)
_MARKS = re.compile(r"([\\`*_\[\]<>|#~])")

HOW_TO_READ = (
    "Bandwidth counts the bytes that must cross the memory bus; for caches and links, the bytes that were "
    "moved. 1 GB/s is 10^9 byte/s. Every figure is the median of its samples, with the 95 % confidence "
    f"interval of that median. {RANGE} A figure whose data were not verified is not shown. *of theory* is "
    "the fraction of the nominal peak, data rate x bus width / 8; *at live clock* is the fraction of the "
    "peak at the memory clock that was seen while measuring. A module is 32 bits of the bus. *whole memory* "
    "is the time of one pass over all of it at that bandwidth. Payload is the part of the bytes that was "
    "asked for. Bars are shares of the highest figure of their table."
)
REFERENCES = (
    "References are theoretical peaks. The column *own theory* is this device's theory over the "
    "reference's; the others are the measured figure over the reference's theory, so for a board with the "
    "same memory they are below 1."
)
PROJECTION = (
    "Not measured: the theory of another memory on this bus, times the efficiency measured here. It assumes "
    "that the other memory would reach the same fraction of its peak."
)
PUBLISHED = (
    "Measured elsewhere, with other drivers and clocks, and with other programs or gpubench, as the first "
    "column says. A run that is published itself is among them. Grade A is a complete log, B a partial one. "
    "The same test on one kind of board differs by 7 to 8 % between hosts."
)
SKIPPED = "This device, or its runtime, does not support these; that is not an error."
DIGESTS = (
    "`gpubench verify` recomputes the SHA-256: it shows that a document was not changed since this report "
    "was made, and not that its figures are honest."
)
_CLAIMS = "Statements by vendors, with their dates. None of them was measured here."


def render_markdown(
    documents: Sequence[RunDocument], *, references: bool | None = None, digests: Sequence[str] = ()
) -> str:
    """The report on these runs, in their order; ends with a newline.

    All text from a document is escaped, so that it is shown literally. ``references`` is for ``compare``;
    ``digests`` are the SHA-256 of the documents, for ``gpubench verify``.
    """
    comparisons = [compare(document, references=references) for document in documents]
    parts = ["# Memory bandwidth"]
    if not comparisons:
        parts.append("There are no runs to report.")
        return _joined(parts)
    parts.append(HOW_TO_READ)
    if len(comparisons) > 1:
        parts.append(markdown_table(overview(comparisons)))
    for comparison in comparisons:
        parts += _run(comparison)
    parts += ["## What cannot be concluded from these figures", _bullets(_not_allowed(comparisons))]
    claims = tables.claims(comparisons)
    if claims.rows:
        parts += [f"## {claims.title}", _CLAIMS, markdown_table(claims)]
    if digests:
        parts += ["## Run documents", DIGESTS, _bullets(map(_digest, documents, digests))]
    return _joined(parts)


def _digest(document: RunDocument, sha256: str) -> str:
    return f"{escape(text_table.clean(document.run_id))}: SHA-256 `{sha256}`"


def _run(comparison: Comparison) -> list[str]:
    document = comparison.document
    parts = [
        f"## {escape(device_tables.device_name(document))}, run {escape(text_table.clean(document.run_id))}",
        _headline(comparison),
        markdown_table(device_tables.device_facts(document, comparison.theory)),
        _bullets(escape(text_table.clean(note)) for note in comparison.notes),
    ]
    parts += _section(tables.measurements(comparison))
    parts += _curves(comparison)
    parts += _flags(comparison)
    parts += _section(tables.excluded(comparison))
    parts += _section(tables.skipped(comparison), SKIPPED)
    parts += _section(tables.references(comparison, comparison.results), REFERENCES)
    parts += _projection(comparison)
    parts += _section(tables.published(comparison), PUBLISHED)
    parts += _explanations(document)
    parts += _section(device_tables.environment_facts(document))
    return parts


def _curves(comparison: Comparison) -> list[str]:
    parts: list[str] = []
    for shown in shown_curves(comparison, MAX_POINTS):
        for each in shown.tables:
            parts += _section(each)
        if not shown.tables:
            parts.append(f"### {escape(shown.benchmark)}")
        parts.append(_bullets(map(escape, shown.findings)))
        if shown.shortened:
            parts.append("The run document has all points.")
    return parts


def _explanations(document: RunDocument) -> list[str]:
    """The benchmarks' explanations, from the program that measured."""
    lines = [
        f"**{escape(text_table.clean(name))}**: {escape(text_table.clean(text))}"
        for name, text in document.explanations.items()
    ]
    return ["### What was measured", _bullets(lines)] if lines else []


def _headline(comparison: Comparison) -> str:
    figure, rest = headline(comparison)
    return f"**{escape(figure)}**{rest}"  # the rest is numbers and names of flags


def _projection(comparison: Comparison) -> list[str]:
    table = tables.projections(comparison)
    reasons = {
        result.no_projection: [
            text_table.label(each)
            for each in comparison.results
            if each.no_projection == result.no_projection
        ]
        for result in comparison.results
        if result.no_projection
    }
    lines = _bullets(f"None for {escape(', '.join(names))}: {escape(why)}." for why, names in reasons.items())
    if not table.rows:
        return [f"### {table.title}", lines] if lines else []
    return [f"### {table.title}", PROJECTION, markdown_table(table), lines]


def overview(comparisons: Sequence[Comparison]) -> text_table.Table:
    rows = []
    for comparison in comparisons:
        document = comparison.document
        shown = tables.headline(comparison.results)
        figure = (
            (
                text_table.label(shown),
                format_bandwidth(shown.bandwidth.median),
                text_table.interval_of(shown),
                ", ".join(shown.flags) or "none",
            )
            if shown
            else (text_table.UNKNOWN, "no figure", text_table.UNKNOWN, text_table.UNKNOWN)
        )
        device, run = device_tables.device_name(document), text_table.clean(document.run_id)
        rows.append((device, run, text_table.clean(document.outcome), *figure))
    columns = ("device", "run", "outcome", "shown", "bandwidth", "interval", "flags")
    return text_table.Table("Runs", columns, tuple(rows), len(columns))


def _flags(comparison: Comparison) -> list[str]:
    lines = [f"`{note.flag}`: {escape(note.text)}" for note in flag_notes(comparison)]
    return ["### What the flags mean", _bullets(lines)] if lines else []


def _not_allowed(comparisons: Sequence[Comparison]) -> Iterable[str]:
    return dict.fromkeys(text for comparison in comparisons for text in comparison.not_allowed)


def _section(table: text_table.Table, introduction: str = "") -> list[str]:
    return [f"### {escape(table.title)}", introduction, markdown_table(table)] if table.rows else []


def markdown_table(table: text_table.Table) -> str:
    rule = [":--" if table.is_text(number) else "--:" for number in range(len(table.columns))]
    return "\n".join(_line(row) for row in (map(escape, table.columns), rule, *map(_escaped, table.rows)))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(cells: Iterable[str]) -> list[str]:
    return [escape(cell) for cell in cells]


def escape(text: str) -> str:
    """Text that is shown literally; a web address stays a link."""
    return " ".join(
        word if _ADDRESS.fullmatch(word) else _MARKS.sub(r"\\\1", word) for word in text.split(" ")
    )


def escape_prose(text: str) -> str:
    """As ``escape``, for the program's own sentences: what stands between `` ` `` stays code."""
    parts = re.split(r"(`[^`]+`)", text)
    # A `|` would end the cell of a table, also in code.
    return "".join(
        part if index % 2 and "|" not in part else escape(part) for index, part in enumerate(parts)
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"

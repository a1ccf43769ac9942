"""What stands on the page, and in which order; the words around it are in ``page.html``."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpubench import __version__
from gpubench.comparison.sides import Side, compare_sides, whole_memory
from gpubench.errors import InternalError
from gpubench.report import device_tables, palette, tables
from gpubench.report.extra import needs_report_extra
from gpubench.report.figures import Figure, figures
from gpubench.report.figures.draw import svg
from gpubench.report.flag_notes import FlagNote, flag_notes
from gpubench.report.headline import verdict_lines
from gpubench.report.markdown import HOW_TO_READ, PROJECTION, PUBLISHED, REFERENCES, SKIPPED, overview
from gpubench.report.sides import differences_table, reasons, results_table, sides_table
from gpubench.report.subject import Entry, Subject
from gpubench.report.text_table import UNKNOWN, Table, clean
from gpubench.results.kept import KeptDocument, pack

WIDE, PHONE = 680, 340
"""Widths of each chart, in pixels: a wide one shrunk to a phone could not be read."""

MAX_EMBEDDED_BYTES = 12_000_000
"""Of all documents, unpacked; a report of more runs names their SHA-256 and does not carry them."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Chart:
    """``problem`` says why there is no drawing."""

    figure: Figure
    wide: str = ""
    phone: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Details:
    """What the page says of one run; ``tables`` come with a sentence each."""

    entry: Entry
    notes: Sequence[str]
    warnings: Sequence[FlagNote]
    tables: Sequence[tuple[Table, str]]
    metadata: Sequence[Table]


@dataclass(frozen=True)
class Carried:
    """A document at the end of the page; ``address`` is null if there are too many to carry."""

    kept: KeptDocument
    label: str
    address: str | None


def render_html(subject: Subject) -> str:
    """The whole page: no script, and nothing that is loaded from elsewhere.

    Raises ``MissingDependency`` without the extra ``report``, and ``CatalogError`` for an unknown board.
    """
    return fill_in(
        "page.html",
        title=_title(subject),
        verdict=verdict_lines(subject),
        subject=subject,
        hardware=_hardware(subject),
        overview=overview([each.comparison for each in subject.entries])
        if len(subject.entries) > 1 and not subject.is_fleet
        else None,
        figures=figures(subject),
        against_first=_against_first(subject),
        details=[_details(each) for each in subject.drawn] if not subject.is_fleet else [],
        fleet_notes=_fleet_notes(subject) if subject.is_fleet else [],
        explanations=_explanations(subject),
        not_allowed=list(
            dict.fromkeys(text for each in subject.entries for text in each.comparison.not_allowed)
        ),
        claims=tables.claims([each.comparison for each in subject.entries]),
        documents=_carried(subject),
        how_to_read=_plain(HOW_TO_READ),
        glossary=_glossary(),
    )


def fill_in(name: str, *, figures: Sequence[Figure], **values: Any) -> str:
    """A page of this folder, with its style, its figures as ``charts``; raises ``MissingDependency``."""
    with needs_report_extra():
        import jinja2
        from markupsafe import Markup

        from gpubench.report.templates import environment
    page: str = (
        environment(jinja2.FileSystemLoader(_FOLDER))
        .get_template(name)
        .render(
            style=Markup(_style()),  # noqa: S704 - our own
            charts=[_chart(each, Markup) for each in figures],
            version=__version__,
            **values,
        )
    )
    return page


def _chart(figure: Figure, markup: Callable[[str], str]) -> Chart:
    """One that cannot be drawn does not take the report with it: its table remains."""
    try:
        return Chart(
            figure, *(markup(svg(figure, width)) for width in (WIDE, PHONE))
        )  # Vega escapes its texts
    except InternalError as error:
        return Chart(figure, problem=error.message)


def _title(subject: Subject) -> str:
    names = [each.label for each in subject.entries]
    if len(names) <= 2:
        return f"Memory bandwidth: {' and '.join(names) or 'no runs'}"
    return f"Memory bandwidth of {len(names)} runs"


def _hardware(subject: Subject) -> Table:
    """A row for each fact, a column for each run, or in a fleet for each kind of device."""
    kinds: dict[tuple[tuple[str, ...], ...], list[Entry]] = {}
    for each in subject.entries:
        rows = device_tables.device_facts(each.document, each.comparison.theory).rows
        kinds.setdefault(rows if subject.is_fleet else (*rows, (each.label,)), []).append(each)
    shown = list(kinds.items())[: palette.MOST]
    columns = [{row[0]: row[1] for row in rows if len(row) > 1} for rows, _ in shown]
    names = list(dict.fromkeys(name for facts in columns for name in facts))
    rows = tuple((name, *(facts.get(name, UNKNOWN) for facts in columns)) for name in names)
    labels = [f"{len(same)} runs" if subject.is_fleet else same[0].label for _, same in shown]
    title = f"Hardware, {len(shown)} of {len(kinds)} kinds" if len(kinds) > len(shown) else "Hardware"
    return Table(title, ("", *labels), rows, 1 + len(labels))


def _against_first(subject: Subject) -> tuple[list[Table], list[str]]:
    """Each further run against the first: figures of the whole memory, what differs, and reasons."""
    if subject.is_fleet or len(subject.drawn) < 2:
        return [], []
    compared = compare_sides([Side(each.label, (each.document,)) for each in subject.drawn])
    whole = replace(compared, rows=tuple(row for row in compared.rows if whole_memory(row)))
    found = (sides_table(whole), differences_table(whole), results_table(whole)[0])
    return [table for table in found if table.rows], reasons(whole) if whole.rows else []


def _details(entry: Entry) -> Details:
    comparison = entry.comparison
    shown = (
        (tables.excluded(comparison), ""),
        (tables.skipped(comparison), SKIPPED),
        (tables.references(comparison, comparison.results), REFERENCES),
        (tables.projections(comparison), PROJECTION),
        (tables.published(comparison), PUBLISHED),
    )
    return Details(
        entry=entry,
        notes=[clean(note) for note in comparison.notes],
        warnings=flag_notes(comparison),
        tables=[(table, _plain(words)) for table, words in shown if table.rows],
        metadata=[
            table
            for table in (
                device_tables.device_facts(entry.document, comparison.theory),
                device_tables.environment_facts(entry.document),
                device_tables.bus_facts(entry.document),
            )
            if table.rows
        ],
    )


def _plain(markdown: str) -> str:
    return markdown.replace("*", "")


def _fleet_notes(subject: Subject) -> list[tuple[FlagNote, list[str]]]:
    """Each warning once, with the runs that have it."""
    found: dict[FlagNote, list[str]] = {}
    for each in subject.entries:
        for note in flag_notes(each.comparison):
            found.setdefault(note, []).append(each.label)
    return list(found.items())


def _explanations(subject: Subject) -> list[tuple[str, str]]:
    """What each benchmark does, in the words of the program that measured."""
    found: dict[str, str] = {}
    for each in subject.entries:
        found |= {clean(name): clean(text) for name, text in each.document.explanations.items()}
    return list(found.items())


def _carried(subject: Subject) -> list[Carried]:
    fits = sum(len(each.data) for each in subject.kept) <= MAX_EMBEDDED_BYTES
    return [Carried(each.kept, each.label, pack(each.kept) if fits else None) for each in subject.entries]


def _style() -> str:
    """The style sheet, with the colours of the palette: dark ones take the places of light ones."""
    swaps = "\n".join(
        f'.chart [{what}="{light}"] {{ {what}: {dark}; }}'
        for light, dark in zip(palette.LIGHT, palette.DARK, strict=True)
        for what in ("fill", "stroke")
    )
    text = (_FOLDER / "page.css").read_text(encoding="utf-8")
    return text.replace("/* colours of devices */", swaps)


@functools.cache
def _glossary() -> tuple[tuple[str, str], ...]:
    found: dict[str, Any] = tomllib.loads((_FOLDER / "glossary.toml").read_text(encoding="utf-8"))
    return tuple((word, row["text"]) for word, row in found.items())

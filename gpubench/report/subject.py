"""What a report is about: runs with their comparisons, labels and colours, and boards of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gpubench.catalog.load import Board
from gpubench.catalog.lookup import find_board
from gpubench.catalog.theory import theory_of_board
from gpubench.comparison.compare import Comparison, compare
from gpubench.comparison.references import PublishedFigure, published
from gpubench.report import palette
from gpubench.report.device_tables import device_name
from gpubench.report.text_table import clean
from gpubench.results.document import RunDocument
from gpubench.results.kept import KeptDocument
from gpubench.results.machine import Theory

CATALOGUE = " (catalogue)"
"""Ends the label of a board that was not measured."""

MAX_LABEL = 40
"""Characters; names come from drivers, and nothing stops one from being a book."""


@dataclass(frozen=True)
class Entry:
    """A run: ``label`` is unlike that of every other run of the report, ``slot`` is its colour."""

    kept: KeptDocument
    comparison: Comparison
    label: str
    slot: int

    @property
    def document(self) -> RunDocument:
        return self.kept.document

    @property
    def theory(self) -> Theory | None:
        return self.comparison.theory


@dataclass(frozen=True)
class CatalogBoard:
    """A board beside the runs: nothing of it was measured here."""

    label: str
    slot: int
    peak_bytes_per_second: float
    published: tuple[PublishedFigure, ...]


@dataclass(frozen=True)
class Subject:
    """``references`` is for ``compare``; ``rows`` are boards of the catalogue beside the runs."""

    kept: Sequence[KeptDocument]
    references: bool | None = None
    rows: Sequence[Board] = ()

    @classmethod
    def of(cls, documents: Sequence[RunDocument], references: bool | None = None) -> Subject:
        """Documents that are in memory."""
        return cls([KeptDocument.of(each) for each in documents], references)

    @classmethod
    def with_boards(
        cls, kept: Sequence[KeptDocument], references: bool | None, boards: Sequence[str]
    ) -> Subject:
        """Raises ``CatalogError`` for a board that the catalogue does not have."""
        rows = {row.id: row for row in map(find_board, boards)}
        return cls(kept, references, tuple(rows.values()))

    @property
    def documents(self) -> list[RunDocument]:
        return [each.document for each in self.kept]

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(
            Entry(kept, compare(kept.document, references=self.references), name, self._slots[name])
            for kept, name in zip(self.kept, self._names, strict=True)
        )

    @cached_property
    def boards(self) -> tuple[CatalogBoard, ...]:
        return tuple(self._board(row) for row in self.rows)

    @cached_property
    def _names(self) -> list[str]:
        return _labels(self.documents)

    @cached_property
    def _slots(self) -> Mapping[str, int]:
        # Runs first, by name: neither their order in the report nor boards beside them change a colour.
        runs = sorted(zip(self._names, map(device_name, self.documents), strict=True))
        return palette.slots(dict(runs) | {_board_label(row): row.label for row in self.rows})

    @property
    def drawn(self) -> tuple[Entry, ...]:
        """The runs that a chart of curves has colours for."""
        return self.entries[: palette.MOST]

    @property
    def is_fleet(self) -> bool:
        """Whether there are more runs than one chart can tell apart."""
        return len(self.entries) > palette.MOST

    def _board(self, row: Board) -> CatalogBoard:
        label, theory = _board_label(row), theory_of_board(row)
        return CatalogBoard(label, self._slots[label], theory.peak_bytes_per_second, published(theory))


def shortened(text: object, most: int = MAX_LABEL) -> str:
    """One clean line of at most ``most`` characters."""
    line = clean(text)
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _labels(documents: Sequence[RunDocument]) -> list[str]:
    """Each device's name, with what tells it from others of that name: its host, its run, or its number."""
    names = [shortened(device_name(each)) or "unknown device" for each in documents]
    for what in (_host, _run):
        counts = Counter(names)
        longer = [
            f"{name}, {more}" if counts[name] > 1 and (more := what(document)) else name
            for name, document in zip(names, documents, strict=True)
        ]
        # A host that is the same for all says nothing.
        names = longer if what is _run or len(set(longer)) > len(set(names)) else names
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[place] = f"{name} ({seen[name]})"
    return names


def _host(document: RunDocument) -> str:
    host = document.environment.host if document.environment else None
    return shortened(host.name, 24) if host and host.name else ""


def _run(document: RunDocument) -> str:
    return f"run {shortened(document.run_id, 9)}"


def _board_label(row: Board) -> str:
    return row.label + CATALOGUE

"""A table for a terminal that stacks its rows if there is no room for its columns."""

from __future__ import annotations

from itertools import chain

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_UNBROKEN = 16
"""Text of up to so many columns, such as an id or a verdict, is not broken, even between words."""

_GAP = 2


class FittingTable(Table):
    """Its cells are ``Text``. A figure, a name or an id that is broken across lines is misread."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._least_width() <= options.max_width:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._stacked()

    def add_text_column(self, header: str) -> None:
        """A column that wraps between words."""
        self.add_column(Text(header), overflow="fold")

    def add_figure_column(self, header: str) -> None:
        """A column that never wraps."""
        self.add_column(Text(header), justify="right", overflow="ellipsis", no_wrap=True)

    def set_widths(self) -> None:
        """Keep short text whole; called when all rows are there."""
        for number, column in enumerate(self.columns):
            column.min_width = max(map(_unbroken, self._texts(number)), default=0)

    def _least_width(self) -> int:
        widths = (
            max((cell_len(text) for text in self._texts(number)), default=0)
            if column.no_wrap
            else column.min_width or 0
            for number, column in enumerate(self.columns)
        )
        return sum(width + _GAP for width in widths) + _GAP

    def _texts(self, number: int) -> list[str]:
        column = self.columns[number]
        return [str(cell) for cell in chain([column.header] if self.show_header else [], column._cells)]

    def _stacked(self) -> RenderResult:
        """Each row as its first cell and a line for each other column."""
        headers = [str(column.header) for column in self.columns]
        width = max(map(cell_len, headers), default=0) + _GAP
        if self.title:
            yield Text(str(self.title), "italic")
        for number, row in enumerate(self.rows):
            head, *cells = [str(column._cells[number]) for column in self.columns]
            yield Padding(Text(head, row.style or "bold"), (0, 0, 0, 2))
            for header, cell in zip(headers[1:], cells, strict=True):
                if header and cell:
                    yield Padding(Text.assemble((header.ljust(width), "dim"), cell), (0, 0, 0, 4))
        yield Text("")


def _unbroken(text: str) -> int:
    """The width of the widest part of ``text`` that stays on one line."""
    width = cell_len(text)
    return width if width <= _UNBROKEN else max(map(cell_len, text.split()), default=0)

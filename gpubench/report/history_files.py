"""Figures over time as files: pictures, one page that works offline, and CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpubench import __version__
from gpubench.comparison.history import Trend
from gpubench.errors import InvalidParameters
from gpubench.report.figures.history import history_figures
from gpubench.report.figures.model import Figure
from gpubench.report.formats import Format, pdf_file, png_file, svg_file
from gpubench.report.history import history_csv, shift_lines, trend_table
from gpubench.report.pictures import column
from gpubench.results.history import History

TITLE = "Figures over time"

_MOST_LINES = 8
"""Of a picture: more changes than these are in its charts alone."""


@dataclass(frozen=True)
class Drawn:
    """Series with what they did, to be drawn; ``source`` says where they are from."""

    trends: Sequence[Trend]
    source: str

    @property
    def figures(self) -> list[Figure]:
        """Raises ``InvalidParameters`` if there is none."""
        found = history_figures(self.trends)
        if not found:
            raise InvalidParameters("there are no figures to draw")
        return found

    @property
    def footer(self) -> list[str]:
        return [f"gpubench {__version__}; {self.source}"]


def history_formats(width: int) -> tuple[Format[Drawn], ...]:
    """What ``gpubench history plot`` writes; pictures are ``width`` pixels wide."""

    def picture(convert: Callable[[str], bytes]) -> Callable[[Drawn], bytes]:
        return lambda drawn: convert(_picture(drawn, width))

    return (
        Format("SVG", (".svg",), picture(svg_file)),
        Format("PNG", (".png",), picture(png_file)),
        Format("PDF", (".pdf",), picture(pdf_file)),
        Format("HTML, one page that works offline", (".html", ".htm"), lambda drawn: _page(drawn).encode()),
        Format("CSV, the data alone", (".csv",), _csv),
    )


def _csv(drawn: Drawn) -> bytes:
    return history_csv(History([trend.series for trend in drawn.trends])).encode()


def _picture(drawn: Drawn, width: int) -> str:
    lines = shift_lines(drawn.trends)
    more = [f"and {len(lines) - _MOST_LINES} more changes"] if len(lines) > _MOST_LINES else []
    return column(TITLE, drawn.figures, [*lines[:_MOST_LINES], *more], drawn.footer, width)


def _page(drawn: Drawn) -> str:
    from gpubench.report.html.page import fill_in

    return fill_in(
        "history.html",
        title=TITLE,
        lines=shift_lines(drawn.trends) or ["No series changed."],
        trends=trend_table(drawn.trends),
        figures=drawn.figures,
        footer=drawn.footer,
    )

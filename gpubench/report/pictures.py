"""A picture for an article: a title, what it says, one or more charts, and what identifies the figures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from html import escape

from gpubench import __version__
from gpubench.errors import InternalError, InvalidParameters
from gpubench.report.figure_csv import figures_csv
from gpubench.report.figures import Figure, figures
from gpubench.report.figures.draw import size, svg
from gpubench.report.figures.look import FONT
from gpubench.report.formats import Format, pdf_file, png_file, svg_file
from gpubench.report.headline import verdict_lines
from gpubench.report.palette import INK, MUTED, PAPER
from gpubench.report.subject import Subject, shortened
from gpubench.report.text_table import clean

MIN_WIDTH, MAX_WIDTH, USUAL_WIDTH = 320, 2400, 800
"""Pixels."""

SHEET_WIDTH = 1400
"""Of a picture of all figures, which has two columns."""

_MARGIN = 20
_MOST_DIGESTS = 4


def plot_formats(name: str, width: int) -> tuple[Format[Subject], ...]:
    """The formats of one figure; each raises ``InvalidParameters`` for one that the runs have no data for."""

    def drawn(convert: Callable[[str], bytes]) -> Callable[[Subject], bytes]:
        return lambda subject: convert(picture(subject, find_figure(subject, name), width))

    def data(subject: Subject) -> bytes:
        return figures_csv(subject, [find_figure(subject, name)]).encode()

    return (
        Format("SVG", (".svg",), drawn(svg_file)),
        Format("PNG", (".png",), drawn(png_file)),
        Format("PDF", (".pdf",), drawn(pdf_file)),
        Format("CSV, the data alone", (".csv",), data),
    )


def find_figure(subject: Subject, name: str) -> Figure:
    """Raises ``InvalidParameters`` for a figure that the runs have no data for."""
    found = figures(subject)
    for each in found:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in found)
    raise InvalidParameters(
        f"no figure {shortened(name)!r} of these runs; allowed: {names}"
        if names
        else "these runs have no figures to draw"
    )


def picture(subject: Subject, figure: Figure, width: int = USUAL_WIDTH) -> str:
    """One figure as SVG, ``width`` pixels wide."""
    inner = width - 2 * _MARGIN
    lines = [figure.caption, *(shortened(line, 160) for line in verdict_lines(subject)[:3])]
    return _sheet(figure.title, lines, [svg(figure, inner)], _footer(subject), width, columns=1)


def sheet(subject: Subject) -> str:
    """All figures as one SVG."""
    inner = (SHEET_WIDTH - 3 * _MARGIN) // 2
    found = figures(subject)
    drawn = [each for figure in found if (each := _titled(figure, inner))]
    lines = [shortened(line, 200) for line in verdict_lines(subject)]
    return _sheet("Memory bandwidth", lines, drawn, _footer(subject), SHEET_WIDTH, columns=2)


def column(
    title: str, figures: Sequence[Figure], lines: Sequence[str], footer: Sequence[str], width: int
) -> str:
    """Figures one below the other as one SVG, ``width`` pixels wide; what cannot be drawn is left out."""
    drawn = [each for figure in figures if (each := _titled(figure, width - 2 * _MARGIN))]
    return _sheet(title, [shortened(line, 400) for line in lines], drawn, footer, width, columns=1)


def _titled(figure: Figure, width: int) -> str | None:
    """A chart with its title above it, as an SVG of its own; null if it cannot be drawn."""
    try:
        drawn = svg(figure, width)
    except InternalError:
        return None
    wide, high = size(drawn)
    lines = _wrapped(figure.title, width, 15)
    texts = [_text(4, 18 + 20 * number, line, 15, bold=True) for number, line in enumerate(lines)]
    top = 10 + 20 * len(lines)
    return _svg(max(width, wide), high + top, [*texts, _placed(drawn, 0, top)])


def _sheet(
    title: str,
    lines: Sequence[str],
    charts: Sequence[str],
    footer: Sequence[str],
    width: int,
    *,
    columns: int,
) -> str:
    y = float(_MARGIN + 18)
    parts: list[str] = []
    for line in _wrapped(title, width, 20):
        parts.append(_text(_MARGIN, y, line, 20, bold=True))
        y += 26
    for line in lines:
        for piece in _wrapped(line, width, 13):
            parts.append(_text(_MARGIN, y, piece, 13, MUTED))
            y += 18
    heights = [y] * columns
    step = (width - _MARGIN) / columns
    for chart in charts:
        column = heights.index(min(heights))
        wide, high = size(chart)
        scale = min(1.0, (step - _MARGIN) / wide)
        parts.append(_placed(chart, _MARGIN + column * step, heights[column], scale))
        heights[column] += high * scale + _MARGIN
    y = max(heights) + 10
    for line in footer:
        for piece in _wrapped(line, width, 11):
            parts.append(_text(_MARGIN, y, piece, 11, MUTED))
            y += 15
    return _svg(width, y + _MARGIN / 2, parts)


def _footer(subject: Subject) -> list[str]:
    """Which documents the figures are from; ``gpubench verify`` recomputes the sums."""
    found = [f"gpubench {__version__}"]
    shown = subject.entries[:_MOST_DIGESTS]
    found += [f"{each.label}, {each.document.created_at[:10]}: SHA-256 {each.kept.sha256}" for each in shown]
    left = len(subject.entries) - len(shown)
    return [*found, f"and {left} more runs"] if left else found


def _wrapped(text: str, width: int, size_px: int) -> list[str]:
    # Letters of this font are about half as wide as they are high.
    return textwrap.wrap(text, max(20, int((width - 2 * _MARGIN) / (0.53 * size_px))))


def _text(x: float, y: float, text: str, size_px: int, color: str = INK, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-family="{FONT}" font-size="{size_px}px" fill="{color}"{weight}>'
        f"{escape(clean(text))}</text>"
    )


def _placed(drawing: str, x: float, y: float, scale: float = 1.0) -> str:
    return f'<g transform="translate({x:g},{y:g}) scale({scale:g})">{drawing}</g>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>{"".join(parts)}</svg>'
    )

"""Specifications as SVG, and SVG as PNG and PDF: in this process, without a browser and without a network."""

from __future__ import annotations

import re
from typing import Any

from gpubench.errors import InternalError
from gpubench.report.extra import needs_report_extra
from gpubench.report.figures.model import Figure
from gpubench.report.subject import shortened

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
"""Characters of two UTF-16 units: Vega shortens a label between them, and then fails."""

_MAX_TEXT = 400
"""Characters: more than any label has, and than any expression of ours."""

_ID = re.compile(r'(?<= id=")[^"]+(?=")|(?<=url\(#)[^)]+(?=\))|(?<=href="#)[^"]+(?=")')


def svg(figure: Figure, width: int) -> str:
    """A chart about ``width`` pixels wide. Its ids begin with its name and width: a page has many charts.

    Raises ``InternalError`` for a chart that Vega refuses, and ``MissingDependency``.
    """
    spec = _harmless(figure.draw(width))
    try:
        drawn: str = _vl_convert().vegalite_to_svg(spec, allowed_base_urls=[])
    except ValueError as error:
        why = " ".join(str(error).split())[:200]
        raise InternalError(f"the figure {figure.name} cannot be drawn: {why}") from None
    # Vega counts its ids over all charts of a process: numbered anew, the same chart is the same text.
    found = {name: number for number, name in enumerate(dict.fromkeys(_ID.findall(drawn)))}
    prefix = f"{re.sub('[^a-z0-9]', '-', figure.name.lower())}-{width}"
    return _ID.sub(lambda match: f"{prefix}-{found[match[0]]}", drawn)


def _harmless(part: Any) -> Any:
    """A part of a specification without characters at which drawing fails or ends the process."""
    if isinstance(part, str):
        return _ASTRAL.sub("□", shortened(part, _MAX_TEXT))
    if isinstance(part, dict):
        return {name: _harmless(value) for name, value in part.items()}
    return [_harmless(each) for each in part] if isinstance(part, list) else part


def png(drawing: str, scale: float = 2.0) -> bytes:
    """Twice the pixels of its size, for screens that have them."""
    converted: bytes = _vl_convert().svg_to_png(drawing, scale=scale)
    return converted


def pdf(drawing: str) -> bytes:
    converted: bytes = _vl_convert().svg_to_pdf(drawing)
    return converted


def size(drawing: str) -> tuple[float, float]:
    """Width and height of an SVG in pixels."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
    if found is None:
        raise ValueError("an SVG without a viewBox")
    return float(found[1]), float(found[2])


def _vl_convert() -> Any:
    with needs_report_extra():
        import vl_convert

        return vl_convert

"""What all charts share: fonts, colours, axes of sizes and times, and how a chart becomes a specification."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpubench.report import palette
from gpubench.report.extra import needs_report_extra
from gpubench.report.figures.model import Spec

if TYPE_CHECKING:
    import altair as alt

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
NARROW = 480
"""Pixels; narrower charts are for phones and have fewer marks on their axes."""

NUMBER = ",~r"
"""How numbers are written along axes: 20 and 1,000, not 2e+1."""

DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond")

_BYTES = (
    "datum.value >= 1073741824 ? datum.value / 1073741824 + ' GiB' : "
    "datum.value >= 1048576 ? datum.value / 1048576 + ' MiB' : "
    "datum.value >= 1024 ? datum.value / 1024 + ' KiB' : datum.value + ' B'"
)


def altair() -> Any:
    """The library, loaded when something is drawn; raises ``MissingDependency``."""
    with needs_report_extra():
        import altair as alt

        return alt


def finished(chart: alt.TopLevelMixin, width: int) -> Spec:
    """A chart as Vega-Lite, with the look of all charts; one in a single part fills the width."""
    text = {"labelColor": palette.INK, "titleColor": palette.INK, "labelFontSize": 12, "titleFontSize": 12}
    configured = chart.configure(
        aria=False,  # the page says it in words; a description of every mark is noise
        font=FONT,
        background="transparent",
        padding=4,
        view={"stroke": None},
        axis={
            **text,
            "titleFontWeight": "normal",
            "gridColor": palette.GRID,
            "domainColor": palette.MUTED,
            "tickColor": palette.MUTED,
            "labelOverlap": "greedy",
            "labelSeparation": 8,
            "labelLimit": 190 if width < NARROW else 300,
        },
        axisYDiscrete={"labelOverlap": False},  # each row of a bar chart has its name
        legend={
            **text,
            "orient": "top",
            "direction": "vertical" if width < NARROW else "horizontal",
            "columns": 1 if width < NARROW else 2,
            "title": None,
            "labelLimit": width - 60,
            "symbolStrokeWidth": 2,
            "symbolOpacity": 1,
        },
        header={**text, "title": None, "labelFontWeight": "bold", "labelLimit": width},
    )
    spec: Spec = configured.to_dict(validate=False)  # which is slow; a test validates every chart
    if "width" in spec:
        spec |= {"width": width, "autosize": {"type": "fit-x", "contains": "padding"}}
    return spec


def device_color(slots: Mapping[str, int], *, legend: bool | None = None) -> alt.Color:
    """By device; with a legend if there are several."""
    alt = altair()
    shown = len(slots) > 1 if legend is None else legend
    return alt.Color(  # type: ignore[no-any-return]
        "device:N",
        scale=alt.Scale(domain=list(slots), range=[palette.LIGHT[slot] for slot in slots.values()]),
        legend=alt.Legend() if shown else None,
    )


def size_axis(field: str, title: str, values: Iterable[float], width: int) -> alt.X:
    """Sizes in bytes, on a logarithmic axis with marks at powers of two."""
    alt = altair()
    found = [value for value in values if value > 0]
    low, high = math.floor(math.log2(min(found))), math.ceil(math.log2(max(found)))
    step = max(1, math.ceil((high - low) / max(2, width // 70)))
    return alt.X(  # type: ignore[no-any-return]
        f"{field}:Q",
        title=title,
        scale=alt.Scale(type="log", base=2, nice=False, padding=8),
        axis=alt.Axis(
            values=[math.ldexp(1, power) for power in range(low, high + 1, step)],
            labelExpr=_BYTES,
            grid=False,
        ),
    )


def number_axis(
    channel: str, field: str, title: str, values: Sequence[float], *, log: bool, zero: bool = True
) -> Any:
    """``channel`` is ``X`` or ``Y``; a logarithmic axis has marks at 1, 2 and 5."""
    alt = altair()
    if not log:
        scale, axis = alt.Scale(zero=zero), alt.Axis(format=NUMBER, tickCount=6)
    else:
        scale = alt.Scale(type="log", nice=False, padding=8)
        axis = alt.Axis(values=_one_two_five(values), format=NUMBER)
    return getattr(alt, channel)(f"{field}:Q", title=title, scale=scale, axis=axis)


def _one_two_five(values: Sequence[float]) -> list[float]:
    """Marks between the lowest and the highest; more within one decade, fewer over many."""
    lowest, highest = min(values), max(values)
    low, high = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    decades = math.log10(highest / lowest)
    steps: tuple[float, ...] = (1, 2, 5) if decades <= 3 else (1,)
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if decades <= 1 else steps
    return [float(f"{step}e{power}") for power in range(max(low, -300), min(high, 300) + 1) for step in steps]

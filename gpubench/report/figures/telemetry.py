"""Clocks, power and temperature over a run, one chart below the other on one axis of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpubench.report.figures.look import altair, device_color, finished
from gpubench.report.figures.model import Figure, Row, drawable, present, sentence, thinned
from gpubench.report.subject import Entry, Subject
from gpubench.report.text_table import UNKNOWN, Table
from gpubench.units import to_mhz

if TYPE_CHECKING:
    import altair as alt

_PANELS = (
    ("memory_clock_mhz", "memory clock, MHz"),
    ("compute_clock_mhz", "compute clock, MHz"),
    ("power_watts", "power, W"),
    ("temperature_celsius", "temperature, °C"),
)


def telemetry_charts(subject: Subject) -> list[Figure]:
    """One figure, if any run was watched."""
    found = {entry.label: _rows(entry) for entry in subject.drawn}
    rows = [row for each in found.values() for row in each]
    shown = [(name, title) for name, title in _PANELS if any(name in row for row in rows)]
    if not shown:
        return []
    slots = {entry.label: entry.slot for entry in subject.drawn if entry.document.telemetry.samples}
    cells = tuple(
        (entry.label, title, *_extremes(found[entry.label], name))
        for entry in subject.drawn
        if entry.label in slots
        for name, title in shown
    )
    return [
        Figure(
            name="telemetry",
            title="Clocks, power and temperature",
            caption="Over the whole run. Clocks that fall while power or temperature is at its highest are "
            "limited by it.",
            words=sentence([f"{device}, {what}: {low} to {high}" for device, what, low, high in cells]),
            rows=rows,
            tables=[Table("Lowest and highest", ("device", "what", "lowest", "highest"), cells, 2)],
            draw=lambda width: finished(_panels(rows, shown, slots, width), width),
        )
    ]


def _rows(entry: Entry) -> list[Row]:
    return thinned(
        [
            _drawable(
                {
                    "device": entry.label,
                    "seconds": sample.seconds,
                    "memory_clock_mhz": to_mhz(sample.memory_clock_hz) if sample.memory_clock_hz else None,
                    "compute_clock_mhz": to_mhz(sample.compute_clock_hz) if sample.compute_clock_hz else None,
                    "power_watts": sample.power_watts,
                    "temperature_celsius": sample.temperature_celsius,
                    "limits": ", ".join(sample.limits),
                }
            )
            for sample in entry.document.telemetry.samples
            if drawable(sample.seconds)
        ]
    )


def _drawable(row: Row) -> Row:
    return {
        name: value
        for name, value in present(row).items()
        if not isinstance(value, int | float) or drawable(value)
    }


def _extremes(rows: list[Row], name: str) -> tuple[str, str]:
    values = [row[name] for row in rows if name in row]
    return (f"{min(values):g}", f"{max(values):g}") if values else (UNKNOWN, UNKNOWN)


def _panels(
    rows: list[Row], shown: list[tuple[str, str]], slots: dict[str, int], width: int
) -> alt.TopLevelMixin:
    alt = altair()
    panels = [
        alt.Chart()
        .mark_line(strokeWidth=1.5)
        .encode(
            x=alt.X("seconds:Q", title="time since the run began, s" if name == shown[-1][0] else None),
            y=alt.Y(f"{name}:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=3)),
            color=device_color(slots),
        )
        .properties(width=width - 80, height=90)
        for name, title in shown
    ]
    return alt.vconcat(*panels, data=alt.Data(values=rows))  # type: ignore[no-any-return]

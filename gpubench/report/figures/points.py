"""The points of one benchmark's curves as rows of a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpubench.comparison.curves import Axis, Curve, placed, value_of
from gpubench.report.curves import axis_name
from gpubench.report.figures.model import Row, drawable, first_groups, thinned
from gpubench.report.figures.styles import BY_BANDWIDTH, Style, style_of
from gpubench.report.subject import Entry, Subject, shortened
from gpubench.report.text_table import clean
from gpubench.results.document import Finding, Measurement
from gpubench.results.figures import figure_of
from gpubench.units import GB

MAX_SERIES = 12
MAX_SLICES = 4096


@dataclass(frozen=True)
class Value:
    """What is drawn upwards: its columns, and the title of its axis."""

    column: str
    low: str
    high: str
    title: str
    unit: str
    scale: float


BANDWIDTH = Value(
    "bandwidth_gb_per_second", "low_gb_per_second", "high_gb_per_second", "GB/s", "GB/s", 1 / GB
)
LATENCY = Value("latency_ns", "low_ns", "high_ns", "latency, ns", "ns", 1e9)


@dataclass(frozen=True)
class Drawn:
    """The curves of one benchmark, of all runs that have it, as rows."""

    benchmark: str
    style: Style
    value: Value
    rows: list[Row]
    entries: tuple[Entry, ...]
    findings: tuple[tuple[Entry, Finding], ...]

    @property
    def slots(self) -> dict[str, int]:
        return {each.label: each.slot for each in self.entries}

    @property
    def series(self) -> list[str]:
        return list(dict.fromkeys(row["series"] for row in self.rows))

    @property
    def x(self) -> str:
        return self.style.column

    @property
    def x_title(self) -> str:
        return self.style.x_title or shortened(axis_name("_".join(self.style.x)))

    @property
    def found(self) -> list[str]:
        """The findings as sentences."""
        several = len(self.entries) > 1
        texts = [(entry.label, clean(each.text)) for entry, each in self.findings]
        return [f"{label}: {text}" if several else text for label, text in texts]


def drawn_curves(subject: Subject) -> list[Drawn]:
    """One for each benchmark that has curves, in the order in which runs have them."""
    found: dict[tuple[str, bool], list[tuple[Entry, Curve]]] = {}
    for entry in subject.drawn:
        for curve in entry.comparison.curves:
            found.setdefault((curve.benchmark, curve.is_latency), []).append((entry, curve))
    made = [_drawn(benchmark, same) for (benchmark, _), same in found.items()]
    return [each for each in made if each.rows]


def _drawn(benchmark: str, curves: Sequence[tuple[Entry, Curve]]) -> Drawn:
    style = style_of(curves[0][1])
    value = LATENCY if curves[0][1].is_latency else BANDWIDTH
    rows = [row for entry, curve in curves for row in _rows(entry, curve, style, value)]
    allowed = _series(rows, style)
    rows = [row for row in rows if row["series"] in allowed]
    entries = tuple({entry.label: entry for entry, _ in curves}.values())
    return Drawn(
        benchmark=benchmark,
        style=style,
        value=value,
        rows=thinned(first_groups(rows, style.column) if style.kind == "bars" else rows),
        entries=entries,
        findings=tuple(
            (entry, each)
            for entry in entries
            for each in entry.document.findings
            if each.benchmark == benchmark
        ),
    )


def _series(rows: Sequence[Row], style: Style) -> set[str]:
    """Those that are drawn: no line has a single point, if others have more. The table has all."""
    counts = Counter(row["series"] for row in rows)
    longest = max(counts.values(), default=0)
    drawn = [name for name, count in counts.items() if count > 1 or longest == 1 or style.kind != "line"]
    return set(drawn[:MAX_SERIES])


def _rows(entry: Entry, curve: Curve, style: Style, value: Value) -> Iterator[Row]:
    others = [axis for axis in curve.others if axis not in style.x and axis not in style.where]
    for number, point in enumerate(curve.points):
        place = placed(point)
        if any(place.get(axis, wanted) != wanted for axis, wanted in style.where.items()):
            continue
        x = _place(point, style, number)
        if x is None or (style.kind != "bars" and not isinstance(x, int | float)):
            continue
        figure = value_of(point)
        heights = [each * value.scale for each in (figure.median, figure.low, figure.high)]
        if not (drawable(*heights) and min(heights) > 0) or (
            isinstance(x, int | float) and not _fits(x, style)
        ):
            continue
        told = [_told(axis, place[axis]) for axis in others if axis in place]
        told += [_told(name, each) for name, each in curve.apart.items()]
        row: Row = {
            "device": entry.label,
            "series": shortened(", ".join(told), 60),
            style.column: x if isinstance(x, int | float) else shortened(x),
            **dict(zip((value.column, value.low, value.high), heights, strict=True)),
            "flags": ", ".join(point.flags),
        }
        if not style.payload:
            yield row
            continue
        yield {**row, "series": _joined(row["series"], "bus bytes")}
        share = point.payload_bytes / point.bus_bytes if point.payload_bytes and point.bus_bytes else None
        if share:
            scaled = {name: row[name] * share for name in (value.column, value.low, value.high)}
            yield {**row, **scaled, "series": _joined(row["series"], "payload")}


def _fits(x: float, style: Style) -> bool:
    if style.kind == "map":
        return 0 <= x < MAX_SLICES and x == int(x)
    return drawable(x) and not (style.kind == "line" and style.log_x and x <= 0)


def _place(point: Measurement, style: Style, number: int) -> Axis | None:
    if style.x == (BY_BANDWIDTH,):
        load = point.bandwidth_bytes_per_second
        return load.median / GB if load and figure_of(point) else None
    if style.x == ("point",):
        return number
    values = [placed(point).get(axis) for axis in style.x]
    if None in values:
        return None
    return values[0] if len(values) == 1 else ":".join(map(str, values))


def _told(axis: str, value: object) -> str:
    return str(value) if isinstance(value, str) else f"{axis_name(axis)} {value}"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)

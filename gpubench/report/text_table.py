"""A table of text cells, and the format of figures and names in them; – means unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gpubench import units
from gpubench.comparison.compare import Result
from gpubench.flags import Flag
from gpubench.measure.statistics import MIN_EFFECTIVE_SAMPLES
from gpubench.results.document import Measurement

UNKNOWN = "–"

RANGE_MARK = "(range)"
RANGE = (
    f"{RANGE_MARK}: not a 95 % interval but the lowest to the highest sample, because the samples are too "
    "few, or depend too much on each other. The median of another run may lie outside it."
)


@dataclass(frozen=True)
class Table:
    """Rows of text cells: ``text_columns`` columns of text, then figures, then ``last_text`` of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    last_text: int = 0

    def is_text(self, column: int) -> bool:
        return not self.text_columns <= column < len(self.columns) - self.last_text


def clean(text: object) -> str:
    """One line without control characters: names and reasons come from drivers and from servers."""
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(shown.split())


def label(result: Result) -> str:
    """The benchmark, with what distinguishes it from the run's other figures of the same benchmark."""
    return clean(f"{result.benchmark}{in_brackets(result.apart)}")


def interval_of(result: Result) -> str:
    """The interval of the figure, in GB/s; marked if it is only a range."""
    return interval_cell(result.measurement, result.bandwidth.low, result.bandwidth.high)


def point_label(measurement: Measurement) -> str:
    """The benchmark, and which point of it."""
    return clean(f"{measurement.benchmark}{in_brackets(measurement.axes)}")


def in_brackets(named: Mapping[str, object]) -> str:
    """`` (dtype float, unroll 4)``; empty if there is nothing to name."""
    words = ", ".join(f"{name} {value}" for name, value in named.items())
    return f" ({words})" if words else ""


def cut(text: str, most: int) -> str:
    """At most so many characters, which then end with three dots."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def flagged(text: str, flags: Sequence[Flag]) -> str:
    return f"{text} [{', '.join(flags)}]" if flags else text


def interval_cell(measurement: Measurement, low: float, high: float) -> str:
    return interval(measurement, *(units.number(units.to_gb_per_second(value)) for value in (low, high)))


def interval(measurement: Measurement, low: str, high: str) -> str:
    """``25.25 to 44.02``, marked if there are too few independent samples for an interval."""
    effective = measurement.effective_samples
    holds = effective is None or effective >= MIN_EFFECTIVE_SAMPLES
    return f"{low} to {high}" if holds else f"{low} to {high} {RANGE_MARK}"


def or_unknown(value: float | None, show: Callable[[float], str]) -> str:
    return UNKNOWN if value is None else show(value)


def bytes_cell(size: int | None) -> str:
    return units.format_bytes(size) if size else UNKNOWN


def bits_cell(width: int | None) -> str:
    return f"{width} bit" if width else UNKNOWN


def bandwidth_cell(rate: float | None) -> str:
    return or_unknown(rate, units.format_bandwidth)


def percent_cell(ratio: float | None) -> str:
    return or_unknown(ratio, units.format_percent)

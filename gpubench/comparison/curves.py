"""Points grouped into curves: one curve for each benchmark and set of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpubench.flags import Flag
from gpubench.results.document import Measurement, Summary
from gpubench.results.figures import figure_of, meant

Axis = int | float | str


@dataclass(frozen=True)
class Curve:
    """``points`` are in measured order; ``apart`` distinguishes it from other curves of the benchmark."""

    benchmark: str
    apart: Mapping[str, Any]
    points: tuple[Measurement, ...]

    @property
    def is_latency(self) -> bool:
        """Whether its figure is a time, in seconds, and not byte/s."""
        return self.points[0].quantity == "latency"

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for point in self.points for name in placed(point)))

    @property
    def flags(self) -> list[Flag]:
        return list(dict.fromkeys(flag for point in self.points for flag in point.flags))

    @property
    def along(self) -> str | None:
        """The axis that it is drawn along: the one with the most different numbers."""
        counts = {name: len(set(values)) for name in self.axes if (values := self._numbers(name))}
        return max(counts, key=lambda name: counts[name]) if counts else None

    def _numbers(self, axis: str) -> list[float]:
        values = [placed(point).get(axis) for point in self.points]
        return [value for value in values if isinstance(value, int | float)]

    def series(self) -> list[CurveSeries]:
        """The points with equal positions on all other axes, along ``along``."""
        found: dict[tuple[tuple[str, Axis], ...], list[Measurement]] = {}
        others, along = self.others, self.along
        for point in self.points:
            place = tuple((name, value) for name, value in placed(point).items() if name in others)
            found.setdefault(place, []).append(point)
        return [CurveSeries(dict(place), along, points) for place, points in found.items()]

    @property
    def others(self) -> tuple[str, ...]:
        """The axes other than ``along``, without those that only repeat it in other units."""
        return tuple(name for name in self.axes if name != self.along and not self._follows(name))

    def _follows(self, axis: str) -> bool:
        """Whether the position on ``along`` determines the position on this axis, which is not constant."""
        if self.along is None:
            return False
        places = {(placed(point).get(self.along), placed(point).get(axis)) for point in self.points}
        steps = {along for along, _ in places}
        return len(places) == len(steps) and len({own for _, own in places}) > 1


@dataclass(frozen=True)
class CurveSeries:
    """A line of a curve; ``fixed`` are the axes on which all its points have one position."""

    fixed: Mapping[str, Axis]
    along: str | None
    points: Sequence[Measurement]

    def place(self, point: Measurement) -> Axis | None:
        return placed(point).get(self.along) if self.along else None


def placed(point: Measurement) -> Mapping[str, Axis]:
    """A point's position on all axes, including those that differ between runs."""
    return {**point.axes, **point.places}


def value_of(point: Measurement) -> Summary:
    """The figure of a point that has one."""
    summary = figure_of(point)
    if summary is None:
        raise ValueError(f"a point of {point.benchmark} has no figure")
    return summary


def curves(points: Iterable[Measurement], apart: Mapping[str, Sequence[str]]) -> tuple[Curve, ...]:
    """Points with a figure as curves; ``apart`` as ``told_apart`` gives it."""
    found: dict[tuple[str, str, str], list[Measurement]] = {}
    for point in points:
        key = (point.benchmark, str(sorted(meant(point.parameters).items(), key=str)), point.quantity)
        found.setdefault(key, []).append(point)
    return tuple(
        Curve(name, parameters_apart(same[0], apart), tuple(same)) for (name, _, _), same in found.items()
    )


def told_apart(measurements: Iterable[Measurement]) -> dict[str, list[str]]:
    """For each benchmark the parameters in which its measurements of one run differ."""
    seen: dict[str, list[dict[str, Any]]] = {}
    for measurement in measurements:
        seen.setdefault(measurement.benchmark, []).append(meant(measurement.parameters))
    return {
        benchmark: [
            name
            for name in dict.fromkeys(name for each in all_of_them for name in each)
            if any(each.get(name) != all_of_them[0].get(name) for each in all_of_them)
        ]
        for benchmark, all_of_them in seen.items()
    }


def parameters_apart(measurement: Measurement, apart: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {name: measurement.parameters.get(name) for name in apart.get(measurement.benchmark, ())}

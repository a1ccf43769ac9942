"""Findings on the transfer curves: latency, the size with half the bandwidth, the share of the link."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gpubench.catalog.links import pcie_bytes_per_second
from gpubench.results.document import Finding, Measurement, Summary
from gpubench.results.machine import DeviceInfo
from gpubench.units import format_bandwidth, format_bytes, format_percent, format_seconds

Curve = Mapping[int, Summary]
"""Bytes per second by the size of a transfer in bytes."""


def flagged(measured: Sequence[Measurement], info: DeviceInfo) -> list[Measurement]:
    """The same, with a flag if a figure is above the peak of the link in its directions."""
    peak = pcie_bytes_per_second(info.pcie_generation, info.pcie_lanes)

    def is_over(each: Measurement) -> bool:
        rate, ways = each.bandwidth_bytes_per_second, 2 if each.axes["direction"] == "both" else 1
        return peak is not None and rate is not None and rate.median > ways * peak

    return [
        msgspec.structs.replace(each, flags=["over_theory", *each.flags]) if is_over(each) else each
        for each in measured
    ]


def link_findings(benchmark: str, measured: Sequence[Measurement], info: DeviceInfo) -> Iterator[Finding]:
    """For each direction and kind of memory with two or more verified points.

    Points above the link's theory are left out: they are mistakes until explained.
    """
    peak = pcie_bytes_per_second(info.pcie_generation, info.pcie_lanes)
    if peak:
        yield Finding(
            benchmark,
            "link_theory",
            f"PCIe {info.pcie_generation} x{info.pcie_lanes} carries {format_bandwidth(peak)} in each "
            "direction, of which packet headers take 5 to 10 %",
            peak,
            "byte/s",
        )
    found = _curves(measured)
    for (direction, memory, node), curve in found.items():
        if len(curve) < 2:
            continue
        name, of = f"{direction}_{memory}".replace(" ", "_"), f"{direction}, {memory} memory"
        if node is not None:
            name, of = f"{name}_node{node}", f"{of} of node {node}"
            near = found.get((direction, memory, info.numa_node))
            if near and node != info.numa_node:
                yield _far(benchmark, name, of, curve, near)
        yield _latency(benchmark, name, of, curve, 2 if direction == "both" else 1)
        yield _half(benchmark, name, of, curve)
        if peak:
            yield _link_share(benchmark, name, of, curve, peak * (2 if direction == "both" else 1))


def engine_findings(benchmark: str, measured: Sequence[Measurement]) -> Iterator[Finding]:
    """The copy engine's bandwidth over the kernel's, if both are known."""
    rates = [each.bandwidth_bytes_per_second for each in measured]
    if len(rates) == 2 and rates[0] and rates[1]:
        engine, kernel = (rate.median for rate in rates if rate)
        yield Finding(
            benchmark,
            "engine_ratio",
            f"the runtime's copy within the device moves {format_bandwidth(engine)}, the copy kernel "
            f"{format_bandwidth(kernel)}",
            engine / kernel,
            "ratio",
        )


def half_size_bytes(curve: Mapping[int, float]) -> float:
    """The size at which half of the curve's highest bandwidth is reached first (Hockney's n1/2).

    Between two sizes of the curve by interpolation over the logarithm of the size; the smallest size if
    that reaches it already.
    """
    points = sorted(curve.items())
    half = max(curve.values()) / 2
    if points[0][1] >= half:
        return points[0][0]
    after = next(k for k, (_, rate) in enumerate(points) if rate >= half)
    (small, slow), (large, fast) = points[after - 1 : after + 1]
    return float(small * math.exp(math.log(large / small) * (half - slow) / (fast - slow)))


_Curves = dict[tuple[str, str, int | None], dict[int, Summary]]
"""By direction, kind of memory, and node of the host if that is an axis."""


def _curves(measured: Sequence[Measurement]) -> _Curves:
    curves: _Curves = {}
    for each in measured:
        if each.bandwidth_bytes_per_second and "over_theory" not in each.flags:
            node = each.axes.get("host_node")
            key = (
                str(each.axes["direction"]),
                str(each.axes["memory"]),
                None if node is None else int(node),
            )
            curves.setdefault(key, {})[int(each.axes["size_bytes"])] = each.bandwidth_bytes_per_second
    return curves


def _latency(benchmark: str, name: str, of: str, curve: Curve, directions: int) -> Finding:
    smallest = min(curve)
    seconds = smallest * directions / curve[smallest].median
    text = f"{of}: {format_seconds(seconds)} for {format_bytes(smallest)}, back to back"
    return Finding(benchmark, f"latency_{name}", text, seconds, "s")


def _half(benchmark: str, name: str, of: str, curve: Curve) -> Finding:
    size, highest = half_size_bytes({each: rate.median for each, rate in curve.items()}), _highest(curve)
    at_most = "at most " if size <= min(curve) else ""
    lost = [each for each, rate in curve.items() if each > size and rate.high < highest.low / 2]
    text = (
        f"{of}: half of the highest bandwidth of {format_bandwidth(highest.median)} is first reached at "
        f"{at_most}{format_bytes(size)} (interpolated between two sizes)"
    )
    if lost:
        text += f", and lost again at {', '.join(map(format_bytes, sorted(lost)))}"
    return Finding(benchmark, f"half_size_{name}", text, size, "byte")


def _far(benchmark: str, name: str, of: str, curve: Curve, near: Curve) -> Finding:
    far_rate, near_rate = _highest(curve).median, _highest(near).median
    text = (
        f"{of}: {format_bandwidth(far_rate)}, {format_percent(far_rate / near_rate)} of the "
        f"{format_bandwidth(near_rate)} with memory of the device's own node"
    )
    return Finding(benchmark, f"far_node_ratio_{name}", text, far_rate / near_rate, "ratio")


def _link_share(benchmark: str, name: str, of: str, curve: Curve, peak: float) -> Finding:
    rate = _highest(curve).median
    text = f"{of}: {format_bandwidth(rate)} is {format_percent(rate / peak)} of the link's theory"
    return Finding(benchmark, f"link_ratio_{name}", text, rate / peak, "ratio")


def _highest(curve: Curve) -> Summary:
    return max(curve.values(), key=lambda rate: rate.median)

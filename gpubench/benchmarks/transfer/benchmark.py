"""The transfer family: between host and device, and within the device by its copy engine and by a kernel."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from gpubench.benchmarks.parameters import TransferParameters
from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.benchmarks.stream.workspace import StreamWorkspace
from gpubench.benchmarks.transfer.findings import engine_findings, flagged, link_findings
from gpubench.benchmarks.transfer.host import HostEnd
from gpubench.benchmarks.transfer.peers import measure_peers
from gpubench.benchmarks.transfer.points import both_ways, one_way
from gpubench.devices import host, numa
from gpubench.devices.base import Copy
from gpubench.errors import BenchmarkFailed
from gpubench.measure.memory import Segment, releasing
from gpubench.measure.no_figure import without_figure
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.verification.arrays import salt_of
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Shape
from gpubench.results.machine import DeviceInfo

MIN_TRANSFER_BYTES = 4096
MAX_HOST_SHARE = 4
"""All arrays on the host together take no more than one part in this many of its free memory."""

_HOST_ARRAYS = 4
_PAGEABLE_TOGETHER = (
    "a transfer of pageable memory keeps the calling thread busy until it is done, so that two cannot run "
    "at once"
)


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """Curves over the size for each direction and kind of host memory, then the device's own copies.

    A kind of memory that the host cannot allocate is skipped. Raises ``InvalidParameters`` if the
    footprint is too small.
    """
    parameters = TransferParameters(**planned.parameters)
    with releasing(StreamWorkspace(context, planned, STREAM["copy"])) as workspace:
        task = workspace.filled_task()
        segment = task.segments[0]
        parts = 2 + len(context.device.peers())
        context.progress.part(0, parts)
        yield from _over_the_link(context, planned, parameters, workspace, segment)
        array_bytes = segment.elements * workspace.element_bytes
        largest_bytes = sizes(min(parameters.max_transfer_bytes, array_bytes))[-1]
        yield from measure_peers(context, planned, workspace, segment, (MIN_TRANSFER_BYTES, largest_bytes))
        context.progress.part(parts - 1, parts)
        yield from _within(context, planned, task, workspace.tuned_shape(task))


def sizes(largest_bytes: int) -> list[int]:
    """Each four times the one before, from 4 KiB on."""
    found = [MIN_TRANSFER_BYTES]
    while found[-1] * 4 <= largest_bytes:
        found.append(found[-1] * 4)
    return found


def _over_the_link(
    context: RunContext,
    planned: PlannedBenchmark,
    parameters: TransferParameters,
    workspace: StreamWorkspace,
    segment: Segment,
) -> Iterator[Measurement | Finding]:
    array_bytes = segment.elements * workspace.element_bytes
    nodes = host_nodes(parameters, context.device.info)
    available = (host.available_memory_bytes() or 0) // (_HOST_ARRAYS * len(nodes) * MAX_HOST_SHARE)
    chosen = sizes(min(parameters.max_transfer_bytes, array_bytes, max(available, MIN_TRANSFER_BYTES)))
    with ExitStack() as held:
        ends: list[HostEnd] = []
        held.enter_context(numa.placed_on(nodes[0]))  # and where the thread may run is restored in the end
        for node, memory in itertools.product(nodes, ("pinned", "pageable")):
            try:
                end = HostEnd(
                    context.device,
                    chosen[-1],
                    pinned=memory == "pinned",
                    raise_if_cancelled=context.raise_if_cancelled,
                    node=node,
                )
            except BenchmarkFailed as error:  # such as a limit of locked memory
                axes: dict[str, int | float | str] = {"direction": "any", "memory": memory}
                axes |= _node_axis(node, nodes)
                yield without_figure(planned, "skipped", error.message, axes)
                continue
            held.enter_context(releasing(end))
            if ends:
                end.fill_like(ends[0])
            else:
                end.fill(salt_of(parameters.seed), workspace.element_bytes)
            ends.append(end)
        if not ends:
            return
        points = []
        for nbytes in chosen:
            # The first bytes of both arrays, to be poisoned and verified; no kernel of a shape runs.
            part = dataclasses.replace(segment, elements=nbytes // workspace.element_bytes)
            task = workspace.task([part])
            for end in ends:
                directions = _directions(end, segment, nbytes, task, workspace.shapes[0])
                points += [_on_node(each, end.node, nodes) for each in directions]
        limit = context.profile.transfer_budget_seconds / (2 * len(points))
        measured = flagged(measure_points(context, planned, points, limit), context.device.info)
    yield from measured
    both = {"direction": "both", "memory": "pageable"}
    yield without_figure(planned, "skipped", _PAGEABLE_TOGETHER, both)
    yield from link_findings(planned.name, measured, context.device.info)


def host_nodes(parameters: TransferParameters, info: DeviceInfo) -> list[int | None]:
    """The nodes of the host's memory to measure with, the device's own first; [None] if none is known."""
    every = list(numa.nodes())
    if parameters.host_nodes == "all" and len(every) > 1:
        return sorted(every, key=lambda node: (node != info.numa_node, node))
    return [info.numa_node if info.numa_node in every else None]


def _on_node(point: Point, node: int | None, nodes: Sequence[int | None]) -> Point:
    """The thread runs there too: for pageable memory it copies."""
    if node is None:
        return point
    return dataclasses.replace(
        point,
        axes={**point.axes, **_node_axis(node, nodes)},
        places={**point.places, "host_node": node},
        prepare=partial(numa.run_on, node),
    )


def _node_axis(node: int | None, nodes: Sequence[int | None]) -> dict[str, int]:
    """Of a curve for each node; one that has no other is comparable with that of a system of one node."""
    return {"host_node": node} if node is not None and len(nodes) > 1 else {}


def _directions(
    end: HostEnd, segment: Segment, nbytes: int, task: StreamTask, any_shape: Shape
) -> list[Point]:
    source, target = segment.arrays
    copies = Copy(target, end.source, nbytes), Copy(end.target, source, nbytes)
    into_device = one_way(
        "host to device",
        end.memory,
        copies[0],
        partial(task.poison, any_shape),
        partial(task.verify, any_shape),
    )
    into_host = one_way(
        "device to host", end.memory, copies[1], partial(end.poison, nbytes), partial(end.verify, nbytes)
    )
    if end.memory == "pageable":
        return [into_device, into_host]
    return [into_device, into_host, both_ways(into_device, into_host, copies)]


def _within(
    context: RunContext,
    planned: PlannedBenchmark,
    task: StreamTask,
    shape: Shape,
) -> Iterator[Measurement | Finding]:
    """The device's copy engine beside the kernel, over the same arrays."""
    axes: dict[str, int | float | str] = {"memory": "device", "size_bytes": task.footprint_bytes // 2}
    kernel = dataclasses.replace(task.point(shape), axes={"direction": "local kernel", **axes})
    engine = dataclasses.replace(
        kernel,
        operations=task.engine_copies(),
        axes={"direction": "local engine", **axes},
        shape=None,
    )
    limit = context.profile.time_limit_seconds / 2
    measured = measure_points(context, planned, [engine, kernel], limit)
    yield from measured
    yield from engine_findings(planned.name, measured)

"""Copies between the device and its peers: a row and a column of the matrix of all devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from gpubench.benchmarks.stream.task import StreamTask
from gpubench.benchmarks.stream.workspace import StreamWorkspace
from gpubench.benchmarks.transfer.points import both_ways, one_way
from gpubench.devices.base import Buffer
from gpubench.errors import BenchmarkFailed, OutOfDeviceMemory
from gpubench.measure.memory import Segment, releasing
from gpubench.measure.no_figure import without_figure
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Measurement, Shape
from gpubench.results.machine import DeviceInfo


def measure_peers(
    context: RunContext,
    planned: PlannedBenchmark,
    workspace: StreamWorkspace,
    segment: Segment,
    sizes: Sequence[int],
) -> Iterator[Measurement]:
    """To each peer, from it, and both at once, in ``sizes`` up to the size of the segment's arrays.

    Each is a part of the benchmark, between its first and its last; one that cannot be reached is skipped
    with the reason. The first array of the segment is filled.
    """
    peers = context.device.peers()
    for number, peer in enumerate(peers):
        context.progress.part(1 + number, 2 + len(peers))
        try:
            yield from _with_peer(context, planned, peer, workspace, segment, sizes)
        except (BenchmarkFailed, OutOfDeviceMemory) as error:
            axes = {"direction": "peer", "memory": peer.id}
            yield without_figure(planned, "skipped", error.message, axes)


def _with_peer(
    context: RunContext,
    planned: PlannedBenchmark,
    peer: DeviceInfo,
    workspace: StreamWorkspace,
    segment: Segment,
    sizes: Sequence[int],
) -> list[Measurement]:
    if peer.unavailable:
        raise BenchmarkFailed(peer.unavailable)
    with releasing(context.device.peer_memory(peer.id, 2 * max(sizes))) as memory:

        def task(source: Buffer, target: Buffer, nbytes: int) -> StreamTask:
            elements = nbytes // workspace.element_bytes
            return workspace.task([replace(segment, arrays=(source, target), elements=elements)])

        points: list[Point] = []
        for nbytes in sizes:
            theirs = memory.view(0, nbytes), memory.view(max(sizes), nbytes)
            ours = segment.arrays
            out, back = task(ours[0], theirs[1], nbytes), task(theirs[0], ours[1], nbytes)
            back.fill()
            points += _directions(peer.id, out, back, workspace.shapes[0])
        return measure_points(context, planned, points)


def _directions(peer_id: str, out: StreamTask, back: StreamTask, any_shape: Shape) -> list[Point]:
    """``out`` and ``back`` copy between the devices; their kernels only poison and verify."""
    copies = out.engine_copies()[0], back.engine_copies()[0]
    to_peer, from_peer = (
        one_way(
            direction,
            peer_id,
            copy,
            partial(task.poison, any_shape),
            partial(task.verify, any_shape),
        )
        for direction, copy, task in zip(("to peer", "from peer"), copies, (out, back), strict=True)
    )
    return [to_peer, from_peer, both_ways(to_peer, from_peer, copies)]

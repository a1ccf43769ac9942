"""The launch family: the time of a kernel that does nothing, and so the error of a short sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.workspace import StreamWorkspace
from gpubench.devices.base import Buffer, Launch
from gpubench.errors import BenchmarkFailed
from gpubench.measure.memory import releasing, whole_pages
from gpubench.measure.points import measure_points
from gpubench.measure.run_context import RunContext
from gpubench.measure.series import Point
from gpubench.measure.verification.arrays import ArrayVerifier, salt_of
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, Measurement, Summary
from gpubench.units import format_bandwidth, format_bytes, format_seconds

GROUPS_PER_UNIT = 8
"""Of 256 threads each they fill a GPU: 2048 threads on each multiprocessor."""

BATCHES = (1, 16, 256)
LONG_BATCH = 1024
"""More launches than are held back until all are queued: the device gets them at the host's pace."""

FLOORS_OF_A_SOUND_PASS = 100
_NOTABLE_RATIO = 1.1
"""Between the ends of an interval: a wider one is reported."""

_WORD_BYTES = 8
_PASSES = 5


@dataclass(frozen=True)
class Batch:
    """``launches`` one after the other, each of ``groups``; each group of each writes a mark of its own."""

    groups: int
    launches: int

    @property
    def marks(self) -> int:
        return self.groups * self.launches


def measure(context: RunContext, planned: PlannedBenchmark) -> Iterator[Measurement | Finding]:
    """For each batch the latency of a launch in it; a sample is a single batch.

    Each batch is measured alone, so that the timed launches themselves are verified.
    """
    measured: list[Measurement] = []
    batches = _batches((context.device.info.compute_units or 1) * GROUPS_PER_UNIT)
    nbytes = max(batch.marks for batch in batches) * _WORD_BYTES
    with (
        releasing(ArrayVerifier(context, "double")) as verifier,
        releasing(context.device.allocate(whole_pages(nbytes))) as memory,
    ):
        marks = memory.view(0, memory.nbytes)
        for number, batch in enumerate(batches):
            context.progress.part(number, len(batches))
            point = _point(context, verifier, marks, batch, salt_of(planned.parameters["seed"]))
            measured += measure_points(context, planned, [point], warm=bool(measured))
            yield measured[-1]
    yield from findings(planned.name, measured, _read_bytes_per_second(context, planned))


def findings(
    benchmark: str, measured: Sequence[Measurement], bytes_per_second: float | None
) -> Iterator[Finding]:
    """The floor, a launch among queued ones, and the footprint whose pass is long enough for a figure."""
    latencies = {
        (each.axes["groups"], each.axes["launches"]): each.latency_seconds
        for each in measured
        if each.latency_seconds
    }
    names = {1: "floor", BATCHES[-1]: "queued", LONG_BATCH: "unqueued"}
    texts = {
        1: "one launch by itself, between two readings of the device's clock: the usual cost of any sample",
        BATCHES[-1]: f"each of {BATCHES[-1]} launches that are queued before the first begins",
        LONG_BATCH: f"each of {LONG_BATCH} launches, most of them as fast as the host can launch",
    }
    for launches, name in names.items():
        if each := latencies.get((1, launches)):
            text = f"{_span(each, format_seconds)}: {texts[launches]}"
            yield Finding(benchmark, name, text, each.median, "s")
    floor = latencies.get((1, 1))
    if floor and bytes_per_second:
        bytes_per_floor_second = FLOORS_OF_A_SOUND_PASS * bytes_per_second
        size = _span(floor, lambda seconds: format_bytes(seconds * bytes_per_floor_second))
        yield Finding(
            benchmark,
            "sound_footprint",
            f"a pass over less than {size}, read at about {format_bandwidth(bytes_per_second)}, takes less "
            f"than {FLOORS_OF_A_SOUND_PASS} times the floor: if a sample has no other pass, more than "
            f"{100 / FLOORS_OF_A_SOUND_PASS:.0f} % of that time is the launch",
            floor.median * bytes_per_floor_second,
            "byte",
        )


def _span(figure: Summary, text_of: Callable[[float], str]) -> str:
    """The median, and its interval if that is wide."""
    wide = figure.high > _NOTABLE_RATIO * figure.low
    interval = f" ({text_of(figure.low)} to {text_of(figure.high)})" if wide else ""
    return text_of(figure.median) + interval


def _batches(full: int) -> list[Batch]:
    few = [Batch(1, launches) for launches in (*BATCHES, LONG_BATCH)]
    return few + [Batch(full, launches) for launches in BATCHES]


def _point(context: RunContext, verifier: ArrayVerifier, marks: Buffer, batch: Batch, start: int) -> Point:
    size = verifier.group_size
    program = context.programs.program("launch", "double", group_size=size, UNROLL=1, ORDER_TILE=0)
    kernel = program.kernel("launch_mark")
    return Point(
        operations=[
            Launch(kernel, batch.groups, size, (marks, number, start)) for number in range(batch.launches)
        ],
        payload_bytes=0,
        bus_bytes=0,
        footprint_bytes=batch.marks * _WORD_BYTES,
        poison=lambda: verifier.poison(marks, batch.marks),
        verify=lambda: verifier.verify_elements(program, "marks", [(marks, batch.marks, start, 0, 0, 0)]),
        axes={"groups": batch.groups, "launches": batch.launches},
        accesses=batch.launches,
        dependent=True,
        caches_wanted=True,
        max_passes=1,
    )


def _read_bytes_per_second(context: RunContext, planned: PlannedBenchmark) -> float | None:
    """Of the best of some passes in the first shape that runs; None if none does, or if a pass is wrong."""
    row = STREAM["read"]
    # The first candidates have large groups, which many OpenCL GPUs refuse; tuned shapes have run.
    tuned = [shape for key, shape in context.shapes.items() if key[:3] == (row.name, row.access, "double")]
    with releasing(StreamWorkspace(context, planned, row, more_shapes=tuned)) as workspace:
        task = workspace.filled_task()
        for shape in workspace.shapes:
            context.raise_if_cancelled()
            with suppress(BenchmarkFailed):
                if task.run_and_verify(shape).mismatches:
                    return None
                seconds = min(context.run(task.launches(shape)) for _ in range(_PASSES))
                return task.pass_bytes(shape)[1] / seconds if seconds > 0 else None
    return None

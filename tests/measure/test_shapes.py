"""Every access shape that may be chosen, on any kind of device, gives right results."""

from __future__ import annotations

import itertools
from typing import Literal

import msgspec
import pytest

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.devices.base import Device
from gpubench.errors import InvalidParameters
from gpubench.kernels.programs import ELEMENT_BYTES, Programs
from gpubench.measure.memory import Arena
from gpubench.measure.shapes import candidates, chunk_bytes, geometry
from gpubench.results.document import Shape
from gpubench.results.machine import DeviceInfo
from tests.measure.conftest import MIB

GPU = DeviceInfo("cuda:GPU-1", "cuda-gpu0", "cuda", "gpu", "a GPU", "0000", compute_units=3)

SHAPES = list(
    dict.fromkeys(
        [shape for access in ("read", "write", "copy") for shape in candidates(GPU, access, "double", {})]
        # Groups that do not divide the chunks: some own less than others.
        + [
            Shape(vector, unroll, size, order, False, 7)
            for vector, unroll, size, order in itertools.product((8, 64), (1, 4), (1, 32), ("tile", "grid"))
        ]
        + [Shape(vector, 4, size, "halves", False, 7) for vector, size in itertools.product((8, 64), (1, 32))]
        # Chunks are left for hardly half of the groups: the others have none.
        + [Shape(64, 4, 32, order, False, 200) for order in ("tile", "halves")]
    )
)


@pytest.mark.parametrize("dtype", ["float", "double"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_is_right(device: Device, shape: Shape, dtype: str) -> None:
    programs, arena = Programs(device), Arena(device)
    for benchmark in STREAM.values():
        if benchmark.name in ("copy", "scale", "add"):
            continue  # triad walks as they do; the session's tests run them all
        segments = arena.cut(2 * MIB, benchmark.arrays, ELEMENT_BYTES[dtype], chunk_bytes(shape))
        task = StreamTask(programs, benchmark, dtype, segments, seed=7)
        task.fill()
        assert task.run_and_verify(shape).mismatches == 0, benchmark.name
        task.release()
    arena.release()


def test_sums_of_a_shape_outlive_the_making_of_another(device: Device) -> None:
    """All shapes are made ready before the first trial, each with as many groups as it likes."""
    few, many = (Shape(64, 1, 1, "grid", False, groups) for groups in (8, 4096))
    arena = Arena(device)
    segments = arena.cut(2 * MIB, 1, 8, chunk_bytes(few))
    task = StreamTask(Programs(device), STREAM["read"], "double", segments, seed=7)
    task.fill()
    launches = task.launches(few)
    task.poison(few)
    task.launches(many)
    device.run(launches)
    assert task.run_and_verify(few).mismatches == 0
    task.release()
    arena.release()


def test_what_is_tried_is_few_and_differs() -> None:
    for kind, access, dtype in itertools.product(("gpu", "cpu"), ("read", "write", "copy"), ELEMENT_BYTES):
        info = msgspec.structs.replace(GPU, kind=kind)
        shapes = candidates(info, access, dtype, {})  # type: ignore[arg-type]
        assert 2 <= len(shapes) <= 6
        assert len(set(shapes)) == len(shapes)


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_steps_hold_whole_periods_of_every_pattern(kind: Literal["cpu", "gpu"]) -> None:
    """Of 16 words: what pattern.cl relies on."""
    for access in ("write", "copy"):
        for shape in candidates(msgspec.structs.replace(GPU, kind=kind), access, "double", {}):  # type: ignore[arg-type]
            step_bytes = chunk_bytes(shape) // (2 if shape.order == "halves" else 1)
            assert step_bytes % (16 * 8) == 0


def test_few_threads_of_a_gpu_have_64_bytes_in_flight_each() -> None:
    """Four loads of 16 bytes or more in reads, and in groups that stay for the whole pass. If each chunk of a
    copy has a group of its own, there are so many threads that one access each is best (H100, H200)."""
    reads, copies = (candidates(GPU, access, "double", {}) for access in ("read", "copy"))  # type: ignore[arg-type]
    staying = [shape for shape in copies if shape.groups]
    assert staying
    assert all(shape.vector_bytes * shape.unroll >= 64 for shape in [*reads, *staying])
    assert any(shape.vector_bytes * shape.unroll == 16 for shape in copies)


@pytest.mark.parametrize("elements", [1 << 12, 3 << 12, 7 << 12])
@pytest.mark.parametrize("groups", [1, 2, 5, 1000, None])
def test_a_geometry_covers_every_chunk(elements: int, groups: int | None) -> None:
    shape = Shape(16, 4, 32, "grid", False, groups)
    g = geometry(shape, elements, 4)
    chunks = elements // g.chunk_elements
    assert g.chunk_elements * chunks == elements
    assert g.groups * g.rounds >= chunks > g.groups * (g.rounds - 1)
    assert g.vectors * 4 == elements


def test_a_vector_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="vector_bytes 128 cannot hold float: allowed are 4 to 64"):
        candidates(GPU, "copy", "float", {"vector_bytes": 128})


def test_halves_need_a_chunk_that_has_halves() -> None:
    with pytest.raises(InvalidParameters, match="order halves needs an unroll of 2 or more"):
        candidates(GPU, "copy", "double", {"order": "halves", "unroll": 1})


def test_tiles_are_for_groups_that_have_several_chunks() -> None:
    """With a group for each chunk there would be nothing to walk through, and no halves."""
    for order in ("tile", "halves"):
        assert all(shape.groups for shape in candidates(GPU, "copy", "double", {"order": order}))
    assert any(shape.groups is None for shape in candidates(GPU, "copy", "double", {}))

"""Bandwidth by what the data hold, where the data hold just that."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from gpubench.benchmarks.data_array import DataArray
from gpubench.benchmarks.pattern import KERNELS, PATTERNS, PatternTask, findings
from gpubench.devices.base import Device
from gpubench.measure import shapes
from gpubench.measure.memory import releasing
from gpubench.measure.run_context import RunContext
from gpubench.measure.verification.arrays import ArrayVerifier, GroupSums, salt_of
from gpubench.results.document import Measurement, Shape, Summary
from tests.measure.conftest import MIB, Collected, Measure

FAULTS = {
    "a vector is not written": ("STORE(a + AT(u), base", "if (AT(u) != 77) STORE(a + AT(u), base", PATTERNS),
    "random data are left out": ("base[u] ^ (FOLDED(counter) & mask)", "base[u]", ("random",)),
    "random data everywhere": ("? ~(WORD)0 : (WORD)0", "? ~(WORD)0 : (WORD)1", PATTERNS[:-1]),
    "constants are taken from another place": (
        "u * GROUP_SIZE) * VECTOR_ELEMENTS + lane",
        "u * GROUP_SIZE) * VECTOR_ELEMENTS + lane + 1",
        ("checkerboard", "walking"),
    ),
}
COPY_FAULTS = {
    "a vector is not copied": ("STORE(b + AT(u), x[u])", "if (AT(u) != 77) STORE(b + AT(u), x[u])", PATTERNS),
    "a vector is read from its neighbour": (
        "x[u] = a[AT(u)]",
        "x[u] = a[AT(u) ^ 1]",
        ("walking", "random"),
    ),
}
SHAPE = Shape(64, 4, 1, "tile", True, 16)


@pytest.fixture(autouse=True)
def _one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is tuned."""
    for kernel in KERNELS:
        monkeypatch.setitem(shapes._PROCESSOR, kernel, ((64, 4, 1, "tile", True, 8),))


def unverified(told: Collected) -> set[tuple[str, str]]:
    wrong = [m.axes for m in told.measurements if m.status == "unverified"]
    return {(str(axes["kernel"]), str(axes["pattern"])) for axes in wrong}


def test_every_pattern_is_written_and_copied(measure: Measure) -> None:
    _, told = measure("pattern")
    assert [(m.axes["kernel"], m.axes["pattern"]) for m in told.measurements] == [
        (kernel, pattern) for kernel in KERNELS for pattern in PATTERNS
    ]
    for m in told.measurements:
        assert (m.status, m.verified) == ("ok", True)
        assert m.footprint_bytes and m.passes_per_sample and m.bus_bytes and m.payload_bytes
        assert m.bus_bytes == m.footprint_bytes * m.passes_per_sample
        assert m.payload_bytes * (2 if m.axes["kernel"] == "copy" else 1) == m.bus_bytes
    assert [f.name for f in told.findings] == ["write_fastest_to_random", "copy_fastest_to_random"]


@pytest.fixture
def context(device: Device) -> Iterator[RunContext]:
    made = RunContext(device)
    yield made
    made.arena.release()


def words(context: RunContext, pattern: str, shape: Shape = SHAPE) -> np.ndarray:
    """What the memory holds after one pass."""
    segments = context.arena.cut(MIB, 1, 8, 8192)
    with (
        releasing(ArrayVerifier(context, "double")) as verifier,
        releasing(GroupSums(context.device, 1, 1)) as sums,
    ):
        array = DataArray(context, segments, 8, verifier, sums, salt_of(1))
        context.run(PatternTask(array, "write", pattern).launches(shape))
    return np.array(context.device.read_words(segments[0].arrays[0], segments[0].elements, 8), np.uint64)


@pytest.mark.parametrize("shape", [SHAPE, Shape(32, 8, 1, "halves", True, 7)])
def test_the_words_are_those_of_the_pattern(context: RunContext, shape: Shape) -> None:
    count = MIB // 8
    index = np.arange(count, dtype=np.uint64)
    expected = {
        "zeros": np.zeros(count, np.uint64),
        "ones": np.full(count, 2**64 - 1, np.uint64),
        "checkerboard": np.where(index % 2, np.uint64(0xAAAAAAAAAAAAAAAA), np.uint64(0x5555555555555555)),
        "walking": np.uint64(0x0001000100010001) << (index % 16),
    }
    for pattern, right in expected.items():
        assert np.array_equal(words(context, pattern, shape), right), pattern


def test_random_data_cannot_be_compressed(context: RunContext) -> None:
    """Nor what is left of them when each word is set against one before it, as memories do."""
    random = words(context, "random")
    halves = random.view(np.uint32)
    for data in (random, halves):
        for back in (1, 2, 4, 8):
            left = (data, data[back:] - data[:-back], data[back:] ^ data[:-back])
            assert all(len(zlib.compress(what.tobytes())) > 0.999 * what.nbytes for what in left)
    assert len(set(random)) == len(random)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_writer_is_found(measure: Measure, fault: str) -> None:
    old, new, patterns = FAULTS[fault]
    _, told = measure("pattern", faults=(("pattern.cl", old, new),))
    assert {pattern for kernel, pattern in unverified(told) if kernel == "write"} == set(patterns)


@pytest.mark.parametrize("fault", COPY_FAULTS)
def test_a_fault_of_the_copy_is_found(measure: Measure, fault: str) -> None:
    old, new, patterns = COPY_FAULTS[fault]
    _, told = measure("pattern", faults=(("pattern.cl", old, new),))
    assert unverified(told) == {("copy", pattern) for pattern in patterns}


def written(pattern: str, bandwidth: float, spread: float = 0.0) -> Measurement:
    low, high = bandwidth * (1 - spread), bandwidth * (1 + spread)
    rate = Summary(bandwidth, low, high, low, high, low, high)
    return Measurement("pattern", {}, "ok", axes={"pattern": pattern}, bandwidth_bytes_per_second=rate)


def test_the_fastest_pattern_is_set_against_random_data() -> None:
    [finding] = findings("write", [written("zeros", 50e9), written("ones", 26e9), written("random", 25e9)])
    assert finding.value == pytest.approx(2)
    assert "zeros at 50.00 GB/s, 2.00x that of random data (25.00 GB/s)" in finding.text
    [finding] = findings("copy", [written("zeros", 25.5e9), written("random", 25e9)])
    assert finding.text == "copy: no pattern is 5.0 % faster than random data"
    assert list(findings("copy", [written("zeros", 25e9)])) == []


@pytest.mark.parametrize(("bandwidth", "at_most"), [(37e9, "68.2 %"), (34e9, "54.5 %"), (31e9, "40.9 %")])
def test_a_gain_within_the_noise_is_a_bound(bandwidth: float, at_most: str) -> None:
    """Neither a gain of 12 % nor a loss of 6 % is claimed, nor that there is none."""
    [finding] = findings("copy", [written("ones", bandwidth, 0.2), written("random", 33e9, 0.2)])
    assert finding.value == pytest.approx(bandwidth / 33e9)
    assert finding.text == f"copy: no measurable gain over random data (at most {at_most})"

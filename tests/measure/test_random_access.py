"""Random places: a bijection, scattered, and whatever is done there is verified word by word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gpubench.benchmarks import random_access
from gpubench.benchmarks.random_access import PIECES_BYTES, findings
from gpubench.devices.base import Device, Launch
from gpubench.kernels.programs import Programs
from gpubench.kernels.source import read_source
from gpubench.results.document import Measurement
from tests.measure.conftest import MIB, Measure, run_on

NAMES = ("gather", "scatter", "update")
BUS_CROSSINGS = {"gather": 1, "scatter": 1, "update": 2}

LIST_PLACES = """
KERNEL(list_places)(GLOBAL u64 *places, u64 count, u64 blocks, u64 salt) {
    if (GROUP_ID > 0) return;
    for (u64 i = 0; i < count; i += LANES) {
        u64s found;
        find_places(&found, i, (u32)blocks, (u32)salt);
        for (u32 k = 0; k < LANES; ++k) places[i + k] = ((const u64 *)&found)[k];
    }
}
KERNEL(list_numbers)(GLOBAL u64 *numbers, u64 count, u64 blocks, u64 salt) {
    EACH_ELEMENT numbers[i] = number_of(i, (u32)blocks, (u32)salt);
}
"""

ONE = "(AT(group * GROUP_PLACES + u) == 321)"
FAULTS = {
    "gather leaves out a vector": ("gather", "sum += x;", f"if (!{ONE}) sum += x;"),
    "gather reads a vector twice": ("gather", "sum += x;", f"{{ sum += x; if {ONE} sum += x; }}"),
    "gather reads a neighbour": ("gather", "x = a[place];", f"x = a[(place) ^ {ONE}];"),
    "gather stays in its first chunk": ("gather", "FIND_GROUP(group, i + CHUNK_VECTORS)", ""),
    "scatter leaves out a vector": ("scatter", "STORE(a + (place)", f"if (!{ONE}) STORE(a + (place)"),
    "scatter writes a neighbour": ("scatter", "STORE(a + (place)", f"STORE(a + ((place) ^ {ONE})"),
    "scatter goes where it went before": (
        "scatter",
        "    STORE(a + (place)",
        f"    if {ONE} ((u64 *)places)[group * GROUP_PLACES + u] = PLACE(0); STORE(a + (place)",
    ),
    "update leaves out a vector": ("update", "a[place] = x", f"if (!{ONE}) a[place] = x"),
    "update writes without reading": ("update", "= x + SPLAT", "= SPLAT"),
    "update does it twice": (
        "update",
        "x + SPLAT(WORD, ADDED(place))",
        f"x + SPLAT(WORD, (1 + {ONE}) * ADDED(place))",
    ),
    "update does nothing": ("update", "sums[0] += 1", "sums[0] += 0"),
}


@pytest.fixture
def few_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest, one of a vector, and one of several, so that little is compiled."""
    monkeypatch.setattr(random_access, "PIECES_BYTES", (4, 16, 128))


@pytest.mark.parametrize("name", NAMES)
def test_every_piece_is_counted_and_verified(measure: Measure, name: str) -> None:
    _, told = measure(name, footprint_bytes=7 * MIB)  # no power of two
    assert [m.axes for m in told.measurements] == [{"piece_bytes": piece} for piece in PIECES_BYTES]
    for m, piece in zip(told.measurements, PIECES_BYTES, strict=True):
        assert (m.status, m.verified) == ("ok", True)
        assert m.footprint_bytes == 7 * MIB
        assert m.accesses == 7 * 4096  # one for every fourth line
        assert m.payload_bytes == m.accesses * piece
        assert m.bus_bytes == m.accesses * max(piece, 64) * BUS_CROSSINGS[name]
    assert [f.name for f in told.findings] == ["accesses_per_second", "half_bandwidth_piece"]
    assert {f.benchmark for f in told.findings} == {name}


@pytest.mark.usefixtures("few_pieces")
@pytest.mark.parametrize("name", NAMES)
def test_a_footprint_of_several_segments(open_as: Callable[..., Device], name: str) -> None:
    _, told = run_on(open_as(max_allocation_bytes=3 * MIB), name)
    assert {m.status for m in told.measurements} == {"ok"}


@pytest.mark.usefixtures("few_pieces")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(measure: Measure, fault: str) -> None:
    name, old, new = FAULTS[fault]
    _, told = measure(name, footprint_bytes=MIB, faults=(("random.cl", old, new),))
    assert {m.status for m in told.measurements} == {"unverified"}
    assert all(m.first_mismatches and not m.samples_seconds for m in told.measurements)


Ask = Callable[[str, int, int], np.ndarray]


@pytest.fixture(params=[1, 32], ids=["one by one", "in vectors"])
def ask(device: Device, request: pytest.FixtureRequest) -> Ask:
    """Asks the device's own code: places of all numbers, and numbers of all places."""

    def read(file: str) -> str:
        return read_source(file) + (LIST_PLACES if file == "random.cl" else "")

    program = Programs(device, read).program(
        "random", "float", group_size=1, UNROLL=request.param, PARTS=1, PIECE_WORDS=1, ORDER_TILE=1
    )

    def ask(kernel: str, blocks: int, salt: int) -> np.ndarray:
        count = blocks << 12
        memory = device.allocate(8 * count)
        try:
            view = memory.view(0, 8 * count)
            device.run([Launch(program.kernel(kernel), 4, 1, (view, count, blocks, salt))])
            return np.array(device.read_words(view, count, 8))
        finally:
            memory.release()

    return ask


@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 64, 100])
def test_the_places_are_a_bijection_and_can_be_taken_back(ask: Ask, blocks: int) -> None:
    for salt in (1, 0x9E3779B9, 2**32 - 1):
        places = ask("list_places", blocks, salt)
        assert np.array_equal(np.sort(places), np.arange(blocks << 12))
        assert np.array_equal(ask("list_numbers", blocks, salt)[places], np.arange(blocks << 12))


def test_neighbours_are_far_apart(ask: Ask) -> None:
    blocks, count = 100, 100 << 12
    for salt in (1, 0x9E3779B9, 2**32 - 1):
        places = ask("list_places", blocks, salt)
        for lag in (1, 2, 16, 256, 4096):
            steps = np.abs(np.diff(places.astype(np.int64)[::lag][:4000]))
            # Two random places are a third of the whole apart, and seldom in one block.
            assert abs(steps.mean() / count - 1 / 3) < 0.05, (salt, lag)
            assert (steps < 4096).mean() < 0.04, (salt, lag)
        # Any part of the numbers falls evenly over the memory.
        shares = np.bincount(places[: count // 16] >> 12, minlength=blocks) / (4096 / 16)
        assert shares.min() > 0.6 and shares.max() < 1.4


def accessed(piece: int, payload_bandwidth: float, spread: float = 0.0) -> Measurement:
    rates = payload_bandwidth * (1 - spread), payload_bandwidth, payload_bandwidth * (1 + spread)
    return Measurement(
        "gather",
        {},
        "ok",
        axes={"piece_bytes": piece},
        payload_bytes=1000 * piece,
        accesses=1000,
        samples_seconds=[1000 * piece / rate for rate in rates],
    )


def test_rate_and_the_smallest_piece_that_pays() -> None:
    rate, piece = findings([accessed(piece, min(piece, 64) * 1e9) for piece in PIECES_BYTES])
    assert rate.value == pytest.approx(1e9) and "1 giga-accesses" in rate.text
    assert piece.value == 32
    assert piece.text == "pieces of 32 B are the smallest that reach half of the highest payload bandwidth"


def test_a_smaller_piece_that_may_pay_is_named() -> None:
    """Half of the highest is 32 GB/s: 16 B have half of that in the median, and up to 31.8 GB/s."""
    spreads = {16: 0.99}
    measured = [accessed(piece, min(piece, 64) * 1e9, spreads.get(piece, 0.01)) for piece in PIECES_BYTES]
    found = {each.name: each for each in findings(measured)}["half_bandwidth_piece"]
    assert found.value == 32
    assert found.text.endswith("payload bandwidth, though the noise does not rule out those of 16 B")

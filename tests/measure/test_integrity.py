"""Memory tested on purpose-made faults: each is found, counted, told where it is, and classed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gpubench.benchmarks.integrity.errors import owners_of_counters
from gpubench.benchmarks.integrity.memory import MAX_ROWS
from gpubench.benchmarks.integrity.patterns import PATTERNS
from gpubench.devices.base import Device, Launch
from gpubench.errors import OutOfDeviceMemory
from gpubench.executor.messages import Measured
from gpubench.executor.recorder import Recorder
from gpubench.measure import run_context
from gpubench.results.document import Measurement
from gpubench.units import format_bytes
from tests.measure.conftest import MIB, Collected, Measure

FOOTPRINT = 20 * 65536
"""In whole parts."""
WORDS = FOOTPRINT // 8
QUICK = {"footprint_bytes": FOOTPRINT, "pause_seconds": 0.0}
STORE_PATTERN = "STORE(a + AT(u), VALUES(u) ^ turned);"
LOAD = "EACH_UNROLLED x[u] = here[OFFSET(u)];"
AT_VECTOR = "first + AT(u) * VECTOR_ELEMENTS == 40000"
"""Word 40000 begins a vector."""
LANES = 8


def test_no_two_passes_write_the_same_values() -> None:
    random = [pattern for pattern in PATTERNS.values() if pattern.name != "walking_ones"]
    salts = [each.salt(seed, turn) for each in random for seed in (0, 1, 9) for turn in range(20)]
    assert len(set(salts)) == len(random) * 3 * 20


@pytest.fixture(autouse=True)
def _hardly_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found does not depend on it."""
    monkeypatch.setattr(run_context, "COLD_LIMIT_SECONDS", 0.05)


def counts(told: Collected) -> dict[str, float | None]:
    return {f.name: f.value for f in told.findings}


def by_pattern(told: Collected) -> dict[str, Measurement]:
    return {str(m.axes["pattern"]): m for m in told.measurements}


def test_sound_memory_has_no_errors_and_its_bytes_are_counted(device: Device, measure: Measure) -> None:
    finished, told = measure("integrity", **QUICK)
    assert not finished.cancelled
    measured = by_pattern(told)
    assert list(measured) == list(PATTERNS)
    for name, m in measured.items():
        assert (m.status, m.verified, m.mismatches) == ("ok", True, 0), m
        assert m.footprint_bytes == FOOTPRINT
        moves = sum(step.moves for step in PATTERNS[name].steps)
        assert m.bus_bytes and m.bus_bytes * len(m.samples_seconds) == moves * FOOTPRINT
        assert m.bandwidth_bytes_per_second
    assert counts(told) == {"errors": 0}
    of = format_bytes(device.info.memory_bytes or 0)
    assert [f.text for f in told.findings] == [f"0 wrong words read in 1.25 MiB of {of}"]


def test_each_pass_has_values_of_its_own_and_is_counted(measure: Measure) -> None:
    _, told = measure("integrity", passes=3, patterns=["random"], **QUICK)
    [m] = told.measurements
    assert m.bus_bytes and m.bus_bytes * len(m.samples_seconds) == 3 * 6 * FOOTPRINT


def test_a_stuck_bit(measure: Measure) -> None:
    stuck = f"STORE(a + AT(u), VALUES(u) ^ turned ^ SPLAT(WORD, (WORD)({AT_VECTOR} ? 8 : 0)));"
    _, told = measure("integrity", faults=(("integrity.cl", STORE_PATTERN, stuck),), **QUICK)
    for name, m in by_pattern(told).items():
        assert (m.status, m.verified, m.flags) == ("unverified", False, ["unverified"])
        assert m.bandwidth_bytes_per_second is None
        assert m.mismatches == (2 if name == "retention" else 1) * LANES  # both of its checks find it
        assert {each.index for each in m.first_mismatches} == set(range(40000, 40000 + LANES))
        for each in m.first_mismatches:
            assert int(each.expected, 16) ^ int(each.actual, 16) == 8
            assert each.reread == each.actual
    assert counts(told) == dict.fromkeys(["errors", "storage_errors", "flipped_bit_3"], 6 * LANES)
    # Each of the words is wrong at each of six checks: reads are counted, and said to be.
    assert {f.unit for f in told.findings} == {"reads"}
    [text] = [f.text for f in told.findings if f.name == "errors"]
    assert text.startswith(f"wrong words were read {6 * LANES} times in 1.25 MiB")


def test_a_store_to_another_address(measure: Measure) -> None:
    swapped = STORE_PATTERN.replace("a + AT(u)", "a + (first == 65536 && AT(u) / 2 == 7 ? AT(u) ^ 1 : AT(u))")
    _, told = measure(
        "integrity",
        faults=(("integrity.cl", STORE_PATTERN, swapped),),
        patterns=["address", "moving_inversions", "random"],
        **QUICK,
    )
    assert {m.status for m in told.measurements} == {"unverified"}
    assert counts(told)["addressing_errors"] == counts(told)["errors"] == 3 * 2 * LANES


def test_a_read_that_lies(measure: Measure) -> None:
    lie = LOAD + f" EACH_UNROLLED if ({AT_VECTOR}) x[u] = x[u] ^ SPLAT(WORD, (WORD)32);"
    _, told = measure(
        "integrity", faults=(("integrity.cl", LOAD, lie),), patterns=["walking_ones", "retention"], **QUICK
    )
    checks = 5 + 2
    assert counts(told) == dict.fromkeys(["errors", "transfer_errors", "flipped_bit_5"], checks * LANES)
    for m in told.measurements:
        assert all(each.reread == each.expected != each.actual for each in m.first_mismatches)


def test_memory_that_is_wrong_everywhere_is_counted_whole(measure: Measure) -> None:
    """More than there is room to tell: all are counted, and the first ones looked at."""
    never_turned = ("integrity.cl", "^ turned ^ SPLAT(WORD, ~(WORD)0)", "^ turned")
    _, told = measure("integrity", faults=(never_turned,), patterns=["random"], **QUICK)
    [m] = told.measurements
    assert (
        m.mismatches == 2 * WORDS
    )  # the second turn expects the complement, and the check what it made of it
    assert len(m.first_mismatches) == 8
    assert counts(told)["storage_errors"] == 2 * MAX_ROWS
    assert counts(told)["flipped_bit_0"] == 2 * MAX_ROWS
    [text] = [f.text for f in told.findings if f.name == "flipped_bit_0"]
    assert f"bit 0 was wrong in {2 * MAX_ROWS} of {2 * MAX_ROWS} wrong reads examined" in text


CHUNK = "CHECK_CHUNK\n    }\n"
ANY = "EACH_LANE any |= LANE(WORD, wrong, lane);"
FAULTY_CHECKS = {
    "nothing is wrong": ("if (any) {", "if (0) {"),
    "one lane is looked at": (ANY, "any |= LANE(WORD, wrong, 0);"),
    "the last round is left out": (CHUNK, CHUNK.replace("CHECK", "if (round + 1 == rounds) break; CHECK")),
    "memory is not read": ("WORD any = 0;", "WORD any = 0; wrong = turned ^ turned;"),
    "the first wrong word hides others": (CHUNK, CHUNK.replace("CHECK", "if (*found) break; CHECK")),
}


@pytest.mark.parametrize("fault", FAULTY_CHECKS)
def test_a_check_that_misses_errors_is_found_out(measure: Measure, fault: str) -> None:
    planted = ("integrity.cl", *FAULTY_CHECKS[fault])
    _, told = measure("integrity", faults=(planted,), patterns=["random"], **QUICK)
    [m] = told.measurements
    assert m.status == "failed"
    assert "words corrupted on purpose" in (m.reason or "")


def test_a_word_that_is_not_written_is_found(measure: Measure) -> None:
    """It holds what was there before: the poison, or another pattern."""
    skipped = STORE_PATTERN.replace("STORE", f"if (!({AT_VECTOR})) STORE")
    _, told = measure(
        "integrity", faults=(("integrity.cl", STORE_PATTERN, skipped),), patterns=["walking_ones"], **QUICK
    )
    [m] = told.measurements
    assert m.mismatches and {each.index for each in m.first_mismatches} == set(range(40000, 40000 + LANES))


def test_a_word_that_is_not_turned_is_found(measure: Measure) -> None:
    turn = "EACH_UNROLLED here[OFFSET(u)] = VALUES(u) ^ turned ^"
    skipped = turn.replace("here", f"if (!({AT_VECTOR})) here")
    _, told = measure("integrity", faults=(("integrity.cl", turn, skipped),), patterns=["random"], **QUICK)
    [m] = told.measurements
    assert m.mismatches == LANES
    assert {each.index for each in m.first_mismatches} == set(range(40000, 40000 + LANES))


Spoil = Callable[[npt.NDArray[np.uint64]], None]


@pytest.fixture
def before_check(device: Device, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Spoil], None]:
    """Changes the memory itself just before the n-th launch of a check, where it is the only launch."""
    allocated: list[Any] = []
    allocate, run = device.allocate, device.run

    def remember(nbytes: int) -> Any:
        allocated.append(allocate(nbytes))
        return allocated[-1]

    def at(number: int, spoil: Spoil) -> None:
        launched = 0
        allocated.clear()

        def watched(operations: Sequence[Any]) -> float:
            nonlocal launched
            [first, *others] = operations
            if isinstance(first, Launch) and not others and first.kernel.function_name == "integrity_check":
                if launched == number:
                    tested = [each for each in allocated if each.nbytes < 16 * MIB]  # not the clock's
                    spoil(max(tested, key=lambda each: each.nbytes)._memory.view(np.uint64))
                launched += 1
            return run(operations)

        monkeypatch.setattr(device, "run", watched)

    monkeypatch.setattr(device, "allocate", remember)
    return at


def flip(memory: npt.NDArray[np.uint64]) -> None:
    memory[70000] ^= np.uint64(1 << 63)
    memory[90000] ^= np.uint64(0b101)


def test_bits_that_flip_after_they_were_written(
    measure: Measure, before_check: Callable[[int, Spoil], None]
) -> None:
    before_check(0, flip)
    _, told = measure("integrity", patterns=["random"], **QUICK)
    [m] = told.measurements
    assert m.mismatches == 2
    first, second = m.first_mismatches
    assert (first.index, second.index) == (70000, 90000)
    assert int(first.expected, 16) ^ int(first.actual, 16) == 1 << 63
    assert first.reread == first.actual
    assert counts(told) == {
        "errors": 2, "storage_errors": 2, "flipped_bit_0": 1, "flipped_bit_2": 1, "flipped_bit_63": 1,
    }  # fmt: skip


def test_bits_that_flip_in_a_pause(measure: Measure, before_check: Callable[[int, Spoil], None]) -> None:
    parts = len(measure("integrity", patterns=["random"], **QUICK)[1].measurements[0].samples_seconds)
    before_check(parts, flip)
    _, told = measure("integrity", patterns=["retention"], **QUICK)
    assert (counts(told)["errors"], counts(told)["retention_errors"]) == (2, 2)


def test_errors_before_the_pause_are_not_retention_errors(
    measure: Measure, before_check: Callable[[int, Spoil], None]
) -> None:
    before_check(0, flip)
    _, told = measure("integrity", patterns=["retention"], **QUICK)
    assert (counts(told)["errors"], counts(told)["storage_errors"]) == (4, 4)


def test_the_value_of_another_address(measure: Measure, before_check: Callable[[int, Spoil], None]) -> None:
    def alias(memory: npt.NDArray[np.uint64]) -> None:
        memory[5000] = memory[5000 + 65536]

    before_check(0, alias)
    _, told = measure("integrity", patterns=["random"], **QUICK)
    assert (counts(told)["errors"], counts(told)["addressing_errors"]) == (1, 1)


def test_no_flipped_bit_looks_like_another_address() -> None:
    """Of a counter with a good step, one bit more or less belongs to an index far out of any memory."""
    indices = np.arange(0, 1 << 34, 123456789, dtype=np.uint64)
    for name in ("address", "random"):
        folded = name == "random"
        counters = indices * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0)
        values = counters ^ (counters >> np.uint64(23)) if folded else counters
        assert (owners_of_counters(values, 0, folded=folded) == indices).all()
        for bit in range(64):
            owners = owners_of_counters(values ^ np.uint64(1 << bit), 0, folded=folded)
            assert (owners > np.uint64(1 << 40)).all()


def test_errors_make_an_unverified_run(measure: Measure, before_check: Callable[[int, Spoil], None]) -> None:
    before_check(0, flip)
    _, told = measure("integrity", patterns=["random", "retention"], **QUICK)
    recorder = Recorder("run-1", key=None, created_at="now", requested=[])
    for m in told.measurements:
        recorder.take(Measured(m))
    document = recorder.finish(None)
    assert document.outcome == "unverified"
    assert document.error and document.error.kind == "verification_failed"
    assert document.error.message == "verification of integrity failed: 2 reads of words are wrong"


@pytest.mark.timing
def test_a_cancel_is_heard_in_the_pause(
    measure: Measure, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, launched_at = device.run, [0.0]

    def watched(operations: Sequence[Any]) -> float:
        launched_at[0] = time.monotonic()
        return run(operations)

    monkeypatch.setattr(device, "run", watched)
    resting = Collected(cancel_when=lambda _: launched_at[0] > 0 and time.monotonic() - launched_at[0] > 0.3)
    begin = time.monotonic()
    finished, _ = measure(
        "integrity", patterns=["retention"], footprint_bytes=FOOTPRINT, pause_seconds=60.0, reporter=resting
    )
    assert finished.cancelled
    assert time.monotonic() - begin < 30


def test_where_an_allocation_fails_what_there_is_is_tested(
    measure: Measure, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocate, given = device.allocate, 0

    def scarce(nbytes: int) -> Any:
        nonlocal given
        if nbytes >= 64 * MIB:
            if given + nbytes > 160 * MIB:
                raise OutOfDeviceMemory("the test has no more")
            given += nbytes
        return allocate(nbytes)

    monkeypatch.setattr(device, "allocate", scarce)
    _, told = measure("integrity", footprint_bytes=320 * MIB, patterns=["retention"], pause_seconds=0.0)
    [m] = told.measurements
    assert m.status == "ok"
    assert m.footprint_bytes == 160 * MIB

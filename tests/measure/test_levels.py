"""Levels of a memory, found in curves of which the answer is known."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from gpubench.devices.host import DataCache, data_caches, last_level_cache_bytes
from gpubench.measure.levels import MIN_LEVEL_RATIO, KnownCache, ladder, level_findings, level_names, levels

KIB, MIB = 1 << 10, 1 << 20
SIZES = ladder(4 * KIB, 256 * MIB)
CACHES = [KnownCache("L1", 48 * KIB), KnownCache("L2", 2 * MIB), KnownCache("L3", 32 * MIB)]


def curve(*plateaus: tuple[int, float], slope: int = 0, noise: float = 0.0) -> list[tuple[int, float]]:
    """Each plateau's (last footprint, cost), with points between two that lie between them."""
    dice = random.Random(1)
    costs = []
    for size in SIZES:
        number = next(index for index, (last, _) in enumerate(plateaus) if size <= last)
        cost = plateaus[number][1]
        before = plateaus[number - 1] if number else None
        if before and size <= before[0] << slope:  # on the way up
            cost = (before[1] * cost) ** 0.5
        costs.append((size, cost * (1 + noise * dice.uniform(-1, 1))))
    return costs


def test_a_ladder_has_powers_of_two_and_the_halves_between() -> None:
    assert ladder(4096, 16384) == [4096, 6144, 8192, 12288, 16384]
    assert ladder(5000, 13000) == [6144, 8192, 12288]
    assert ladder(9, 11) == []


@pytest.mark.parametrize("slope", [0, 1])
@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_levels_are_found_where_they_end(slope: int, noise: float) -> None:
    four = curve(
        (48 * KIB, 1.2), (2 * MIB, 4.0), (32 * MIB, 20.0), (256 * MIB, 110.0), slope=slope, noise=noise
    )
    found = levels(four)
    assert [each.cost for each in found] == pytest.approx([1.2, 4, 20, 110], rel=0.15)
    for each, size in zip(found, (48 * KIB, 2 * MIB, 32 * MIB), strict=False):
        assert each.ends_bytes
        assert size <= each.ends_bytes <= size << slope
    assert found[-1].ends_bytes is None
    assert [name for name, _ in level_names(found, CACHES)] == ["L1", "L2", "L3", "memory"]


def test_a_flat_curve_has_one_level_and_a_slow_rise_is_no_step() -> None:
    flat = curve((256 * MIB, 100.0), noise=0.1)
    assert len(levels(flat)) == 1
    rising = [(size, cost * 1.01**index) for index, (size, cost) in enumerate(flat)]
    assert len(levels(rising)) == 1


def test_one_outlier_makes_no_level() -> None:
    spoiled = curve((1 * MIB, 4.0), (256 * MIB, 100.0))
    spoiled[3] = (spoiled[3][0], 40.0)
    assert [each.cost for each in levels(spoiled)] == [4.0, 100.0]


@given(some.lists(some.floats(1e-12, 1e3), min_size=1, max_size=len(SIZES)))
@example([2.0, 2, 2, 4, 4, 4, 1, 1, 1, 1, 1])  # what the middle takes in makes it cheaper than the first
def test_any_curve_has_levels_that_rise(costs: list[float]) -> None:
    found = levels(list(zip(SIZES, costs, strict=False)))
    for before, after in itertools.pairwise(found):
        assert before.cost * MIN_LEVEL_RATIO <= after.cost
        assert before.ends_bytes and before.first_bytes <= before.ends_bytes < after.first_bytes


def test_no_points_have_no_levels() -> None:
    assert levels([]) == []
    assert level_names([], CACHES) == []
    assert list(level_findings("x", "", [], CACHES, lambda cost: (cost, "s", "words"))) == []


def test_a_cache_without_a_step_and_a_step_without_a_cache_are_told() -> None:
    two = curve((48 * KIB, 1.0), (256 * MIB, 50.0))
    found = {each.name: each for each in level_findings("x", "p", two, CACHES, lambda c: (c, "s", "so"))}
    assert set(found) == {"p_l1", "p_l1_end", "p_memory", "p_l2_unseen", "p_l3_unseen"}
    assert found["p_l1_end"].value == 48 * KIB
    assert found["p_memory"].value == pytest.approx(50.0)
    unknown = {each.name: each.text for each in level_findings("x", "", two, [], lambda c: (c, "s", "so"))}
    assert "no cache is known" in unknown["level_1_end"]


def test_a_recorded_curve() -> None:
    """Of an AMD EPYC 7003 with 32 KiB, 512 KiB and 32 MiB, on a machine that others used too."""
    recorded = json.loads((Path(__file__).parent / "recorded_latency.json").read_text())
    found = levels([(size, seconds) for size, seconds in recorded["curve"]])
    known = [KnownCache(name, size) for name, size in recorded["caches"]]
    assert [name for name, _ in level_names(found, known)] == ["L1", "L2", "L3", "memory"]
    assert [each.ends_bytes for each in found] == [32 * KIB, 512 * KIB, 24 * MIB, None]


def test_the_hosts_caches_are_told_by_level(tmp_path: Path) -> None:
    rows = [
        (core, level, kind, size, core if level != "3" else "0-1")
        for core in ("0", "1")
        for level, kind, size in (
            ("1", "Data", "48K"),
            ("1", "Instruction", "32K"),
            ("2", "Unified", "2048K"),
            ("3", "Unified", "32M"),
        )
    ]
    for number, (cpu, level, kind, size, shared) in enumerate(rows):
        index = tmp_path / f"cpu{cpu}" / "cache" / f"index{number}"
        index.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
            (index / name).write_text(text + "\n")
    assert data_caches(tmp_path) == [
        DataCache(1, 48 * KIB, 2), DataCache(2, 2 * MIB, 2), DataCache(3, 32 * MIB, 1)
    ]  # fmt: skip
    assert last_level_cache_bytes(tmp_path) == 32 * MIB
    assert data_caches(tmp_path / "nothing") == []
    assert last_level_cache_bytes(tmp_path / "nothing") is None

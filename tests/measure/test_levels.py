"""Levels of a memory, found in curves of which the answer is known."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from gpubench.devices.host import DataCache, data_caches, last_level_cache_bytes
from gpubench.measure.levels import (
    MIN_LEVEL_RATIO,
    CurvePoint,
    KnownCache,
    Level,
    ladder,
    level_findings,
    level_names,
    levels,
)
from gpubench.results.document import Finding

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


def said(
    costs: list[tuple[int, float]],
    *,
    known: list[KnownCache] = CACHES,
    of: str = "",
    disturbed: Callable[[int], float] = lambda _: 1.0,
) -> dict[str, Finding]:
    """By name; medians cost ``disturbed`` times as much as the fastest samples, by the footprint."""
    points = [CurvePoint(size, cost, cost * disturbed(size)) for size, cost in costs]
    cache_bytes = known[-1].nbytes if known else None
    found = list(level_findings("x", of, points, known, cache_bytes, lambda cost: (cost, "s", f"{cost:g} s")))
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


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
    assert [name for name, _ in level_names(found, CACHES, 96 * MIB)] == ["L1", "L2", "L3", "memory"]


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
    assert level_names([], CACHES, 96 * MIB) == []
    assert said([]) == {}


def test_caches_without_a_step_and_steps_without_a_cache() -> None:
    two = curve((48 * KIB, 1.0), (256 * MIB, 50.0))
    found = said(two, of="p")
    assert set(found) == {"p_l1", "p_l1_end", "p_memory", "p_l2_unseen", "p_l3_unseen"}
    assert found["p_l1_end"].value == 48 * KIB
    assert found["p_memory"].value == pytest.approx(50.0)
    assert "no caches are known" in said(two, known=[])["level_1_end"].text


def test_a_curve_that_ends_near_the_caches_has_no_memory() -> None:
    """Memory is from three last-level caches on, however many levels there are before."""
    four = curve((48 * KIB, 1.0), (2 * MIB, 4.0), (32 * MIB, 20.0), (256 * MIB, 110.0))
    for last, name in (
        (1 * MIB, "level_2"),
        (24 * MIB, "level_3"),
        (64 * MIB, "level_4"),
        (96 * MIB, "memory"),
    ):
        cut = said([each for each in four if each[0] <= last])
        assert set(cut) - {f"l{number}{end}" for number in (1, 2, 3) for end in ("", "_end")} == {name}
        assert ("does not reach memory, which is taken to begin at 96 MiB" in cut[name].text) == (
            last < 96 * MIB
        )
    assert cut["memory"].text == "memory: 110 s at 96 MiB"


def test_a_lone_point_beyond_the_caches_is_no_level_of_memory() -> None:
    rising = [(size, 20.0 if size < 96 * MIB else 110.0) for size in SIZES if size <= 96 * MIB]
    found = said(rising)
    assert "memory" not in found
    assert found["level_1"].text == (
        "level 1: 20 s from 4 KiB to 64 MiB; no level is seen in memory, which is taken to begin at 96 MiB"
    )


def test_memory_without_known_caches_is_reported_with_its_basis() -> None:
    two = curve((48 * KIB, 1.0), (256 * MIB, 50.0))
    near = said(two, known=[])
    assert set(near) == {"level_1", "level_1_end", "level_2"}
    assert "does not reach memory, which is taken to begin at 768 MiB" in near["level_2"].text
    far = said([*two, *((size, 50.0) for size in ladder(257 * MIB, 1024 * MIB))], known=[])
    assert far["memory"].text == "memory: 50 s from 768 MiB to 1 GiB, if no cache is larger than 256 MiB"


def test_a_flat_curves_memory_is_of_what_lies_beyond_the_caches() -> None:
    flat = [(size, 100.0 if size < 96 * MIB else 110.0) for size in SIZES]
    found = said(flat)
    assert set(found) == {"memory", "l1_unseen", "l2_unseen", "l3_unseen"}
    assert found["memory"].value == 110.0
    assert found["memory"].text == "memory: 110 s from 96 MiB to 256 MiB"


def test_steps_use_the_fastest_samples_and_figures_the_median() -> None:
    """Most of L1 is disturbed so much that the medians show no step there."""
    three = curve((48 * KIB, 1.0), (2 * MIB, 4.0), (32 * MIB, 20.0), (256 * MIB, 100.0))
    found = said(three, disturbed=lambda size: 6.0 if 8 * KIB <= size <= 48 * KIB else 1.25)
    assert set(found) == {f"l{number}{end}" for number in (1, 2, 3) for end in ("", "_end")} | {"memory"}
    assert found["l1_end"].value == 48 * KIB
    values = [found[name].value for name in ("l1", "l2", "l3", "memory")]
    assert values == pytest.approx([6.0, 5.0, 25.0, 125.0])
    assert found["memory"].text == "memory: 125 s from 96 MiB to 256 MiB"


def test_a_level_of_several_caches_is_no_figure_of_one() -> None:
    hidden = said(curve((32 * MIB, 4.0), (256 * MIB, 50.0)), of="copy")
    assert hidden["copy_l1_to_l3"].text == "copy: L1 to L3: 4 s from 4 KiB to 32 MiB"
    assert hidden["copy_l3_end"].text == "copy: L3 ends after 32 MiB; its size is given as 32 MiB"
    assert set(hidden) == {
        "copy_l1_to_l3", "copy_l3_end", "copy_memory", "copy_l1_unseen", "copy_l2_unseen"
    }  # fmt: skip
    two = said(curve((48 * KIB, 1.0), (32 * MIB, 4.0), (256 * MIB, 50.0)))
    assert set(two) == {"l1", "l1_end", "l2_to_l3", "l3_end", "memory", "l2_unseen"}
    early = said(curve((16 * KIB, 1.0), (2 * MIB, 4.0), (256 * MIB, 50.0)))  # L1's step, before its size
    assert {"l1", "l1_end", "l2", "l2_end"} <= set(early)


def test_a_level_that_lies_beyond_a_cache_is_not_called_by_it() -> None:
    """Others leave 4 MiB of L3: what ends after 96 MiB is nearer to its size, and none of it fits."""
    found = [
        Level(4 * KIB, 32 * KIB, 1.0, 32 * KIB),
        Level(48 * KIB, 1536 * KIB, 4.0, 2 * MIB),
        Level(3 * MIB, 4 * MIB, 20.0, 4 * MIB),
        Level(48 * MIB, 96 * MIB, 90.0, 96 * MIB),
        Level(128 * MIB, 256 * MIB, 150.0, None),
    ]
    names = ["L1", "L2", "level 3", "level 4", "memory"]
    assert [name for name, _ in level_names(found, CACHES, 96 * MIB)] == names


def test_a_recorded_curve() -> None:
    """Of an AMD EPYC 7003 with 32 KiB, 512 KiB and 32 MiB, on a machine that others used too."""
    recorded = json.loads((Path(__file__).parent / "recorded_latency.json").read_text())
    found = levels([(size, seconds) for size, seconds in recorded["curve"]])
    known = [KnownCache(name, size) for name, size in recorded["caches"]]
    assert [name for name, _ in level_names(found, known, 96 * MIB)] == ["L1", "L2", "L3", "memory"]
    assert [each.ends_bytes for each in found] == [32 * KIB, 512 * KIB, 24 * MIB, None]
    within = said([(size, seconds) for size, seconds in recorded["curve"] if size <= 2 * MIB], known=known)
    assert set(within) == {"l1", "l1_end", "l2", "l2_end", "level_3"}
    assert within["level_3"].text.endswith("does not reach memory, which is taken to begin at 96 MiB")


def test_recorded_sweeps() -> None:
    """Others used the same caches: the fastest samples lie a tenth to a third above the medians."""
    recorded = json.loads((Path(__file__).parent / "recorded_cache_sweep.json").read_text())
    known = [KnownCache(name, size) for name, size in recorded["caches"]]
    read, copy = (
        {
            each.name: each
            for each in level_findings(
                "x",
                "",
                [CurvePoint(size, 1 / fastest, 1 / middle) for size, fastest, middle in recorded[kernel]],
                known,
                known[-1].nbytes,
                lambda cost: (1 / cost, "byte/s", f"{1e-9 / cost:.1f} GB/s"),
            )
        }
        for kernel in ("read", "copy")
    )
    assert [each.text for each in read.values()] == [
        "L1: 227.3 GB/s from 16 KiB to 64 KiB",
        "L1 ends after 64 KiB; its size is given as 64 KiB",
        "L2 to L3: 104.9 GB/s from 96 KiB to 16 MiB",
        "L3 ends after 16 MiB; its size is given as 32 MiB",
        "level 3: 43.6 GB/s from 24 MiB to 48 MiB",
        "level 3 ends after 48 MiB; no known cache ends near there",
        "memory: 30.4 GB/s from 96 MiB to 320 MiB",
        "no step of 1.5x or more marks the end of L2, given as 1 MiB",
    ]
    assert {"l1", "l2_to_l3", "level_3", "memory", "l2_unseen"} < set(read)
    assert [each.text for each in copy.values()] == [
        "L1 to L3: 84.7 GB/s from 16 KiB to 12 MiB",
        "L3 ends after 12 MiB; its size is given as 32 MiB",
        "memory: 43.4 GB/s from 96 MiB to 320 MiB",
        "no step of 1.5x or more marks the end of L1, given as 64 KiB",
        "no step of 1.5x or more marks the end of L2, given as 1 MiB",
    ]
    for kernel, found in (("read", read), ("copy", copy)):  # a figure is one that a point has, or between two
        medians = [middle for _, _, middle in recorded[kernel]]
        assert all(
            min(medians) <= each.value <= max(medians) for each in found.values() if each.unit == "byte/s"
        )


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

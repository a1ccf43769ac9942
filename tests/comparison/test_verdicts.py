import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from gpubench.comparison.compare import compare_runs
from gpubench.comparison.verdicts import Verdict
from gpubench.flags import Flag
from gpubench.results.document import Measurement, RunDocument, Summary
from tests.documents import document, measurement, processor, rtx_5090


def runs(
    *figures: float, spread: float = 0.002, flag: Flag | None = None, **fields: Any
) -> list[RunDocument]:
    flags = [flag] if flag else []
    return [
        document(measurement(gb, "triad", *flags, spread=spread), run_id=f"run-{number}", **fields)
        for number, gb in enumerate(figures)
    ]


def verdict(a: list[RunDocument], b: list[RunDocument]) -> Verdict:
    (found,) = compare_runs(a, b)
    return found


def test_five_runs_a_side_that_do_not_meet() -> None:
    slower, faster = runs(1500, 1502, 1501, 1503, 1500), runs(1600, 1601, 1602, 1599, 1601)
    found = verdict(slower, faster)
    assert (found.verdict, found.runs_a, found.runs_b) == ("FASTER", 5, 5)
    assert found.ratio == pytest.approx(1601 / 1501)
    assert found.low is not None
    assert found.high is not None
    assert 1 < found.low < found.ratio < found.high
    assert verdict(faster, slower).verdict == "SLOWER"


def test_few_runs_cannot_say_faster() -> None:
    found = verdict(runs(1500), runs(1600))
    assert found.verdict == "AMBIGUOUS"
    assert found.reason == (
        "the intervals of the two sides do not overlap, but a verdict needs at least 5 runs on each side"
    )
    assert found.reason_code == "few_runs"
    assert found.reason_values == {"minimum_runs": 5, "runs_a": 1, "runs_b": 1}
    assert verdict(runs(*[1500] * 5), runs(*[1600] * 4)).verdict == "AMBIGUOUS"


def test_equal_sides_are_seldom_told_apart() -> None:
    """Runs that differ by 2 % among themselves, each with a narrow interval of its own."""
    rng = random.Random(5)

    def side() -> list[RunDocument]:
        return runs(*(rng.gauss(1600, 32) for _ in range(5)), spread=0.0005)

    words = Counter(verdict(side(), side()).verdict for _ in range(500))
    assert words["FASTER"] + words["SLOWER"] <= 12  # 0.8 % by chance: more than 12 of 500 in 1 of 10,000


def test_one_document_given_five_times_is_one_run() -> None:
    assert verdict(runs(1500) * 5, runs(1600) * 5).verdict == "AMBIGUOUS"


def test_the_spread_between_runs_is_in_the_interval() -> None:
    """Each run's own interval is narrow, and the runs of one program are apart."""
    assert (
        verdict(runs(38.2, 36.2, 34.2, 36.1, 35.0), runs(39.0, 38.9, 38.0, 38.3, 39.1)).verdict == "AMBIGUOUS"
    )


def test_a_difference_below_half_a_percent_is_none() -> None:
    steady = runs(*[1600] * 5, spread=0.0001)
    assert verdict(steady, runs(*[1606] * 5, spread=0.0001)).verdict == "SAME"  # apart, and too little
    assert verdict(steady, runs(*[1610] * 5, spread=0.0001)).verdict == "FASTER"


def test_close_medians_with_wide_intervals_are_not_the_same() -> None:
    assert verdict(runs(1600, spread=0.1), runs(1601, spread=0.1)).verdict == "AMBIGUOUS"
    assert verdict(runs(*[1600] * 5), runs(*[1601] * 5)).verdict == "SAME"


def test_few_runs_cannot_say_same() -> None:
    """The next run of the same program may be 5 % off, whatever the interval of this one."""
    for few in (runs(1600), runs(*[1600] * 4)):
        found = verdict(few, runs(*[1601] * 5))
        assert found.verdict == "AMBIGUOUS"
        assert found.reason_code == "few_runs"
        assert found.reason.startswith("the medians differ by less than 0.5 %, but ")


def test_a_verdict_bears_the_flags_of_both_sides() -> None:
    a = [*runs(1500, 1502), *runs(1501, flag="contended")]
    found = verdict(a, runs(1600, 1601, 1602, flag="unstable"))
    assert found.flags == ("unstable", "contended")
    assert verdict(a, runs(1600, flag="cached_footprint")).flags == ("cached_footprint", "contended")
    assert verdict(runs(1500), runs(1600)).flags == ()


def five(*measurements: Measurement) -> list[RunDocument]:
    return [document(*measurements, run_id=f"run-{number}") for number in range(5)]


def test_settings_that_differ_are_named() -> None:
    a = [document(measurement(1500, parameters={"dtype": "float64", "footprint_bytes": None}))]
    b = [document(measurement(1600, parameters={"dtype": "int32", "footprint_bytes": None}), kernels="ffff")]
    found = verdict(a, b)
    assert found.verdict == "NOT COMPARABLE"
    assert found.differences == ('parameters.dtype: "float64" and "int32"', "kernels: a1b2c3 and ffff")
    assert found.ratio is None
    other_runtime = [document(measurement(30.0), device=processor())]
    assert verdict(runs(1500), other_runtime).differences == ("runtime: cuda and opencl",)


def test_how_long_was_measured_is_no_setting() -> None:
    a = five(measurement(100, parameters={"seed": 1, "time_limit_seconds": None, "dtype": "float"}))
    b = five(measurement(100, parameters={"seed": 2, "time_limit_seconds": 9.0, "dtype": "float"}))
    assert verdict(a, b).verdict == "SAME"


def test_a_benchmark_is_compared_only_at_equal_settings() -> None:
    small, large = {"footprint_bytes": 1}, {"footprint_bytes": 2}
    runs_of_both = five(measurement(100, parameters=small), measurement(200, parameters=large))
    found = compare_runs(runs_of_both, runs_of_both)
    assert [(each.parameters, each.verdict) for each in found] == [(small, "SAME"), (large, "SAME")]


def test_what_one_side_lacks_is_said() -> None:
    a, b = document(measurement(1, "copy")), document(measurement(1, "read"))
    assert [(v.benchmark, v.verdict, v.reason_code) for v in compare_runs([a], [b])] == [
        ("copy", "NOT COMPARABLE", "only_first_side"),
        ("read", "NOT COMPARABLE", "only_second_side"),
    ]
    assert compare_runs([], []) == []
    assert compare_runs([document()], [document()]) == []


def test_points_that_one_side_lacks_are_not_comparable() -> None:
    """When a point was measured is not a setting."""

    def side(windows: int, begin: float) -> list[RunDocument]:
        return five(
            *(
                measurement(9, "sustained", axes={"window": n}, places={"begin_seconds": n + begin})
                for n in range(windows)
            )
        )

    found = compare_runs(side(1, 0.1), side(2, 0.2))
    assert [(v.axes, v.verdict, v.reason_code) for v in found[1:]] == [
        ({"window": 1}, "NOT COMPARABLE", "only_second_side")
    ]
    assert found[0].verdict == "SAME"


def test_runs_that_others_disturbed_get_no_word() -> None:
    found = verdict(runs(*[1500] * 5), runs(*[1600] * 5, flag="contended"))
    assert found.verdict == "AMBIGUOUS"
    assert found.reason_code == "contended"
    assert found.reason.startswith("the intervals of the two sides do not overlap, but other programs used")


def test_a_side_is_of_one_device() -> None:
    other = msgspec.structs.replace(rtx_5090(), name="NVIDIA GeForce RTX 5080", id="cuda:1")
    mixed = [*runs(*[1500] * 4), *runs(1500, device=other)]
    found = verdict(mixed, runs(*[1600] * 5))
    assert (found.verdict, found.ratio) == ("NOT COMPARABLE", None)
    assert found.reason_values == {"devices": "NVIDIA GeForce RTX 5090, NVIDIA GeForce RTX 5080"}
    twin = msgspec.structs.replace(rtx_5090(), id="cuda:1")
    twins = [*runs(*[1500] * 4), document(measurement(1500), device=twin, run_id="twin")]
    assert verdict(twins, runs(*[1600] * 5)).verdict == "FASTER"


@pytest.mark.parametrize("flag", ["over_theory", "cached_footprint", "unverified"])
def test_figures_that_do_not_describe_the_memory_get_no_verdict(flag: Flag) -> None:
    found = verdict(runs(*[1500] * 5), runs(*[1900] * 5, flag=flag))
    assert found.verdict == "NOT COMPARABLE"
    assert found.ratio is None


def test_a_shorter_latency_is_faster() -> None:
    """Each point of a curve has a verdict of its own."""

    def side(name: str, seconds: float) -> list[RunDocument]:
        return [
            document(
                *(
                    measurement(
                        1.0,
                        "latency",
                        axes={"footprint_bytes": size},
                        quantity="latency",
                        latency_seconds=Summary(*[size * seconds] * 7),
                        bandwidth_bytes_per_second=None,
                    )
                    for size in (1, 2)
                ),
                run_id=f"{name}{number}",
            )
            for number in range(5)
        ]

    found = compare_runs(side("a", 100e-9), side("b", 80e-9))
    assert [(each.axes, each.verdict) for each in found] == [
        ({"footprint_bytes": 1}, "FASTER"),
        ({"footprint_bytes": 2}, "FASTER"),
    ]
    assert found[0].ratio == pytest.approx(1.25)
    assert [each.verdict for each in compare_runs(side("a", 100e-9), side("b", 125e-9))] == ["SLOWER"] * 2


def with_ecc(enabled: bool | None, name: str = "NVIDIA L4") -> list[RunDocument]:
    device = msgspec.structs.replace(rtx_5090(), name=name, ecc_enabled=enabled)
    return runs(250, 251, 250, 251, 250, device=device)


def test_ecc_on_and_off_are_not_comparable() -> None:
    """On one model; two models differ in all else too, and what is not known is no difference."""
    found = verdict(with_ecc(True), with_ecc(False))
    assert found.verdict == "NOT COMPARABLE"
    assert found.differences == ("ECC of NVIDIA L4: on and off",)
    assert verdict(with_ecc(True), with_ecc(True)).verdict == "SAME"
    assert verdict(with_ecc(True), with_ecc(None)).verdict == "SAME"
    assert verdict(with_ecc(True), with_ecc(False, "NVIDIA L40")).verdict == "SAME"

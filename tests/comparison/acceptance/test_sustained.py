"""Sustained bandwidth: its end against its beginning, and its level against a baseline or twins."""

from __future__ import annotations

import random

import msgspec
import pytest

from gpubench.comparison.acceptance import Rules, Sources, judge, learn
from gpubench.comparison.acceptance.figures import TOGETHER_KEY, answering
from gpubench.comparison.acceptance.run_figures import by_setting
from gpubench.comparison.acceptance.steadiness import steadiness
from gpubench.flags import Flag
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import Finding, RunDocument
from tests.comparison.acceptance.fleet import claim, integrity, run, run_of, verdict, windows
from tests.documents import measurement

END = "end of sustained against its beginning"
LEVEL = "bandwidth of sustained"

STEADY = [1600, 1601, 1599, 1600, 1602, 1600, 1598, 1601, 1600, 1600]
FALLING = [1600, 1601, 1599, 1580, 1550, 1520, 1500, 1490, 1485, 1480]


def beside_triad(*gb_per_second: float, **fields: object) -> RunDocument:
    flags: dict[int, Flag] = fields.pop("flags", {})  # type: ignore[assignment]
    return run_of([measurement(1600, "triad"), *windows(*gb_per_second, flags=flags)], **fields)  # type: ignore[arg-type]


def test_a_steady_bandwidth_is_all_right() -> None:
    found = verdict([beside_triad(*STEADY)])
    assert found.status == "OK"
    end = claim(found, END)
    assert end.expected is not None
    assert (end.expected.link, end.expected.floor) == ("beginning", pytest.approx(0.98))
    assert end.figure == pytest.approx(1, abs=0.001)


def test_a_bandwidth_that_falls_is_a_fault() -> None:
    found = verdict([beside_triad(*FALLING)])
    assert found.codes == ["GB-SUSTAINED-LOW"]
    text = claim(found, END).text
    assert "at the end 92.8 % of its bandwidth at the beginning, below its floor of" in text
    assert text.endswith("no limit was seen that explains it")


def test_what_the_device_reported_is_the_reason() -> None:
    findings = [
        Finding("sustained", "limited", "limited by thermal in 60.0 % of the readings", 0.6, "ratio"),
        Finding(
            "sustained", "memory_clock_last_to_first", "memory clock: 14001 MHz, then 13000", 0.93, "ratio"
        ),
        Finding("sustained", "compute_clock_last_to_first", "compute clock: as before", 0.999, "ratio"),
        Finding("sustained", "temperature_rise", "from 50 °C to 90 °C", 40.0, "degC"),
    ]
    hot = beside_triad(*FALLING, flags={9: "thermal_limited"}, findings=findings)
    text = claim(verdict([hot]), END).text
    for part in ("thermal_limited: the driver lowered clocks", "60.0 %", "13000", "from 50 °C to 90 °C"):
        assert part in text
    assert "compute clock" not in text


def test_noise_alone_is_seldom_a_fault() -> None:
    """Fewer than 1 in 1,000 in the long run."""
    rng, faults = random.Random(5), 0
    for count in (5, 10) * 500:
        noisy = run_of(windows(*(1600 * rng.gauss(1, 0.02) for _ in range(count))))
        (setting,) = by_setting(noisy)
        faults += steadiness(setting, [noisy], "sustained", None).status == "DEGRADED"
    assert faults <= 5


def test_a_fall_is_found_in_noise() -> None:
    rng, found = random.Random(6), 0
    for _ in range(200):
        falling = [1600 * (1 - 0.01 * number) * rng.gauss(1, 0.003) for number in range(10)]
        found += claim(verdict([run_of(windows(*falling))]), END).code == "GB-SUSTAINED-LOW"
    assert found >= 190


def test_too_much_noise_decides_nothing() -> None:
    wild = claim(verdict([beside_triad(*[1600, 900] * 5)]), END)
    assert (wild.status, wild.code) == ("UNKNOWN", "GB-NO-EXPECTATION")
    assert "its windows differ too much to judge by" in wild.text


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_windows(count: int) -> None:
    found = claim(verdict([beside_triad(*STEADY[:count])]), END)
    assert (found.code, f"{count} windows are too few" in found.text) == ("GB-NOT-MEASURED", True)


def test_contended_windows_are_left_out() -> None:
    middle: dict[int, Flag] = {0: "contended", 4: "contended", 9: "contended"}
    values = [900, *STEADY[1:4], 900, *STEADY[5:9], 900]
    assert verdict([beside_triad(*values, flags=middle)]).status == "OK"
    late: dict[int, Flag] = {7: "contended", 8: "contended", 9: "contended"}
    assert verdict([beside_triad(*STEADY, flags=late)]).codes == ["GB-CONTENDED"]


def test_a_mean_shows_what_a_median_hides() -> None:
    """Less than half of the samples of the last windows are slow: their median is that of all others."""

    def window(each, slow: bool):  # type: ignore[no-untyped-def]
        samples = [0.001] * 11 + ([0.002] if slow else [0.001]) * 9
        return msgspec.structs.replace(each, samples_seconds=samples, bus_bytes=1_600_000_000)

    found = [window(each, number > 6) for number, each in enumerate(windows(*[1600] * 10))]
    assert claim(verdict([run_of(found)]), END).code == "GB-SUSTAINED-LOW"


def test_its_level_is_held_against_twins_and_a_baseline() -> None:
    eight = [run_of(windows(*(each + number for each in STEADY)), number) for number in range(1, 9)]
    low = run_of(windows(*(each * 0.9 for each in STEADY)))
    found = verdict([low, *eight[1:]])
    assert found.codes == ["GB-BW-LOW"]
    assert claim(found, END).status == "OK"
    assert verdict([low], Rules(Sources(baseline=learn(eight).baseline))).codes == ["GB-BW-LOW"]
    assert verdict([eight[0]], Rules(Sources(baseline=learn(eight).baseline))).status == "OK"


def test_being_steady_is_not_being_all_right() -> None:
    """Held against itself alone: nobody knows what this bandwidth should be."""
    found = verdict([run_of(windows(*STEADY))])
    assert (found.status, found.codes) == ("UNKNOWN", ["GB-NO-EXPECTATION"])
    healthy = run_of(windows(*STEADY), findings=[integrity(0)])
    assert verdict([healthy]).status == "OK"


def test_sustained_together_is_held_against_alone() -> None:
    alone = [beside_triad(*STEADY), run(1600, 2)]
    hot = beside_triad(*(each * 0.9 for each in STEADY), attempt=9, key=f"{TOGETHER_KEY}1")
    assert "GB-BW-TOGETHER" in verdict([*alone, hot]).codes


def test_nothing_but_together_against_alone_is_unknown() -> None:
    """The device beside others does as well as alone; what it should do alone, nobody knows."""
    alone = run_of(windows(*STEADY))
    beside = run_of(windows(*STEADY), attempt=9, key=f"{TOGETHER_KEY}1")
    assert verdict([alone, beside]).codes == ["GB-NO-EXPECTATION"]


@pytest.mark.parametrize("samples", [[], [0.0] * 20, [float("nan")], [-1.0]])
def test_damaged_windows_raise_nothing(samples: list[float]) -> None:
    damaged = [
        msgspec.structs.replace(each, samples_seconds=samples, bus_bytes=1) for each in windows(*STEADY)
    ]
    assert judge([run_of(damaged)]).devices


def test_a_stored_run_of_other_windows_is_no_answer() -> None:
    stored = run_of([measurement(1600, "triad"), *windows(*STEADY)])

    def asked(**parameters: float | None) -> list[PlannedBenchmark]:
        return [PlannedBenchmark(name="sustained", parameters=parameters, default_parameters=False)]

    assert answering(stored, asked(duration_seconds=None, time_limit_seconds=9.0)) is not None
    assert answering(stored, asked(duration_seconds=60.0)) is None
    longer = [msgspec.structs.replace(each, parameters={"duration_seconds": 60.0}) for each in windows(1, 2)]
    part = answering(run_of([*windows(*STEADY), *longer]), asked(duration_seconds=60.0))
    assert part is not None
    assert len(part.measurements) == 2

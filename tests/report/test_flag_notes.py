"""What a report says of a flag, in the run's own numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpubench.comparison.compare import compare
from gpubench.flags import FLAGS, Flag
from gpubench.report.flag_notes import flag_notes
from gpubench.report.markdown import render_markdown
from gpubench.report.terminal import measurement_table
from gpubench.results.document import Efficiency, Measurement, RunDocument, decode_document
from gpubench.results.machine import IdleGate, Telemetry, TelemetrySample, Usage
from tests.documents import document, measurement, rtx_5090
from tests.report.noise import epyc, noisy, unstable, usual
from tests.report.test_terminal import shown

MIB = 1024**2
RESULTS = Path(__file__).parents[2] / "results"


def notes(run: RunDocument) -> dict[Flag, str]:
    return {note.flag: note.text for note in flag_notes(compare(run))}


def only(run: RunDocument) -> str:
    [text] = notes(run).values()
    return text


def looks(count: int, *limits: str, **fields: Any) -> Telemetry:
    """Ten looks, of which the first ``count`` saw limits."""
    samples = [
        TelemetrySample(seconds=0.05 * number, limits=list(limits) if number < count else [], **fields)
        for number in range(10)
    ]
    return Telemetry(samples=samples)


def test_a_small_footprint_names_the_cache() -> None:
    m = measurement(30.0, "triad", "cached_footprint", footprint_bytes=256 * MIB, parameters=usual())
    assert only(document(m, device=epyc())) == (
        "256 MiB is less than 10 x the 260 MiB last-level cache (triad). Try --footprint 2600MiB."
    )
    assert only(document(m, device=epyc(cache_bytes=None))) == (
        "256 MiB is less than the 1 GiB required for an unknown cache size (triad). Try --footprint 1GiB."
    )
    assert "less than 32 x the 96 MiB last-level cache (triad). Try --footprint 3GiB." in only(document(m))


def test_an_unknown_cache_is_ruled_out_by_twice_the_footprint() -> None:
    m = measurement(30.0, "triad", "cache_unknown", footprint_bytes=1024 * MIB, parameters=usual())
    assert only(document(m, device=epyc(cache_bytes=None))) == (
        "1 GiB were used, and the size of the last-level cache is unknown (triad). Try --footprint 2GiB: a "
        "figure that stays the same is the memory's."
    )


def test_a_figure_above_theory_says_by_how_much() -> None:
    assert only(document(measurement(1867.0, "read"), measurement(1900.0, "copy"))) == (
        "1900.0 GB/s is 6.0 % above the theoretical peak of 1792.1 GB/s (copy, the worst of 2 figures). "
        + FLAGS["over_theory"].remedy
    )
    at_clock = measurement(1780.0, "read", "over_theory", efficiency_ratio=Efficiency(0.993, 1.0005))
    assert "1780.0 GB/s is less than 0.1 % above the peak at the live clock of 1779.1 GB/s" in only(
        document(at_clock)
    )


def test_a_transfer_is_held_against_its_link() -> None:
    linked = msgspec.structs.replace(rtx_5090(), pcie_generation=4, pcie_lanes=16)
    axes = {"direction": "both", "memory": "pinned", "size_bytes": 4096}
    m = measurement(70.0, "transfer", "over_theory", axes=axes)
    assert "70.00 GB/s is 11.1 % above the link's theoretical peak of 63.02 GB/s" in only(
        document(m, device=linked)
    )
    assert only(document(m)).startswith(FLAGS["over_theory"].meaning)


def test_a_wide_interval_is_that_of_the_document() -> None:
    run = document(unstable(noisy(0.08, 200)), unstable(noisy(0.05, 200), "copy"), device=epyc())
    assert only(run) == (
        "The interval is ±3.5 % after 2 s (triad, the worst of 2 figures). Try --time-limit 60."
    )


def test_a_width_is_that_of_the_interval_beside_it() -> None:
    """Samples of half to four times the median are a bandwidth of a quarter to twice its median."""
    run = document(unstable([0.005, 0.01, 0.01, 0.01, 0.01, 0.04] * 2), device=epyc())
    rate = run.measurements[0].bandwidth_bytes_per_second
    assert rate and (rate.low / rate.median, rate.high / rate.median) == pytest.approx((0.25, 2.0))
    assert "±100.0 %" in only(run)


def test_notes_name_few_samples_dependent_samples_and_two_groups() -> None:
    few = unstable(noisy(0.1, 3), parameters=usual(time_limit_seconds=0.02))
    assert only(document(few, device=epyc())) == (
        "3 samples in 31.9 ms are too few for an interval (triad). Try --time-limit 0.5."
    )
    slow = unstable([0.01 + 0.005 * (number // 50 % 2) + 1e-7 * number for number in range(200)])
    text = only(document(slow, device=epyc()))
    assert text.startswith("The samples of 2.5 s depend on each other and spread ±")
    assert text.endswith(FLAGS["unstable"].remedy)
    near = [0.01 + 0.000103 * (number % 2) for number in range(2000)]
    narrow = measurement(30.0, "triad", "unstable", samples_seconds=near, bimodal=True, spread=0.003)
    narrow = msgspec.structs.replace(narrow, parameters=usual(target_ratio=0.5))
    assert "two groups, between 29.91 and 30.09 GB/s" in only(document(narrow))


def test_a_drift_says_how_far() -> None:
    slower = measurement(30.0, "triad", "drifting", trend_ratio=0.032)
    faster = measurement(30.0, "copy", "drifting", trend_ratio=-0.05)
    assert only(document(slower)).startswith(
        "The last third of the samples took 3.2 % longer than the first (triad). "
    )
    assert "took 5.0 % less time than the first (copy, the worst of 2 figures)" in only(
        document(slower, faster)
    )


def test_a_low_clock_is_named_beside_the_nominal_one() -> None:
    m = measurement(1400.0, "triad", "clock_limited", efficiency_ratio=Efficiency(0.78, 0.9))
    assert only(document(m)).startswith(
        "The memory ran at 12134 MHz, 86.7 % of its nominal 14001 MHz (triad). "
    )
    clocks = 14_001_000_000, 10_501_000_000
    watched = Telemetry(samples=[TelemetrySample(0.0, memory_clock_hz=clock) for clock in clocks])
    bare = measurement(1400.0, "triad", "clock_limited")
    assert only(document(bare, telemetry=watched)) == (
        "The memory ran at 12251 MHz, 87.5 % of its nominal 14001 MHz (triad). Try nvidia-smi -rmc: neither "
        "power nor heat holds it, so it may be locked."
    )
    hot = looks(1, "thermal", memory_clock_hz=12_251_000_000)
    assert "locked (" not in only(document(bare, telemetry=hot)) and "Try" not in only(
        document(bare, telemetry=hot)
    )


def test_limits_are_named_with_their_share_of_the_telemetry() -> None:
    m = measurement(1400.0, "triad", "power_limited")
    assert only(document(m, telemetry=looks(8, "power", power_watts=575.0))).startswith(
        "The power limit lowered clocks in 80.0 % of all readings, at 575 W (triad). "
    )
    assert only(document(m, telemetry=looks(1, "hardware_slowdown"))).startswith(
        "The hardware, reason unknown, lowered clocks in 10.0 % of all readings (triad). "
    )
    hot = measurement(1400.0, "triad", "thermal_limited"), measurement(1400.0, "copy", "thermal_limited")
    assert only(document(*hot, telemetry=looks(5, "thermal", temperature_celsius=88.0))).startswith(
        "Heat lowered clocks in 50.0 % of all readings, at up to 88 °C (2 figures). "
    )


@pytest.mark.parametrize(
    ("telemetry", "text"),
    [
        (Telemetry(others_busy_ratio=0.323), "Others used up to 32.3 % of the processors (triad). "),
        (Telemetry(other_processes=1), "1 other program computed on the device (triad). "),
        (
            Telemetry(other_processes=1, processes=["gnome-shell (process 812)", "firefox (process 9)"]),
            "Others on the device: gnome-shell (process 812) and 1 more (triad). ",
        ),
        (
            Telemetry(before=IdleGate(False, 2.0, Usage(None, 0.6, 0, 0.3, ["a_game (process 7)"]))),
            "Others on the device: a_game (process 7) (triad). ",
        ),
        (Telemetry(other_processes=2), "2 other programs computed on the device (triad). "),
        (
            Telemetry(before=IdleGate(False, 2.0, Usage(others_busy_ratio=0.63))),
            "The device was busy before the run: others use 63.0 % of the processors (triad). ",
        ),
    ],
)
def test_contention_says_what_others_used(telemetry: Telemetry, text: str) -> None:
    run = document(measurement(30.0, "triad", "contended"), telemetry=telemetry)
    assert only(run) == text + FLAGS["contended"].remedy


def test_throttling_says_for_how_long_and_by_which_quota() -> None:
    run = document(measurement(30.0, "triad", "throttled"), telemetry=Telemetry(throttled_seconds=2.5))
    assert run.environment is not None
    host = msgspec.structs.replace(run.environment.host, cores=2, quota_cores=0.5)
    limited = msgspec.structs.replace(run, environment=msgspec.structs.replace(run.environment, host=host))
    assert only(limited).startswith(
        "A quota of 0.5 cores stopped threads for 2.5 s in all, and the run used 2 (triad)."
    )
    assert only(run).startswith("A quota stopped threads for 2.5 s in all (triad).")


def test_wrong_data_are_counted() -> None:
    wrong = Measurement("copy", {}, "unverified", mismatches=4, flags=["unverified"])
    assert only(document(wrong)).startswith(
        "4 values were wrong after the benchmark: there is no figure (copy). "
    )


@pytest.mark.parametrize("flag", FLAGS)
def test_without_numbers_the_general_sentences_stand(flag: Flag) -> None:
    """A document of a failed worker, or of another version, may have none."""
    bare = Measurement("copy", {}, "ok", flags=[flag])
    run = RunDocument(run_id="r", outcome="ok", created_at="", measurements=[bare])
    assert only(run) == f"{FLAGS[flag].meaning} {FLAGS[flag].remedy}"


def test_a_figure_of_the_memory_comes_before_points_of_curves() -> None:
    points = (unstable(noisy(0.4, 200), "strided", axes={"stride_elements": k}) for k in (1, 2))
    run = document(unstable(noisy(0.08, 200)), *points, device=epyc())
    assert only(run).startswith("The interval is ±3.5 % after 2 s (1 figure and 2 points). ")


def longest(named: int) -> RunDocument:
    """Every flag, with the longest numbers and names that there are."""
    fields: dict[str, Any] = {
        "parameters": usual("loaded_latency"),
        "footprint_bytes": 1234 * MIB,
        "samples_seconds": noisy(0.08, 200),
        "trend_ratio": -0.123,
        "mismatches": 2**40,
        "efficiency_ratio": Efficiency(0.78, 0.9),
    }
    points = [
        measurement(12345.6, "loaded_latency", *FLAGS, axes={"load_percent": k}, **fields) for k in range(100)
    ]
    limits = ["hardware_slowdown", "thermal"]
    look = TelemetrySample(0.1, power_watts=1234.5, temperature_celsius=100.0, limits=limits)
    busy = IdleGate(False, 5.0, Usage(None, 1.0, 12, 1.0))
    names = [f"{'a program with a long name' * named} (process {k})" for k in range(8 * named)]
    return document(*points, telemetry=Telemetry(samples=[look], before=busy, processes=names))


def test_no_note_is_longer_than_two_lines_of_100_columns() -> None:
    runs = [
        longest(named=0),
        longest(named=2),
        document(Measurement("copy", {}, "unverified", flags=list(FLAGS))),
    ]
    runs += [decode_document(path.read_bytes()) for path in RESULTS.glob("amd-epyc-2-cores-*2026-11-24.json")]
    assert set(notes(runs[0])) == set(notes(runs[2])) == set(FLAGS)
    for run in runs:
        lines = shown(measurement_table(compare(run)), width=100).splitlines()
        report = render_markdown([run])
        for flag, text in notes(run).items():
            begin = next(number for number, line in enumerate(lines) if line.startswith(f"{flag}: "))
            two_lines = " ".join(line.strip() for line in lines[begin : begin + 2])
            assert two_lines.startswith(f"{flag}: {text}")
            assert f"- `{flag}`: " in report
            assert len(f"- `{flag}`: {text}") <= 200

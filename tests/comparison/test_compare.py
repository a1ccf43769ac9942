import math

import msgspec
import pytest

from gpubench.catalog.theory import with_live_clock
from gpubench.comparison.compare import NO_THEORY, Comparison, Result, compare
from gpubench.requests import StatedMemory
from gpubench.results.document import Efficiency, RunDocument, Summary
from gpubench.results.machine import Theory
from tests.documents import document, h200, measurement, processor, rtx_5090


def only(comparison: Comparison) -> Result:
    assert comparison.excluded == ()
    (result,) = comparison.results
    return result


def test_a_gddr7_board_against_theory_pins_and_modules() -> None:
    result = only(compare(document(measurement(1612.8))))
    assert result.nominal_ratio == pytest.approx(0.9, rel=1e-3)
    assert result.per_pin_bits_per_second == pytest.approx(25.2e9)
    assert result.per_module_bytes_per_second == pytest.approx(100.8e9)
    assert result.sweep_seconds == pytest.approx(32 * 1024**3 / 1612.8e9)
    assert result.flags == ()


def test_references_have_the_same_bus_width_and_boards_their_own() -> None:
    result = only(compare(document(measurement(1612.8))))
    peaks = {ref.label: ref.peak_bytes_per_second / 1e9 for ref in result.references}
    assert peaks == {
        "GDDR6 14 Gbit/s": 896,
        "GDDR6 16 Gbit/s": 1024,
        "GDDR6 18 Gbit/s": 1152,
        "GDDR6 20 Gbit/s": 1280,
        "GDDR6X 21 Gbit/s": 1344,
        "GDDR7 28 Gbit/s": 1792,
        "GDDR7 32 Gbit/s": 2048,
    }
    assert {ref.bus_width_bits for ref in result.references} == {512}
    gddr6 = result.references[0]
    assert gddr6.measured_ratio == pytest.approx(1.8)
    assert gddr6.theory_ratio == pytest.approx(2.0, rel=1e-3)
    labels = [ref.label for ref in result.boards]
    assert "NVIDIA GeForce RTX 4090" in labels
    assert "NVIDIA GeForce RTX 5090" not in labels  # the board itself: that is its efficiency


def test_a_projection_is_theory_times_the_measured_efficiency() -> None:
    at_28, at_32 = only(compare(document(measurement(1612.8, spread=0.01)))).projections
    assert (at_28.peak_bytes_per_second, at_32.peak_bytes_per_second) == (1792e9, 2048e9)
    assert at_32.median_bytes_per_second == pytest.approx(0.9 * 2048e9, rel=1e-3)
    assert at_32.low_bytes_per_second == pytest.approx(0.99 * at_32.median_bytes_per_second)
    assert at_32.high_bytes_per_second == pytest.approx(1.01 * at_32.median_bytes_per_second)


def test_a_figure_above_theory_is_flagged_and_not_projected() -> None:
    for flags in ((), ("over_theory",)):
        result = only(compare(document(measurement(1867.0, "read", *flags))))
        assert result.flags == ("over_theory",)
        assert result.projections == ()
        assert result.no_projection == "the figure is flagged: over_theory"


@pytest.mark.parametrize(
    "flag", ["cached_footprint", "cache_unknown", "contended", "thermal_limited", "unstable"]
)
def test_a_flagged_figure_keeps_its_flag_and_is_not_projected(flag: str) -> None:
    result = only(compare(document(measurement(1600.0, "triad", flag))))  # type: ignore[arg-type]
    assert result.flags == (flag,)
    assert result.projections == ()


def test_a_clock_that_every_geforce_lowers_leaves_the_projection() -> None:
    result = only(compare(document(measurement(1600.0, "triad", "clock_limited"))))
    assert result.flags == ("clock_limited",)
    assert len(result.projections) == 2


def test_the_fraction_at_the_live_clock() -> None:
    measured = measurement(1589.85, efficiency_ratio=Efficiency(live_clock=0.9))
    assert only(compare(document(measured))).live_clock_ratio == 0.9
    run = document(measurement(1589.85))
    assert run.theory is not None
    live = msgspec.structs.replace(run.theory, live_clock_peak_bytes_per_second=1766.5e9)
    result = only(compare(msgspec.structs.replace(run, theory=live)))
    assert result.live_clock_ratio == pytest.approx(0.9)
    assert only(compare(run)).live_clock_ratio is None


def test_an_overclocked_figure_is_projected_at_its_live_clock() -> None:
    """1850 GB/s of 1792: no more than 96.4 % of what 15001 MHz give."""
    measured = measurement(
        1850.0, efficiency_ratio=Efficiency(nominal=1850 / 1792.1, live_clock=1850 / 1920.1)
    )
    run = document(measured)
    assert only(compare(document(measurement(1850.0)))).flags == ("over_theory",)
    live = with_live_clock(run.theory, 15_001_000_000)
    result = only(compare(msgspec.structs.replace(run, theory=live)))
    assert result.flags == ()
    assert result.projections[0].median_bytes_per_second == pytest.approx(1850 / 1920.1 * 1792e9, rel=1e-3)
    above = measurement(1930.0, efficiency_ratio=Efficiency(live_clock=1930 / 1920.1))
    assert only(compare(msgspec.structs.replace(document(above), theory=live))).flags == ("over_theory",)


def test_hbm_is_compared_with_gddr_of_three_widths_not_projected() -> None:
    comparison = compare(document(measurement(4378.0), device=h200()))
    result = only(comparison)
    assert sorted({ref.bus_width_bits for ref in result.references}) == [256, 384, 512]
    assert result.projections == ()
    assert "GDDR" in (result.no_projection or "")
    assert any("HBM" in text for text in comparison.not_allowed)


def test_host_memory_without_theory_has_a_note_and_its_figure() -> None:
    run = document(measurement(34.2), device=processor())
    assert only(compare(run)).references == only(compare(run)).boards == ()
    comparison = compare(run, references=True)
    result = only(comparison)
    assert comparison.notes == (NO_THEORY,)
    assert (
        result.nominal_ratio is result.per_pin_bits_per_second is result.per_module_bytes_per_second is None
    )
    assert result.projections == ()
    gddr7 = next(
        ref for ref in result.references if (ref.label, ref.bus_width_bits) == ("GDDR7 28 Gbit/s", 512)
    )
    assert gddr7.measured_ratio == pytest.approx(34.2 / 1792)
    assert gddr7.theory_ratio is None


def test_host_memory_with_stated_theory() -> None:
    stated = StatedMemory(technology="ddr5-4800", bus_width_bits=128)
    comparison = compare(document(measurement(61.44), device=processor(), stated=stated))
    result = only(comparison)
    assert result.nominal_ratio == pytest.approx(0.8)
    assert result.projections == ()
    assert "stated by the user" in comparison.notes[0]


def test_published_figures_are_matched_by_board_and_kernel() -> None:
    comparison = compare(document(measurement(4000.0, "read"), measurement(4000.0, "dot"), device=h200()))
    assert {figure.grade for figure in comparison.published} <= {"A", "B"}
    run = document(measurement(1500.0, "copy"), measurement(1500.0, "dot"))
    copy, dot = compare(run).results
    assert copy.published
    for figure in copy.published:
        assert "copy" in figure.kernel
        assert figure.source.startswith("https://")
        assert figure.measured_ratio == pytest.approx(1500e9 / figure.bandwidth_bytes_per_second)
    assert dot.published == ()
    a40 = msgspec.structs.replace(rtx_5090(), name="NVIDIA A40", memory_clock_hz=None, bus_width_bits=None)
    scale, copied = compare(
        document(measurement(600.0, "scale"), measurement(600.0, "copy"), device=a40)
    ).results
    assert [figure.kernel for figure in scale.published] == ["scale (copy-like)"]
    assert copied.published == ()


def test_unverified_and_failed_figures_are_in_no_ratio() -> None:
    run = document(
        measurement(1600.0, "copy", status="failed", reason="out of memory", bandwidth_bytes_per_second=None),
        measurement(1600.0, "add", verified=False),
        measurement(1600.0, "dot", "unverified"),
        measurement(1600.0, "triad", status="unverified", reason="3 mismatches"),
        measurement(1600.0, "read", status="timeout"),
        measurement(1600.0, "chase", quantity="latency"),
        measurement(1600.0, "scale", bandwidth_bytes_per_second=None),
    )
    comparison = compare(run)
    assert comparison.results == ()
    reasons = {each.measurement.benchmark: each.reason for each in comparison.excluded}
    assert reasons["copy"] == "out of memory"
    assert reasons["add"] == reasons["dot"] == "the data were not verified, so the figure does not count"
    assert reasons["triad"] == "3 mismatches"
    assert reasons["read"] == "timeout"
    assert reasons["chase"] == reasons["scale"] == "neither a bandwidth nor a latency was measured"


def bare(**fields: object) -> RunDocument:
    return RunDocument(run_id="r", outcome="failed", created_at="", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_a_figure_that_is_no_positive_number_is_excluded(value: float) -> None:
    summary = Summary(value, value, value, value, value, value, value)
    comparison = compare(document(measurement(1.0, bandwidth_bytes_per_second=summary)))
    assert comparison.results == ()
    assert comparison.excluded[0].reason == "the bandwidth is not a positive number"


@pytest.mark.parametrize(
    "run",
    [
        bare(),
        bare(measurements=[measurement(34.2)]),
        bare(measurements=[measurement(34.2)], theory=Theory("device", 0.0, 0.0, 512)),
        bare(measurements=[measurement(34.2)], theory=Theory("device", 1e12, 2e10, 0)),
        bare(measurements=[measurement(34.2)], theory=Theory("device", math.inf, 2e10, 512)),
        bare(
            measurements=[measurement(34.2)],
            theory=Theory("catalog", 1e12, 2e10, 512, board="of a later catalog"),
        ),
        bare(measurements=[measurement(34.2)], device=msgspec.structs.replace(rtx_5090(), memory_bytes=0)),
    ],
)
def test_no_document_makes_it_fail(run: RunDocument) -> None:
    comparison = compare(run)
    assert len(comparison.results) == len(run.measurements)
    for result in comparison.results:
        assert result.sweep_seconds is None
        assert all(math.isfinite(ref.measured_ratio) for ref in result.references)


def test_claims_are_dated_and_have_a_source() -> None:
    comparison = compare(document(measurement(1600.0)))
    assert {claim.vendor for claim in comparison.claims} >= {"Samsung", "SK hynix", "Micron"}
    assert all(claim.date and claim.source.startswith("https://") for claim in comparison.claims)

"""What a figure is held against: the nominal peak, and the one at the clock that the memory ran at."""

from __future__ import annotations

import pytest

from gpubench.catalog.theory import upper_limit
from gpubench.measure.annotate import efficiency, flags_of, live_peak
from gpubench.results.machine import DeviceInfo, Telemetry, TelemetrySample, Theory

THEORY = Theory("device", 1792.1e9, 28.002e9, 512)
AT_13801_MHZ = Telemetry(samples=[TelemetrySample(0.1 * k, memory_clock_hz=13_801_000_000) for k in range(3)])
BOARD = DeviceInfo(
    "cuda:GPU-1", "rtx", "cuda", "gpu", "RTX 5090", "0000:01:00.0", last_level_cache_bytes=96 << 20
)


@pytest.mark.parametrize(("bandwidth", "flags"), [(1760e9, []), (1783e9, ["over_theory"])])
def test_above_the_peak_of_the_live_clock_is_above_theory(bandwidth: float, flags: list[str]) -> None:
    """99.5 % of the nominal peak, but 100.9 % of what the memory could do at its clock."""
    seconds = [1e9 / bandwidth] * 40
    peak = upper_limit(THEORY.peak_bytes_per_second, live_peak(THEORY, AT_13801_MHZ))
    told = flags_of(
        BOARD, peak, AT_13801_MHZ, seconds, 0.005, footprint_bytes=4 << 30, bus_bytes=1_000_000_000
    )
    assert told == flags
    ratio = efficiency(bandwidth, THEORY, AT_13801_MHZ).live_clock
    assert ratio == pytest.approx(bandwidth / 1766.5e9, rel=1e-4)

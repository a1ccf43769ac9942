"""What goes with a verified figure: its flags, its share of theory, and the telemetry of its samples."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gpubench.catalog.theory import live_clock_peak, with_live_clock
from gpubench.flags import Flag
from gpubench.measure.statistics import median
from gpubench.measure.validity import Evidence, flags
from gpubench.results.document import Efficiency
from gpubench.results.machine import DeviceInfo, Telemetry, Theory


def flags_of(
    info: DeviceInfo,
    peak_bytes_per_second: float | None,
    telemetry: Telemetry,
    samples_seconds: Sequence[float],
    target_ratio: float,
    *,
    footprint_bytes: int | None,
    bus_bytes: int | None,
) -> list[Flag]:
    """The flags of a verified figure; footprint and bus bytes are None if caches are what it measures.

    No figure may be above ``peak_bytes_per_second``: see ``upper_limit``.
    """
    return flags(
        Evidence(
            kind=info.kind,
            samples_seconds=samples_seconds,
            target_ratio=target_ratio,
            verified=True,
            footprint_bytes=footprint_bytes,
            last_level_cache_bytes=info.last_level_cache_bytes,
            sample_bytes=bus_bytes,
            peak_bytes_per_second=peak_bytes_per_second,
            nominal_memory_clock_hz=info.memory_clock_hz,
            telemetry=telemetry.samples,
            other_processes=telemetry.other_processes,
            others_busy_ratio=telemetry.others_busy_ratio,
            others_device_busy_ratio=telemetry.others_device_busy_ratio,
            throttled_seconds=telemetry.throttled_seconds,
            busy_before=telemetry.before is not None and not telemetry.before.idle,
            usage_before=telemetry.before.usage if telemetry.before else None,
        )
    )


def efficiency(bandwidth: float, theory: Theory | None, telemetry: Telemetry) -> Efficiency:
    """Of the nominal peak, and of the peak at the median of the live memory clock."""
    if theory is None:
        return Efficiency()
    live = live_peak(theory, telemetry)
    return Efficiency(bandwidth / theory.peak_bytes_per_second, bandwidth / live if live else None)


def live_peak(theory: Theory | None, telemetry: Telemetry) -> float | None:
    """The peak at the median of the live memory clock, in byte/s; None if that is not known."""
    clocks = [sample.memory_clock_hz for sample in telemetry.samples if sample.memory_clock_hz]
    return live_clock_peak(theory, median(clocks)) if theory and clocks else None


def theory_of_run(theory: Theory | None, telemetry: Telemetry) -> Theory | None:
    """The theory with what the live memory clock of the whole run adds to it."""
    clocks = [sample.memory_clock_hz for sample in telemetry.samples if sample.memory_clock_hz]
    return with_live_clock(theory, median(clocks)) if theory and clocks else theory


def since(begin_seconds: float, telemetry: Telemetry) -> Telemetry:
    """The same with its samples' times counted from the start of the run."""
    samples = [
        msgspec.structs.replace(sample, seconds=begin_seconds + sample.seconds)
        for sample in telemetry.samples
    ]
    return msgspec.structs.replace(telemetry, samples=samples)


def merge(watched: Sequence[Telemetry]) -> Telemetry:
    """The telemetry of a run, from that of its measurements."""

    def known(name: str) -> list[float]:
        return [value for each in watched if (value := getattr(each, name)) is not None]

    def most(name: str) -> int | None:
        return int(max(known(name))) if known(name) else None

    energies, busy = known("energy_joules"), known("others_busy_ratio")
    throttled = known("throttled_seconds")
    by_others = known("others_device_busy_ratio")
    return Telemetry(
        samples=[sample for each in watched for sample in each.samples],
        # The energy of a part is not the energy of the run.
        energy_joules=sum(energies) if energies and len(energies) == len(watched) else None,
        other_processes=most("other_processes"),
        others_busy_ratio=max(busy, default=None),
        throttled_seconds=round(sum(throttled), 6) if throttled else None,
        ecc_errors_uncorrected=most("ecc_errors_uncorrected"),
        absent=next((each.absent for each in watched if each.absent), None),
        others_device_busy_ratio=max(by_others, default=None),
        processes=list(dict.fromkeys(name for each in watched for name in each.processes)),
    )

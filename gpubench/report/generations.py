"""A device's bus with every generation of GDDR, as tables, and vendors' claims beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gpubench import units
from gpubench.catalog.load import Claim, ClaimSubject
from gpubench.comparison.generations import MODULE_GIBIBYTES, Generation, Generations
from gpubench.report.sides import letter
from gpubench.report.text_table import UNKNOWN, Table, bits_cell, clean, flagged, or_unknown


def generations_table(found: Generations) -> Table:
    sizes = tuple(f"{size} GB each" for size in MODULE_GIBIBYTES)
    figure = flagged(found.benchmark or "measured", found.measured.flags if found.measured else ())
    columns = ("memory", "bus", "peak GB/s", "own theory", figure, "projected", "interval", *sizes)
    title = f"{letter(found.side)}, {clean(found.device or 'unknown device')}, against generations of GDDR"
    return Table(title, columns, tuple(map(_row, found.generations)))


def claims_table(found: Generations) -> Table:
    """Dated statements of vendors, each with what was measured here about the same thing."""
    rows = tuple(
        (each.date, each.vendor, each.family, each.text, each.baseline, _beside(each, found))
        for each in found.claims
    )
    columns = ("date", "vendor", "memory", "claim", "against", "measured here")
    on = f"{found.benchmark}, {_memory(found)}" if found.benchmark else _memory(found)
    title = f"Claims of vendors, and what was measured on {letter(found.side)} ({on})"
    return Table(title, columns, rows, len(columns))


def notes(found: Sequence[Generations]) -> list[str]:
    """What the tables are, and what they do not allow one to conclude; each sentence once."""
    lines = [
        "Peaks are rate x width / 8. The column own theory is the device's own peak over that of the row, "
        "and the column of the benchmark the figure measured over it.",
        "A projection was not measured: it assumes the fraction of the peak that was measured here. "
        "Capacities are those with one module on each 32 bits of the bus; boards with two have twice that.",
        "Energy and heat are measured by `gpubench run sustained` on devices that report power: of the whole "
        "board and by the GPU's sensor, so they neither confirm nor refute a claim about memory chips.",
    ]
    refused = [
        f"No projection of {letter(each.side)}: {each.no_projection}." for each in found if each.no_projection
    ]
    never = dict.fromkeys(text for each in found for text in each.not_allowed)
    return [*lines, *refused, "What cannot be concluded from this:", *(f"- {text}" for text in never)]


def _row(each: Generation) -> tuple[str, ...]:
    projection = each.projection
    interval = UNKNOWN
    if projection:
        interval = f"{_gb(projection.low_bytes_per_second)} to {_gb(projection.high_bytes_per_second)}"
    return (
        each.label,
        bits_cell(each.bus_width_bits),
        _gb(each.peak_bytes_per_second),
        or_unknown(each.theory_ratio, units.format_ratio),
        or_unknown(each.measured_ratio, units.format_ratio),
        _gb(projection.median_bytes_per_second) if projection else UNKNOWN,
        interval,
        *(or_unknown(size, units.format_bytes) for size in each.capacities_bytes),
    )


def _gb(bytes_per_second: float) -> str:
    return units.number(units.to_gb_per_second(bytes_per_second))


def _beside(claim: Claim, found: Generations) -> str:
    return "; ".join(dict.fromkeys(_MEASURED[subject](found) for subject in claim.about))


def _rate(found: Generations) -> str:
    rate = found.measured.per_pin_bits_per_second if found.measured else None
    return f"{units.format_data_rate(rate)} per pin" if rate is not None else "rate per pin not measured"


def _bandwidth(found: Generations) -> str:
    return units.format_bandwidth(found.measured.median) if found.measured else "bandwidth not measured"


def _memory(found: Generations) -> str:
    if found.theory is None:
        return "memory of an unknown kind"
    kind = found.theory.technology or found.theory.family or "memory of an unknown kind"
    return f"{kind} x {found.theory.bus_width_bits} bit"


def _finding(names: Sequence[str], absent: str) -> Callable[[Generations], str]:
    def read(found: Generations) -> str:
        texts = [each.text for name in names for each in found.findings if each.name == name]
        return clean(texts[0]) if texts else absent

    return read


_MEASURED: Mapping[ClaimSubject, Callable[[Generations], str]] = {
    "rate": _rate,
    "bandwidth": _bandwidth,
    "energy": _finding(("energy_per_bit_above_idle", "energy_per_byte"), "energy not measured"),
    "heat": _finding(("heating", "temperature_rise"), "heat not measured"),
    "voltage": lambda found: "voltage not reported",
    "standby": lambda found: "standby power not measured",
}
"""What the runs hold about the subject of a claim."""

"""The tables of a report, as text in cells: what every rendering shows, before it looks like anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpubench import units
from gpubench.compare import Comparison, Reference, Result
from gpubench.measure.idle import in_words
from gpubench.report.words import interval
from gpubench.results.document import DeviceInfo, Flag, IdleGate, Measurement, RunDocument, Theory
from gpubench.verdicts import NOT_OF_THE_MEMORY, Verdict, in_order

UNKNOWN = "–"


@dataclass(frozen=True)
class Table:
    """Rows of text cells: ``text_columns`` columns of text, then figures, then ``last_text`` of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    last_text: int = 0

    def is_text(self, column: int) -> bool:
        return not self.text_columns <= column < len(self.columns) - self.last_text


def clean(text: object) -> str:
    """One line without control characters: names and reasons come from drivers and from servers."""
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(shown.split())


def device_name(document: RunDocument) -> str:
    return clean(document.device.name) if document.device else "unknown device"


def devices(infos: Iterable[DeviceInfo]) -> Table:
    rows = tuple(
        (
            clean(info.id),
            clean(info.alias),
            clean(info.name),
            f"{info.runtime} {info.kind}",
            _bytes(info.memory_bytes),
            _bits(info.bus_width_bits),
            units.format_clock(info.memory_clock_hz) if info.memory_clock_hz else UNKNOWN,
            _bytes(info.last_level_cache_bytes),
            clean(info.unavailable or "ready"),
        )
        for info in infos
    )
    columns = ("device", "alias", "name", "kind", "memory", "bus", "memory clock", "cache", "state")
    return Table("Devices", columns, rows, len(columns))


def device_facts(document: RunDocument, theory: Theory | None) -> Table:
    info = document.device
    facts: list[tuple[str, object]] = []
    if info:
        facts += [
            ("Name", info.name),
            ("Runtime", f"{info.runtime}, {info.runtime_version or 'version unknown'}"),
            ("Memory", _bytes(info.memory_bytes)),
            ("Last-level cache", _bytes(info.last_level_cache_bytes)),
            ("ECC", {True: "on", False: "off", None: UNKNOWN}[info.ecc_enabled]),
        ]
    if theory:
        facts += [
            ("Memory technology", theory.technology or theory.family or UNKNOWN),
            ("Data rate", f"{units.format_data_rate(theory.data_rate_bits_per_second)} per pin"),
            ("Bus width", _bits(theory.bus_width_bits)),
            (
                "Theoretical peak",
                f"{units.format_bandwidth(theory.peak_bytes_per_second)} ({_source(theory)})",
            ),
            ("Peak at the live clock", _bandwidth(theory.live_clock_peak_bytes_per_second)),
            ("Catalogue's peak", _bandwidth(theory.catalog_peak_bytes_per_second)),
            ("Data sheet", _bandwidth(theory.published_bytes_per_second)),
        ]
    return _facts("Device", facts)


def environment_facts(document: RunDocument) -> Table:
    env, telemetry = document.environment, document.telemetry
    facts: list[tuple[str, object]] = [
        ("Run", document.run_id),
        ("Started", document.started_at or document.created_at),
        ("Outcome", f"{document.outcome}{f' ({document.error.message})' if document.error else ''}"),
    ]
    if env:
        host = env.host
        facts += [
            ("Program", f"gpubench {env.program_version}, kernels {env.kernel_source_hash[:12]}"),
            ("Driver", env.driver or UNKNOWN),
            ("Runtime", env.runtime or UNKNOWN),
            ("Compiler", env.compiler or UNKNOWN),
            ("Host", host.processor or UNKNOWN),
            ("Host's cores", host.cores),
            ("Host's memory", _bytes(host.memory_bytes)),
            ("System", " ".join(part for part in (host.os, host.kernel) if part) or UNKNOWN),
            ("Python", host.python or UNKNOWN),
        ]
    if telemetry.absent:
        facts.append(("Not watched", telemetry.absent))
    if telemetry.others_busy_ratio is not None:
        share = units.format_percent(telemetry.others_busy_ratio)
        facts.append(("Processor time of others", f"{share}, in the busiest benchmark or part of one"))
    if telemetry.before is not None:
        facts.append(("Before the run", _idle(telemetry.before)))
    return _facts("Environment", facts)


def _idle(before: IdleGate) -> str:
    state = "the device was idle" if before.idle else f"the device was busy: {in_words(before.usage)}"
    return f"{state}, after a wait of {units.format_seconds(before.waited_seconds)}"


def measurements(comparison: Comparison) -> Table:
    columns = (
        "benchmark", "GB/s", "95 % interval", "of theory", "at live clock", "Gbit/s per pin",
        "GB/s per module", "whole memory", "samples", "flags",
    )  # fmt: skip
    rows = tuple(
        (
            label(result),
            units.number(units.to_gb_per_second(result.bandwidth.median)),
            interval_of(result),
            _percent(result.nominal_ratio),
            _percent(result.live_clock_ratio),
            _or(result.per_pin_bits_per_second, lambda rate: f"{units.to_gbit_per_second(rate):.2f}"),
            _or(result.per_module_bytes_per_second, lambda rate: units.number(units.to_gb_per_second(rate))),
            _or(result.sweep_seconds, units.format_seconds),
            str(len(result.measurement.samples_seconds)),
            ", ".join(result.flags) or "none",
        )
        for result in comparison.results
    )
    return Table("Measured", columns, rows, last_text=1)


def excluded(comparison: Comparison) -> Table:
    """What should have given a figure and did not."""
    rows = tuple(
        (point_label(each.measurement), clean(each.measurement.status), clean(each.reason))
        for each in comparison.excluded
        if not each.skipped
    )
    return Table("Without a figure", ("benchmark", "status", "why"), rows, 3)


def skipped(comparison: Comparison) -> Table:
    """What this device or runtime cannot do."""
    rows = tuple(
        (point_label(each.measurement), clean(each.reason)) for each in comparison.excluded if each.skipped
    )
    return Table("Skipped here", ("benchmark", "why"), rows, 2)


def references(comparison: Comparison, results: Sequence[Result], *, brief: bool = False) -> Table:
    """A row for each reference, a column for each of these results; flags stand in the heading.

    ``brief`` leaves out all but the narrowest bus, where the device has no width of its own.
    """
    if not results:
        return Table("Against references", ("reference",), ())
    columns = ["reference", "bus", "peak GB/s", "own theory"]
    columns += [_flagged(label(each), each.flags) for each in results]
    of_each = [(*_narrowest(each.references, brief), *each.boards) for each in results]
    rows = tuple(_reference_row(same) for same in zip(*of_each, strict=True))
    return Table("Against references", tuple(columns), rows)


def projections(comparison: Comparison) -> Table:
    """What another memory would deliver on this bus: theory x the efficiency measured here."""
    columns = ("benchmark", "memory", "theory GB/s", "projected GB/s", "interval")
    rows = tuple(
        (
            _flagged(label(result), result.flags),
            f"{each.label} (projected)",
            units.number(units.to_gb_per_second(each.peak_bytes_per_second)),
            units.number(units.to_gb_per_second(each.median_bytes_per_second)),
            _interval(result.measurement, each.low_bytes_per_second, each.high_bytes_per_second),
        )
        for result in comparison.results
        for each in result.projections
    )
    return Table("Projected, not measured", columns, rows, 2)


def published(comparison: Comparison) -> Table:
    """Others' figures of the same board; the ratio is ours over theirs where the kernel is the same."""
    ratios = {
        (
            figure.tool,
            figure.kernel,
            figure.source,
        ): _flagged(f"{label(result)} {units.format_ratio(figure.measured_ratio)}", result.flags)
        for result in comparison.results
        for figure in result.published
        if figure.measured_ratio is not None
    }
    rows = tuple(
        (
            figure.tool,
            figure.kernel,
            figure.counting or UNKNOWN,
            figure.grade,
            figure.source,
            units.number(units.to_gb_per_second(figure.bandwidth_bytes_per_second)),
            ratios.get((figure.tool, figure.kernel, figure.source), UNKNOWN),
        )
        for figure in comparison.published
    )
    columns = ("tool", "kernel", "counts", "grade", "source", "GB/s", "here / there")
    return Table("What others measured on this board", columns, rows, 5)


def claims(comparisons: Sequence[Comparison]) -> Table:
    found = dict.fromkeys(claim for comparison in comparisons for claim in comparison.claims)
    rows = tuple((claim.date, claim.vendor, claim.text, claim.baseline, claim.source) for claim in found)
    return Table("What vendors say", ("date", "vendor", "claim", "against", "source"), rows, 5)


def verdicts(found: Sequence[Verdict]) -> Table:
    """Side b over side a."""
    rows = tuple(
        (
            clean(f"{each.benchmark}{in_brackets(each.axes)}"),
            each.verdict,
            clean(each.reason),
            _or(each.ratio, lambda ratio: f"{ratio:.4f}"),
            f"{each.low:.4f} to {each.high:.4f}"
            if each.low is not None and each.high is not None
            else UNKNOWN,
            f"{each.runs_a} and {each.runs_b}",
            ", ".join(each.flags) or "none",
        )
        for each in found
    )
    columns = ("benchmark", "verdict", "why", "ratio", "interval", "runs", "flags")
    return Table("Verdicts", columns, rows, 3, last_text=1)


def best(results: Sequence[Result]) -> Result | None:
    """The one figure that may stand for a run: of those without a flag the one with the highest low end.

    A flagged one only where there is no other, and one that is of a cache last of all. By the low end,
    because the median of a series in two groups may lie in the upper one by chance.
    """

    def standing(result: Result) -> tuple[bool, bool, float]:
        return not result.flags, NOT_OF_THE_MEMORY.isdisjoint(result.flags), result.bandwidth.low

    return max(results, key=standing, default=None)


def flags_in(comparisons: Iterable[Comparison]) -> tuple[Flag, ...]:
    """Every flag that occurs, once, in the order of the document's list."""
    return in_order(
        flag
        for comparison in comparisons
        for flags in (
            *(result.flags for result in comparison.results),
            *(curve.flags for curve in comparison.curves),
            *(each.measurement.flags for each in comparison.excluded),
        )
        for flag in flags
    )


def label(result: Result) -> str:
    """The benchmark, with what tells it from the run's other figures of the same."""
    return clean(f"{result.benchmark}{in_brackets(result.apart)}")


def interval_of(result: Result) -> str:
    """Of the figure, in GB/s; marked where it is a mere range."""
    return _interval(result.measurement, result.bandwidth.low, result.bandwidth.high)


def point_label(measurement: Measurement) -> str:
    """The benchmark, and which point of it."""
    return clean(f"{measurement.benchmark}{in_brackets(measurement.axes)}")


def in_brackets(named: Mapping[str, object]) -> str:
    """`` (dtype float, unroll 4)``; nothing where there is nothing to name."""
    words = ", ".join(f"{name} {value}" for name, value in named.items())
    return f" ({words})" if words else ""


def _narrowest(found: Sequence[Reference], brief: bool) -> list[Reference]:
    width = min((each.bus_width_bits for each in found), default=0)
    return [each for each in found if not brief or each.bus_width_bits == width]


def _reference_row(same: Sequence[Reference]) -> tuple[str, ...]:
    first = same[0]
    return (
        first.label,
        _bits(first.bus_width_bits),
        units.number(units.to_gb_per_second(first.peak_bytes_per_second)),
        _or(first.theory_ratio, units.format_ratio),
        *(units.format_ratio(each.measured_ratio) for each in same),
    )


def _facts(title: str, facts: Iterable[tuple[str, object]]) -> Table:
    rows = tuple((name, clean(value)) for name, value in facts if value not in (None, UNKNOWN))
    return Table(title, ("", ""), rows, 2)


def _source(theory: Theory) -> str:
    return {
        "device": "from the device's clock and bus width",
        "catalog": "from the catalogue",
        "stated": "stated by the user",
    }[theory.source]


def _flagged(text: str, flags: Sequence[Flag]) -> str:
    return f"{text} [{', '.join(flags)}]" if flags else text


def _interval(measurement: Measurement, low: float, high: float) -> str:
    return interval(measurement, *(units.number(units.to_gb_per_second(value)) for value in (low, high)))


def _or(value: float | None, show: Callable[[float], str]) -> str:
    return UNKNOWN if value is None else show(value)


def _bytes(size: int | None) -> str:
    return units.format_bytes(size) if size else UNKNOWN


def _bits(width: int | None) -> str:
    return f"{width} bit" if width else UNKNOWN


def _bandwidth(rate: float | None) -> str:
    return _or(rate, units.format_bandwidth)


def _percent(ratio: float | None) -> str:
    return _or(ratio, units.format_percent)

"""Charts of the memory as a whole: against theory, against other memories, and the samples themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpubench.comparison.compare import Result
from gpubench.report import tables
from gpubench.report.figures.look import NUMBER, altair, device_color, finished
from gpubench.report.figures.model import Figure, Row, Spec, present, sentence, thinned
from gpubench.report.headline import common_benchmark, figure_in, verdict_lines
from gpubench.report.palette import INK, LIGHT, MUTED
from gpubench.report.device_tables import device_name
from gpubench.report.subject import CATALOGUE, Entry, Subject, shortened
from gpubench.report.text_table import Table, label, percent_cell
from gpubench.units import GB, format_bandwidth, number, to_gb_per_second

if TYPE_CHECKING:
    import altair as alt

_QUANTILES = 40
"""Ticks that stand for the samples of a figure, each for the same share of them."""


def bandwidth_charts(subject: Subject) -> list[Figure]:
    """Those for which the runs have figures."""
    if subject.is_fleet:
        return [each for each in (_fleet(subject),) if each.rows]
    made = (_measured(subject), _generations(subject), _samples(subject))
    return [each for each in made if each.rows]


def _slots(subject: Subject) -> dict[str, int]:
    boards = {each.label: each.slot for each in subject.boards}
    return {each.label: each.slot for each in subject.drawn if each.comparison.results} | boards


def _measured(subject: Subject) -> Figure:
    rows: list[Row] = [
        present(
            {
                "device": entry.label,
                "benchmark": shortened(label(result), 60),
                "kind": "measured",
                "bandwidth_gb_per_second": result.bandwidth.median / GB,
                "low_gb_per_second": result.bandwidth.low / GB,
                "high_gb_per_second": result.bandwidth.high / GB,
                "theory_gb_per_second": entry.theory.peak_bytes_per_second / GB if entry.theory else None,
                "of_theory_ratio": result.nominal_ratio,
                "flags": ", ".join(result.flags),
            }
        )
        for entry in subject.drawn
        for result in entry.comparison.results
    ]
    rows += _published(subject, dict.fromkeys(row["benchmark"] for row in rows))
    boards = f" {_and([each.label for each in subject.boards])}: published by others." if subject.boards else ""
    return Figure(
        name="bandwidth",
        title="Measured against theory",
        caption="Bars are medians, the line on each its 95 % interval, and the dashed line the theoretical peak "
        f"of that device's memory.{boards} Longer is better.",
        words=sentence(verdict_lines(subject)),
        rows=rows,
        tables=[_table(each, subject) for each in subject.drawn if each.comparison.results],
        draw=lambda width: finished(_bars(subject, rows, width), width),
    )


def _table(entry: Entry, subject: Subject) -> Table:
    found = tables.measurements(entry.comparison)
    titled = f"{entry.label}: {found.title}" if len(subject.entries) > 1 else found.title
    return Table(titled, found.columns, found.rows, found.text_columns, found.last_text)


def _published(subject: Subject, benchmarks: dict[str, None]) -> list[Row]:
    """The highest published figure of each board in each kernel that was measured here."""
    rows = []
    for board in subject.boards:
        for benchmark in benchmarks:
            same = [each for each in board.published if each.kernel.split(" ")[0].lower() == benchmark]
            if same:
                best = max(each.bandwidth_bytes_per_second for each in same)
                rows.append(
                    {
                        "device": board.label,
                        "benchmark": benchmark,
                        "kind": "published",
                        "bandwidth_gb_per_second": best / GB,
                        "theory_gb_per_second": board.peak_bytes_per_second / GB,
                        "of_theory_ratio": best / board.peak_bytes_per_second,
                        "flags": "",
                    }
                )
    return rows


def _bars(subject: Subject, rows: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    slots = _slots(subject)
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in rows))
    color = device_color(slots)
    several = len({row["device"] for row in rows}) > 1
    offset = {"yOffset": alt.YOffset("device:N", sort=list(slots))} if several else {}
    base = alt.Chart().encode(y=alt.Y("benchmark:N", sort=benchmarks, title=None), **offset)
    x = alt.X("bandwidth_gb_per_second:Q", title="GB/s", axis=alt.Axis(format=NUMBER, tickCount=6))
    layers = [
        base.mark_bar(opacity=0.85).encode(x=x, color=color),
        base.mark_rule(strokeWidth=2, color=INK).encode(x="low_gb_per_second:Q", x2="high_gb_per_second:Q"),
    ]
    peaks = {each.label: each.theory.peak_bytes_per_second / GB for each in subject.drawn if each.theory}
    peaks |= {each.label: each.peak_bytes_per_second / GB for each in subject.boards}
    if peaks:
        shown = [{"device": name, "peak": peak} for name, peak in peaks.items() if name in slots]
        theory = alt.Chart(alt.Data(values=shown)).mark_rule(strokeDash=[5, 3], strokeWidth=2)
        layers.append(theory.encode(x="peak:Q", color=color))
    height = alt.Step(14 if several else 26)
    return alt.layer(*layers, data=alt.Data(values=rows)).properties(  # type: ignore[no-any-return]
        width=width, height=height
    )


def _samples(subject: Subject) -> Figure:
    rows: list[Row] = [row for entry in subject.drawn for row in _quantiles(entry)]
    spread = [
        f"{entry.label}, {label(each)}: {_range(each)}"
        for entry in subject.drawn
        for each in entry.comparison.results
    ]
    table_rows = tuple(
        (
            entry.label,
            label(each),
            *(number(to_gb_per_second(value)) for value in _spread(each)),
            str(len(each.measurement.samples_seconds)),
        )
        for entry in subject.drawn
        for each in entry.comparison.results
    )
    columns = ("device", "benchmark", "lowest", "5 %", "median", "95 %", "highest", "samples")
    return Figure(
        name="samples",
        title="The samples",
        caption=f"Each thin line stands for one in {_QUANTILES} of the samples, the thick one is the 95 % interval "
        "of the median, and the dot the median. Two clusters are a device that changes between two speeds.",
        words=sentence(spread),
        rows=thinned(rows),
        tables=[Table("Samples, GB/s", columns, table_rows, 2)],
        draw=lambda width: finished(_ticks(subject, rows, width), width),
    )


def _spread(result: Result) -> tuple[float, ...]:
    found = result.bandwidth
    return found.min, found.p5, found.median, found.p95, found.max


def _range(result: Result) -> str:
    return f"{format_bandwidth(result.bandwidth.min)} to {format_bandwidth(result.bandwidth.max)}"


def _quantiles(entry: Entry) -> list[Row]:
    rows: list[Row] = []
    for result in entry.comparison.results:
        moved, summary = result.measurement.bus_bytes, result.bandwidth
        usable = [seconds for seconds in result.measurement.samples_seconds if seconds > 0]
        common = {"device": entry.label, "benchmark": shortened(label(result), 60)}
        middle = {
            "median_gb_per_second": summary.median / GB,
            "low_gb_per_second": summary.low / GB,
            "high_gb_per_second": summary.high / GB,
        }
        if not moved or not usable:
            continue
        rates = sorted(moved / seconds / GB for seconds in usable)
        count = min(_QUANTILES, len(rates))
        rows += [
            {
                **common,
                "sample_gb_per_second": rates[(2 * place + 1) * len(rates) // (2 * count)],
                **({} if place else middle),
            }
            for place in range(count)
        ]
    return rows


def _ticks(subject: Subject, rows: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    slots = {each.label: each.slot for each in subject.drawn if each.comparison.results}
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in rows))
    several = len(slots) > 1
    base = alt.Chart().encode(
        y=alt.Y("benchmark:N", sort=benchmarks, title=None), color=device_color(slots, legend=False)
    )
    sample = alt.X(
        "sample_gb_per_second:Q",
        title="GB/s",
        scale=alt.Scale(zero=False, nice=True),
        axis=alt.Axis(format=NUMBER, tickCount=6),
    )
    once = base.transform_filter("isValid(datum.median_gb_per_second)")
    chart = alt.layer(
        base.mark_tick(opacity=0.55, thickness=1).encode(x=sample),
        once.mark_rule(strokeWidth=4).encode(x="low_gb_per_second:Q", x2="high_gb_per_second:Q"),
        once.mark_point(filled=True, size=70, opacity=1, stroke="white").encode(x="median_gb_per_second:Q"),
    ).properties(width=width - 90 if several else width, height=alt.Step(26))
    data = alt.Data(values=rows)
    if not several:
        return chart.properties(data=data)  # type: ignore[no-any-return]
    # Each device on an axis of its own: beside a fast one, a slow one's spread would be a dot.
    return chart.facet(  # type: ignore[no-any-return]
        facet=alt.Facet("device:N", sort=list(slots)), columns=1, data=data
    ).resolve_scale(x="independent")


def _generations(subject: Subject) -> Figure:
    """Theory of other memories and boards with what was measured among them."""
    found: dict[tuple[str, int], Row] = {}
    # A board that is in the report itself is not its own reference.
    own = {shortened(device_name(each.document)) for each in subject.drawn}
    own |= {each.label.removesuffix(CATALOGUE) for each in subject.boards}
    for entry in subject.drawn:
        best = tables.best(entry.comparison.results)
        for each in (*best.references, *best.boards) if best else ():
            if each.label in own:
                continue
            name = f"{each.label}, {each.bus_width_bits} bit"
            found[(each.label, each.bus_width_bits)] = _bar(name, "theory", each.peak_bytes_per_second)
    rows = list(found.values())
    for board in subject.boards:
        rows.append(_bar(f"{board.label}, theory", "theory", board.peak_bytes_per_second, board.label))
    if rows:
        for entry in subject.drawn:
            if entry.theory:
                rows.append(_bar(f"{entry.label}, theory", "theory", entry.theory.peak_bytes_per_second, entry.label))
            if best := tables.best(entry.comparison.results):
                rows.append(_bar(f"{entry.label}, {label(best)}", "measured", best.bandwidth.median, entry.label))
    rows.sort(key=lambda row: row["bandwidth_gb_per_second"])
    cells = tuple((row["memory"], row["kind"], number(row["bandwidth_gb_per_second"])) for row in rows)
    return Figure(
        name="generations",
        title="Against other memories",
        caption="Grey bars are theoretical peaks of other memories and boards, coloured ones the devices of this "
        "report. A measured figure below another memory's theory may still be all that its own memory can do.",
        words=sentence([f"{name}: {figure} GB/s, {kind}" for name, kind, figure in cells]),
        rows=rows,
        tables=[Table("Other memories", ("memory", "kind", "GB/s"), cells, 2)],
        draw=lambda width: finished(_ladder(subject, rows, width), width),
    )


def _bar(memory: str, kind: str, rate: float, device: str = "") -> Row:
    return {
        "memory": shortened(memory, 70),
        "kind": kind,
        "device": device,
        "bandwidth_gb_per_second": rate / GB,
    }


def _ladder(subject: Subject, rows: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    slots = {each.label: each.slot for each in (*subject.drawn, *subject.boards)}
    color = alt.Color(
        "device:N",
        scale=alt.Scale(domain=["", *slots], range=[MUTED, *(LIGHT[slot] for slot in slots.values())]),
        legend=None,
    )
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("memory:N", sort=[row["memory"] for row in rows], title=None),
        x=alt.X("bandwidth_gb_per_second:Q", title="GB/s", axis=alt.Axis(format=NUMBER, tickCount=6)),
    )
    return alt.layer(  # type: ignore[no-any-return]
        base.mark_bar().encode(
            color=color,
            opacity=alt.Opacity(
                "kind:N", scale=alt.Scale(domain=["theory", "measured"], range=[0.45, 1]), legend=None
            ),
        ),
    ).properties(width=width, height=alt.Step(18))


def _fleet(subject: Subject) -> Figure:
    """A line for each run of a fleet, in one benchmark."""
    benchmark = common_benchmark(subject)
    found: list[tuple[Entry, Result]] = [
        (entry, result)
        for entry in subject.entries
        if (result := figure_in(entry.comparison, benchmark)) is not None
    ]
    found.sort(key=lambda pair: pair[1].bandwidth.median)
    rows: list[Row] = [
        present(
            {
                "device": entry.label,
                "benchmark": benchmark,
                "bandwidth_gb_per_second": result.bandwidth.median / GB,
                "low_gb_per_second": result.bandwidth.low / GB,
                "high_gb_per_second": result.bandwidth.high / GB,
                "theory_gb_per_second": entry.theory.peak_bytes_per_second / GB if entry.theory else None,
                "of_theory_ratio": result.nominal_ratio,
                "flags": ", ".join(result.flags),
            }
        )
        for entry, result in found
    ]
    cells = tuple(
        (
            entry.label,
            format_bandwidth(result.bandwidth.median),
            percent_cell(result.nominal_ratio),
            ", ".join(result.flags) or "none",
        )
        for entry, result in found
    )
    return Figure(
        name="bandwidth",
        title=f"All runs, {benchmark}",
        caption="A dot for each run, slowest first, with the 95 % interval of its median.",
        words=sentence(verdict_lines(subject)),
        rows=rows,
        tables=[Table(f"All runs, {benchmark}", ("device", benchmark or "", "of theory", "flags"), cells, last_text=1)],
        draw=lambda width: finished(_dots(subject, rows, width), width),
    )


def _dots(subject: Subject, rows: list[Row], width: int) -> alt.TopLevelMixin:
    alt = altair()
    slots: dict[str, Any] = {each.label: each.slot for each in subject.entries}
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("device:N", sort=[row["device"] for row in rows], title=None),
        color=device_color(slots, legend=False),
    )
    x = alt.X(
        "bandwidth_gb_per_second:Q",
        title="GB/s",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format=NUMBER, tickCount=6, orient="top"),
    )
    return alt.layer(  # type: ignore[no-any-return]
        base.mark_rule(strokeWidth=2).encode(x="low_gb_per_second:Q", x2="high_gb_per_second:Q"),
        base.mark_point(filled=True, size=40, opacity=1).encode(x=x),
    ).properties(width=width, height=alt.Step(14))


def _and(names: list[str]) -> str:
    return " and ".join(names)

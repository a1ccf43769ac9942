"""Charts of the memory as a whole; the one here shows it against its theory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpubench.comparison.references import beside
from gpubench.report import tables
from gpubench.report.figures.fleet import fleet
from gpubench.report.figures.generations import generations
from gpubench.report.figures.look import NUMBER, altair, device_color, finished
from gpubench.report.figures.model import Figure, Row, drawable, first_groups, result_row, sentence
from gpubench.report.figures.samples import samples
from gpubench.report.headline import verdict_lines
from gpubench.report.palette import INK
from gpubench.report.subject import Entry, Subject, shortened
from gpubench.report.text_table import Table, label
from gpubench.units import GB

if TYPE_CHECKING:
    import altair as alt


def bandwidth_charts(subject: Subject) -> list[Figure]:
    """Those for which the runs have figures."""
    if subject.is_fleet:
        return [each for each in (fleet(subject),) if each.rows]
    made = (_measured(subject), generations(subject), samples(subject))
    return [each for each in made if each.rows]


def _slots(subject: Subject) -> dict[str, int]:
    boards = {each.label: each.slot for each in subject.boards}
    return {each.label: each.slot for each in subject.drawn if each.comparison.results} | boards


def _measured(subject: Subject) -> Figure:
    rows: list[Row] = [
        result_row(entry, result, shortened(label(result), 60), kind="measured")
        for entry in subject.drawn
        for result in entry.comparison.results
        if drawable(result.bandwidth.median, result.bandwidth.low, result.bandwidth.high)
    ]
    rows = first_groups(rows, "benchmark")
    rows += _published(subject, dict.fromkeys(row["benchmark"] for row in rows))
    boards = (
        f" Figures of {' and '.join(each.label for each in subject.boards)} are published ones."
        if subject.boards
        else ""
    )
    return Figure(
        name="bandwidth",
        title="Measured against theory",
        caption="Bars are medians, the line on each its 95 % interval, and the dashed line the theoretical "
        f"peak of that device's memory.{boards} Longer is better.",
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
            same = beside(board.published, benchmark, GB)
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

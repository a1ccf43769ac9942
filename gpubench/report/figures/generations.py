"""What was measured among the theoretical peaks of other memories and boards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpubench.report import tables
from gpubench.report.device_tables import device_name
from gpubench.report.figures.look import NUMBER, altair, finished
from gpubench.report.figures.model import Figure, Row, sentence
from gpubench.report.palette import LIGHT, MUTED
from gpubench.report.subject import CATALOGUE, Subject, shortened
from gpubench.report.text_table import Table, label
from gpubench.units import GB, number

if TYPE_CHECKING:
    import altair as alt


def generations(subject: Subject) -> Figure:
    """Theory of other memories and boards with what was measured among them."""
    found: dict[tuple[str, int], Row] = {}
    # A board that is in the report itself is not its own reference.
    own = {shortened(device_name(each.document)) for each in subject.drawn}
    own |= {each.label.removesuffix(CATALOGUE) for each in subject.boards}
    for entry in subject.drawn:
        best = tables.headline(entry.comparison.results)
        for each in (*best.references, *best.boards) if best else ():
            if each.label in own:
                continue
            name = f"{each.label}, {each.bus_width_bits} bit"
            found[(each.label, each.bus_width_bits)] = _bar(name, "theory", each.peak_bytes_per_second)
    rows = list(found.values())
    rows += [
        _bar(f"{board.label}, theory", "theory", board.peak_bytes_per_second, board.label)
        for board in subject.boards
    ]
    if rows:
        for entry in subject.drawn:
            if entry.theory:
                rows.append(
                    _bar(f"{entry.label}, theory", "theory", entry.theory.peak_bytes_per_second, entry.label)
                )
            if best := tables.headline(entry.comparison.results):
                rows.append(
                    _bar(f"{entry.label}, {label(best)}", "measured", best.bandwidth.median, entry.label)
                )
    rows.sort(key=lambda row: row["bandwidth_gb_per_second"])
    cells = tuple((row["memory"], row["kind"], number(row["bandwidth_gb_per_second"])) for row in rows)
    return Figure(
        name="generations",
        title="Against other memories",
        caption="Grey bars are theoretical peaks of other memories and boards, coloured ones the devices of "
        "this report. A figure below another memory's theory may be all that its own memory can do.",
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
    slots = {each.label: each.slot for each in subject.drawn}
    slots |= {each.label: each.slot for each in subject.boards}
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

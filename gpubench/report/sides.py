"""Several sides against one of them: tables, sentences, and JSON. Sides are called A, B, C and so on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from gpubench import units
from gpubench.comparison.environment import HUGE_PAGES
from gpubench.comparison.generations import Generations
from gpubench.comparison.sides import Pooled, Row, Side, SidesComparison, published_beside, whole_memory
from gpubench.comparison.verdicts import Verdict
from gpubench.report.text_table import UNKNOWN, Table, clean, in_brackets, or_unknown, percent_cell
from gpubench.units import format_bandwidth, format_seconds

_MOST_NAMED = 6


@dataclass(frozen=True)
class Judged:
    """A line of the table of results, and its verdict, for colours; null for the baseline."""

    cells: tuple[str, ...]
    verdict: Verdict | None


def letter(side: int) -> str:
    """``A``, ``B`` and so on; ``27`` behind ``Z``."""
    return chr(ord("A") + side) if side < 26 else str(side + 1)


def row_label(row: Row) -> str:
    return clean(f"{row.benchmark}{in_brackets({**row.apart, **row.axes})}")


def sides_table(comparison: SidesComparison) -> Table:
    columns = ("side", "given as", "device", "driver", "host", "runs")
    rows = []
    for number, side in enumerate(comparison.sides):
        name = letter(number) + (" (baseline)" if number == comparison.baseline else "")
        rows.append((name, *map(clean, (side.name, *_about(side), str(len(side.documents) or UNKNOWN)))))
    return Table("Sides", columns, tuple(rows), 5)


def differences_table(comparison: SidesComparison) -> Table:
    """Everything that is recorded and not the same on all sides: each may be why the figures differ."""
    columns = ("what differs", *map(letter, range(len(comparison.sides))))
    rows = [
        tuple(map(clean, (name, *(value or UNKNOWN for value in values))))
        for name, values in comparison.environment.items()
    ]
    pages = _huge_pages(comparison)
    return Table("Not the same on all sides", columns, (*rows, *pages), len(columns))


def results_table(comparison: SidesComparison) -> tuple[Table, list[Judged]]:
    base = letter(comparison.baseline)
    columns = ("benchmark", "side", "figure", "lowest to highest", f"ratio to {base}", "interval", "verdict")
    lines = [line for row in comparison.rows for line in _result_lines(row)]
    return Table("Results", columns, tuple(line.cells for line in lines), 2, last_text=1), lines


def shares_table(comparison: SidesComparison) -> Table:
    """What the figures of the whole memory are in relation to theory, pins and modules."""
    columns = (
        "benchmark", "side", "runs", "spread", "of theory", "Gbit/s per pin", "GB/s per module", "flags",
    )  # fmt: skip
    rows = []
    for row in filter(whole_memory, comparison.rows):
        for number, figure in enumerate(row.figures):
            if figure is not None:
                rows.append((row_label(row), letter(number), *_shares(figure)))
    title = "Spread between runs, and shares of theory, pins and modules (32 bits of the bus)"
    return Table(title, columns, tuple(rows), 2, last_text=1)


def pooled_tables(comparison: SidesComparison) -> tuple[Table, Table]:
    """Of a comparison with a single side: its figures and its shares, without what needs a second."""
    lines = [line for row in comparison.rows for line in _result_lines(row)]
    figures = tuple((line.cells[0], line.cells[2], line.cells[3]) for line in lines)
    shares = shares_table(comparison)
    return (
        Table(
            f"All {len(comparison.sides[0].documents)} runs together",
            ("benchmark", "figure", "lowest to highest"),
            figures,
        ),
        replace(
            shares,
            title="From run to run",
            columns=(shares.columns[0], *shares.columns[2:]),
            rows=tuple((row[0], *row[2:]) for row in shares.rows),
            text_columns=1,
        ),
    )


def means_table(comparison: SidesComparison) -> Table:
    columns = ("family", "side", f"ratio to {letter(comparison.baseline)}", "interval", "rows")
    rows = tuple(
        (
            mean.family,
            letter(mean.side),
            f"{mean.ratio:.4f}",
            f"{mean.low:.4f} to {mean.high:.4f}",
            str(mean.rows),
        )
        for mean in comparison.means
    )
    return Table("Geometric means of families", columns, rows, 2)


def published_table(comparison: SidesComparison) -> Table:
    """Others' figures of the boards that are sides."""
    base = letter(comparison.baseline)
    rows = tuple(
        (
            row_label(row),
            letter(number),
            each.tool,
            each.kernel,
            each.grade,
            units.number(units.to_gb_per_second(each.bandwidth_bytes_per_second)),
            or_unknown(each.measured_ratio, units.format_ratio),
        )
        for row in comparison.rows
        for number in range(len(comparison.sides))
        for each in published_beside(row, comparison.baseline, number)
    )
    columns = ("benchmark", "side", "tool", "kernel", "grade", "GB/s", f"{base} over it")
    return Table("Published figures of these boards", columns, rows, 5)


def reasons(comparison: SidesComparison) -> list[str]:
    """Why each verdict is what it is: one sentence for all rows with the same one."""
    found: dict[tuple[int, str, str, str], list[str]] = {}
    for row in comparison.rows:
        for number, verdict in enumerate(row.verdicts):
            if verdict is not None:
                key = (number, verdict.verdict, verdict.reason_code, verdict.reason)
                found.setdefault(key, []).append(row_label(row))
    return [
        clean(f"{letter(side)} {word} ({code}), {_named(labels)}: {sentence}.")
        for (side, word, code, sentence), labels in found.items()
    ]


def sides_json(
    comparison: SidesComparison,
    skipped: Sequence[tuple[str, str]] = (),
    generations: Sequence[Generations] | None = None,
) -> bytes:
    """The same as one JSON object, UTF-8; ``skipped`` are files that could not be read, with the reason.

    ``generations`` are left out unless they were asked for.
    """
    return msgspec.json.encode(
        {
            "sides": [
                {
                    "side": letter(number),
                    "name": side.name,
                    **dict(
                        zip(
                            ("device", "driver", "host"), (_known(each) for each in _about(side)), strict=True
                        )
                    ),
                    "board": side.board.id if side.board else None,
                    "run_ids": [document.run_id for document in side.documents],
                }
                for number, side in enumerate(comparison.sides)
            ],
            "baseline": letter(comparison.baseline),
            "rows": comparison.rows,
            "means": comparison.means,
            "environment": comparison.environment,
            "skipped": [{"file": name, "reason": why} for name, why in skipped],
            **({} if generations is None else {"generations": generations}),
        }
    )


def _about(side: Side) -> tuple[str, str, str]:
    """Device, driver and host; of a board, of which nothing was measured here, the board."""
    if side.board is not None:
        return f"{side.board.label}: theory", UNKNOWN, UNKNOWN
    devices = dict.fromkeys(d.device.name for d in side.documents if d.device)
    drivers = dict.fromkeys(d.driver for d in side.documents)
    hosts = dict.fromkeys(d.environment.host.name for d in side.documents if d.environment)
    return _either(devices), _either(drivers), _either(hosts)


def _either(values: Iterable[str | None]) -> str:
    return " or ".join(value for value in values if value) or UNKNOWN


def _known(text: str) -> str | None:
    return None if text == UNKNOWN else text


def _result_lines(row: Row) -> Iterator[Judged]:
    for number, (figure, verdict) in enumerate(zip(row.figures, row.verdicts, strict=True)):
        if figure is None and verdict is None:
            continue
        ratio = verdict.ratio if verdict else None
        interval = UNKNOWN
        if verdict and verdict.low is not None and verdict.high is not None:
            interval = f"{verdict.low:.4f} to {verdict.high:.4f}"
        cells = (
            row_label(row),
            letter(number),
            _figure(row, figure),
            _range(row, figure),
            or_unknown(ratio, lambda value: f"{value:.4f}"),
            interval,
            verdict.verdict if verdict else "baseline",
        )
        yield Judged(cells, verdict)


def _figure(row: Row, figure: Pooled | None) -> str:
    if figure is None:
        return UNKNOWN
    shown = format_seconds if row.quantity == "latency" else format_bandwidth
    return shown(figure.median) + ("" if figure.runs else " (theory)")


def _range(row: Row, figure: Pooled | None) -> str:
    if figure is None or figure.low is None or figure.high is None:
        return UNKNOWN
    if row.quantity == "latency":
        return f"{format_seconds(figure.low)} to {format_seconds(figure.high)}"
    low, high = (units.number(units.to_gb_per_second(value)) for value in (figure.low, figure.high))
    return f"{low} to {high}"


def _shares(figure: Pooled) -> tuple[str, ...]:
    return (
        str(figure.runs or UNKNOWN),
        percent_cell(figure.spread_ratio),
        percent_cell(figure.nominal_ratio),
        or_unknown(figure.per_pin_bits_per_second, lambda rate: f"{units.to_gbit_per_second(rate):.2f}"),
        or_unknown(
            figure.per_module_bytes_per_second, lambda rate: units.number(units.to_gb_per_second(rate))
        ),
        ", ".join(figure.flags) or "none",
    )


def _huge_pages(comparison: SidesComparison) -> list[tuple[str, ...]]:
    """A line if a side's arrays lay on huge pages to another share than the baseline's in any row."""
    cells: dict[int, str] = {}
    for row in comparison.rows:
        for number, verdict in enumerate(row.verdicts):
            for change in verdict.changes if verdict else ():
                if change.name == HUGE_PAGES:
                    cells.setdefault(comparison.baseline, change.first)
                    cells.setdefault(number, change.second)
    if not cells:
        return []
    return [(HUGE_PAGES, *(cells.get(number, UNKNOWN) for number in range(len(comparison.sides))))]


def _named(labels: Sequence[str]) -> str:
    named = ", ".join(labels[:_MOST_NAMED])
    more = len(labels) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named

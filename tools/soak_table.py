"""The table in docs/faults.md, from the newest recorded run of ``make soak``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recordings import newest

from gpubench.report.benchmarks import markdown_rows

_COLUMNS = ("fault", "what happens", "times", "runs", "results", "longest", "lost", "wrong", "left over")
_LEAKS = ("leaked_processes", "leaked_threads", "leaked_descriptors")


def soak_table(folder: Path) -> str:
    """What was counted, with the machine and the date."""
    link, kept = newest(folder, "soak")
    rows: dict[str, dict[str, Any]] = kept["rounds"]
    whole = {name: sum(row[name] for row in rows.values()) for name in ("faults", *_SUMMED, *_LEAKS)}
    host = kept["host"]
    return "\n".join(
        [
            markdown_rows(_COLUMNS, [_cells(name, row) for name, row in rows.items()]),
            "",
            f"{link}: {host['processor']}, {kept['processors']} cores, "
            f"{host['kernel']}, Python {kept['python']}, {kept['at'][:10]}, {kept['seconds']:.0f} s, at nice "
            f"{kept['nice']}. Together {whole['faults']} faults, {whole['requests']} requests, "
            f"{whole['sent_bytes'] / 1e6:.1f} MB sent and {whole['received_bytes'] / 1e6:.1f} MB received, "
            f"{whole['acknowledged']} results acknowledged; results lost: {whole['lost']}, wrong: "
            f"{whole['wrong']}; processes left over: {whole['leaked_processes']}, threads: "
            f"{whole['leaked_threads']}, descriptors: {whole['leaked_descriptors']}.",
        ]
    )


_SUMMED = ("requests", "sent_bytes", "received_bytes", "acknowledged", "lost", "wrong")


def _cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    most_first = sorted(row["outcomes"].items(), key=lambda each: -each[1])
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in most_first)
    left_over = sum(row[leak] for leak in _LEAKS)
    counts = (row["acknowledged"], f"{row['longest_seconds']:.1f} s", row["lost"], row["wrong"], left_over)
    return name, row["holds"], str(row["faults"]), outcomes, *map(str, counts)

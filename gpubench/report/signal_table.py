"""The table of signals in Markdown, for the documentation."""

from __future__ import annotations

from gpubench.report.benchmarks import markdown_rows
from gpubench.signals import SIGNALS


def signal_table() -> str:
    """Each signal with what it does in each process."""
    rows = [
        (f"`{number.name}`", row.sent, *(each.value for each in (row.client, row.server, row.worker)))
        for number, row in SIGNALS.items()
    ]
    return markdown_rows(("signal", "sent", "`gpubench run`", "`gpubench-server`", "worker process"), rows)

"""The state of a server and its runs, as text in cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from gpubench.protocol.messages import Status
from gpubench.report.text_table import UNKNOWN, Table, clean
from gpubench.results.run_state import RunState

_MOST_NAMES = 3


def status_lines(status: Status) -> list[str]:
    """The server in one line, and one for each reason why it takes no runs."""
    uptime = timedelta(seconds=int(status.uptime_seconds))
    connections = f"{status.open_connections} connection{'s' if status.open_connections != 1 else ''}"
    state = status.state.replace("_", " ")
    head = f"gpubench-server {status.server}: {state}, up for {uptime}, {connections}"
    return [clean(head), *(clean(reason) for reason in status.reasons)]


def queues(status: Status) -> Table:
    rows = tuple(
        (clean(queue.device), clean(queue.running or UNKNOWN), _in_brief(queue.queued) or UNKNOWN)
        for queue in status.queues
    )
    columns = ("device", "running", "waiting")
    return Table("Queues", columns, rows, len(columns))


def runs(states: Iterable[RunState]) -> Table:
    rows = tuple(
        (
            clean(state.run_id),
            clean(state.outcome or state.state),
            _time(state.created_at),
            clean(state.device or UNKNOWN),
            _in_brief(state.benchmarks) or UNKNOWN,
        )
        for state in states
    )
    columns = ("run", "state", "created (UTC)", "device", "benchmarks")
    return Table("Runs", columns, rows, len(columns))


def _time(timestamp: str | None) -> str:
    """To the second, of a timestamp of run documents."""
    return clean(timestamp[:19].replace("T", " ")) if timestamp else UNKNOWN


def _in_brief(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _MOST_NAMES
    shown = ", ".join(names[:_MOST_NAMES])
    return clean(f"{shown} and {more} more" if more > 0 else shown)

"""The table of commands."""

from __future__ import annotations

from gpubench_client.cli import (
    benchmarks,
    cancel,
    compare,
    completion,
    devices,
    explain,
    report,
    result,
    run,
    runs,
    status,
    theory,
    watch,
)

COMMANDS = (
    devices.COMMAND,
    benchmarks.COMMAND,
    run.COMMAND,
    watch.COMMAND,
    result.COMMAND,
    runs.COMMAND,
    cancel.COMMAND,
    status.COMMAND,
    theory.COMMAND,
    report.COMMAND,
    compare.COMMAND,
    explain.COMMAND,
    completion.COMMAND,
)

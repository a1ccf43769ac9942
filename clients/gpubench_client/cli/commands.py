"""The table of commands."""

from __future__ import annotations

from gpubench_client.cli import (
    baseline,
    benchmarks,
    cancel,
    check,
    compare,
    completion,
    devices,
    explain,
    history,
    plot,
    report,
    result,
    run,
    runs,
    status,
    theory,
    verify,
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
    plot.COMMAND,
    verify.COMMAND,
    compare.COMMAND,
    history.COMMAND,
    check.COMMAND,
    baseline.COMMAND,
    explain.COMMAND,
    completion.COMMAND,
)

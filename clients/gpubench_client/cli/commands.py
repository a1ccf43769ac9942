"""The table of commands."""

from __future__ import annotations

from gpubench_client.cli import (
    baseline,
    benchmarks,
    check,
    compare,
    completion,
    devices,
    explain,
    report,
    result,
    run,
    theory,
)

COMMANDS = (
    devices.COMMAND,
    benchmarks.COMMAND,
    run.COMMAND,
    result.COMMAND,
    theory.COMMAND,
    report.COMMAND,
    compare.COMMAND,
    check.COMMAND,
    baseline.COMMAND,
    explain.COMMAND,
    completion.COMMAND,
)

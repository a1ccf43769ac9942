"""The table of commands."""

from __future__ import annotations

from gpubench_client.cli import (
    benchmarks,
    compare,
    completion,
    devices,
    explain,
    plot,
    report,
    result,
    run,
    theory,
    verify,
)

COMMANDS = (
    devices.COMMAND,
    benchmarks.COMMAND,
    run.COMMAND,
    result.COMMAND,
    theory.COMMAND,
    report.COMMAND,
    plot.COMMAND,
    verify.COMMAND,
    compare.COMMAND,
    explain.COMMAND,
    completion.COMMAND,
)

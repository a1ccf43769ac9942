"""The table of commands."""

from __future__ import annotations

from gpubench_client.cli import benchmarks, compare, completion, devices, explain, report, result, run, theory

COMMANDS = (
    devices.COMMAND,
    benchmarks.COMMAND,
    run.COMMAND,
    result.COMMAND,
    theory.COMMAND,
    report.COMMAND,
    compare.COMMAND,
    explain.COMMAND,
    completion.COMMAND,
)

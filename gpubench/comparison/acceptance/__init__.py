"""Whether a device is all right: its runs held against what is expected, with stable fault codes."""

from gpubench.comparison.acceptance.attempts import AttemptRule
from gpubench.comparison.acceptance.baselines import Baseline, learn, read_baseline, render_baseline
from gpubench.comparison.acceptance.expectation import Sources
from gpubench.comparison.acceptance.faults import FAULTS, Status
from gpubench.comparison.acceptance.judge import Rules, judge
from gpubench.comparison.acceptance.verdict import CheckReport, Claim, DeviceVerdict

__all__ = [
    "FAULTS",
    "AttemptRule",
    "Baseline",
    "CheckReport",
    "Claim",
    "DeviceVerdict",
    "Rules",
    "Sources",
    "Status",
    "judge",
    "learn",
    "read_baseline",
    "render_baseline",
]

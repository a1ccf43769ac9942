"""A user's own file of suites; docs/suites.md describes it."""

from __future__ import annotations

from gpubench.benchmarks.suites import Suite, parse_suites
from gpubench_client.cli.files import parse_file

MAX_BYTES = 1 << 20
"""A suite is a page of text; what is larger is another file."""


def read_suites(name: str) -> dict[str, Suite]:
    """The suites by name, in the file's order; raises ``InvalidParameters``, which names file and place."""
    return parse_file("--suite-file", name, MAX_BYTES, parse_suites)

"""Names of tests: the sentence belongs into the docstring."""

from __future__ import annotations

import re
from pathlib import Path

MOST_CHARACTERS = 60


def test_names_of_tests_are_short() -> None:
    tests = Path(__file__).parent
    names = [
        name
        for path in tests.rglob("*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    ]
    assert len(names) > 1000
    assert [name for name in names if len(name) > MOST_CHARACTERS] == []

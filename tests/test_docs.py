"""What the documentation says of the program is made from the program."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))  # as for the script itself
MADE: dict[Path, str] = runpy.run_path(str(ROOT / "tools" / "write_docs.py"))["made"]()


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == MADE[path], f"{path.name} is out of date: run `make docs`"


def test_every_generated_file_is_listed() -> None:
    pages = {"README.md", "benchmarks.md", "flags.md", "run-document.md", "run-document.schema.json"}
    pages |= {"check.md", "check.schema.json", "configuration.md", "faults.md", "limits.md", "load.md"}
    assert {path.name for path in MADE} == pages | {"what-happens.md", "gpubench.1", "gpubench-server.1"}

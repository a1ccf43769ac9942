"""What is said of the benchmarks is what they are: on a terminal, in the README, on their page."""

from __future__ import annotations

import pytest

from gpubench.benchmarks.description import describe
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.benchmarks.suites import suites
from gpubench.report.benchmarks import BEGIN, END, benchmark_list, between_markers, page
from tests.report.test_markdown import section
from tests.report.test_terminal import shown


def test_the_page_has_every_benchmark_suite_and_parameter() -> None:
    text = page(describe())
    for row in BENCHMARKS.values():
        assert f"| `{row.name}` |" in text
        assert section(text, row.name.replace("_", r"\_")).strip()
    assert all(f"| `{name}` |" in text for name in suites())
    assert "| `dtype` | double | double, float |" in section(text, "write")
    assert "`dtype`" not in section(text, "Parameters")
    assert "| `footprint_bytes` | null | 1 MiB to 64 TiB |" in section(text, "Parameters")
    assert "| `stop` | median | count, median, stdev, time |" in section(text, "Parameters")


def test_on_a_terminal_it_fits_80_columns_and_leaves_nothing_out() -> None:
    text = shown(benchmark_list(describe()), width=80)
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    for row in BENCHMARKS.values():
        assert f"{row.name}: {row.summary}" in words
        assert row.explanation in words
    assert all(f"{suite.name}: {suite.summary}" in words for suite in suites().values())
    assert max(map(len, shown(benchmark_list(describe()), width=300).rstrip().splitlines())) <= 100


def test_only_what_stands_between_the_markers_is_written() -> None:
    assert between_markers(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
    for text in ("", BEGIN, END, f"{END}{BEGIN}"):
        with pytest.raises(ValueError, match="there is no"):
            between_markers(text, "new")

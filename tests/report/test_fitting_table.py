"""Tables on narrow terminals: a figure, an id or a verdict is never broken across lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gpubench.report.terminal import device_table, table
from gpubench.report.text_table import Table
from tests.report.noise import epyc

SIX = Table(
    "Six",
    ("name", "id", "GB/s", "interval", "verdict", "why"),
    (
        ("AMD EPYC", "opencl:pocl:0", "34.57", "31.40 to 38.96", "NOT COMPARABLE", "the settings differ"),
        ("NVIDIA GeForce RTX 5090", "cuda:0", "1692.10", "1690.2 to 1694.0", "SAME", ""),
    ),
    text_columns=2,
    last_text=2,
)


def shown(renderable: object, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize("width", range(34, 140, 7))
def test_nothing_is_broken_at_any_width(width: int) -> None:
    text = shown(table(SIX), width)
    for whole in ("opencl:pocl:0", "34.57", "31.40 to 38.96", "NOT COMPARABLE", "cuda:0", "1690.2 to 1694.0"):
        assert whole in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_there_are_columns_if_they_fit_and_labels_if_not() -> None:
    wide, narrow = shown(table(SIX), 120), shown(table(SIX), 60)
    assert wide.count("verdict") == 1
    assert narrow.count("verdict") == 2
    assert narrow.count("why") == 1, "an empty cell needs no line"


def test_a_name_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gpubench_client.cli.output import Output

    Output().show("AMD [/x] [bold]EPYC[/bold] 7", device_table([epyc()]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "AMD [/x] [bold]EPYC[/bold] 7"
    assert not [line for line in lines if line.endswith(" ")], "blanks at the end of a piped line"

import io
import json

import pytest
from rich.console import Console

from gpubench.errors import CatalogError
from gpubench.report.theory import catalog_tables, describe_theory, render_theory, theory_json


def test_a_board() -> None:
    report = describe_theory("RTX 5090")
    assert (report.peak_bytes_per_second, report.per_module_bytes_per_second) == (1792e9, 112e9)
    assert (report.module_count, report.capacity_bytes) == (16, 32 * 1024**3)
    assert (report.expected_clock_hz, report.compute_clock_hz) == (14_001e6, 13_801e6)
    assert report.compute_clock_peak_bytes_per_second == pytest.approx(1766.5e9, abs=0.1e9)
    assert report.references[0].measured_ratio == 2.0
    assert all("5090" not in each.label for each in report.boards)
    assert report.sources


@pytest.mark.parametrize(("width", "peak", "modules"), [(256, 1024, 8), (512, 2048, 16)])
def test_a_technology_on_a_bus(width: int, peak: float, modules: int) -> None:
    report = describe_theory("gddr7-32", width)
    assert (report.peak_bytes_per_second, report.per_module_bytes_per_second) == (peak * 1e9, 128e9)
    assert (report.module_count, report.capacity_bytes) == (modules, modules * 2 * 1024**3)
    assert report.expected_clock_hz == 16e9
    assert report.technology == "gddr7-32"


def test_memory_that_is_not_gddr_has_no_2_gb_modules() -> None:
    report = describe_theory("ddr5-5200", 128)
    assert report.peak_bytes_per_second == 83.2e9
    assert report.capacity_bytes is report.expected_clock_hz is None
    assert {each.bus_width_bits for each in report.references} == {256, 384, 512}


def test_a_width_that_no_modules_fill_is_told() -> None:
    report = describe_theory("gddr7-28", 100)
    assert report.module_count is None
    assert any("not a whole number" in note for note in report.notes)


@pytest.mark.parametrize(
    ("text", "width", "message"),
    [
        ("gddr7-32", None, "--bus-width 256"),
        ("gddr7-32", 0, "allowed: 8 to 65536 bit"),
        ("gddr7-32", 10**6, "allowed: 8 to 65536 bit"),
        ("gddr7", 256, "did you mean gddr7-"),
        ("RTX 5090", 256, "leave the bus width out"),
        ("RTX 5095", None, "RTX 5090"),
        ("", None, "no board"),
    ],
)
def test_what_is_missing_or_unknown_is_said(text: str, width: int | None, message: str) -> None:
    with pytest.raises(CatalogError) as caught:
        describe_theory(text, width)
    assert message in caught.value.message


def test_as_json_and_on_a_terminal() -> None:
    report = describe_theory("RTX 4090")
    decoded = json.loads(theory_json(report))
    assert decoded["peak_bytes_per_second"] == 1008e9
    assert decoded["references"][0]["label"] == "GDDR6 14 Gbit/s"
    text = shown("RTX 4090")
    for part in ("1008.0 GB/s", "84.00 GB/s", "384 bit", "10501 MHz", "10251 MHz", "RTX 4090 D"):
        assert part in text
    assert "source: https://" not in text
    assert "source: https://" in shown("RTX 4090", sources=True)


def test_a_module_is_said_of_gddr_alone() -> None:
    assert "Per 32 bits, one module" in shown("RTX 4090")
    assert "one module" not in shown("NVIDIA H200")


def test_all_boards_and_grades_are_listed() -> None:
    boards, grades = catalog_tables()
    assert ("NVIDIA GeForce RTX 5090", "nvidia-geforce-rtx-5090", "GDDR7", "28") in [
        row[:4] for row in boards.rows
    ]
    assert any(row[0] == "gddr7-32" for row in grades.rows)


def shown(name: str, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(render_theory(describe_theory(name), **options))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

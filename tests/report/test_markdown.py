import re

import msgspec
import pytest

from gpubench.flags import FLAGS
from gpubench.report.markdown import escape, escape_prose, render_markdown
from gpubench.report.text_table import RANGE
from gpubench.requests import StatedMemory
from gpubench.results.document import ErrorInfo, Measurement, RunDocument
from gpubench.results.machine import Telemetry
from tests.documents import document, h200, measurement, processor, rtx_5090


def section(report: str, title: str) -> str:
    """From a heading to the next one of any level."""
    return re.split(r"\n#{2,3} ", report.split(f" {title}\n", 1)[1])[0]


def test_a_report_on_a_gddr7_board() -> None:
    report = render_markdown(
        [document(measurement(1612.8, "triad"), measurement(1664.0, "read", "clock_limited"))]
    )
    # The highest without a flag.
    assert "**triad: 1612.8 GB/s**, interval 1609.6 to 1616.0, 90.0 % of the nominal peak." in report
    measured = section(report, "Measured")
    assert (
        "| triad | 1612.8 | 1609.6 to 1616.0 | 90.0 % | – | 25.20 | 100.8 | 21.3 ms | 20 | none |" in measured
    )
    assert "| GDDR6 14 Gbit/s | 512 bit | 896.0 | 2.00x | 1.80x | 1.86x |" in section(
        report, "Against references"
    )
    assert FLAGS["clock_limited"].remedy in section(report, "What the flags mean")
    assert "GDDR7 32 Gbit/s (projected) | 2048.0 | 1843.1 |" in section(report, "Projected, not measured")
    assert "p2pBandwidthLatencyTest" in section(report, "Published figures of this board")
    assert "595.10" in section(report, "Environment")
    assert "projection was measured" in section(report, "What cannot be concluded from these figures")
    claims = section(report, "Claims of vendors")
    assert "| 2023-07-19 | Samsung |" in claims
    assert "https://www.eenewseurope.com" in claims


def test_a_figure_above_theory_is_no_headline_and_no_projection() -> None:
    report = render_markdown([document(measurement(1867.0, "read"), measurement(1500.0, "copy"))])
    assert "**copy: 1500.0 GB/s**" in report
    assert "| read |" not in section(report, "Projected, not measured")
    assert r"None for read: the figure is flagged: over\_theory." in report
    assert r"read \[over\_theory\]" in section(report, "Against references")
    alone = render_markdown([document(measurement(1867.0, "read"))])
    assert "of the nominal peak. Flagged: over_theory." in alone


def test_the_headline_is_always_of_the_same_benchmark() -> None:
    two_moded = measurement(44.86, "write", "unstable", spread=0.5)
    steady = measurement(38.65, "add", "unstable", spread=0.1)
    cached = measurement(90.0, "copy", "cached_footprint")
    report = render_markdown([document(two_moded, steady, cached, device=processor())])
    assert "**add: 38.65 GB/s**, interval 34.78 to 42.52. Flagged: unstable." in report
    faster = measurement(50.0, "read")
    overview = render_markdown([document(two_moded, steady, faster, device=processor())] * 2)
    assert "| add | 38.65 GB/s | 34.78 to 42.52 | unstable |" in overview.split("## ")[0]


def test_an_interval_that_does_not_hold_is_called_a_range() -> None:
    few, enough = (measurement(1600.0, name, effective_samples=n) for name, n in (("add", 6.6), ("dot", 6.7)))
    report = render_markdown([document(few, enough)])
    assert "| add | 1600.0 | 1596.8 to 1603.2 (range) |" in section(report, "Measured")
    assert "| dot | 1600.0 | 1596.8 to 1603.2 |" in section(report, "Measured")
    assert "**add: 1600.0 GB/s**, interval 1596.8 to 1603.2 (range), " in report
    assert "2048.0 | 1828.4 | 1824.8 to 1832.1 (range) |" in section(report, "Projected, not measured")
    assert RANGE in report.split("## ")[0]


def test_the_introduction_defines_bandwidth_of_caches_too() -> None:
    head = render_markdown([document()]).split("## ")[0]
    assert "for caches and links, the bytes that were moved" in head


def test_figures_beside_those_of_others_bear_their_flags() -> None:
    for flags, cell in (
        ((), "| copy 0.902x |"),
        (("cached_footprint",), r"| copy 0.902x \[cached\_footprint\] |"),
    ):
        run = document(measurement(1500.0, "copy", *flags))
        assert cell in section(render_markdown([run]), "Published figures of this board")
    # Two series of one tool, kernel and source: each row has its own ratio.
    shown = section(
        render_markdown([document(measurement(1500.0, "copy"))]), "Published figures of this board"
    )
    for cells in ("| 1662.3 | copy 0.902x |", "| 1661.3 | copy 0.903x |"):
        assert cells in shown
    limited = document(measurement(1600.0, "read", "clock_limited"))
    projected = section(render_markdown([limited]), "Projected, not measured")
    assert projected.count(r"| read \[clock\_limited\] |") == 2


def test_processor_time_of_others_is_that_of_the_busiest_part() -> None:
    run = document(measurement(34.2), device=processor(), telemetry=Telemetry(others_busy_ratio=0.323))
    facts = section(render_markdown([run]), "Environment")
    assert "| Processor time used by others | 32.3 %, in the busiest benchmark or part of one |" in facts


def test_a_host_without_theory_says_that_there_is_none() -> None:
    report = render_markdown([document(measurement(34.2), device=processor())])
    assert "There is no theory to compare these figures with" in report
    assert "of the nominal peak." not in report.split("## ")[1]
    assert "(projected)" not in report
    stated = StatedMemory(technology="ddr5-4800", bus_width_bits=128)
    report = render_markdown([document(measurement(61.44), device=processor(), stated=stated)])
    assert "80.0 % of the nominal peak" in report
    assert "stated by the user" in report


def test_a_data_sheet_that_disagrees_is_shown_beside_the_theory() -> None:
    nvl = msgspec.structs.replace(h200(), name="NVIDIA H200 NVL", bus_width_bits=6144)
    report = render_markdown([document(measurement(4378.0), device=nvl)])
    assert "4916.7 GB/s" in report
    assert "4800.0 GB/s" in report
    assert "from HBM" in section(report, "What cannot be concluded from these figures")


def test_several_runs_have_one_overview_and_one_closing_section() -> None:
    runs = [document(measurement(1600.0), run_id="one"), document(run_id="two", outcome="failed")]
    report = render_markdown(runs)
    assert "| NVIDIA GeForce RTX 5090 | one | ok | triad | 1600.0 GB/s | 1596.8 to 1603.2 | none |" in report
    assert "| NVIDIA GeForce RTX 5090 | two | failed | – | no figure | – | – |" in report
    assert report.count("Claims of vendors") == 1


def failed(name: str) -> Measurement:
    return Measurement(benchmark=name, parameters={}, status="failed", reason="out of memory")


@pytest.mark.parametrize(
    "run",
    [
        document(),
        document(failed("copy"), failed("read")),
        document(measurement(0.0)),
        RunDocument(
            run_id="r",
            outcome="device_lost",
            created_at="",
            error=ErrorInfo(
                kind="device_lost", code=-32021, message="the device fell off the bus", retryable=True
            ),
        ),
    ],
    ids=["none", "all failed", "median zero", "nothing known"],
)
def test_a_run_without_figures_says_so(run: RunDocument) -> None:
    report = render_markdown([run])
    assert "**This run gave no figure.**" in report
    assert "### Measured" not in report
    for each in run.measurements:
        assert f"| {each.benchmark} | {each.status} |" in section(report, "Without a figure")
    if run.error:
        assert "the device fell off the bus" in report


def test_no_runs() -> None:
    assert render_markdown([]) == "# Memory bandwidth\n\nThere are no runs to report.\n"


def test_text_from_elsewhere_stays_text() -> None:
    name = "GPU | <img src=x onerror=alert(1)> [a](http://b) \x1b[31m\n# heading `x` \u202e"
    hostile = document(
        measurement(34.2, benchmark="co|py\n# x"),
        device=msgspec.structs.replace(rtx_5090(), name=name),
        run_id="<b>",
    )
    report = render_markdown([hostile])
    assert "\x1b" not in report
    assert "\u202e" not in report
    assert not re.search(r"(?<!\\)<", report)
    assert not re.search(r"(?<!\\)\[", report)
    assert "\n# heading" not in report
    for line in report.splitlines():  # every row of a table keeps its number of cells
        if line.startswith("| co"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 11


def test_code_in_our_own_sentences_stays_code() -> None:
    """In text of others it is shown literally, and so is what could end a cell of a table."""
    text = "run `lspci -v`, not a*b; `"
    assert escape_prose(text) == "run `lspci -v`, not a\\*b; \\`"
    assert escape(text) == "run \\`lspci -v\\`, not a\\*b; \\`"
    assert escape_prose("`a|b` and `c`") == "\\`a\\|b\\` and `c`"

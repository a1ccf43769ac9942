import io
import re

import msgspec
from rich.console import Console, RenderableType

from gpubench.comparison.compare import compare
from gpubench.comparison.sides import Side, compare_sides
from gpubench.report.terminal import comparison_tables, device_table, measurement_table, side_tables
from gpubench.results.document import Measurement
from tests.documents import document, h200, measurement, processor, rtx_5090


def shown(renderable: RenderableType, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_devices_with_what_is_known_and_why_one_is_not_there() -> None:
    broken = msgspec.structs.replace(processor(), unavailable="no permission for /dev/kfd")
    text = shown(device_table([rtx_5090(), broken]))
    assert "14001 MHz" in text
    assert "ready" in text
    assert "no permission for /dev/kfd" in text


def test_figures_with_their_flags_in_words() -> None:
    text = shown(measurement_table(compare(document(measurement(1612.8), measurement(1867.0, "read")))))
    assert "1612.8" in text
    assert "90.0 %" in text
    assert "over_theory: 1867.0 GB/s is 4.2 % above the theoretical peak of 1792.1 GB/s (read)." in text


def test_a_figure_above_theory_is_not_compared() -> None:
    text = shown(comparison_tables(compare(document(measurement(1612.8), measurement(1867.0, "read")))))
    assert "1.80x" in text
    assert "GDDR7 32 Gbit/s (projected)" in text
    assert "2.08x" not in text
    run = document(measurement(34.2), device=processor())
    assert "GDDR7" not in shown(comparison_tables(compare(run)))
    host = shown(comparison_tables(compare(run, references=True)))
    assert host.count("GDDR7 32 Gbit/s") == 1  # on the narrowest bus; the written report has all
    assert "projected)" not in host


def test_published_figures_have_their_tool_and_the_ratio() -> None:
    """A column that has another name in the table itself would be left out."""
    text = shown(comparison_tables(compare(document(measurement(1500.0, "copy")))))
    published = text.split("Published figures of this board")[1]
    heads = published.strip().splitlines()[0].split("  ")
    assert [head.strip() for head in heads if head.strip()] == ["tool", "kernel", "GB/s", "here / there"]
    assert re.search(r"p2pBandwidthLatencyTest .* 1662.3 +copy 0.902x", published)


def test_shares_carry_flags_and_notes_cover_only_what_is_shown() -> None:
    text = shown(comparison_tables(compare(document(measurement(1612.8), measurement(1867.0, "read")))))
    shares = text.split("Against references")[0]
    assert "Per pin, per module (32 bits of the bus), and time for the whole memory" in " ".join(
        shares.split()
    )
    assert any("read" in line and "over_theory" in line for line in shares.splitlines())
    assert any("triad" in line and line.rstrip().endswith("none") for line in shares.splitlines())
    assert "A projection assumes" in text
    stacked = shown(comparison_tables(compare(document(measurement(4304.0), device=h200()))))
    assert stacked.startswith("Per pin, and time for the whole memory")
    assert "per module" not in stacked
    host = shown(
        comparison_tables(compare(document(measurement(34.2, "dot", "unstable"), device=processor())))
    )
    assert host.startswith("Time for the whole memory")
    assert any("dot" in line and line.rstrip().endswith("unstable") for line in host.splitlines())
    assert "projection" not in host


def heading(*measured: Measurement) -> str:
    """The benchmark that is set against the references; empty if none is."""
    run = document(*measured, device=processor())
    lines = shown(comparison_tables(compare(run, references=True))).splitlines()
    return next((line.split()[-1] for line in lines if "peak GB/s" in line), "")


def test_references_always_stand_beside_the_same_benchmark() -> None:
    """A faster one, or one without a flag, does not take the place of triad: runs would not be comparable."""
    triad, write = measurement(38.65, "triad", "unstable"), measurement(44.86, "write")
    assert heading(write, triad) == heading(triad, write) == heading(triad) == "triad"
    assert heading(write, measurement(30, "copy")) == "copy"


def test_of_one_benchmark_the_highest_low_end_is_shown() -> None:
    wide, narrow = measurement(44.86, spread=0.5), measurement(38.65)
    text = shown(comparison_tables(compare(document(wide, narrow, device=processor()), references=True)))
    assert f"{38.65 / 448:.3f}x" in text
    assert f"{44.86 / 448:.3f}x" not in text


def test_a_cache_s_figure_is_set_against_nothing() -> None:
    """A figure that is not the memory's own is set against nothing."""
    assert heading(measurement(1867.0, "triad", "cached_footprint")) == ""
    assert heading(measurement(1867.0, "triad", "cached_footprint"), measurement(30, "read")) == "read"


def test_a_range_keeps_its_figures_on_eighty_columns() -> None:
    run = document(measurement(1612.8, "triad", "contended", "unstable", effective_samples=1.0))
    lines = shown(measurement_table(compare(run)), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("1609.6 to 1616.0 (range)" in line and "90.0 %" in line for line in lines)


def test_a_run_without_figures_still_shows_why() -> None:
    run = document(Measurement(benchmark="copy", parameters={}, status="failed", reason="out of memory"))
    assert "out of memory" in shown(measurement_table(compare(run)))
    assert shown(comparison_tables(compare(run))).strip()
    assert shown(measurement_table(compare(document()))) is not None


def test_verdicts_have_both_figures_and_the_reason() -> None:
    """Verdicts with both figures and the reason in a code and in words."""
    a = document(measurement(1600.0), run_id="a")
    b = document(measurement(1700.0, "triad", "contended"), run_id="b")
    text = shown(side_tables(compare_sides([Side("before", (a,)), Side("after", (b,))])))
    lines = [line.split() for line in text.splitlines()]
    assert ["A", "(baseline)", "before", "NVIDIA", "GeForce", "RTX", "5090", "595.10", "–", "1"] in lines
    assert any(line[:4] == ["triad", "A", "1600.0", "GB/s"] and line[-1] == "baseline" for line in lines)
    assert any(
        line[:4] == ["triad", "B", "1700.0", "GB/s"] and line[-1] == "AMBIGUOUS" and "1.0625" in line
        for line in lines
    )
    assert any(line[:2] == ["triad", "B"] and line[-1] == "contended" for line in lines)
    assert (
        "B AMBIGUOUS (few_runs), triad: the intervals of the two sides do not overlap, but a verdict" in text
    )


def test_names_of_sides_and_labels_are_text_and_not_markup() -> None:
    runs = [
        document(measurement(1600.0), labels={"[red]x\x1b[2J": f"[bold]{n}[/oops]"}, run_id=str(n))
        for n in range(2)
    ]
    text = shown(side_tables(compare_sides([Side("[b]a\x1b", (runs[0],)), Side("c\nd", (runs[1],))])))
    assert "[b]a" in text
    assert "c d" in text
    assert "label [red]x [2J" in text
    assert "[bold]1[/oops]" in text
    assert "\x1b" not in text


def test_names_are_text_and_not_markup() -> None:
    odd = msgspec.structs.replace(rtx_5090(), name="[bold red]GPU[/] \x1b[2J[/oops]")
    text = shown(device_table([odd]))
    assert "[bold red]GPU[/]" in text
    assert "\x1b" not in text


def test_a_figure_is_never_broken_into_two_lines() -> None:
    comparison = compare(document(measurement(1612.8, "triad", "contended", "unstable")))
    lines = shown(measurement_table(comparison), width=62).splitlines()
    assert max(map(len, lines)) <= 62
    assert any("triad" in line and "1612.8" in line and "1609.6 to 1616.0" in line for line in lines)
    lines = shown(comparison_tables(comparison), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("triad" in line and "25.20" in line and "100.8" in line for line in lines)


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    host = compare(document(measurement(34.2), device=processor()))
    assert "of theory" not in shown(measurement_table(host))
    assert "per pin" not in shown(comparison_tables(host)).replace("Per pin", "")
    assert "of theory" in shown(measurement_table(compare(document(measurement(1600.0)))))

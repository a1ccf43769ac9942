"""How curves look: what belongs together stands together, and no cache is held against a memory."""

from __future__ import annotations

from typing import Any

from gpubench.comparison.compare import compare
from gpubench.flags import Flag
from gpubench.report.curves import shown_curves
from gpubench.report.markdown import render_markdown
from gpubench.report.terminal import comparison_tables, measurement_table
from gpubench.report.text_table import RANGE, RANGE_MARK
from gpubench.results.document import Efficiency, Finding, Measurement, RunDocument, Summary
from tests.documents import document, measurement
from tests.report.test_markdown import section
from tests.report.test_terminal import shown

KIB = 1024


def summary(median: float) -> Summary:
    low, high = 0.99 * median, 1.01 * median
    return Summary(median, low, high, low, high, low, high)


def latency(seconds: float, footprint_bytes: int, *flags: Flag, **fields: Any) -> Measurement:
    usual = {
        "axes": {"footprint_bytes": footprint_bytes, "order": "random"},
        "quantity": "latency",
        "latency_seconds": summary(seconds),
        "bandwidth_bytes_per_second": None,
    }
    return measurement(1.0, "latency", *flags, **{**usual, **fields})


def sweep(*gb_per_second: float, **fields: Any) -> list[Measurement]:
    return [
        measurement(value, "sweep", axes={"footprint_bytes": 4 * KIB << index}, **fields)
        for index, value in enumerate(gb_per_second)
    ]


def findings() -> list[Finding]:
    return [
        Finding("latency", "step", "L1 ends at 32 KiB", 32768, "byte"),
        Finding("integrity", "errors", "no error in 20 GiB", 0, "errors"),
    ]


def mixed() -> RunDocument:
    return document(
        measurement(1600.0, "triad"),
        *sweep(9000.0, 5000.0, 1500.0),
        latency(2e-9, 4 * KIB),
        latency(112e-9, 1 << 30),
        Measurement("transfer", {}, "skipped", reason="no host memory beside it"),
        findings=findings(),
        explanations={"latency": "Each load waits for the one before."},
    )


def test_a_cache_is_in_no_comparison_with_memory() -> None:
    comparison = compare(mixed())
    assert [result.benchmark for result in comparison.results] == ["triad"]
    assert [(curve.benchmark, len(curve.points)) for curve in comparison.curves] == [
        ("sweep", 3),
        ("latency", 2),
    ]
    text = shown(comparison_tables(comparison))
    assert "sweep" not in text and "latency" not in text
    report = render_markdown([mixed()])
    assert "**triad: 1600.0 GB/s**" in report
    assert "sweep" not in section(report, "Projected, not measured")
    assert "sweep" not in section(report, "Against references")
    assert "sweep" not in section(report, "Measured")


def test_each_curve_has_a_table_of_its_axes_and_figures() -> None:
    report = render_markdown([mixed()])
    rows = [line.split(" | ") for line in section(report, "sweep").splitlines() if "KiB" in line]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("| 4 KiB", "9000.0", "8982.0 to 9018.0"),
        ("| 8 KiB", "5000.0", "4990.0 to 5010.0"),
        ("| 16 KiB", "1500.0", "1497.0 to 1503.0"),
    ]
    table = section(report, "latency")
    assert "| footprint | order |  | latency | 95 % interval | flags |" in table
    assert "| 4 KiB | random |  | 2 ns | 1.98 ns to 2.02 ns | none |" in table
    assert "| 1 GiB | random | ████████ | 112 ns |" in table


def test_what_was_found_stands_under_its_benchmark() -> None:
    report = render_markdown([mixed()])
    assert section(report, "latency").rstrip().endswith("- L1 ends at 32 KiB")
    assert "- no error in 20 GiB" in section(report, "integrity")
    text = shown(measurement_table(compare(mixed())))
    assert "latency: L1 ends at 32 KiB" in text
    assert "integrity: no error in 20 GiB" in text


def test_findings_carry_the_flags_of_their_points() -> None:
    points = [
        latency(2e-9, 4 * KIB, "contended", "unstable"),
        latency(2e-9, 8 * KIB, "unstable"),
        latency(2e-9, 16 * KIB),
    ]
    wrong = Measurement(
        "latency", {"dtype": "float64"}, "unverified", flags=["unverified"], axes={"footprint_bytes": 1}
    )
    run = document(*points, wrong, measurement(1600.0, "triad", "drifting"), findings=findings())
    line = "flags of the points used: unstable (2 of 3), contended (1 of 3)"
    report = render_markdown([run])
    assert section(report, "latency").endswith(f"- L1 ends at 32 KiB\n- {line}\n")
    assert "flagged" not in section(report, "integrity")
    text = shown(measurement_table(compare(run)))
    assert f"latency: L1 ends at 32 KiB\nlatency: {line}\n" in text
    without = shown(measurement_table(compare(document(*points))))
    assert "points used" not in without


def test_an_invalid_interval_of_a_point_is_called_a_range() -> None:
    points = [
        latency(2e-9, size * KIB, effective_samples=effective) for size, effective in ((4, 1.0), (8, 20.0))
    ]
    assert "| 1.98 ns to 2.02 ns (range) | none |" in section(render_markdown([document(*points)]), "latency")
    text = shown(measurement_table(compare(document(*points))))
    assert text.count("1.98 ns to 2.02 ns (range)") == 1
    assert text.count("1.98 ns to 2.02 ns") == 2
    assert RANGE in text
    assert RANGE_MARK not in shown(measurement_table(compare(document(points[1]))))


def test_what_was_skipped_is_told_apart_from_what_failed() -> None:
    report = render_markdown([mixed()])
    assert "| transfer | no host memory beside it |" in section(report, "Skipped here")
    assert "### Without a figure" not in report
    text = shown(measurement_table(compare(mixed())))
    assert "Skipped here" in text and "no host memory beside it" in text
    assert "Without a figure" not in text


def test_the_explanations_of_the_run_are_in_its_report() -> None:
    assert "- **latency**: Each load waits" in section(render_markdown([mixed()]), "What was measured")


def test_a_long_curve_is_a_line_for_each_series() -> None:
    rising = [1.0 + index for index in range(16)]
    run = document(
        *(
            measurement(value, "sweep", *flags, axes={"kind": kind, "footprint_bytes": KIB << index})
            for kind, values, flags in (("read", rising, ()), ("copy", rising[::-1], ("unstable",)))
            for index, value in enumerate(values)
        )
    )
    (found,) = shown_curves(compare(run), max_rows=12)
    assert found.shortened
    (table,) = found.tables
    assert table.title == "sweep, 32 points, GB/s"
    assert table.columns == ("kind", "footprint", "", "lowest", "highest", "flags")
    read, copy = table.rows
    assert read[:2] == ("read", "1 KiB to 32 MiB")
    assert read[2][0] == "▁" and read[2][-1] == "█"
    assert copy[2] == read[2][::-1]
    assert read[3:] == ("1.00 at 1 KiB", "16.00 at 32 MiB", "none")
    assert copy[3:] == ("1.00 at 32 MiB", "16.00 at 1 KiB", "unstable")
    text = shown(measurement_table(compare(run)), width=100)
    assert max(map(len, text.splitlines())) <= 100
    assert any("read" in line and "16.00 at 32 MiB" in line for line in text.splitlines())
    assert "The run document has all points." in text
    assert len([line for line in section(render_markdown([run]), "sweep").splitlines() if "iB" in line]) == 32


def test_many_series_of_few_points_are_shown_point_by_point() -> None:
    places = [(1 << power, 0) for power in range(10)] + [(1, offset) for offset in range(1, 10)]
    points = [
        measurement(10.0, "strided", axes={"stride": stride, "offset": offset}) for stride, offset in places
    ]
    (found,) = shown_curves(compare(document(*points)), max_rows=12)
    assert not found.shortened
    assert len(found.tables[0].rows) == 19


def test_payload_has_a_column_if_it_differs_from_bus_bytes() -> None:
    points = [
        measurement(64.0, "strided", axes={"stride": stride}, payload_bytes=6400 // stride, bus_bytes=6400)
        for stride in (1, 2, 4)
    ]
    (found,) = shown_curves(compare(document(*points)), max_rows=12)
    (table,) = found.tables
    assert [row[table.columns.index("payload GB/s")] for row in table.rows] == ["64.00", "32.00", "16.00"]
    kernels = [
        measurement(64.0, "pattern", axes={"kernel": name}, payload_bytes=payload, bus_bytes=200)
        for name, payload in (("write", 200), ("copy", 100))
    ]
    (found,) = shown_curves(compare(document(*kernels)), max_rows=12)
    assert "payload GB/s" not in found.tables[0].columns


def test_a_curve_of_hundreds_of_points_stays_readable() -> None:
    points = [
        measurement(100.0, "map", axes={"slice": index}, places={"offset_bytes": index * 1024})
        for index in range(256)
    ]
    (found,) = shown_curves(compare(document(*points)), max_rows=64)
    (row,) = found.tables[0].rows  # the offset is the slice in other words, and makes no series of its own
    assert row[0] == "0 to 255"
    assert len(row[1]) <= 32


def test_axes_have_their_units_and_names_cannot_steer_a_terminal() -> None:
    run = document(
        measurement(10.0, "x", axes={"busy_ratio": 0.5, "pause_seconds": 0.002, "mode": "\x1b[2Jpinned"})
    )
    (found,) = shown_curves(compare(run), max_rows=12)
    assert found.tables[0].columns[:3] == ("busy", "pause", "mode")
    assert found.tables[0].rows[0][:3] == ("50.0 %", "2 ms", "[2Jpinned")


def test_points_show_their_share_of_theory_and_load_bandwidth() -> None:
    mix = measurement(1000.0, "mix", axes={"reads": 3, "writes": 1}, efficiency_ratio=Efficiency(0.558))
    loaded = latency(400e-9, KIB, bandwidth_bytes_per_second=summary(800e9))
    theory, load = shown_curves(compare(document(mix, loaded)), max_rows=12)
    assert theory.tables[0].columns[-2:] == ("of theory", "flags")
    assert theory.tables[0].rows[0][-2] == "55.8 %"
    assert load.tables[0].columns[-2:] == ("GB/s", "flags")
    assert load.tables[0].rows[0][-2] == "800.0"


def test_two_of_a_benchmark_are_told_apart_by_their_parameters() -> None:
    float_, double = ({"parameters": {"dtype": dtype, "seed": 1}} for dtype in ("float", "double"))
    run = document(
        measurement(1600.0, "triad", **float_),
        measurement(1500.0, "triad", **double),
        *sweep(1.0, 2.0, **float_),
        *sweep(3.0, 4.0, **double),
    )
    text = shown(measurement_table(compare(run)))
    for name in (
        "triad (dtype float)",
        "triad (dtype double)",
        "sweep (dtype float)",
        "sweep (dtype double)",
    ):
        assert text.count(name) == 1


def test_only_curves_are_no_failure() -> None:
    report = render_markdown([document(*sweep(1.0, 2.0))])
    assert "**No figure of the memory as a whole; sweep: 2 points.**" in report

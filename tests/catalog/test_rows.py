"""The data themselves: every row obeys the arithmetic, and every row says where it comes from."""

import re
from pathlib import Path

import pytest

from gpubench.benchmarks.registry import STREAM
from gpubench.catalog.load import PublishedSeries, boards, claims, families, published, technologies
from gpubench.catalog.lookup import published_for
from gpubench.catalog.theory import peak_bytes_per_second
from gpubench.results.document import decode_document

ROOT = Path(__file__).parents[2]

DATA_SHEET_DISAGREES = {
    "nvidia-b200": 7672.3,  # drivers report 7680 bit, the data sheet's 8 TB/s is of 8192 bit
    "nvidia-h200-nvl": 4916.7,  # 6144 bit; of the H200, 6016 are enabled
    "amd-instinct-mi355x": 8192.0,  # rounded by the vendor
    "nvidia-h100-pcie": 2039.0,  # "greater than 2,000 GB/s"
    "nvidia-gh200-480gb": 4022.8,  # rounded by the vendor
    "nvidia-b300-sxm6-ac": 7672.3,  # as the B200
    "amd-instinct-mi350x": 8192.0,  # rounded by the vendor
    "nvidia-h20": 4022.8,  # rounded by the vendor
}

SOURCES = (
    "http",
    "results/",
    "runtime output, no public address",
    "text of a public repository, no address known",
)


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.id)
def test_rate_times_width_is_the_published_bandwidth(board) -> None:  # type: ignore[no-untyped-def]
    peak = peak_bytes_per_second(board.data_rate_bits_per_second, board.bus_width_bits) / 1e9
    if board.id in DATA_SHEET_DISAGREES:
        assert peak == pytest.approx(DATA_SHEET_DISAGREES[board.id], abs=0.1)
        assert abs(peak / board.published_gb_per_second - 1) > 0.005
    else:
        assert peak == pytest.approx(board.published_gb_per_second, rel=0.005)


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.id)
def test_a_reported_clock_is_half_of_the_data_rate(board) -> None:  # type: ignore[no-untyped-def]
    if board.memory_clock_mhz and board.vendor == "NVIDIA":
        assert 2 * board.memory_clock_mhz / 1000 == pytest.approx(board.data_rate_gbit_per_second, rel=0.003)
    if board.compute_memory_clock_mhz:
        assert 0.95 < 2 * board.compute_memory_clock_mhz / 1000 / board.data_rate_gbit_per_second < 1


def test_every_row_has_a_source_spelt_out_and_a_known_family() -> None:
    for row in (*boards(), *technologies()):
        assert row.sources, row.id
        assert row.family in families(), row.id
        for source in row.sources:
            assert source.startswith(SOURCES), (row.id, source)
    assert all(row.source.startswith("http") for row in claims())
    others = [row for row in published() if row not in own_series()]
    assert all(row.source.startswith("http") for row in others)
    assert all(row.date[:2] == "20" and row.baseline for row in claims())


def own_series() -> list[PublishedSeries]:
    return [row for row in published() if row.tool.startswith("gpubench ")]


@pytest.mark.parametrize("row", own_series(), ids=lambda row: row.source)
def test_what_gpubench_measured_is_as_its_document_says(row: PublishedSeries) -> None:
    run = decode_document((ROOT / row.source).read_bytes())
    assert run.theory is not None and run.theory.board == row.board
    assert f"gpubench {run.environment.program_version}" == row.tool
    assert run.environment.driver == row.driver
    medians = {
        each.benchmark: each.bandwidth_bytes_per_second.median / 1e9
        for each in run.measurements
        if each.benchmark in STREAM and each.verified and each.bandwidth_bytes_per_second
    }
    assert {each.kernel: each.gb_per_second for each in row.figures} == pytest.approx(medians, abs=0.06)


@pytest.mark.parametrize("row", [*boards(), *technologies()], ids=lambda row: row.id)
def test_a_source_among_the_recorded_runs_is_there(row) -> None:  # type: ignore[no-untyped-def]
    assert all((ROOT / each.split()[0]).is_file() for each in row.sources if each.startswith("results/"))


def test_ids_are_unique_and_boards_of_one_name_have_a_variant() -> None:
    assert len({row.id for row in boards()}) == len(boards()) > 230
    assert len({row.id for row in technologies()}) == len(technologies()) >= 60
    names = [row.name for row in boards()]
    for row in boards():
        assert (row.variant is not None) or names.count(row.name) == 1, row.id


def test_pci_ids_match_the_vendor_and_one_chip_only() -> None:
    vendors = {"NVIDIA": "10de", "AMD": "1002", "Intel": "8086"}
    for row in boards():
        for each in row.pci_device_ids:
            assert re.fullmatch(rf"{vendors[row.vendor]}:[0-9a-f]{{4}}", each), row.id


def test_modules_carry_32_bits_each_or_share_them_in_pairs() -> None:
    for row in boards():
        if row.family.startswith("GDDR"):
            assert row.modules is not None
            assert row.modules * 32 / row.bus_width_bits in (1, 2), row.id


def test_published_series_are_graded_a_or_b_and_below_the_peak() -> None:
    """Only complete (A) or partial (B) logs are shown beside a measurement."""
    by_id = {row.id: row for row in boards()}
    shown = [series for board in boards() for series in published_for(board)]
    assert {series.grade for series in shown} == {"A", "B"}
    for series in shown:
        board = by_id[series.board]
        arithmetic = board.data_rate_gbit_per_second * board.bus_width_bits / 8
        highest = max(arithmetic, board.published_gb_per_second)
        assert all(0 < figure.gb_per_second <= highest for figure in series.figures), series


def test_a_warning_is_never_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    from gpubench.catalog import lookup

    row = published_for(by_id := boards()[0])[0]
    rows = tuple(msgspec.structs.replace(row, grade=grade) for grade in "ABCX")
    monkeypatch.setattr(lookup, "published", lambda: rows)
    assert [series.grade for series in lookup.published_for(by_id)] == ["A", "B"]

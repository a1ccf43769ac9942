import pytest

from gpubench.errors import InvalidParameters
from gpubench.units import (
    fill,
    format_bandwidth,
    format_bytes,
    format_clock,
    format_data_rate,
    format_percent,
    format_seconds,
    parse_bytes,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        (4096, 4096),
        ("256MiB", 256 * 1024**2),
        ("256 mib", 256 * 1024**2),
        ("64M", 64 * 1024**2),
        ("64m", 64 * 1024**2),
        ("64Mi", 64 * 1024**2),
        ("4k", 4096),
        ("1.5G", 3 * 1024**3 // 2),
        ("1GiB", 1024**3),
        ("2GB", 2 * 10**9),
        ("1.5 GiB", 3 * 1024**3 // 2),
        ("0.1GB", 10**8),  # exact: no binary fractions in between
        (" 7 B ", 7),
        ("1TiB", 1024**4),
    ],
)
def test_sizes_are_read_exactly(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MiB",
        "-1",
        "0",
        "0GiB",
        "1.5",
        "0.3KiB",
        "1e9",
        "inf",
        "nan",
        "2GiBs",
        "1 000",
        "0x10",
        "१",
        "2**70",
        "9" * 20 + "TiB",
        "9" * 5000,
        "1" + "0" * 19,
        -5,
    ],
)
def test_what_is_no_size_is_refused_with_what_is_allowed(text: str | int) -> None:
    with pytest.raises(InvalidParameters, match="write 256MiB or 2GB") as caught:
        parse_bytes(text)
    assert len(caught.value.message) < 300


def test_bandwidth_is_decimal_and_sizes_are_binary() -> None:
    assert format_bandwidth(1792e9) == "1792.0 GB/s"
    assert format_bandwidth(34.214e9) == "34.21 GB/s"
    assert format_bandwidth(0) == "0.000 GB/s"
    assert format_bytes(32 * 1024**3) == "32 GiB"
    assert format_bytes(256 * 1024**2) == "256 MiB"
    assert format_bytes(2304 * 1024) == "2.25 MiB"
    assert format_bytes(1023) == "1023 B"


def test_rates_clocks_shares_and_times() -> None:
    assert format_data_rate(28.002e9) == "28.00 Gbit/s"
    assert format_clock(14_001_000_000) == "14001 MHz"
    assert format_percent(0.9284) == "92.8 %"
    assert format_seconds(0) == "0 s"
    assert [format_seconds(s) for s in (0.9996, 0.0009996, 9.996e-7)] == ["1 s", "1 ms", "1 µs"]
    assert [format_seconds(s) for s in (1.25, 0.0184, 3.5e-4, 2e-8)] == [
        "1.25 s",
        "18.4 ms",
        "350 µs",
        "20 ns",
    ]


def test_a_sentence_shows_values_in_the_unit_of_their_name() -> None:
    values = {"a_ratio": 0.00234, "b_seconds": 3600.0, "runs": 5, "effective": 6.635, "what": "{runs} 0.5"}
    text = fill("±{a_ratio} in {b_seconds}, {runs} runs, {effective} {what}", values)
    assert text == "±0.23 % in 3600 s, 5 runs, 6.6 {runs} 0.5"
    with pytest.raises(KeyError, match="missing"):
        fill("{missing}", values)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        (" 1.5 min ", 90.0),
        ("5m", 300.0),
        ("2H", 7200.0),
        ("1d", 86_400.0),
        ("200ms", 0.2),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("0", 0.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "soon", "5 months", "1:30", "inf", "nan", "0x10", "१", "1e", "1 2"]
)
def test_a_wrong_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameters, match="write 90, 90s or 5m"):
        parse_seconds(text)

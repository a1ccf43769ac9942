import pytest

from gpubench.catalog.theory import (
    clock_from_data_rate,
    data_rate_from_clock,
    live_clock_peak,
    peak_bytes_per_second,
    per_module_bytes_per_second,
    per_pin_bits_per_second,
    theory_for_device,
    upper_limit,
    with_live_clock,
)
from gpubench.errors import CatalogError
from gpubench.requests import StatedMemory
from gpubench.results.machine import DeviceInfo, Theory


def device(name: str = "NVIDIA GeForce RTX 5090", **known: object) -> DeviceInfo:
    fields = {
        "id": "cuda:0",
        "alias": "gpu0",
        "runtime": "cuda",
        "kind": "gpu",
        "hardware_id": "0000:01:00.0",
    }
    return DeviceInfo(name=name, **{**fields, **known})  # type: ignore[arg-type]


def theory(name: str = "NVIDIA GeForce RTX 5090", **known: object) -> Theory:
    found = theory_for_device(device(name, **known), None)
    assert found is not None
    return found


@pytest.mark.parametrize(("mhz", "gbit"), [(9001, 18), (10501, 21), (14001, 28), (16001, 32), (3201, 6.4)])
def test_the_reported_clock_is_half_of_the_data_rate(mhz: int, gbit: float) -> None:
    assert data_rate_from_clock(mhz * 1e6) / 1e9 == pytest.approx(gbit, rel=0.001)
    assert clock_from_data_rate(gbit * 1e9) / 1e6 == pytest.approx(mhz, rel=0.001)


@pytest.mark.parametrize(
    ("gbit", "board", "module"), [(28, 1792, 112), (32, 2048, 128), (14, 896, 56), (20, 1280, 80)]
)
def test_a_512_bit_board_and_its_modules(gbit: float, board: float, module: float) -> None:
    peak = peak_bytes_per_second(gbit * 1e9, 512)
    assert peak == board * 1e9
    assert per_module_bytes_per_second(peak, 512) == module * 1e9
    assert per_pin_bits_per_second(peak, 512) == gbit * 1e9


def test_device_values_win_over_the_catalogue_row() -> None:
    """The row's own peak is kept as a second value."""
    found = theory(memory_clock_hz=14_001_000_000, bus_width_bits=512)
    assert found.source == "device"
    assert found.peak_bytes_per_second == pytest.approx(1792.1e9, abs=0.1e9)
    assert (found.technology, found.family, found.board) == ("gddr7-28", "GDDR7", "nvidia-geforce-rtx-5090")
    assert found.catalog_peak_bytes_per_second == found.published_bytes_per_second == 1792e9
    assert found.notes == []


def test_a_device_that_disagrees_with_its_row_shows_both() -> None:
    """A driver that counts only the enabled part of the bus, as that of the H200 does."""
    found = theory("NVIDIA H200 NVL", memory_clock_hz=3_201_000_000, bus_width_bits=6016)
    assert found.peak_bytes_per_second == pytest.approx(4814.3e9, abs=0.1e9)
    assert len(found.notes) == 1
    assert "4814.3 GB/s (6016 bit)" in found.notes[0]
    assert "4916.7 GB/s (6144 bit)" in found.notes[0]


def test_a_data_sheet_that_disagrees_is_told() -> None:
    found = theory("NVIDIA H200 NVL", memory_clock_hz=3_201_000_000, bus_width_bits=6144)
    assert found.published_bytes_per_second == 4800e9
    assert ["4800.0 GB/s" in note for note in found.notes] == [True]


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"memory_clock_hz": 0, "bus_width_bits": 512},
        {"memory_clock_hz": 14_001_000_000, "bus_width_bits": 0},
        {"memory_clock_hz": 14_001_000_000},
        {"memory_clock_hz": -1, "bus_width_bits": 512},
    ],
)
def test_without_a_usable_clock_and_width_the_row_counts(known: dict[str, int]) -> None:
    found = theory(**known)
    assert (found.source, found.peak_bytes_per_second) == ("catalog", 1792e9)
    assert found.notes


def test_without_row_and_clock_there_is_no_theory() -> None:
    assert theory_for_device(device("Some GPU"), None) is None
    assert theory_for_device(device("Some GPU", memory_clock_hz=0, bus_width_bits=256), None) is None


def test_an_unknown_board_with_a_clock_has_a_peak_but_no_family() -> None:
    found = theory("NVIDIA Next GPU", memory_clock_hz=16_001_000_000, bus_width_bits=512)
    assert found.peak_bytes_per_second == pytest.approx(2048e9, rel=1e-3)
    assert (found.family, found.board) == (None, None)


def test_another_vendors_clock_is_not_taken_for_half_of_the_rate() -> None:
    name = "AMD Radeon RX 7900 XTX"
    found = theory(name, runtime="opencl", vendor="AMD", memory_clock_hz=1_249_000_000, bus_width_bits=384)
    assert (found.source, found.peak_bytes_per_second) == ("catalog", 960e9)
    assert live_clock_peak(found, 1_249_000_000) is None


def test_a_board_of_two_devices_gives_each_its_half() -> None:
    found = theory("AMD Instinct MI250X", runtime="opencl", vendor="AMD")
    assert (found.peak_bytes_per_second, found.bus_width_bits) == (1638.4e9, 4096)


def test_a_processor_has_no_theory_unless_the_user_states_one() -> None:
    host = device(
        "pthread-NVIDIA Grace", runtime="opencl", kind="cpu", memory_clock_hz=2_400_000_000, bus_width_bits=64
    )
    assert theory_for_device(host, None) is None
    found = theory_for_device(host, StatedMemory(technology="ddr5-4800", bus_width_bits=128))
    assert found is not None
    assert (found.source, found.peak_bytes_per_second) == ("stated", 76.8e9)
    assert live_clock_peak(found, 2_400_000_000) is None
    with pytest.raises(CatalogError):
        theory_for_device(host, StatedMemory(technology="sdram", bus_width_bits=128))


def test_what_the_user_states_comes_before_the_device() -> None:
    told = device(memory_clock_hz=14_001_000_000, bus_width_bits=512)
    found = theory_for_device(told, StatedMemory(technology="gddr7-32", bus_width_bits=512))
    assert found is not None
    assert (found.source, found.peak_bytes_per_second) == ("stated", 2048e9)


def test_the_peak_at_the_live_clock() -> None:
    found = theory(memory_clock_hz=14_001_000_000, bus_width_bits=512)
    live = live_clock_peak(found, 13_801_000_000)
    assert live == pytest.approx(1766.5e9, abs=0.1e9)
    assert live_clock_peak(theory(), 13_801_000_000) == live  # from the row: the same board
    assert live_clock_peak(found, 0) is None
    assert live_clock_peak(found, None) is None
    assert live_clock_peak(Theory("catalog", 1e9, 1e9, 8, board="not-in-this-catalog"), 1) is None


@pytest.mark.parametrize(
    ("name", "mhz", "width", "peak"),
    [
        ("NVIDIA GB10", 8533, 256, 273.1e9),  # twice the clock would be 546 GB/s
        ("NVIDIA Jetson AGX Orin 64GB", 1300, 256, 204.8e9),
        ("Orin", 612, 128, None),
    ],
)
def test_integrated_memory_is_only_as_fast_as_its_row_says(
    name: str, mhz: int, width: int, peak: float | None
) -> None:
    info = device(name, memory_clock_hz=mhz * 10**6, bus_width_bits=width, integrated=True)
    found = theory_for_device(info)
    assert (found.peak_bytes_per_second if found else None) == (peak and pytest.approx(peak, rel=0.001))
    if found:
        assert found.source == "catalog"
        assert live_clock_peak(found, mhz * 1e6) is None


RTX_4090 = "NVIDIA GeForce RTX 4090"


@pytest.mark.parametrize(
    ("live_mhz", "said"),
    [
        (11_001, "memory overclocked by 500 MHz: it ran at 11001 MHz, its nominal clock is 10501 MHz"),
        (10_251, None),  # where every RTX 4090 runs CUDA work
        (7_001, "memory underclocked by 3500 MHz: it ran at 7001 MHz"),
    ],
)
def test_the_clock_that_memory_ran_at_is_in_the_theory(live_mhz: int, said: str | None) -> None:
    nominal = theory(RTX_4090, memory_clock_hz=10_501_000_000, bus_width_bits=384)
    found = with_live_clock(nominal, live_mhz * 1e6)
    assert found.memory_clock_offset_hz == pytest.approx((live_mhz - 10_501) * 1e6)
    assert found.live_clock_peak_bytes_per_second == pytest.approx(2 * live_mhz * 1e6 * 384 / 8)
    assert [note for note in found.notes if note not in nominal.notes] == [
        note for note in found.notes if said and note.startswith(said)
    ]
    assert len(found.notes) == len(nominal.notes) + (said is not None)


def test_a_clock_that_no_overclock_reaches_is_no_theory() -> None:
    nominal = theory(RTX_4090, memory_clock_hz=10_501_000_000, bus_width_bits=384)
    assert with_live_clock(nominal, 21_002e6) == with_live_clock(nominal, None) == nominal
    assert upper_limit(1000.0, 2000.0) == upper_limit(1000.0, None) == 1000.0
    assert (upper_limit(1000.0, 1100.0), upper_limit(1000.0, 900.0)) == (1100.0, 900.0)


def test_a_device_that_reports_its_overclock_says_so() -> None:
    """Where the driver adds an offset to the clock that it calls nominal."""
    found = theory(RTX_4090, memory_clock_hz=11_001_000_000, bus_width_bits=384)
    assert any(note.startswith("memory overclocked by 501 MHz") for note in found.notes)
    assert found.peak_bytes_per_second == pytest.approx(1056.1e9, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "ecc", "noted"),
    [
        ("NVIDIA L4", True, True),
        ("NVIDIA A10", True, True),
        ("NVIDIA RTX 6000 Ada Generation", True, True),
        ("NVIDIA L4", False, False),
        ("NVIDIA L4", None, False),
        ("NVIDIA H100 80GB HBM3", True, False),  # HBM has bits of its own for it
    ],
)
def test_ecc_that_shares_the_bus_is_noted_with_its_source(name: str, ecc: bool | None, noted: bool) -> None:
    found = theory(name, ecc_enabled=ecc)
    assert any("Best Practices Guide" in note for note in found.notes) == noted


def test_a_part_of_a_board_has_the_peak_of_its_part_of_the_bus() -> None:
    part = theory(
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        pci_device_id="10de:2330",
        memory_clock_hz=2_619_000_000,
        bus_width_bits=640,
        memory_bytes=10 * 2**30,
    )
    assert part.peak_bytes_per_second == pytest.approx(3352e9 / 8, rel=0.001)
    assert part.board is None
    assert part.notes == ["a part of a board: the peak is that of 640 bit of its bus"]

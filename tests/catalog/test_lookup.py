import pytest

from gpubench.catalog.lookup import board_for_device, find_board, find_technology
from gpubench.errors import CatalogError
from gpubench.results.machine import DeviceInfo

GIB = 1024**3


def device(name: str, **known: object) -> DeviceInfo:
    fields = {
        "id": "cuda:0",
        "alias": "gpu0",
        "runtime": "cuda",
        "kind": "gpu",
        "hardware_id": "0000:01:00.0",
    }
    return DeviceInfo(name=name, **{**fields, **known})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "board"),
    [
        ("RTX 5090", "nvidia-geforce-rtx-5090"),
        ("rtx 5090 d", "nvidia-geforce-rtx-5090-d"),
        ("GeForce RTX 4090", "nvidia-geforce-rtx-4090"),
        ("NVIDIA H200", "nvidia-h200"),
        ("RX 6900 XT", "amd-radeon-rx-6900-xt"),
        ("RTX 4070 GDDR6", "nvidia-geforce-rtx-4070-gddr6"),
        ("rtx 3060 8gb", "nvidia-geforce-rtx-3060-8-gb"),
        ("Arc B580", "intel-arc-b580-graphics"),
        ("nvidia-b200", "nvidia-b200"),
    ],
)
def test_people_find_boards_by_what_they_call_them(text: str, board: str) -> None:
    assert find_board(text).id == board


def test_an_unknown_board_names_the_close_ones() -> None:
    with pytest.raises(CatalogError, match=r"did you mean .*RTX 5090"):
        find_board("RTX 5095")
    with pytest.raises(CatalogError, match=r"did you mean gddr7-32"):
        find_board("gdr7-32")
    with pytest.raises(CatalogError, match="no board ''"):
        find_board("")


def test_a_name_of_two_boards_names_both_and_their_ids() -> None:
    with pytest.raises(
        CatalogError, match=r"nvidia-geforce-rtx-4070-gddr6x, .*nvidia-geforce-rtx-4070-gddr6;"
    ):
        find_board("RTX 4070")


@pytest.mark.parametrize(
    ("text", "gbit"),
    [
        ("gddr7-32", 32),
        ("GDDR7 32", 32),
        ("GDDR7 32 Gbps", 32),
        ("gddr6x-19.5", 19.5),
        ("gddr6x-19p5", 19.5),
        ("ddr5-4800", 4.8),
        ("ddr5-4p8", 4.8),
        ("DDR5-5200 MT/s", 5.2),  # no row: computed from its name
        ("lpddr5x-8533", 8.533),
        ("lpddr5x-7500", 7.5),
        ("hbm3e-8", 8),
    ],
)
def test_technologies_in_every_usual_spelling(text: str, gbit: float) -> None:
    assert find_technology(text).data_rate_gbit_per_second == gbit


@pytest.mark.parametrize(
    "text", ["gddr7", "gddr7-33", "gddr9-28", "ddr5-99999", "ddr5-0", "", "32", "x" * 500]
)
def test_an_unknown_technology_is_refused_briefly(text: str) -> None:
    with pytest.raises(CatalogError, match="write family-rate") as caught:
        find_technology(text)
    assert len(caught.value.message) < 400


def test_boards_of_one_name_are_told_apart_by_width_size_and_clock() -> None:
    def found(name: str, **known: object) -> str | None:
        board = board_for_device(device(name, **known))
        return board.id if board else None

    name = "NVIDIA GeForce RTX 3060"
    assert found(name, bus_width_bits=128) == "nvidia-geforce-rtx-3060-8-gb"
    assert found(name, memory_bytes=int(11.76 * GIB)) == "nvidia-geforce-rtx-3060-12-gb"
    name = "NVIDIA GeForce RTX 4070"
    assert found(name, memory_clock_hz=10_501_000_000) == "nvidia-geforce-rtx-4070-gddr6x"
    assert found(name, memory_clock_hz=10_001_000_000) == "nvidia-geforce-rtx-4070-gddr6"
    assert found(name, memory_bytes=12 * GIB, bus_width_bits=192) is None  # either: never a guess


def test_a_device_is_known_by_its_whole_name_only() -> None:
    known = board_for_device(device("GeForce RTX 5090"))  # older drivers leave the vendor out
    assert known is not None
    assert known.id == "nvidia-geforce-rtx-5090"
    assert known.cache_bytes == 96 * 1024**2
    for name in ("NVIDIA GeForce RTX 5090 Laptop GPU", "NVIDIA H200 MIG 1g.18gb", "pthread-AMD EPYC", ""):
        assert board_for_device(device(name)) is None

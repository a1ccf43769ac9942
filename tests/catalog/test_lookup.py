import pytest

from gpubench.catalog.load import Board, boards
from gpubench.catalog.lookup import board_for_device, find_board, find_technology, variants_of
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
        ("5090", "nvidia-geforce-rtx-5090"),
        ("rtx5090", "nvidia-geforce-rtx-5090"),
        ("5090dv2", "nvidia-geforce-rtx-5090-d-v2"),
        ("4060ti", "nvidia-geforce-rtx-4060-ti-16-gb"),  # both capacities have the same memory
        ("4060 Ti 8 GB", "nvidia-geforce-rtx-4060-ti-8-gb"),
        ("7900xtx", "amd-radeon-rx-7900-xtx"),
        ("H100 PCIe 80GB", "nvidia-h100-pcie"),
        ("h100 sxm", "nvidia-h100-80gb-hbm3"),
        ("RTX 4070 Ti SUPER 16GB", "nvidia-geforce-rtx-4070-ti-super"),
        ("a10", "nvidia-a10"),
        ("gb10", "nvidia-gb10"),
        ("4090 laptop", "nvidia-geforce-rtx-4090-laptop-gpu"),
        ("RTX 4090 Mobile", "nvidia-geforce-rtx-4090-laptop-gpu"),
        ("pro 6000 max-q", "nvidia-rtx-pro-6000-blackwell-max-q-workstation-edition"),
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
        ("gddr7-25.5", 25.5),  # between known grades
    ],
)
def test_technologies_in_every_usual_spelling(text: str, gbit: float) -> None:
    assert find_technology(text).data_rate_gbit_per_second == gbit


@pytest.mark.parametrize(
    "text", ["gddr7", "gddr7-99", "gddr9-28", "ddr5-99999", "ddr5-0", "", "32", "x" * 500]
)
def test_an_unknown_technology_is_refused_briefly(text: str) -> None:
    with pytest.raises(CatalogError, match="write family-rate") as caught:
        find_technology(text)
    assert len(caught.value.message) < 400


def test_boards_of_one_name_differ_by_width_size_and_clock() -> None:
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
    laptop = board_for_device(device("NVIDIA GeForce RTX 5090 Laptop GPU"))
    assert laptop is not None
    assert laptop.id == "nvidia-geforce-rtx-5090-laptop-gpu"
    for name in ("NVIDIA GeForce RTX 2080 Laptop GPU", "NVIDIA H200 MIG 1g.18gb", "pthread-AMD EPYC", ""):
        assert board_for_device(device(name)) is None


def spellings(board: Board) -> set[str]:
    """Ten that people use of the same name."""
    label = f"{board.name} {board.variant}" if board.variant else board.name
    bare = label.removeprefix(f"{board.vendor} ")
    return {
        board.id,
        label,
        label.lower(),
        label.upper(),
        bare,
        bare.replace(" ", ""),
        bare.replace(" ", "-").lower(),
        bare.replace("-", " "),
        f"  {bare.replace(' ', '  ')} ",
        f"{bare} {board.capacity_gib}GB" if "GB" not in label.upper() else bare,
    }


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.id)
def test_every_board_is_found_by_ten_spellings(board: Board) -> None:
    for text in spellings(board):
        found = find_board(text)
        assert found.id == board.id, (text, found.id)


@pytest.mark.parametrize(
    "text", ["RTX 2080 Max-Q", "RTX 5090 Max-Q", "RTX 2080 laptop", "RX 7900 XTX mobile"]
)
def test_a_laptop_is_never_taken_for_a_desktop_board(text: str) -> None:
    with pytest.raises(CatalogError, match="no board"):
        find_board(text)


def test_a_capacity_that_the_board_does_not_have_is_refused() -> None:
    with pytest.raises(CatalogError, match="RTX 5090 has 32 GiB"):
        find_board("5090 24GB")


def test_suggestions_have_the_same_model_number_first() -> None:
    with pytest.raises(CatalogError, match=r"did you mean NVIDIA GeForce RTX 2080"):
        find_board("RTX 2080 Max-Q")


def test_the_variants_of_a_board_are_known() -> None:
    names = [board.id for board in variants_of(find_board("5090"))]
    assert "nvidia-geforce-rtx-5090-d" in names
    assert "nvidia-geforce-rtx-5090-laptop-gpu" in names


def test_a_pci_id_tells_boards_of_one_name_apart() -> None:
    def found(name: str, pci_device_id: str) -> str | None:
        board = board_for_device(device(name, pci_device_id=pci_device_id))
        return board.id if board else None

    assert found("NVIDIA GeForce RTX 3060", "10de:24c7") == "nvidia-geforce-rtx-3060-8-gb"
    assert found("NVIDIA GeForce RTX 3080", "10de:220a") == "nvidia-geforce-rtx-3080-12-gb"
    assert found("NVIDIA Graphics Device", "10de:2b85") == "nvidia-geforce-rtx-5090"
    for part in ("NVIDIA A100 MIG 1g.5gb", "GRID A100-10C", "NVIDIA A40-8Q"):
        assert found(part, "10de:2b85") is None

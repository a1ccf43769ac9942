"""Theoretical peaks: the arithmetic, and which of several sources is used.

peak [byte/s] = data rate [bit/s per pin] x bus width [bit] / 8. The data rate is nominal: GDDR7's
line coding and CRC are not part of it and nothing is subtracted (JESD239). A module carries 32 of
the bus's bits, so 28 Gbit/s is 112 GB/s per module and 32 Gbit/s is 128 GB/s.

NVIDIA's runtimes report half of the data rate as the memory clock, for GDDR5 to GDDR7 and HBM
alike: 9001 MHz is 18 Gbit/s, 10501 is 21, 14001 is 28. Other vendors' clocks need a factor for
each kind of memory, so for those only the catalogue is used.
"""

from __future__ import annotations

import msgspec

from gpubench.catalog.load import Board
from gpubench.catalog.lookup import board_for_device, find_board, find_technology, is_slice, technology_for
from gpubench.errors import CatalogError
from gpubench.requests import StatedMemory
from gpubench.results.machine import DeviceInfo, Theory
from gpubench.units import GB, format_bandwidth, format_clock, format_percent

MODULE_BITS = 32
"""The width of one GDDR module; two modules that share their bits (clamshell) count as one."""

TOLERANCE = 0.005
"""Two values of one peak that differ by more are both shown."""

# GDDR7 boards run compute work 1.4 % below the nominal memory clock, and an RTX 4090 2.4 %: that
# is how they are, and 5 % is not.
CLOCK_LIMITED_RATIO = 0.95

MAX_OVERCLOCK_RATIO = 1.3
"""Taken as the most that memory is overclocked; a clock further above the nominal one is misread."""


INLINE_ECC = (
    "ECC is on: GDDR memory stores its bits beside the data and moves them over the same bus, so a part of "
    "the peak is theirs; with ECC off the same GPU reaches more (NVIDIA's CUDA C++ Best Practices Guide, "
    "'Theoretical Bandwidth Calculation': about 20 % on one GPU; HBM has a bus of its own for them)"
)


def peak_bytes_per_second(data_rate_bits_per_second: float, bus_width_bits: int) -> float:
    """Data rate per pin x bus width / 8."""
    return data_rate_bits_per_second * bus_width_bits / 8


def per_module_bytes_per_second(bandwidth_bytes_per_second: float, bus_width_bits: int) -> float:
    """The share of 32 bits of the bus, one GDDR module."""
    return bandwidth_bytes_per_second * MODULE_BITS / bus_width_bits


def module_share_bytes_per_second(bandwidth_bytes_per_second: float, theory: Theory) -> float | None:
    """As ``per_module_bytes_per_second``; None for a memory that is not known to be made of such modules."""
    if not (theory.family or "").startswith("GDDR"):
        return None
    return per_module_bytes_per_second(bandwidth_bytes_per_second, theory.bus_width_bits)


def per_pin_bits_per_second(bandwidth_bytes_per_second: float, bus_width_bits: int) -> float:
    """The effective data rate: bandwidth x 8 / bus width."""
    return bandwidth_bytes_per_second * 8 / bus_width_bits


def data_rate_from_clock(memory_clock_hz: float) -> float:
    """Bit/s per pin from the clock that NVIDIA's runtimes report: twice the clock."""
    return 2 * memory_clock_hz


def clock_from_data_rate(data_rate_bits_per_second: float) -> float:
    """The clock in hertz that NVIDIA's runtimes report for this data rate: half of it."""
    return data_rate_bits_per_second / 2


def board_peak_bytes_per_second(board: Board) -> float:
    """For one device: a board that the runtime shows as two devices gives each half."""
    return peak_bytes_per_second(board.data_rate_bits_per_second, device_bus_width_bits(board))


def device_bus_width_bits(board: Board) -> int:
    return board.bus_width_bits // board.runtime_devices


def theory_for_device(info: DeviceInfo, stated: StatedMemory | None = None) -> Theory | None:
    """The peak with which a device's figures are compared, and its source.

    In this order: what the user states; the device's own memory clock and bus width (NVIDIA), with
    the catalogue's row of the board as a check; that row alone. The reported clock and width of integrated
    memory are not reliable (a GB10 reports twice its data rate, an Orin a clock of the processor), so there
    only the row is used. Null if none of these is known, as for a processor. Raises
    ``CatalogError`` if the stated technology is not known.
    """
    if stated is not None:
        return _from_statement(stated)
    if info.kind == "cpu":
        return None
    board = board_for_device(info)
    found = _from_device(info, board) or (_from_catalog(info, board) if board else None)
    if found and info.ecc_enabled and (found.family or "").startswith("GDDR"):
        return msgspec.structs.replace(found, notes=[*found.notes, INLINE_ECC])
    return found


def theory_of_board(board: Board) -> Theory:
    """The peak of a board that is not here, from its row."""
    rate = board.data_rate_bits_per_second
    grade = technology_for(board.family, rate)
    return Theory(
        source="catalog",
        peak_bytes_per_second=board_peak_bytes_per_second(board),
        data_rate_bits_per_second=rate,
        bus_width_bits=device_bus_width_bits(board),
        technology=grade.id if grade else None,
        family=board.family,
        board=board.id,
        published_bytes_per_second=board.published_gb_per_second * GB / board.runtime_devices,
    )


def live_clock_peak(theory: Theory, memory_hz: float | None) -> float | None:
    """The peak at the clock that the memory ran at, in byte/s.

    GeForce boards clock their memory down while CUDA work runs (14001 to 13801 MHz), so a figure
    is also compared with this. Null if the clock is absent or 0, or if its relation to the data rate is
    not known: stated memory, and boards that are not NVIDIA's.
    """
    if not memory_hz or memory_hz < 0 or not _clock_is_half_of_data_rate(theory):
        return None
    return peak_bytes_per_second(data_rate_from_clock(memory_hz), theory.bus_width_bits)


def upper_limit(nominal: float | None, live: float | None) -> float | None:
    """What no figure of memory may exceed, in byte/s: the peak at the live clock, else the nominal one.

    Overclocked memory may exceed its nominal peak. A live clock that no overclock reaches is not believed.
    """
    if not nominal or not live or live > MAX_OVERCLOCK_RATIO * nominal:
        return nominal or live
    return live


def with_live_clock(theory: Theory, memory_hz: float | None) -> Theory:
    """The theory with its peak at the clock that the memory ran at, and a note if that was overclocked or
    far below the nominal clock."""
    live = live_clock_peak(theory, memory_hz)
    if live is None or not memory_hz or live > MAX_OVERCLOCK_RATIO * theory.peak_bytes_per_second:
        return theory
    nominal = clock_from_data_rate(theory.data_rate_bits_per_second)
    offset = memory_hz - nominal
    notes = list(theory.notes)
    if offset > TOLERANCE * nominal:
        notes.append(
            f"memory overclocked by {format_clock(offset)}: it ran at {format_clock(memory_hz)}, its nominal "
            f"clock is {format_clock(nominal)}; figures may exceed the nominal peak, and not "
            f"{format_bandwidth(live)}, the peak at that clock"
        )
    elif memory_hz < CLOCK_LIMITED_RATIO * nominal:
        notes.append(
            f"memory underclocked by {format_clock(-offset)}: it ran at {format_clock(memory_hz)}, its "
            f"nominal clock is {format_clock(nominal)}"
        )
    return msgspec.structs.replace(
        theory, live_clock_peak_bytes_per_second=live, memory_clock_offset_hz=offset, notes=notes
    )


def _clock_is_half_of_data_rate(theory: Theory) -> bool:
    if theory.source != "catalog":
        return theory.source == "device"
    try:
        nvidia = theory.board is not None and find_board(theory.board).vendor == "NVIDIA"
        return nvidia and (theory.family or "").startswith(("GDDR", "HBM"))
    except CatalogError:  # a document of a program with another catalogue
        return False


def _from_statement(stated: StatedMemory) -> Theory:
    technology = find_technology(stated.technology)
    rate = technology.data_rate_bits_per_second
    return Theory(
        source="stated",
        peak_bytes_per_second=peak_bytes_per_second(rate, stated.bus_width_bits),
        data_rate_bits_per_second=rate,
        bus_width_bits=stated.bus_width_bits,
        technology=technology.id,
        family=technology.family,
        notes=["stated by the user, not checked against the device; a service's gauges keep their values"],
    )


def _from_device(info: DeviceInfo, board: Board | None) -> Theory | None:
    clock, width = info.memory_clock_hz, info.bus_width_bits
    if not clock or not width or clock < 0 or width < 0 or info.integrated or not _is_nvidia(info):
        return None
    rate = data_rate_from_clock(clock)
    peak = peak_bytes_per_second(rate, width)
    if board is None:
        notes = ["the board is not in the catalogue: its memory technology is not known"]
        if is_slice(info.name):
            notes = [f"a part of a board: the peak is that of {width} bit of its bus"]
        return Theory("device", peak, rate, width, notes=notes)
    row_peak = board_peak_bytes_per_second(board)
    notes = []
    if abs(peak - row_peak) > TOLERANCE * row_peak:
        notes.append(
            f"the device's clock and bus width give {format_bandwidth(peak)} ({width} bit), the "
            f"catalogue's row gives {format_bandwidth(row_peak)} ({device_bus_width_bits(board)} bit); "
            "the device's is used"
        )
        if (
            width == device_bus_width_bits(board)
            and TOLERANCE < peak / row_peak - 1 < MAX_OVERCLOCK_RATIO - 1
        ):
            over = clock - clock_from_data_rate(board.data_rate_bits_per_second)
            notes.append(f"memory overclocked by {format_clock(over)}, or a faster edition of the board")
    return _with_row(Theory("device", peak, rate, width, notes=notes), board)


def _from_catalog(info: DeviceInfo, board: Board) -> Theory:
    rate, width = board.data_rate_bits_per_second, device_bus_width_bits(board)
    why = "the device reports no usable memory clock and bus width"
    if info.integrated:
        why = "the clock and bus width that an integrated GPU reports are not the memory's"
    notes = [f"from the catalogue's row of this board: {why}"]
    if not info.integrated and info.bus_width_bits and info.bus_width_bits != width:
        notes.append(f"the device reports a bus width of {info.bus_width_bits} bit, the row has {width} bit")
    return _with_row(Theory("catalog", board_peak_bytes_per_second(board), rate, width, notes=notes), board)


def _with_row(theory: Theory, board: Board) -> Theory:
    """Add the board's row: its names, its own peak, and the data sheet's bandwidth."""
    published = board.published_gb_per_second * GB / board.runtime_devices
    grade = technology_for(board.family, theory.data_rate_bits_per_second)
    notes = list(theory.notes)
    difference = theory.peak_bytes_per_second / published - 1
    if abs(difference) > TOLERANCE:
        side = "above" if difference > 0 else "below"
        notes.append(
            f"the data sheet states {format_bandwidth(published)}; rate x width is "
            f"{format_percent(abs(difference))} {side} it, so a fraction of either peak is "
            "no more exact than that"
        )
    return msgspec.structs.replace(
        theory,
        technology=grade.id if grade else None,
        family=board.family,
        board=board.id,
        catalog_peak_bytes_per_second=board_peak_bytes_per_second(board),
        published_bytes_per_second=published,
        notes=notes,
    )


def _is_nvidia(info: DeviceInfo) -> bool:
    return info.runtime == "cuda" or "nvidia" in (info.vendor or info.name).lower()

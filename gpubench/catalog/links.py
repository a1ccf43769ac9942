"""Bandwidth of a PCIe link in each direction, packet headers included."""

from __future__ import annotations

# Signalling rate of a lane and the share that remains after line coding: 8b/10b, 128b/130b, and from
# generation 6 on flits of 256 bytes, of which 242 are not error correction and checks. From the PCI
# Express base specifications 1.1, 2.1, 3.1, 4.0, 5.0, 6.0 and 7.0 (PCI-SIG).
_LANES: dict[int, tuple[float, float]] = {
    1: (2.5e9, 8 / 10),
    2: (5e9, 8 / 10),
    3: (8e9, 128 / 130),
    4: (16e9, 128 / 130),
    5: (32e9, 128 / 130),
    6: (64e9, 242 / 256),
    7: (128e9, 242 / 256),
}


def pcie_bytes_per_second(generation: int | None, lanes: int | None) -> float | None:
    """For one direction; null if the link is not known. Packet headers take some 5 to 10 % of it."""
    if generation not in _LANES or not lanes:
        return None
    rate, share = _LANES[generation]
    return rate * share / 8 * lanes

"""PCI addresses in one format, so that two runtimes' views of one GPU are recognised as the same GPU."""

from __future__ import annotations

from pathlib import Path


def format_address(domain: int, bus: int, device: int, function: int) -> str:
    """In NVML's format: ``00000000:41:00.0``."""
    return f"{domain:08x}:{bus:02x}:{device:02x}.{function:x}"


def parse_address(text: str) -> str:
    """Any format, such as CUDA's ``0000:41:00.0``, in ours; raises ValueError if it is not an address."""
    domain, bus, rest = text.strip().split(":")
    device, function = rest.split(".")
    return format_address(*(int(part, 16) for part in (domain, bus, device, function)))


def numa_node(address: str | None, devices: Path = Path("/sys/bus/pci/devices")) -> int | None:
    """The host's NUMA node that the device is attached to; null if the system does not report it."""
    if address is None:
        return None
    domain, _, rest = address.partition(":")
    try:
        # Linux writes the domain with four digits.
        node = int((devices / f"{int(domain, 16):04x}:{rest}" / "numa_node").read_text("ascii", "replace"))
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None

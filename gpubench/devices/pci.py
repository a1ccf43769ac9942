"""PCI addresses in one format, so that two runtimes' views of one GPU are recognised as the same GPU."""

from __future__ import annotations

import re

ADDRESS = re.compile(r"([0-9a-f]{8})(:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])")
"""In our format: the domain, and the rest, which Linux writes in the same way."""


def format_address(domain: int, bus: int, device: int, function: int) -> str:
    """In NVML's format: ``00000000:41:00.0``."""
    return f"{domain:08x}:{bus:02x}:{device:02x}.{function:x}"


def parse_address(text: str) -> str:
    """Any format, such as CUDA's ``0000:41:00.0``, in ours; raises ValueError if it is not an address."""
    domain, bus, rest = text.strip().split(":")
    device, function = rest.split(".")
    return format_address(*(int(part, 16) for part in (domain, bus, device, function)))

"""Units: the only place that formats or converts them.

Inside the program everything is in base units (byte, second, bit/s, hertz) and says so in its
name. Bandwidth is shown in GB/s, which is decimal (10^9 byte/s), because that is what vendors
print; sizes are shown in KiB, MiB and GiB, which are binary, because memory is built that way.
"""

from __future__ import annotations

import re
from fractions import Fraction

from gpubench.errors import InvalidParameters

GB = 10**9
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

MAX_BYTES = 1 << 60

_FACTORS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": GB,
    "tb": 10**12,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": TIB,
}
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) *([a-z]*)", re.IGNORECASE | re.ASCII)


def parse_bytes(text: str | int) -> int:
    """A size such as ``256MiB``, ``1.5 GiB``, ``2GB`` or ``4096``, in bytes.

    Raises ``InvalidParameters`` where it is no size, no whole number of bytes, or not between 1
    and 2^60.
    """
    match = _SIZE.fullmatch(str(text).strip())
    factor = _FACTORS.get(match[2].lower()) if match else None
    size = Fraction(match[1]) * factor if match and factor else Fraction(0)
    if size.denominator != 1 or not 1 <= size <= MAX_BYTES:
        raise InvalidParameters(
            f"{str(text)[:40]!r} is no size in bytes; allowed: a whole number of bytes from 1 to 2^60, plain "
            "or with B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024); "
            "write 256MiB or 2GB"
        )
    return int(size)


def to_gb_per_second(bytes_per_second: float) -> float:
    return bytes_per_second / GB


def to_gbit_per_second(bits_per_second: float) -> float:
    return bits_per_second / 1e9


def to_mhz(hertz: float) -> float:
    return hertz / 1e6


def to_gib(size_bytes: float) -> float:
    return size_bytes / GIB


def format_bandwidth(bytes_per_second: float) -> str:
    """``1605.3 GB/s``; below 100 GB/s a further digit."""
    return f"{number(to_gb_per_second(bytes_per_second))} GB/s"


def format_data_rate(bits_per_second: float) -> str:
    """Of one pin: ``28.00 Gbit/s``."""
    return f"{to_gbit_per_second(bits_per_second):.2f} Gbit/s"


def format_clock(hertz: float) -> str:
    return f"{to_mhz(hertz):.0f} MHz"


def format_bytes(size_bytes: float) -> str:
    """In the largest binary unit that leaves at least 1: ``256 MiB``, ``1.5 GiB``."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(size_bytes) >= factor:
            return f"{size_bytes / factor:.4g} {unit}"
    return f"{size_bytes:.0f} B"


def size_argument(size_bytes: int) -> str:
    """A size as ``parse_bytes`` takes it, rounded up to whole MiB: ``2600MiB``, ``3GiB``."""
    mebibytes = -(-size_bytes // MIB)
    return f"{mebibytes // 1024}GiB" if mebibytes % 1024 == 0 else f"{mebibytes}MiB"


def format_seconds(seconds: float) -> str:
    """``1.25 s``, ``18.4 ms``, ``350 µs``, and ``0 s``."""
    if seconds == 0:
        return "0 s"
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= 0.9995 * factor:  # what three digits round up
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def format_percent(ratio: float) -> str:
    """A ratio of 0 to 1: ``92.8 %``."""
    return f"{ratio * 100:.1f} %"


def format_ratio(ratio: float) -> str:
    """How many times: ``2.08x``, below 1 ``0.078x``."""
    return f"{ratio:.2f}x" if ratio >= 1 else f"{ratio:.3f}x"


def number(value: float) -> str:
    """With as many decimals as carry meaning: 1605.3, 34.21, 0.412."""
    decimals = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:.{decimals}f}"

"""Units: the only place that formats or converts them.

Inside the program everything is in base units (byte, second, bit/s, hertz) and its name
includes the unit. Bandwidth is shown in GB/s, which is decimal (10^9 byte/s), because that is what vendors
print; sizes are shown in KiB, MiB and GiB, which are binary, because memory is built that way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    # A bare letter is binary, as in dd, head and `numfmt --from=iec`.
    "k": KIB,
    "m": MIB,
    "g": GIB,
    "t": TIB,
    "ki": KIB,
    "mi": MIB,
    "gi": GIB,
    "ti": TIB,
}
_SECONDS = {"ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(
    r"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?) *([a-z]*)", re.IGNORECASE | re.ASCII
)
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) *([a-z]*)", re.IGNORECASE | re.ASCII)


def parse_bytes(text: str | int) -> int:
    """A size such as ``256MiB``, ``256M`` (the same), ``1.5 GiB``, ``2GB`` or ``4096``, in bytes.

    Raises ``InvalidParameters`` if it is not a size, not a whole number of bytes, or not between 1
    and 2^60.
    """
    match = _SIZE.fullmatch(str(text).strip())
    factor = _FACTORS.get(match[2].lower()) if match else None
    size = Fraction(match[1]) * factor if match and factor else Fraction(0)
    if size.denominator != 1 or not 1 <= size <= MAX_BYTES:
        raise InvalidParameters(
            f"{str(text)[:40]!r} is not a valid size; allowed: a whole number of bytes from 1 to 2^60, plain "
            "or with kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB or K, M, G, T (powers of 1024); "
            "write 256MiB or 2GB"
        )
    return int(size)


def parse_seconds(text: str) -> float:
    """A duration such as ``90``, ``90s``, ``1.5 min``, ``5m``, ``2h``, ``1d`` or ``200ms``, in seconds.

    The letters are those of ``sleep`` and ``timeout``. Raises ``InvalidParameters`` for other text.
    """
    match = _DURATION.fullmatch(text.strip())
    factor = _SECONDS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise InvalidParameters(
            f"{text[:40]!r} is not a valid duration; allowed: seconds, plain or with ms, s, m, h or d; "
            "write 90, 90s or 5m"
        )
    return float(match[1]) * factor


def to_gb_per_second(bytes_per_second: float) -> float:
    return bytes_per_second / GB


def to_gbit_per_second(bits_per_second: float) -> float:
    return bits_per_second / 1e9


def to_mhz(hertz: float) -> float:
    return hertz / 1e6


def to_gib(size_bytes: float) -> float:
    return size_bytes / GIB


def format_bandwidth(bytes_per_second: float) -> str:
    """``1605.3 GB/s``; below 100 GB/s with one more decimal."""
    return f"{number(to_gb_per_second(bytes_per_second))} GB/s"


def format_data_rate(bits_per_second: float) -> str:
    """The data rate of one pin: ``28.00 Gbit/s``."""
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
    """A size in the form that ``parse_bytes`` accepts, rounded up to whole MiB: ``2600MiB``, ``3GiB``."""
    mebibytes = -(-size_bytes // MIB)
    return f"{mebibytes // 1024}GiB" if mebibytes % 1024 == 0 else f"{mebibytes}MiB"


def format_seconds(seconds: float) -> str:
    """``1.25 s``, ``18.4 ms``, ``350 µs``, and ``0 s``."""
    if seconds == 0:
        return "0 s"
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= 0.9995 * factor:  # three digits round this up to the unit
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def format_percent(ratio: float) -> str:
    """A ratio of 0 to 1: ``92.8 %``."""
    return f"{ratio * 100:.1f} %"


def format_ratio(ratio: float) -> str:
    """A factor: ``2.08x``, below 1 ``0.078x``."""
    return f"{ratio:.3f}x" if ratio < 0.9995 else f"{ratio:.2f}x"


def number(value: float) -> str:
    """With as many decimals as are meaningful: 1605.3, 34.21, 0.412."""
    decimals = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:.{decimals}f}"


def fill(template: str, values: Mapping[str, int | float | str]) -> str:
    """A sentence with its values in place of ``{name}``, each in the unit at the end of its name.

    ``{target_ratio}`` is shown as ``0.5 %``, ``{window_seconds}`` as ``2.5 s``; counts and texts as they
    are, other numbers with one decimal. Raises KeyError if a value is missing.
    """
    return template.format_map({name: _in_words(name, value) for name, value in values.items()})


def _in_words(name: str, value: int | float | str) -> str:
    if isinstance(value, str):
        return value
    if name.endswith("_ratio"):
        return f"{100 * value:.2g} %"
    if name.endswith("_seconds"):
        return f"{value:g} s"  # limits are settings: 3600 s stays 3600 s
    return f"{value:.1f}" if isinstance(value, float) else str(value)

"""What is known of OpenCL platforms: one row for each, by the name that it reports."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Platform:
    """``name`` is the beginning of the reported one, in lower case; ``label`` is shown.

    With ``in_wheels`` Python's package index has the driver, so that it may be installed twice, in the Python
    environment and in the system. A simulator's figures are those of the simulation. ``builtin_prefetch``:
    the compiler is clang with a back end that takes ``__builtin_prefetch``; Mesa's accepts it and crashes.
    """

    name: str
    label: str
    in_wheels: bool = False
    simulates: bool = False
    builtin_prefetch: bool = False


PLATFORMS: tuple[Platform, ...] = (
    Platform(name="nvidia cuda", label="NVIDIA"),
    Platform(name="amd accelerated parallel processing", label="AMD"),
    Platform(name="portable computing language", label="PoCL", in_wheels=True, builtin_prefetch=True),
    Platform(name="intel(r) fpga emulation", label="Intel FPGA emulator", in_wheels=True, simulates=True),
    Platform(name="intel(r) opencl", label="Intel", in_wheels=True, builtin_prefetch=True),
    Platform(name="rusticl", label="rusticl"),
    Platform(name="clover", label="Clover"),
    Platform(name="oclgrind", label="Oclgrind", simulates=True),
)
"""In the order in which they are preferred for the same hardware; one that is not here comes after them."""

PREFERENCE = (
    "CUDA before OpenCL; for the same hardware "
    + ", ".join(row.label for row in PLATFORMS if not row.simulates)
    + ", then others; of two versions the newer; simulators only if they are named"
)
"""As users see it."""


def platform_of(reported_name: str) -> Platform:
    """The row of a platform; one of its own for a platform that is not known."""
    name = reported_name.strip()
    known = (row for row in PLATFORMS if name.lower().startswith(row.name))
    return next(known, Platform(name=name.lower(), label=name))


def rank(label: str | None) -> int:
    """The lowest is preferred."""
    labels = [row.label for row in PLATFORMS]
    return labels.index(label) if label in labels else len(labels)


def version_of(text: str | None) -> tuple[int, ...]:
    """The first dotted number in a driver's version, such as (3, 0) in ``3.0-rc2``; (0,) without one."""
    found = re.search(r"\d+(\.\d+)*", text or "")
    return tuple(int(part) for part in found.group().split(".")) if found else (0,)

"""What PoCL needs of the system: it links every kernel, and aborts its process if it cannot.

Only the standard library is used here, so that set-up can run this file before anything is
installed.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

REMEDY = "on Debian and Ubuntu: apt install build-essential"

_ROOTS = (Path("/usr/lib"), Path("/usr/lib64"), Path("/lib"))
_NEEDED = (
    ("libgcc", ("gcc/*/*/libgcc.a",)),
    ("the C library's development files", ("*-linux-*/libc.so", "libc.so")),
)


def how_to_get(machine: str | None = None) -> str:
    """Advice for this machine, or for one whose ``uname -m`` is ``machine``.

    The registry has a wheel for x86-64 Linux alone.
    """
    extra = "in the checkout: pip install '.[opencl]'"
    if (machine or platform.machine()) == "x86_64" and sys.platform == "linux":
        return extra
    return f"{extra}; PoCL, for the processor, on Debian and Ubuntu: apt install pocl-opencl-icd"


def missing(roots: Iterable[Path] = _ROOTS) -> str | None:
    """What is missing for PoCL, with the command that installs it; null if nothing is."""
    absent = [] if shutil.which("ld") else ["the linker ld"]
    roots = list(roots)
    for name, patterns in _NEEDED:
        if not any(next(root.glob(pattern), None) for root in roots for pattern in patterns):
            absent.append(name)
    if not absent:
        return None
    return f"PoCL needs {' and '.join(absent)} to run kernels on the processor: {REMEDY}"


if __name__ == "__main__":
    # Elsewhere PoCL's package brings what it needs.
    sys.exit(missing() if platform.machine() == "x86_64" else None)

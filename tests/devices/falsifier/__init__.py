"""A driver of our own in front of PoCL that lies, crashes and hangs as it is told to: see falsifier.c."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

STAGES = ("load", "platforms", "platform_info", "devices", "device_info")
"""At which the driver is while devices are looked for."""

CPU, GPU = 2, 4
"""Bits of CL_DEVICE_TYPE."""


def build(folder: Path) -> Path:
    """Compile it; the path of the library."""
    library = folder / "libfalsifier.so"
    source = Path(__file__).with_name("falsifier.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def pocl() -> Path:
    """The library of the PoCL that is installed with us."""
    [library] = (Path(str(find_spec("pyopencl").origin)).parent / ".libs").glob("libpocl-*.so")  # type: ignore[union-attr]
    return library


def hexadecimal(text: str | bytes) -> str:
    """A name for the driver to report."""
    return (text.encode() if isinstance(text, str) else text).hex()

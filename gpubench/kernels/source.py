"""The text of a kernel program: a runtime's prelude, the data, the access orders, and one family.

Definitions are in the text itself, not in compiler options, so that a cache of compiled kernels needs only
a hash of the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Literal

RuntimeName = Literal["cuda", "opencl"]
ReadSource = Callable[[str], str]

_FILES = (
    "prelude_opencl.h",
    "prelude_cuda.h",
    "data.cl",
    "walk.cl",
    "stream.cl",
    "verify.cl",
    "mix.cl",
    "pattern.cl",
    "strided.cl",
    "random.cl",
    "latency.cl",
    "loaded.cl",
    "sweep.cl",
    "launch.cl",
    "integrity.cl",
)


def read_source(name: str) -> str:
    """One file of device code, as shipped."""
    return files("gpubench.kernels").joinpath(name).read_text("utf-8")


def source_hash() -> str:
    """SHA-256 over all device code: two figures with the same hash ran the same kernels."""
    digest = hashlib.sha256()
    for name in _FILES:
        digest.update(read_source(name).encode())
    return digest.hexdigest()


def program_text(
    family: str,
    runtime: RuntimeName,
    definitions: Mapping[str, int | str],
    read: ReadSource = read_source,
) -> str:
    """The whole program of ``<family>.cl`` for ``runtime``, ready to be compiled."""
    defined = "".join(f"#define {name} {value}\n" for name, value in sorted(definitions.items()))
    parts = (read(f"prelude_{runtime}.h"), read("data.cl"), read("walk.cl"), read(f"{family}.cl"))
    return defined + "\n".join(parts)

"""GPU memory benchmarks: measured bandwidth against what the memory should reach.

::

    document = gpubench.run(["triad"])          # measure in this process
    document = gpubench.load("run.json")        # a run that was kept
    document["triad"].bandwidth_bytes_per_second.median
    document.to_dataframe()
    gpubench.compare(document)                  # against theory and references
    gpubench.compare(before, after)             # runs against runs
    gpubench.theory("RTX 5090").peak_bytes_per_second

A server elsewhere, and a worker process here, are ``Client`` and ``LocalClient`` of ``gpubench_client``.
Errors are in ``gpubench.errors``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpubench.library import RunDocument, compare, load, run, theory
    from gpubench.requests import BenchmarkRequest, StatedMemory

__all__ = ["BenchmarkRequest", "RunDocument", "StatedMemory", "compare", "load", "run", "theory"]

__version__ = "0.1.0"

_HOMES = {
    "BenchmarkRequest": "gpubench.requests",
    "RunDocument": "gpubench.library",
    "StatedMemory": "gpubench.requests",
    "compare": "gpubench.library",
    "load": "gpubench.library",
    "run": "gpubench.library",
    "theory": "gpubench.library",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is used: ``gpubench --help`` needs none of them."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

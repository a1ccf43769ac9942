"""The client: ``Client`` and ``AsyncClient`` for programs, and the command line ``gpubench``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpubench.requests import BenchmarkRequest, StatedMemory
    from gpubench_client.async_client import AsyncClient
    from gpubench_client.client import Client
    from gpubench_client.local import LocalClient

__all__ = ["AsyncClient", "BenchmarkRequest", "Client", "LocalClient", "StatedMemory"]

_MODULES = {
    "AsyncClient": "gpubench_client.async_client",
    "BenchmarkRequest": "gpubench.requests",
    "Client": "gpubench_client.client",
    "LocalClient": "gpubench_client.local",
    "StatedMemory": "gpubench.requests",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: ``gpubench --help`` needs none of them."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

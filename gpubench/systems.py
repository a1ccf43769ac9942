"""Where devices can be measured: under Linux. The client, theory and reports need no particular system."""

from __future__ import annotations

import sys

from gpubench.errors import MissingDependency

_INSTEAD = {
    "win32": "under Windows install it in WSL2",
    "darwin": "macOS has no driver for it",
}


def require_linux() -> None:
    """At the import of what needs Linux; raises ``MissingDependency`` elsewhere, with what works there."""
    if sys.platform == "linux":
        return
    instead = _INSTEAD.get(sys.platform, "this system is not supported")
    raise MissingDependency(
        f"gpubench measures devices and keeps runs under Linux only ({sys.platform} here): {instead}, or "
        "measure on another machine with --server tcp://HOST:7707; theory, compare and report work here"
    )

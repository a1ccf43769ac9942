"""Times as documents hold them."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """The time as documents hold it: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

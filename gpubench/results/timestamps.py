"""Timestamps of run documents."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """The current time in the format of run documents: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

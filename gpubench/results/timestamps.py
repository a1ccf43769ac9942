"""Timestamps of run documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> str:
    """The current time in the format of run documents: UTC, ISO 8601, milliseconds."""
    return text_of(datetime.now(UTC))


def milliseconds(text: str) -> int | None:
    """Milliseconds since 1970 of a time in ISO 8601, in UTC if it has no offset; None if it is no time."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return (found - _BEGIN) // timedelta(milliseconds=1)
    except (ValueError, TypeError, OverflowError):
        return None


def timestamp(since_1970_ms: int) -> str:
    """The reverse, as ``now`` writes it. Raises ``OverflowError`` outside of the years 1 to 9999."""
    return text_of(_BEGIN + timedelta(milliseconds=since_1970_ms))


def text_of(time: datetime) -> str:
    """A time in UTC, as ``now`` writes it."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""The fields of a log line besides its message: the run, its owner, and the client's address."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar

FIELDS = ("run_id", "principal", "peer", "transport")
"""The names that ``about`` and ``extra`` of a log call may give. ``peer`` is an address."""

Fields = Mapping[str, str]

_SOURCES: ContextVar[tuple[Callable[[], Fields], ...]] = ContextVar("what log lines are about", default=())


@contextlib.contextmanager
def about(source: Callable[[], Fields]) -> Iterator[None]:
    """Add what ``source`` says to each line that this thread logs meanwhile; it is asked only then."""
    token = _SOURCES.set((*_SOURCES.get(), source))
    try:
        yield
    finally:
        _SOURCES.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """Those of a record, in the thread that logs it: its own come before its thread's."""
    known: dict[str, str] = {}
    for source in _SOURCES.get():
        known |= source()
    own = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
    known |= own
    return {name: str(known[name]) for name in FIELDS if name in known}

"""JSON and plain data as typed values, from any thread.

msgspec looks at a type when it is first used, and runs Python code meanwhile. Two threads that use a type for
the first time at once can crash the process (seen with msgspec 0.22: a segmentation fault of a server whose
first scrapes came together). So the first look at any type is taken here, under a lock.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Hashable
from typing import Any, TypeVar, cast, overload

import msgspec

_Kind = TypeVar("_Kind")
_first_look = threading.Lock()


@functools.cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """For JSON of this type, which may be a union; it may be shared between threads."""
    with _first_look:
        return msgspec.json.Decoder(kind)


@overload
def decode(data: bytes | str | msgspec.Raw, kind: type[_Kind]) -> _Kind: ...
@overload
def decode(data: bytes | str | msgspec.Raw, kind: Any) -> Any: ...
def decode(data: bytes | str | msgspec.Raw, kind: Any) -> Any:
    """JSON as ``kind``; raises as ``msgspec.json.decode``."""
    return decoder(kind).decode(data)


def convert(data: Any, kind: type[_Kind]) -> _Kind:
    """Plain data as ``kind``; raises as ``msgspec.convert``."""
    decoder(cast("Hashable", kind))
    return msgspec.convert(data, kind)

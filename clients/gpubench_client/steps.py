"""What the client's generators wait for, and what they are sent back.

A generator yields one of the steps and is sent its ``Outcome``; an exception from the step is thrown into
it, and it decides what that means. A driver performs the steps: ``blocking.BlockingDriver`` with a socket
that blocks, ``async_driver.AsyncDriver`` by awaiting each of them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

from gpubench_client.urls import ServerAddress


@dataclass(frozen=True)
class Tls:
    """PEM files for TLS. Without ``ca_file`` the system's authorities are trusted."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


@dataclass(slots=True)  # not frozen, which would double what a step costs
class Connect:
    """Open a connection, in place of any that is open, with TLS on it if ``tls`` is given.

    Fails with ``OSError`` or ``UnicodeError``, and where TLS is to blame with a ``GpubenchError``.
    """

    address: ServerAddress
    timeout_seconds: float
    tls: Tls | None = None


@dataclass(slots=True)
class Send:
    """Send all of ``data``. Fails with ``OSError``."""

    data: bytes
    timeout_seconds: float


@dataclass(slots=True)
class Receive:
    """Wait for bytes; with a timeout of 0, take only what is there already. Fails with ``OSError``."""

    timeout_seconds: float


@dataclass(slots=True)
class Question:
    """Send a datagram from a socket of its own, and wait for one.

    Fails with ``OSError`` or ``UnicodeError``.
    """

    address: ServerAddress
    data: bytes
    timeout_seconds: float


@dataclass(slots=True)
class Sleep:
    seconds: float


@dataclass(slots=True)
class Close:
    """Close the connection, if one is open."""


Step = Connect | Send | Receive | Question | Sleep | Close


class Outcome(NamedTuple):
    """How long a step took, and what a ``Receive`` or a ``Question`` got.

    ``data`` is empty at the end of the stream, and None if nothing came in time.
    """

    waited_seconds: float = 0.0
    data: bytes | None = None


RECEIVE_BYTES = 1 << 18
"""The most that a driver takes for one ``Receive``."""

T = TypeVar("T")
Steps: TypeAlias = Generator[Step, Outcome, T]

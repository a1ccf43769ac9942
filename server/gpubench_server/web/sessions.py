"""Who has signed in on the page: the sessions are kept here, and a browser holds only a random id of one."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gpubench.errors import NotAuthenticated
from gpubench_server.authentication import Authenticator
from gpubench_server.limits import Limits
from gpubench_server.tokens import StoredToken


@dataclass(frozen=True)
class _Opened:
    token: StoredToken
    ends_at: float


class WebSessions:
    """At most so many for each token, and none for a token that is not valid any more. Any thread."""

    def __init__(
        self, authenticator: Authenticator, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: dict[bytes, _Opened] = {}
        """By the hash of the id, so that the time of a look-up tells nothing about ids; oldest first."""

    def __len__(self) -> int:
        return len(self._opened)

    def open(self, token: StoredToken) -> str:
        """A new session's id; the oldest of too many sessions of this token ends."""
        session_id = secrets.token_urlsafe(32)
        with self._lock:
            self._opened = {
                key: each for key, each in self._opened.items() if self._current(each) is not None
            }
            own = [key for key, each in self._opened.items() if each.token.id == token.id]
            for key in own[: max(0, len(own) + 1 - self._limits.http_sessions_per_token)]:
                del self._opened[key]
            ends_at = self._clock() + self._limits.http_session_seconds
            self._opened[_key(session_id)] = _Opened(token, ends_at)
        return session_id

    def token(self, session_id: str) -> StoredToken | None:
        """The token that was signed in with, as it is now; None if there is no such session any more."""
        opened = self._opened.get(_key(session_id))
        if opened is None:
            return None
        token = self._current(opened)
        if token is None:
            self.close(session_id)
        return token

    def close(self, session_id: str) -> None:
        """Nothing if there is no such session."""
        with self._lock:
            self._opened.pop(_key(session_id), None)

    def _current(self, opened: _Opened) -> StoredToken | None:
        if self._clock() >= opened.ends_at:
            return None
        try:
            return self._authenticator.current(opened.token)
        except NotAuthenticated:
            return None


def _key(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()

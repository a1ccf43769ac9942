"""Finds out who a client is: by its token, its certificate, or by what its transport knows.

Failures are slow and few: each is answered after a fixed time, whatever was wrong, and an address with many
of them is refused before anything is computed. A token that was right before is recognised at once.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpubench.errors import InvalidParameters, LimitExceeded, NotAuthenticated
from gpubench_server.limits import Limits
from gpubench_server.metrics_state import MetricsState
from gpubench_server.principals import THIS_MACHINE, Principal, Role, anonymous
from gpubench_server.rates import Rates
from gpubench_server.tokens import StoredToken, read_tokens, split_token

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
"""How soon a change of the token file is noticed, if it is used; for an unknown token it is read at once."""

_MINUTE = 60.0

_BURST_SECONDS = 5.0
"""Of requests at the allowed rate: programs ask for several things at once, and then for nothing."""


class _Failure(Exception):
    """Why a token is not valid. The client is not told: whether a token exists is nobody's business."""

    def __init__(self, reason: str, error: NotAuthenticated) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error


@dataclass(frozen=True)
class Origin:
    """Where a connection comes from. What a ``confidential`` one carries, nobody else can read.

    If ``shared``, clients of many addresses come from there: one that guesses must not shut out the rest.
    """

    host: str
    confidential: bool
    transport: str = ""
    """The scheme of its address, for the log."""
    shared: bool = False

    @classmethod
    def internet(cls, host: str, encrypted: bool) -> Origin:
        return cls(host, encrypted or is_loopback(host), "tls" if encrypted else "tcp")

    @property
    def log_fields(self) -> dict[str, str]:
        return {"peer": self.host, "transport": self.transport}


def is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)  # IPv4 on a socket for both
    return (mapped or address).is_loopback


class Authenticator:
    """Who the clients of one server are. Any thread."""

    def __init__(
        self,
        token_file: Path | None,
        certificate_role: Role | None,
        limits: Limits,
        metrics: MetricsState,
        gateway_uid: int | None = None,
    ) -> None:
        """``certificate_role`` is None if no client certificates are accepted; ``gateway_uid`` is who reads
        the token file, if that is a gateway.

        Raises ``InvalidParameters`` for a token file that cannot be used.
        """
        self._path = token_file
        self._gateway_uid = gateway_uid
        self._kept = False
        self._certificate_role = certificate_role
        self._limits = limits
        self._metrics = metrics
        self._attempts = Rates(_MINUTE)
        self._requests = Rates(_BURST_SECONDS)
        self._lock = threading.Lock()
        self._computing = threading.Lock()  # scrypt takes memory and time, which runs need more
        self._tokens: Mapping[str, StoredToken] = {}
        self._seen: tuple[int, ...] | None = None
        self._looked_at = 0.0
        self._key = secrets.token_bytes(32)
        self._verified: dict[str, tuple[str, bytes]] = {}  # by id: the hash it matched, and our own digest
        if token_file is not None:
            self._tokens = {each.id: each for each in read_tokens(token_file, gateway_uid)}
            self._seen = _identity(token_file)

    @property
    def asks(self) -> bool:
        """Whether clients that the transport does not know must say who they are."""
        return self._path is not None or self._certificate_role is not None

    def without_token(self, origin: Origin, certificate: str | None) -> Principal | None:
        """Who a client of a TCP or TLS port is before it has said anything; None if it must say so."""
        if certificate is not None and self._certificate_role is not None:
            return Principal("certificate", certificate, self._certificate_role)
        if self.asks:
            return None
        return THIS_MACHINE if is_loopback(origin.host) else anonymous(origin.host)

    def by_token(self, token: str, origin: Origin) -> StoredToken | None:
        """Whose token this is; None if this server has no tokens. Raises ``NotAuthenticated``."""
        if self._path is None:
            return None
        begun = time.monotonic()
        try:
            return self.verify(token, origin)
        except NotAuthenticated:
            time.sleep(self._delay_seconds(begun))
            raise

    async def by_token_in_loop(self, token: str, origin: Origin) -> StoredToken | None:
        """``by_token`` for an event loop: a thread works as long as it must, and none waits."""
        if self._path is None:
            return None
        begun = time.monotonic()
        try:
            return await asyncio.to_thread(self.verify, token, origin)
        except NotAuthenticated:
            await asyncio.sleep(self._delay_seconds(begun))
            raise

    def verify(self, token: str, origin: Origin) -> StoredToken:
        """As ``by_token``, of a server that has tokens; who answers the client must wait before it does."""
        try:
            return self._check(token, origin)
        except _Failure as failure:
            self._metrics.authentication_failed(failure.reason)
            log.warning(
                "a client at %s is not authenticated: %s",
                origin.host,
                failure.reason,
                extra=origin.log_fields,
            )
            raise failure.error from None

    def current(self, token: StoredToken) -> StoredToken:
        """The token as it is now; raises ``NotAuthenticated`` if it has expired or was revoked."""
        self._look()
        now = self._tokens.get(token.id)
        if now is None:
            raise NotAuthenticated("the token was revoked; ask the server's operator for a new one")
        if now.expired:
            raise _expired(now).error
        return now

    def check_rate(self, principal: Principal) -> None:
        """Count a request; raises ``LimitExceeded`` for one too many."""
        per_second = principal.quota.max_requests_per_second or self._limits.max_requests_per_second
        wait = self._requests.wait_seconds(principal, per_second)
        if wait:
            raise LimitExceeded(
                f"{principal} may send {per_second:g} requests per second; send the next in {wait:.3g} s",
                retryable=True,
                limit="request_rate",
                retry_after_seconds=round(wait + 0.001, 3),
            )

    def reload(self) -> None:
        """Read the token file now; one that is damaged is logged, and changes nothing."""
        if self._kept:
            return
        with self._lock:
            self._read()

    def keep(self) -> None:
        """Never read the token file again: this process has given up the right to."""
        self._kept = True

    def _delay_seconds(self, begun: float) -> float:
        """The answer comes as late for a wrong secret as for a token that does not exist."""
        return max(0.0, begun + self._limits.authentication_delay_seconds - time.monotonic())

    def _check(self, token: str, origin: Origin) -> StoredToken:
        if not origin.confidential:
            raise _Failure(
                "not_confidential",
                NotAuthenticated(
                    "tokens are accepted over TLS, on this machine and on Unix sockets only; this one was "
                    "sent where others could read it: have it revoked, and use tls:// or https://"
                ),
            )
        self._look()
        parts = split_token(token)
        stored = self._tokens.get(parts[0]) if parts else None
        if parts is not None and stored is None:
            self._look(at_once=True)  # it may be new
            stored = self._tokens.get(parts[0])
        if parts is not None and stored is not None and self._is_verified(stored, parts[1]):
            if stored.expired:
                raise _expired(stored)
            return stored
        self._count_attempt(origin, parts[0] if parts else "")
        if parts is None or stored is None:
            raise _wrong("unknown")
        with self._computing:
            right = stored.matches(parts[1])
        if not right:
            raise _wrong("wrong")
        if stored.expired:
            raise _expired(stored)
        self._verified[stored.id] = (stored.hash, self._digest(parts[1]))
        return stored

    def _count_attempt(self, origin: Origin, token_id: str) -> None:
        """Before the answer is known, so that attempts at the same time do not get round it."""
        per_minute = self._limits.max_tokens_per_minute
        of = (origin.host, token_id if origin.shared else None)
        wait = self._attempts.wait_seconds(of, per_minute / _MINUTE)
        if wait:
            raise _Failure(
                "too_many",
                NotAuthenticated(
                    f"too many tokens were tried from {origin.host}, allowed: {per_minute} a minute; try "
                    f"again in {wait:.3g} s",
                    retryable=True,
                    retry_after_seconds=round(wait + 0.001, 3),
                ),
            )

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), "sha256")

    def _is_verified(self, stored: StoredToken, secret: str) -> bool:
        known = self._verified.get(stored.id)
        return (
            known is not None
            and known[0] == stored.hash
            and hmac.compare_digest(known[1], self._digest(secret))
        )

    def _look(self, at_once: bool = False) -> None:
        """Read the token file again if it has changed, and was not looked at a moment ago."""
        now = time.monotonic()
        early = now < self._looked_at + _LOOK_SECONDS and not at_once
        if self._path is None or self._kept or early:
            return
        with self._lock:
            self._looked_at = now
            if _identity(self._path) != self._seen:
                self._read()

    def _read(self) -> None:
        if self._path is None:
            return
        self._seen = _identity(self._path)
        if self._seen is None:  # whoever removes it wants nobody to get in
            log.error("the token file %s is gone: no token is accepted", self._path)
            self._tokens = {}
            return
        try:
            self._tokens = {each.id: each for each in read_tokens(self._path, self._gateway_uid)}
        except InvalidParameters as error:
            log.error("%s; the tokens that were read before stay valid", error.message)
            return
        log.info("read %d tokens from %s", len(self._tokens), self._path)
        self._verified = {id_: known for id_, known in self._verified.items() if id_ in self._tokens}


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode


def _wrong(reason: str) -> _Failure:
    error = NotAuthenticated(
        "this server does not know the token; check that it is complete, or ask the operator for one "
        "(`gpubench-server token add`)"
    )
    return _Failure(reason, error)


def _expired(token: StoredToken) -> _Failure:
    error = NotAuthenticated(
        f"the token {token.name!r} expired at {token.expires_at:%Y-%m-%d %H:%M} UTC; ask the server's "
        "operator for a new one"
    )
    return _Failure("expired", error)

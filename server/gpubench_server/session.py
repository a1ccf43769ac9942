"""One connection's client: who it is, as far as it has said so, and what it may do."""

from __future__ import annotations

from collections.abc import Callable

from gpubench.errors import NotAuthenticated
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.principals import METHODS, Principal
from gpubench_server.tokens import StoredToken


class Session:
    """Used by the connection's own thread."""

    def __init__(
        self,
        authenticator: Authenticator,
        origin: Origin,
        principal: Principal | None,
        keep_place: Callable[[], bool] = lambda: True,
    ) -> None:
        """``keep_place`` says that the connection is used; it is false if its place was given to another."""
        self.origin = origin
        self.settled = False
        """The connection keeps its place."""
        self.bad_lines = 0
        """Lines that were not valid requests, since the connection last looked."""
        self._keep_place = keep_place
        self.refused = False
        """It showed a token that is not valid, or asked for something before it showed one."""
        self._authenticator = authenticator
        self._token: StoredToken | None = None
        self._principal: Principal | None = None
        self._free_methods: frozenset[str] = frozenset()
        if principal is not None:
            self._become(principal)

    def settle(self) -> bool:
        """The client asks for something; false if its connection has lost its place to another.

        A client that is not known yet does not settle: all it may ask for is to be known.
        """
        if not self.known:
            return True
        self.settled = self._keep_place()
        return self.settled

    @property
    def known(self) -> bool:
        return self._principal is not None

    def __str__(self) -> str:
        return f"{self._principal or 'a client'} at {self.origin.host}"

    def log_fields(self) -> dict[str, str]:
        """The client's principal and address, if they are known yet."""
        known = {} if self._principal is None else {"principal": str(self._principal)}
        return {**self.origin.log_fields, **known}

    @property
    def label(self) -> str:
        """For metrics."""
        return self._principal.label if self._principal else "unknown"

    @property
    def principal(self) -> Principal:
        """Raises ``NotAuthenticated`` if it is not known, or its token is not valid any more."""
        try:
            if self._token is not None:
                self.take(self._authenticator.current(self._token))
            if self._principal is None:
                raise NotAuthenticated(
                    "this server requires authentication: send `hello` with a token first (--token-file "
                    "FILE, $GPUBENCH_TOKEN, or token=...), or show a client certificate"
                )
        except NotAuthenticated:
            self.refused = True
            raise
        return self._principal

    def check(self, method: str) -> None:
        """Raises ``NotAuthenticated``, ``Forbidden`` and ``LimitExceeded``."""
        if method in self._free_methods:
            return
        principal = self.principal
        self._authenticator.check_rate(principal)
        principal.check(method)

    def show(self, token: str) -> None:
        """The client shows a token; raises ``NotAuthenticated``."""
        try:
            found = self._authenticator.by_token(token, self.origin)
        except NotAuthenticated:
            self.refused = True
            raise
        if found is not None:
            self.take(found)
            self.settle()

    def take(self, token: StoredToken) -> None:
        """Set the client's principal from a token that was checked."""
        if token is not self._token:
            self._token = token
            self._become(token.principal)

    def _become(self, principal: Principal) -> None:
        self._principal = principal
        # Users of this machine, who need not be counted: a ping is over in the time that counting takes.
        self._free_methods = METHODS[principal.role] if principal.unlimited else frozenset()

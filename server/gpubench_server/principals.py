"""Who a request comes from, and what that allows: methods by role, and a share of the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from gpubench.devices.profile import MAX_MEMORY_SHARE_RATIO
from gpubench.errors import Forbidden
from gpubench.protocol.messages import DATAGRAM_METHODS

Role = Literal["read", "run", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

_READ = frozenset({"hello", "ping", "devices", "benchmarks", "status", "result", "results", "history"})
METHODS: dict[str, frozenset[str]] = {
    "read": _READ,
    "run": _READ | {"run", "cancel"},
    "admin": _READ | {"run", "cancel", "drain"},
    "datagram": DATAGRAM_METHODS,
}
"""Of runs, ``run`` may cancel its own, and ``admin`` all."""

Kind = Literal["token", "certificate", "unix", "anonymous"]
"""How it is known who somebody is; anonymous clients exist only where nobody is asked."""


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The share of one principal; None is what the server's limits say."""

    max_runs: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    max_queue_places: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    max_run_seconds: Annotated[float, Meta(gt=0, le=7 * 86_400)] | None = None
    max_memory_share_ratio: Annotated[float, Meta(gt=0, le=MAX_MEMORY_SHARE_RATIO)] | None = None
    max_requests_per_second: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None


@dataclass(frozen=True)
class Principal:
    """Equal ones share one quota, whatever connections they use."""

    kind: Kind
    name: str
    role: Role | Literal["datagram"]
    quota: Quota = field(default_factory=Quota, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def label(self) -> str:
        """For metrics: tokens by name, of which there are few; of all others the kind alone."""
        return self.name if self.kind == "token" else self.kind

    @property
    def unlimited(self) -> bool:
        """Whether its requests are not counted: it is on this machine, and could disturb it in other ways, or
        it is nobody in particular."""
        return self.kind == "unix" or self in (THIS_MACHINE, DATAGRAMS)

    @property
    def cancels_all(self) -> bool:
        """Where clients are not asked who they are, no run can be kept from the other clients."""
        return self.role == "admin" or self.kind == "anonymous"

    def check(self, method: str) -> None:
        """Raises ``Forbidden`` for a method that the role does not have."""
        if method in METHODS[self.role]:
            return
        if self == DATAGRAMS:
            raise Forbidden(
                f"{method}: only ping and status are answered by datagram; use tcp://, tls:// or unix:// for "
                "the rest"
            )
        allowed = [role for role in ROLES if method in METHODS[role]]
        how = (
            "ask as root or the server's user on its Unix socket (--listen unix:///PATH), or with a token of "
            "that role"
            if method == "drain"
            else "ask the server's operator for a token of that role"
        )
        raise Forbidden(
            f"`{method}` needs the role {' or '.join(allowed)}, and {self} has the role {self.role}; {how}",
            role=self.role,
            allowed_roles=allowed,
        )


def unix_principal(uid: int, administers: bool) -> Principal:
    return Principal("unix", f"user {uid}", "admin" if administers else "run")


def anonymous(host: str) -> Principal:
    """Somebody at an address of another machine."""
    return Principal("anonymous", host, "run")


THIS_MACHINE = Principal("anonymous", "this machine", "run")
"""All who connect from this machine, where nobody is asked."""

DATAGRAMS = Principal("anonymous", "datagrams", "datagram")

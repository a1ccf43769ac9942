"""Whether a run would be accepted now, judged by everything that a run needs."""

from __future__ import annotations

from gpubench.protocol.messages import ServerState
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.scheduler import Scheduler
from gpubench_server.storage_watch import StorageWatch


class Readiness:
    """Asks no device and no disk: what was last found of them is reported."""

    def __init__(self, scheduler: Scheduler, registry: DeviceRegistry, storage: StorageWatch) -> None:
        self._scheduler = scheduler
        self._registry = registry
        self._storage = storage

    @property
    def state(self) -> ServerState:
        """Runs are accepted before the first probe: they wait for it."""
        if self._scheduler.draining:
            return "draining"
        if self._storage.problem is not None:
            return "no_store"
        return "ready" if self._registry.known.problem is None else "no_device"

    @property
    def reasons(self) -> list[str]:
        """Why runs are refused, each on one line; empty if they are not."""
        found = []
        if self._scheduler.draining:
            found.append("draining: the server is shutting down")
        if self._storage.problem is not None:
            found.append(f"no_store: {self._storage.problem}")
        if self._registry.known.problem is not None:
            found.append(f"no_device: {self._registry.known.problem}")
        return [" ".join(reason.split()) for reason in found]

    @property
    def why_not(self) -> str | None:
        """For probes of readiness, which should wait for the first search for devices as well."""
        searching = ["searching for devices"] if self._registry.known.at is None else []
        return "\n".join(self.reasons or searching) or None

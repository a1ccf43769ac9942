"""Puts the parts of the server together, and shuts them down in order."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpubench.errors import Cancelled, InternalError, TooManyConnections
from gpubench.results.store import Store
from gpubench_server.connection import ClientConnection
from gpubench_server.device_registry import DeviceRegistry, Runtime
from gpubench_server.encode import error_line
from gpubench_server.limits import Limits
from gpubench_server.metrics import ServiceSnapshot
from gpubench_server.metrics_state import MetricsState
from gpubench_server.readiness import Readiness
from gpubench_server.scheduler import Scheduler
from gpubench_server.service import Service
from gpubench_server.signals import ServerSignals
from gpubench_server.storage_watch import StorageWatch
from gpubench_server.transports import POLL_SECONDS, Address, LineServer, host_port
from gpubench_server.vital import VitalThreads
from gpubench_server.web import Source, WebServer, make_application

log = logging.getLogger(__name__)

_REFILLED_RUNS = 200
"""How many of the newest runs are read for the gauges, from a store that does not know which it needs."""

_CANCEL_SECONDS = 10.0
"""For cancelled runs to end: longer than it takes to kill a worker."""

_FLUSH_SECONDS = 2.0
"""For the last responses to reach their clients."""


@dataclass(frozen=True)
class Settings:
    tcp: Address
    http: Address
    data_directory: Path
    runtimes: list[Runtime]
    limits: Limits


class Server:
    """The service; it listens once constructed. Raises ``StoreError`` and ``CannotListen``.

    ``failed`` is called if a thread that serves every client fails.
    """

    def __init__(self, settings: Settings, failed: Callable[[InternalError], object]) -> None:
        self._limits = limits = settings.limits
        self._threads = VitalThreads(failed)
        self._serving: list[LineServer | WebServer] = []
        with contextlib.ExitStack() as undo:
            self._store = undo.enter_context(Store(settings.data_directory))
            self._storage = StorageWatch(self._store)
            self._metrics = MetricsState()
            self._metrics.refill(self._store.last_documents(_REFILLED_RUNS))
            self._registry = DeviceRegistry(settings.runtimes, limits.probe_age_seconds)
            self._scheduler = Scheduler(self._store, self._registry, self._metrics, limits, self._threads)
            self._readiness = Readiness(self._scheduler, self._registry, self._storage)
            self._service = Service(
                self._store,
                self._registry,
                self._scheduler,
                self._metrics,
                limits,
                self._readiness,
                lambda: self._tcp.open_connections,
            )
            full = TooManyConnections(
                f"this server has its maximum of {limits.max_connections} connections; try again in a moment",
                retry_after_seconds=1,
            )
            self._tcp = undo.enter_context(
                LineServer(
                    settings.tcp,
                    self._serve,
                    max_connections=limits.max_connections,
                    linger_seconds=limits.linger_seconds,
                    refusal=error_line(None, full),
                    metrics=self._metrics,
                )
            )
            self.tcp_url = f"tcp://{_host_port(self._tcp)}"
            source = Source(
                self._store, self._registry, self._scheduler, self._readiness, self._snapshot, self.tcp_url
            )
            ending = threading.Event()
            pages = make_application(source, limits, ending)
            self._web = undo.enter_context(
                contextlib.closing(WebServer(settings.http, pages, limits, self.tcp_url, ending))
            )
            self.http_url = f"http://{_host_port(self._web)}"
            undo.pop_all()

    def start(self) -> None:
        self._storage.start(self._threads)
        self._scheduler.start()
        self._registry.start(self._threads)
        self._threads.start("benchmark port", functools.partial(self._tcp.serve_forever, POLL_SECONDS))
        self._serving.append(self._tcp)
        self._threads.start("HTTP port", self._web.serve_forever)
        self._serving.append(self._web)

    def _serve(self, client: socket.socket) -> None:
        ClientConnection(
            client, self._service.respond, self._scheduler.abandon, self._limits, self.http_url
        ).serve()

    def run_until(self, signals: ServerSignals) -> None:
        """Serve until a signal; then drain, until a second signal asks to cancel all runs.

        Raises ``InternalError`` if a thread that serves every client has failed: then nothing is drained.
        """
        signals.wait_for_drain()
        log.info("draining: no new runs; current runs have %g s to end", self._limits.drain_seconds)
        # Connected clients are still served, and the HTTP port reports `draining`.
        self._stop_serving(self._tcp)
        self._tcp.socket.close()
        self._scheduler.drain()
        until = time.monotonic() + self._limits.drain_seconds
        while not self._scheduler.wait_until_idle(POLL_SECONDS) and time.monotonic() < until:
            if signals.asks_to_cancel():
                break

    def close(self) -> None:
        """End all runs and connections, and every thread and process."""
        self._scheduler.drain()
        self._scheduler.cancel_all(Cancelled("the server was stopped before the run had ended"))
        self._scheduler.wait_until_idle(_CANCEL_SECONDS)
        self._stop_serving(self._tcp)
        self._tcp.end_input()
        if not self._tcp.wait_until_idle(_FLUSH_SECONDS):
            self._tcp.cut_connections()
        self._tcp.server_close()
        self._scheduler.end(_CANCEL_SECONDS)
        self._stop_serving(self._web)
        self._web.close()
        self._storage.end()
        self._store.close()

    def _stop_serving(self, server: LineServer | WebServer) -> None:
        if server in self._serving:  # else `shutdown` would wait for a loop that never ran
            self._serving.remove(server)
            server.shutdown()

    def _snapshot(self) -> ServiceSnapshot:
        return ServiceSnapshot(
            counts=self._metrics.snapshot(),
            devices=tuple(self._registry.known.devices),
            queues=tuple(self._scheduler.queues()),
            open_connections=self._tcp.open_connections,
            max_connections=self._limits.max_connections,
            max_queue_length=self._limits.max_queue_length,
            storable=self._storage.problem is None,
        )


def _host_port(server: LineServer | WebServer) -> str:
    host, port, *rest = server.server_address
    scope = rest[1] if len(rest) == 2 else 0  # of a link-local IPv6 address
    interface = f"%{socket.if_indextoname(scope)}" if scope else ""
    return host_port(f"{host!s}{interface}", int(port))

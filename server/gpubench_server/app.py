"""Puts the parts of the server together, and shuts them down in order."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from gpubench.errors import Cancelled, TooManyConnections
from gpubench.results.store import Store
from gpubench_server.connection import ClientConnection
from gpubench_server.device_registry import DeviceRegistry, Runtime
from gpubench_server.encode import error_line
from gpubench_server.limits import Limits
from gpubench_server.metrics import ServiceSnapshot
from gpubench_server.metrics_state import MetricsState
from gpubench_server.scheduler import Scheduler
from gpubench_server.service import Service
from gpubench_server.signals import ServerSignals
from gpubench_server.transports import POLL_SECONDS, Address, LineServer, host_port
from gpubench_server.web import WebServer, make_application

log = logging.getLogger(__name__)

_REFILLED_RUNS = 200
"""How many of the newest runs are read at the start, for the last valid figures of the gauges."""

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
    """The service; it listens once constructed. Raises ``StoreError`` and ``CannotListen``."""

    def __init__(self, settings: Settings) -> None:
        self._limits = limits = settings.limits
        with contextlib.ExitStack() as undo:
            self._store = undo.enter_context(Store(settings.data_directory))
            self._metrics = MetricsState()
            self._metrics.refill(self._store.recent_documents(_REFILLED_RUNS))
            self._registry = DeviceRegistry(settings.runtimes, limits.probe_age_seconds)
            self._scheduler = Scheduler(self._store, self._registry, self._metrics, limits)
            self._service = Service(
                self._store,
                self._registry,
                self._scheduler,
                self._metrics,
                limits,
                lambda: self._tcp.open_connections,
            )
            full = TooManyConnections(
                f"this server has its maximum of {limits.max_connections} connections; try again in a moment",
                retry_after_seconds=1,
            )
            self._tcp = LineServer(
                settings.tcp,
                self._serve,
                max_connections=limits.max_connections,
                linger_seconds=limits.linger_seconds,
                refusal=error_line(None, full),
                metrics=self._metrics,
            )
            undo.callback(self._tcp.server_close)
            self.tcp_url = f"tcp://{_host_port(self._tcp)}"
            pages = make_application(self._snapshot, self._why_not_ready, self.tcp_url)
            self._web = WebServer(settings.http, pages, limits)
            self.http_url = f"http://{_host_port(self._web)}"
            undo.pop_all()

    def start(self) -> None:
        self._registry.start()
        for server in (self._tcp, self._web):
            threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        ClientConnection(client, self._service.respond, self._scheduler.abandon, self._limits).serve()

    def run_until(self, signals: ServerSignals) -> None:
        """Serve until a signal; then drain, until a second signal cancels all runs."""
        signals.wait_for_drain()
        log.info("draining: no new runs; current runs have %g s to end", self._limits.drain_seconds)
        # Connected clients are still served, and the HTTP port reports `draining`.
        self._tcp.shutdown()
        self._tcp.socket.close()
        self._scheduler.drain()
        until = time.monotonic() + self._limits.drain_seconds
        while not self._scheduler.wait_until_idle(POLL_SECONDS) and time.monotonic() < until:
            if signals.asks_to_cancel():
                break
        self._scheduler.cancel_all(Cancelled("the server was stopped before the run had ended"))
        self._scheduler.wait_until_idle(_CANCEL_SECONDS)
        self._close()

    def _close(self) -> None:
        self._tcp.end_input()
        if not self._tcp.wait_until_idle(_FLUSH_SECONDS):
            self._tcp.cut_connections()
        self._tcp.server_close()
        self._scheduler.end(_CANCEL_SECONDS)
        self._web.shutdown()
        self._web.server_close()
        self._store.close()

    def _snapshot(self) -> ServiceSnapshot:
        return ServiceSnapshot(
            counts=self._metrics.snapshot(),
            devices=tuple(self._registry.known.devices),
            queues=tuple(self._scheduler.queues()),
            open_connections=self._tcp.open_connections,
            max_connections=self._limits.max_connections,
            max_queue_length=self._limits.max_queue_length,
        )

    def _why_not_ready(self) -> str | None:
        if self._registry.known.at is None:
            return "searching for devices"
        state = self._service.state
        return None if state == "ready" else state


def _host_port(server: LineServer | WebServer) -> str:
    host, port = server.server_address[:2]
    return host_port(str(host), int(port))

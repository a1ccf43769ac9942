"""Puts the parts of the server together, and shuts them down in order."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpubench.errors import Cancelled, InvalidParameters, TooManyConnections
from gpubench.results.store import Store
from gpubench_server.addresses import Address, Endpoint
from gpubench_server.authentication import Authenticator
from gpubench_server.connection import ClientConnection
from gpubench_server.connection_rates import ConnectionRates
from gpubench_server.datagrams import DatagramService, UDPServer, datagram_server
from gpubench_server.device_registry import DeviceRegistry, Runtime
from gpubench_server.encode import error_line
from gpubench_server.http_options import HttpSettings
from gpubench_server.limits import Limits
from gpubench_server.line_servers import LineServer, LineService, line_server
from gpubench_server.log_context import about
from gpubench_server.metrics import ServiceSnapshot
from gpubench_server.metrics_state import MetricsState
from gpubench_server.readiness import Readiness
from gpubench_server.retention_watch import RetentionWatch
from gpubench_server.scheduler import Scheduler
from gpubench_server.security import Security
from gpubench_server.service import Service
from gpubench_server.session import Session
from gpubench_server.signals import ServerSignals
from gpubench_server.storage_watch import StorageWatch
from gpubench_server.systemd import Systemd
from gpubench_server.tls import Tls
from gpubench_server.transports import POLL_SECONDS
from gpubench_server.unix_sockets import UnixAccess
from gpubench_server.vital import VitalThreads
from gpubench_server.watchdog import Watchdog
from gpubench_server.web import Admission, Source, WebServer, make_application

log = logging.getLogger(__name__)

_REFILLED_RUNS = 200
"""How many of the newest runs are read for the gauges, from a store that does not know which it needs."""

_CANCEL_SECONDS = 10.0
"""For cancelled runs to end: longer than it takes to kill a worker."""

_FLUSH_SECONDS = 2.0
"""For the last responses to reach their clients."""

_END_SECONDS = 2 * _CANCEL_SECONDS + _FLUSH_SECONDS + 10.0
"""For ``Server.close``, with room for the store."""


def _ignore(seconds: float) -> None:
    """For those who have nobody to inform."""


@dataclass(frozen=True)
class Settings:
    listen: Sequence[Endpoint]
    http: Address
    data_directory: Path
    runtimes: list[Runtime]
    limits: Limits
    unix: UnixAccess = field(default_factory=UnixAccess)
    security: Security = field(default_factory=Security)
    http_settings: HttpSettings = field(default_factory=HttpSettings)


class Server:
    """The service; it listens once constructed. Raises ``StoreError`` and ``CannotListen``.

    ``signals`` learns of a thread that serves every client and fails, and of a client that asks to drain.
    """

    def __init__(self, settings: Settings, signals: ServerSignals) -> None:
        self._limits = limits = settings.limits
        self._threads = VitalThreads(signals.fail)
        self._lines: list[LineServer] = []
        self._datagrams: list[UDPServer] = []
        self._serving: list[LineServer | UDPServer | WebServer] = []
        security = settings.security
        self._tls = None if security.tls is None else Tls(security.tls)
        with contextlib.ExitStack() as undo:
            self._store = undo.enter_context(Store(settings.data_directory, check=True))
            self._storage = StorageWatch(self._store)
            self._retention = RetentionWatch(self._store, limits.retention)
            self._metrics = MetricsState()
            self._authenticator = Authenticator(
                security.token_file, security.certificate_role, limits, self._metrics
            )
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
                self._open_connections,
                signals.drain,
            )
            full = TooManyConnections(
                f"this server has reached its maximum of {limits.max_connections} connections; try again "
                "in a moment",
                retry_after_seconds=1,
            )
            lines = LineService(
                self._serve,
                limits,
                error_line(None, full),
                self._metrics,
                self._authenticator,
                ConnectionRates(limits.max_connections_per_second),
                settings.unix,
                self._tls,
            )
            datagrams = DatagramService(self._service.respond, self._authenticator, self._metrics)
            for endpoint in settings.listen:
                if endpoint.scheme in ("udp", "unixgram"):
                    self._datagrams.append(
                        undo.enter_context(datagram_server(endpoint, datagrams, settings.unix))
                    )
                else:
                    self._lines.append(undo.enter_context(line_server(endpoint, lines)))
            line_urls = [server.url for server in self._lines]
            self.urls = [*line_urls, *(server.url for server in self._datagrams)]
            benchmark_urls = " or ".join(line_urls)
            source = Source(
                self._store, self._registry, self._scheduler, self._readiness, self._snapshot, benchmark_urls
            )
            ending = threading.Event()
            admission = Admission(self._authenticator, self._metrics, limits, settings.http_settings)
            pages = make_application(source, limits, ending, admission)
            tls = self._tls if settings.http_settings.tls else None
            self._web = undo.enter_context(
                contextlib.closing(
                    WebServer(settings.http, pages, limits, benchmark_urls, ending, self._metrics, tls)
                )
            )
            self.http_url = self._web.url
            undo.pop_all()

    def start(self) -> None:
        self._storage.start(self._threads)
        self._retention.start(self._threads)
        self._scheduler.start()
        self._registry.start(self._threads)
        servers: tuple[LineServer | UDPServer | WebServer, ...] = (*self._lines, *self._datagrams, self._web)
        for name, server in zip((*self.urls, "HTTP port"), servers, strict=True):
            self._threads.start(name, functools.partial(server.serve_forever, POLL_SECONDS))
            self._serving.append(server)

    def _serve(self, client: socket.socket, session: Session) -> None:
        respond = functools.partial(self._service.respond, session)
        with about(session.log_fields):
            ClientConnection(
                client, respond, self._scheduler.abandon, self._limits, self.http_url, session
            ).serve()

    def _reload(self) -> None:
        """Read the certificate and the tokens again; what is wrong with them is logged."""
        self._authenticator.reload()
        if self._tls is None:
            return
        try:
            self._tls.reload()
        except InvalidParameters as error:
            log.error("%s; the certificate that was read before stays in use", error.message)
        else:
            log.info("read the TLS certificate again")

    def watch(self, systemd: Systemd) -> None:
        """Tell systemd that the server is alive for as long as it is, if it asked for that."""
        if systemd.watchdog_seconds is not None:
            watchdog = Watchdog(lambda: list(self._serving), self._scheduler)
            # Three times in its interval: one that comes late is no reason to end the server.
            interval_seconds = systemd.watchdog_seconds / 3
            run = functools.partial(watchdog.run, interval_seconds, systemd.alive)
            self._threads.start("watchdog", run)

    def _open_connections(self) -> int:
        return sum(server.open_connections for server in self._lines)

    def run_until(self, signals: ServerSignals, draining: Callable[[float], object] = _ignore) -> None:
        """Serve until a signal; then drain, until a second signal asks to cancel all runs.

        ``draining`` is called with the most seconds that this and ``close`` will take.

        Raises ``InternalError`` if a thread that serves every client has failed: then nothing is drained.
        """
        signals.wait_for_drain(self._reload)
        log.info("draining: no new runs; current runs have %g s to end", self._limits.drain_seconds)
        draining(self._limits.drain_seconds + _END_SECONDS)
        # Connected clients are still served, and the HTTP port reports `draining`.
        for server in self._lines:
            self._stop_serving(server)
            server.stop_listening()
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
        for server in self._lines:
            self._stop_serving(server)
            server.end_input()
        flushed_at = time.monotonic() + _FLUSH_SECONDS
        for server in self._lines:
            if not server.wait_until_idle(flushed_at - time.monotonic()):
                server.cut_connections()
            server.server_close()
        self._scheduler.end(_CANCEL_SECONDS)
        for each in self._datagrams:
            self._stop_serving(each)
            each.server_close()
        self._stop_serving(self._web)
        self._web.close()
        self._retention.end()
        self._storage.end()
        self._store.close()

    def _stop_serving(self, server: LineServer | UDPServer | WebServer) -> None:
        if server in self._serving:  # else `shutdown` would wait for a loop that never ran
            self._serving.remove(server)
            server.shutdown()

    def _snapshot(self) -> ServiceSnapshot:
        return ServiceSnapshot(
            counts=self._metrics.snapshot(),
            devices=tuple(self._registry.known.devices),
            queues=tuple(self._scheduler.queues()),
            open_connections=self._open_connections(),
            max_connections=self._limits.max_connections * len(self._lines),
            max_queue_length=self._limits.max_queue_length,
            storable=self._storage.problem is None,
            intact=self._store.damage is None,
        )

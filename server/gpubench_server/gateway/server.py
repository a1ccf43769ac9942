"""The parent: listens, forks a child for each connection, and waits for signals, in one thread."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import socketserver
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from signal import Signals
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from gpubench.errors import GpubenchError, InvalidParameters, LimitReached
from gpubench.signals import HANDLED, IGNORED_BY_WORKER, SIGNALS, Reaction, handle, has_terminal
from gpubench_server.addresses import InternetEndpoint, bound_host_port
from gpubench_server.authentication import Authenticator, Origin
from gpubench_server.encode import error_line
from gpubench_server.gateway import link
from gpubench_server.gateway.child import Child as ServedClient
from gpubench_server.gateway.child import Service
from gpubench_server.gateway.children import Child, Children
from gpubench_server.gateway.log import log_nothing
from gpubench_server.gateway.metrics_file import MetricsFile, Snapshot
from gpubench_server.gateway.privileges import cap_resources
from gpubench_server.limits import Limits
from gpubench_server.systemd import Systemd
from gpubench_server.transports import AcceptingMixIn, listen
from gpubench_server.wrong_protocol import TLS_REFUSAL

log = logging.getLogger(__name__)

_TURN_SECONDS = 0.5
"""The longest wait of the loop: refused connections are closed in time."""


class _Forking(NamedTuple):
    """The sockets of a child that is being forked."""

    parents: socket.socket
    """The parent's end of their link."""
    childs: socket.socket
    client: socket.socket
    """Its connection, as the parent keeps it."""


class Listener(AcceptingMixIn, socketserver.ForkingMixIn, socketserver.TCPServer):
    """One address of the gateway. ``serve`` is called in each child, with its connection."""

    timeout = 0  # `handle_request` is called when there is something to accept
    block_on_close = False  # `server_close` would wait for every client

    def __init__(
        self,
        endpoint: InternetEndpoint,
        children: Children,
        limits: Limits,
        serve: Callable[[socket.socket, link.Link, str], None],
    ) -> None:
        self._children = children
        self._serve = serve
        self._forking: _Forking | None = None
        self._encrypted = endpoint.scheme == "tls"
        self.accept_at_most(limits.max_connections, limits.linger_seconds)
        self.address_family = endpoint.address.family
        super().__init__(endpoint.address.bindable, socketserver.BaseRequestHandler, bind_and_activate=False)
        listen(self, endpoint)
        self.url = f"{endpoint.scheme}://{bound_host_port(self.socket)}"

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            # Before the base class looks: at its maximum it would wait for a child, and accept nobody.
            self._children.make_room(client_address[0])
            self._fork(request, client_address)
        except GpubenchError as refusal:
            if isinstance(refusal, LimitReached):
                self._children.replace_oldest()  # for the next one: fewer fit than `max_connections` says
            origin = self._origin(client_address)
            self._children.refused(origin, refusal.details.get("limit", refusal.kind), refusal.message)
            self._turn_away(request, refusal)

    def _turn_away(self, connection: socket.socket, refusal: GpubenchError) -> None:
        self._refuse(connection, TLS_REFUSAL if self._encrypted else error_line(None, refusal))

    def _fork(self, request: Any, client_address: Any) -> None:
        before = set(self.active_children or ())
        try:
            with contextlib.ExitStack() as undo:
                client = undo.enter_context(request.dup())
                parents, childs = link.pair()
                undo.enter_context(parents)
                self._forking = _Forking(parents, childs, client)
                with childs:
                    super().process_request(request, client_address)  # returns in the parent alone
                undo.pop_all()
        except OSError as error:  # no more processes, memory or descriptors
            raise LimitReached(
                f"this gateway has no room for a connection ({error.strerror}); try again in a moment",
                retryable=True,
                retry_after_seconds=1,
            ) from None
        finally:
            self._forking = None
        (pid,) = set(self.active_children or ()) - before
        self._children.add(Child(pid, self._origin(client_address), parents, client, self._turn_away))

    def _origin(self, client_address: Any) -> Origin:
        return Origin.internet(client_address[0], self._encrypted)

    def collect_children(self, *, blocking: bool = False) -> None:
        """Reap those that have ended. The base class would wait for any process, and forget how it ended."""
        for pid in (self.active_children or set()).copy():
            try:
                found, status = os.waitpid(pid, 0 if blocking else os.WNOHANG)
            except ChildProcessError:  # somebody else has reaped it
                found, status = pid, 0
            if found and self.active_children is not None:
                self.active_children.discard(pid)
                self._children.ended(pid, status)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._forking is not None:  # it is: this is a child, which was forked in `_fork`
            self._forking.parents.close()
            self._forking.client.close()
            self._serve(request, link.Link(self._forking.childs), self.url)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if self._forking is None:
            log.exception("a connection from %s could not be served", client_address[0])
        else:  # in a child
            _tell_failure(link.Link(self._forking.childs))

    def close_in_child(self) -> None:
        """A child accepts nobody, and has nothing to do with those whom the parent refused."""
        self.socket.close()
        while self._refused:
            self._refused.popleft()[1].close()


def call_ready(selector: selectors.BaseSelector, seconds: float) -> None:
    """Wait for files, and call what was registered with those that are ready. A call may close files whose
    turn is still to come, which are left out then."""
    for key, _ in selector.select(seconds):
        if _is_open(key.fileobj) and key.fileobj in selector.get_map():
            key.data()


def _is_open(file: Any) -> bool:
    """The map of a selector raises ``ValueError`` for a closed one that it does not have."""
    return bool(file.fileno() >= 0)


def _tell_failure(to_parent: link.Link) -> None:
    """Of the exception that is being handled: a child has no log."""
    error = sys.exception()
    if error is None:
        return
    last = traceback.extract_tb(error.__traceback__)[-1]
    to_parent.failed(f"{type(error).__name__}: {error} ({last.name}, line {last.lineno} of {last.filename})")


class Gateway:
    """Listens, and handles signals, once constructed; only in the main thread. Raises ``CannotListen``."""

    def __init__(
        self,
        endpoints: Sequence[InternetEndpoint],
        service: Service,
        authenticator: Authenticator,
        metrics_file: MetricsFile,
    ) -> None:
        self._service = service
        self._metrics_file = metrics_file
        self._limits: Limits = service.limits
        self._authenticator = authenticator
        # Not epoll, which parent and children would share.
        self._selector = selectors.PollSelector()
        self._children = Children(self._selector, authenticator, service.limits)
        self._signals = _Signals()
        self._listeners: list[Listener] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self._close)
            self._signals.install()
            for endpoint in endpoints:
                listener = Listener(endpoint, self._children, self._limits, self._serve_in_child)
                self._listeners.append(listener)
                self._selector.register(listener, selectors.EVENT_READ, listener.handle_request)
            self._selector.register(self._signals, selectors.EVENT_READ, self._signals.clear)
            undo.pop_all()
        self.urls = [listener.url for listener in self._listeners]

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._children.kill()
        for listener in self._listeners:
            listener.collect_children(blocking=True)
        self._close()

    def _close(self) -> None:
        for listener in self._listeners:
            listener.server_close()
        self._signals.close()
        self._selector.close()

    def serve(self, systemd: Systemd) -> None:
        """Until a signal asks to drain; then until every client has its answers, ``drain_seconds`` have
        passed, or a second signal comes."""
        try:
            self._serve(systemd)
        finally:
            self._metrics_file.end(self.snapshot(is_serving=False))

    def _serve(self, systemd: Systemd) -> None:
        systemd.ready(self.urls)
        alive_at = 0.0
        turn_seconds = min(_TURN_SECONDS, (systemd.watchdog_seconds or 3.0) / 3)
        while not self._signals.asks_to_drain(self._reload):
            self._turn(turn_seconds)
            if systemd.watchdog_seconds is not None and time.monotonic() >= alive_at:
                systemd.alive()
                alive_at = time.monotonic() + turn_seconds
        self._drain(systemd)

    def _turn(self, seconds: float) -> None:
        call_ready(self._selector, seconds)
        for listener in self._listeners:
            listener.service_actions()
        self._metrics_file.write_if_due(self.snapshot)

    def snapshot(self, is_serving: bool = True) -> Snapshot:
        return self._children.snapshot(is_serving)

    def _drain(self, systemd: Systemd) -> None:
        limit_seconds = self._limits.drain_seconds
        log.info(
            "draining: no new clients; %d have %g s to get their answers", len(self._children), limit_seconds
        )
        systemd.stopping(limit_seconds + 5)
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.stop_listening()
        self._children.drain()
        until = time.monotonic() + limit_seconds
        while len(self._children) and time.monotonic() < until:
            if self._signals.asks_to_drain():
                break
            self._turn(min(_TURN_SECONDS, max(0.0, until - time.monotonic())))
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(self._children.counts.items()))
        log.info("ended: %s", counts or "no connections")

    def _reload(self) -> None:
        """Read the certificate and the tokens again; what is wrong with them is logged."""
        self._authenticator.reload()
        if self._service.tls is None:
            return
        try:
            self._service.tls.reload()
        except InvalidParameters as error:
            log.error("%s; the certificate that was read before stays in use", error.message)
        else:
            log.info("read the TLS certificate again")

    def _serve_in_child(self, connection: socket.socket, to_parent: link.Link, url: str) -> None:
        self._signals.leave_to_parent()
        for listener in self._listeners:
            listener.close_in_child()
        self._children.close_in_child()
        log_nothing()
        cap_resources()
        ServedClient(self._service, connection, to_parent, url).serve()


class _Signals:
    """Signals that were received, and the socket by which they end a wait."""

    def __init__(self) -> None:
        self._received: deque[Signals] = deque()
        self._terminal = has_terminal()
        self._reading, self._writing = socket.socketpair()
        for end in (self._reading, self._writing):
            end.setblocking(False)

    def fileno(self) -> int:
        return self._reading.fileno()

    def install(self) -> None:
        signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        # Ignored, as a program may have inherited it, the system would reap children itself.
        signal.signal(Signals.SIGCHLD, self._take)
        for number, row in SIGNALS.items():
            if row.server in HANDLED:
                handle(number, self._take)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._reading.close()
        self._writing.close()

    def leave_to_parent(self) -> None:
        """In a child: signals to the whole group are its parent's, which ends it by their link."""
        signal.set_wakeup_fd(-1)
        signal.signal(Signals.SIGCHLD, signal.SIG_DFL)
        for number in IGNORED_BY_WORKER:
            signal.signal(number, signal.SIG_IGN)
        self._reading.close()
        self._writing.close()

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._reading.recv(4096):
                pass

    def asks_to_drain(self, reload: Callable[[], object] | None = None) -> bool:
        """Whether a signal that was received asks to end; one that asks to ``reload`` does that."""
        asked = False
        while self._received:
            number = self._received.popleft()
            if number is Signals.SIGCHLD:
                continue
            if SIGNALS[number].server is Reaction.DRAIN or (self._terminal and reload is not None):
                asked = True
            elif reload is not None:
                log.info("%s: reading certificate and tokens again", number.name)
                reload()
        return asked

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._received.append(Signals(number))

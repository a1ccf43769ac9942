"""The methods of the protocol, one function each, behind one table."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

import gpubench
from gpubench.benchmarks.description import describe
from gpubench.devices.process_limits import limit_reached
from gpubench.errors import (
    Cancelled,
    GpubenchError,
    InternalError,
    InvalidParameters,
    InvalidRequest,
    ProtocolError,
)
from gpubench.executor.prepare import canonical_request, prepare_run
from gpubench.protocol.messages import (
    PARAMETERS,
    PROTOCOL,
    Cancelling,
    Devices,
    Draining,
    Hello,
    HelloParams,
    HistoryParams,
    NoParams,
    Pong,
    Request,
    Results,
    ResultsParams,
    RunIdParams,
    RunParams,
    Status,
)
from gpubench.protocol.validation import decode_params, decode_request, unknown_method
from gpubench.results.history import HistoryQuery
from gpubench.results.store import Store
from gpubench.results.timestamps import milliseconds
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.encode import error_line, id_of, raw, refusal, result_line
from gpubench_server.fair_use import max_memory_share_ratio, max_run_seconds, own_limits
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun, check_runs_of_client, no_such_run
from gpubench_server.metrics_state import MetricsState
from gpubench_server.outbox import Outbox, Ticket
from gpubench_server.readiness import Readiness
from gpubench_server.refusals import Refusals
from gpubench_server.scheduler import Scheduler
from gpubench_server.session import Session

log = logging.getLogger(__name__)

FEATURES = ["progress", "cancel", "detach", "key", "deadline", "stated_memory", "notifications", "history"]


class _Call(NamedTuple):
    """One request, and whose it is."""

    session: Session
    request: Request
    outbox: Outbox


class Service:
    """Answers request lines; safe to use from every connection's thread."""

    def __init__(
        self,
        store: Store,
        registry: DeviceRegistry,
        scheduler: Scheduler,
        metrics: MetricsState,
        limits: Limits,
        readiness: Readiness,
        open_connections: Callable[[], int],
        drain: Callable[[], object],
    ) -> None:
        self._store = store
        self._registry = registry
        self._scheduler = scheduler
        self._metrics = metrics
        self._limits = limits
        self._readiness = readiness
        self._open_connections = open_connections
        self._drain_server = drain
        self._refusals = Refusals(metrics)
        self._started_at = time.monotonic()
        self._pong = raw(Pong())
        self._benchmarks = raw(describe())

    def respond(self, session: Session, line: bytes, outbox: Outbox) -> bytes | None:
        """The response to one line; None for a notification, and if it will come through the outbox."""
        request: Request | None = None
        try:
            request = decode_request(line)
            answer = self._call(session, request, outbox)
            response = None
            if answer is not None and request.id is not msgspec.UNSET:
                response = result_line(request.id, answer)
        except GpubenchError as error:
            return self._refuse(session, request, line, error)
        except Exception as error:
            return self._refuse(session, request, line, _reported(error))
        self._metrics.request(request.method, "ok")
        return response

    def _call(self, session: Session, request: Request, outbox: Outbox) -> msgspec.Raw | None:
        method = _METHODS.get(request.method)
        if method is None:
            raise unknown_method(request.method)
        if request.method != "hello":
            session.check(request.method)
        params = decode_params(request.params, PARAMETERS[request.method])
        if isinstance(params, HelloParams):
            if params.token:
                session.show(params.token)
            session.check("hello")
        return method(self, params, _Call(session, request, outbox))

    def _refuse(
        self, session: Session, request: Request | None, line: bytes, error: GpubenchError
    ) -> bytes | None:
        method = request.method if request and request.method in _METHODS else "other"
        self._metrics.request(method, str(error.code))
        self._refusals.note(session, method, error)
        session.refused |= not session.known
        session.bad_lines += isinstance(error, ProtocolError)
        if request is None:
            return error_line(id_of(line), error)
        return refusal(request, error)

    # The methods.

    def _hello(self, params: HelloParams, call: _Call) -> msgspec.Raw:
        if params.protocol != PROTOCOL:
            raise InvalidParameters(
                f"protocol version {params.protocol} is not supported; supported: {PROTOCOL}",
                path="$.params.protocol",
                allowed=[PROTOCOL],
            )
        devices = [device.id for device in self._registry.known.devices]
        principal = call.session.principal
        return raw(
            Hello(
                PROTOCOL,
                gpubench.__version__,
                FEATURES,
                own_limits(principal, self._limits),
                devices,
                str(principal),
                principal.role,
            )
        )

    def _ping(self, params: NoParams, call: _Call) -> msgspec.Raw:
        return self._pong

    def _devices(self, params: NoParams, call: _Call) -> msgspec.Raw:
        found = self._registry.fresh()
        return raw(Devices(found.devices, found.runtimes))

    def _list_benchmarks(self, params: NoParams, call: _Call) -> msgspec.Raw:
        return self._benchmarks

    def _run(self, params: RunParams, call: _Call) -> None:
        if call.request.id is msgspec.UNSET:
            raise InvalidRequest("a run needs an id: without one, no answer could be sent")
        check_runs_of_client(call.outbox.open_tickets, self._limits)
        begun = time.monotonic()
        ticket = Ticket(
            call.outbox, call.request.id, holds=True, fetches=False, notifies=params.notifications
        )
        request_text = canonical_request(params)
        # Before anything is checked: a retry is answered even if its device is gone by now.
        if params.key is not None and self._scheduler.replay(params.key, request_text, ticket, params.detach):
            return
        owner = call.session.principal
        prepared = prepare_run(params)
        device = self._registry.resolve(params.device)
        deadline = params.deadline_seconds
        run = LiveRun(
            id=prepared.run_id,
            device=device,
            work=msgspec.structs.replace(
                prepared.on(device), max_memory_share_ratio=max_memory_share_ratio(owner)
            ),
            recorder=prepared.recorder,
            deadline_at=None if deadline is None else begun + deadline,
            detached=params.detach,
            owner=owner,
            max_seconds=max_run_seconds(owner, self._limits),
        )
        self._scheduler.submit(run, request_text, ticket)

    def _cancel(self, params: RunIdParams, call: _Call) -> msgspec.Raw:
        by = call.session.principal
        cancelled = self._scheduler.cancel(
            params.run_id, Cancelled(f"the run was cancelled on request of {by}"), by
        )
        if not cancelled and self._store.document(params.run_id) is None:
            raise no_such_run(params.run_id)
        return raw(Cancelling(params.run_id, cancelled))

    def _status(self, params: NoParams, call: _Call) -> msgspec.Raw:
        uptime = time.monotonic() - self._started_at
        return raw(
            Status(
                self._readiness.state,
                gpubench.__version__,
                uptime,
                self._open_connections(),
                self._scheduler.queues(),
                self._readiness.reasons,
            )
        )

    def _drain(self, params: NoParams, call: _Call) -> msgspec.Raw:
        log.info("%s asks to drain", call.session)
        self._drain_server()
        return raw(Draining())

    def _result(self, params: RunIdParams, call: _Call) -> None:
        if call.request.id is msgspec.UNSET:
            return
        check_runs_of_client(call.outbox.open_tickets, self._limits)
        self._scheduler.fetch(params.run_id, Ticket(call.outbox, call.request.id, holds=False, fetches=True))

    def _results(self, params: ResultsParams, call: _Call) -> msgspec.Raw:
        return raw(Results(self._scheduler.latest(params.limit, params.device)))

    def _history(self, params: HistoryParams, call: _Call) -> msgspec.Raw:
        since = None if params.since is None else milliseconds(params.since)
        if params.since is not None and since is None:
            raise InvalidParameters(
                f"{params.since!r} is not a time; write one in ISO 8601, such as 2026-01-31T12:00:00Z",
                path="$.params.since",
            )
        query = HistoryQuery(params.device, params.benchmark, since, params.limit)
        return raw(self._store.history(query))


_METHODS: dict[str, Callable[[Service, Any, _Call], msgspec.Raw | None]] = {
    "hello": Service._hello,
    "ping": Service._ping,
    "devices": Service._devices,
    "benchmarks": Service._list_benchmarks,
    "run": Service._run,
    "cancel": Service._cancel,
    "status": Service._status,
    "result": Service._result,
    "results": Service._results,
    "history": Service._history,
    "drain": Service._drain,
}
"""Every method of ``PARAMETERS``; a result of None comes later, through the outbox."""


def _reported(error: Exception) -> GpubenchError:
    """The error that a client gets for a fault of the server; the log has the details."""
    # Of no memory the log has more: a mistake of ours may have asked for it.
    limit = None if isinstance(error, MemoryError) else limit_reached(error)
    if limit is not None:
        log.error("a request was refused: %s", limit.message)
        return limit
    log.exception("a request failed")
    return InternalError("internal error in the server; its log has the details")

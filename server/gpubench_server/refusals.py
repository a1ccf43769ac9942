"""Every refusal of a request, in the log and in the metrics: who was refused, and why."""

from __future__ import annotations

import logging

from gpubench.errors import Forbidden, GpubenchError, NotAuthenticated, ServiceError
from gpubench_server.metrics_state import MetricsState
from gpubench_server.rates import Rates
from gpubench_server.session import Session

log = logging.getLogger(__name__)

_LINES_PER_SECOND, _BURST_SECONDS = 0.5, 10.0
"""Of the log, for each client address and reason: the metrics have the exact number."""


class Refusals:
    """Any thread."""

    def __init__(self, metrics: MetricsState) -> None:
        self._metrics = metrics
        self._lines = Rates(_BURST_SECONDS)

    def note(self, session: Session, method: str, error: GpubenchError) -> None:
        """Count and log an error, if it is a refusal."""
        if not isinstance(error, ServiceError):
            return
        reason = str(error.details.get("limit", error.kind))
        self._metrics.refused(reason, session.label)
        if not self._lines.wait_seconds((session.origin.host, reason), _LINES_PER_SECOND):
            level = logging.WARNING if isinstance(error, NotAuthenticated | Forbidden) else logging.INFO
            text = "refused %s to %s: %s: %s"
            log.log(level, text, method, session, reason, error.message, extra=session.log_fields())

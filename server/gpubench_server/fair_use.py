"""The share of one principal: how many runs, how many places in a queue, how long, and how much memory."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gpubench.devices.profile import MAX_MEMORY_SHARE_RATIO
from gpubench.errors import LimitExceeded
from gpubench.protocol import messages
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun
from gpubench_server.principals import Principal


def check_share(run: LiveRun, live: Iterable[LiveRun], waiting: Iterable[LiveRun], limits: Limits) -> None:
    """Before ``run`` joins the ``live`` runs, and those ``waiting`` for its hardware.

    Raises ``LimitExceeded``, whose ``limit`` says which it was.
    """
    owner = run.owner
    most_runs, most_places = max_runs(owner, limits), max_queue_places(owner, limits)
    runs = sum(each.owner == owner for each in live)
    if runs >= most_runs:
        raise LimitExceeded(
            f"{owner} has {runs} runs waiting or running, the most that are allowed; ask again when one has "
            "ended, or cancel one",
            retryable=True,
            limit="runs",
        )
    places = sum(each.owner == owner for each in waiting)
    if places >= most_places:
        raise LimitExceeded(
            f"{owner} has {places} of this device's queue places, the most that are allowed; ask again when "
            "one of these runs has started",
            retryable=True,
            limit="queue_places",
        )


def max_runs(principal: Principal, limits: Limits) -> int:
    return _own(principal.quota.max_runs, limits.max_runs_per_principal)


def max_queue_places(principal: Principal, limits: Limits) -> int:
    return _own(principal.quota.max_queue_places, limits.max_queue_places_per_principal)


def max_run_seconds(principal: Principal, limits: Limits) -> float:
    """Of the time after its start; never more than the server allows everybody."""
    own = principal.quota.max_run_seconds
    return limits.max_run_seconds if own is None else min(own, limits.max_run_seconds)


def max_memory_share_ratio(principal: Principal) -> float:
    own = principal.quota.max_memory_share_ratio
    return MAX_MEMORY_SHARE_RATIO if own is None else own


def own_limits(principal: Principal, limits: Limits) -> messages.Limits:
    """What ``hello`` reports to this principal."""
    return msgspec.structs.replace(
        limits.wire(),
        max_run_seconds=max_run_seconds(principal, limits),
        max_memory_share_ratio=max_memory_share_ratio(principal),
        max_runs_per_principal=max_runs(principal, limits),
        max_queue_places_per_principal=max_queue_places(principal, limits),
        max_requests_per_second=principal.quota.max_requests_per_second or limits.max_requests_per_second,
    )


def _own(own: int | None, limit: int) -> int:
    return limit if own is None else own

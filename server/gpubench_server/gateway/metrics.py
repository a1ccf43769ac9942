"""The metrics of the gateway, in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import gpubench
from gpubench_server.gateway.metrics_file import ACCEPTED, FAULTS, Snapshot

_USUAL_REASONS = ("connection_rate", "handshake", "not_authenticated", "replaced", "too_many_connections")
"""Of refusals: exposed from the start, so that their rates are right from the first one."""


def exposition(snapshot: Snapshot) -> bytes:
    return generate_latest(_Families(snapshot))


@dataclass(frozen=True)
class _Families(Collector):
    snapshot: Snapshot

    def collect(self) -> Iterator[Metric]:
        return _families(self.snapshot)


def _families(snapshot: Snapshot) -> Iterator[Metric]:
    counts = snapshot.counts
    build = GaugeMetricFamily("gpubench_gateway_build_info", "The version of gpubench.", labels=["version"])
    build.add_metric([gpubench.__version__], 1)
    yield build
    for name, text, value in (
        ("up", "1 while the gateway serves, 0 once it has ended.", snapshot.is_serving),
        ("connections", "Connections that have a process.", snapshot.connections),
        ("max_connections", "Clients that may be connected at once.", snapshot.max_connections),
    ):
        yield GaugeMetricFamily(f"gpubench_gateway_{name}", text, value=value)
    yield CounterMetricFamily(
        "gpubench_gateway_connections_accepted", "Connections accepted.", value=counts[ACCEPTED]
    )
    refusals = CounterMetricFamily(
        "gpubench_gateway_refusals", "Connections and requests refused, by reason.", labels=["reason"]
    )
    for reason in sorted({*_USUAL_REASONS, *counts} - {ACCEPTED, *FAULTS}):
        refusals.add_metric([reason], counts[reason])
    yield refusals
    faults = CounterMetricFamily(
        "gpubench_gateway_process_faults",
        "Processes of clients that crashed, failed with an exception, or were killed as taken over.",
        labels=["fault"],
    )
    for fault in FAULTS:
        faults.add_metric([fault], counts[fault])
    yield faults

"""Answers ``/metrics?name[]=...`` for a collector that describes no names beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import CollectorRegistry, RestrictedRegistry


class NamedFamilies(CollectorRegistry):
    """A registry that answers ``name[]`` by the names of families and of samples.

    The base class knows only names that a collector describes beforehand.
    """

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        return _Restricted(frozenset(names), self)


class _Restricted(RestrictedRegistry):
    def __init__(self, names: frozenset[str], registry: CollectorRegistry) -> None:
        super().__init__(names, registry)
        self._names = names
        self._whole = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._whole.collect():
            if family.name not in self._names:
                family.samples = [sample for sample in family.samples if sample.name in self._names]
            if family.samples:
                yield family

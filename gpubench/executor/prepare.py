"""Prepare a run: check what was asked for, plan its benchmarks and begin its document.

The server and the local client both use this module, so that a request is accepted or refused by both
alike and with the same error. Finding the device is left to the caller, because only it knows which
devices there are.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gpubench.benchmarks.plan import plan
from gpubench.catalog.lookup import find_technology
from gpubench.errors import CatalogError, InvalidParameters
from gpubench.executor.messages import Run
from gpubench.executor.recorder import Recorder
from gpubench.requests import BenchmarkRequest, PlannedBenchmark, RequestedRun, StatedMemory
from gpubench.results.machine import DeviceInfo
from gpubench.results.timestamps import now
from gpubench.validation import check_text, convert

_RUN_ID_BYTES = 8


@dataclass(frozen=True)
class PreparedRun:
    """A valid run that waits for its device; ``recorder`` holds its document from the start."""

    benchmarks: list[PlannedBenchmark]
    memory: StatedMemory | None
    recorder: Recorder

    @property
    def run_id(self) -> str:
        return self.recorder.document.run_id

    def on(self, device: DeviceInfo) -> Run:
        """The message that makes a worker process measure this run on ``device``."""
        return Run(device.id, self.benchmarks, self.memory, library=device.library)


def prepare_run(requested: RequestedRun) -> PreparedRun:
    """Check a request and plan it, under a new run id.

    Raises ``InvalidParameters``, ``UnknownBenchmark`` and ``CatalogError`` (a stated technology that is
    not in the catalogue); each names the field as ``path`` and says what is allowed.
    """
    # A request made in Python has not been checked yet: constructors of structs accept any type.
    try:
        plain = msgspec.to_builtins(requested)
    except TypeError as error:
        raise InvalidParameters(f"a parameter has no place in JSON: {error}", path="$.params") from None
    check_text(plain, "$.params")
    checked = convert(plain, type(requested), "$.params")
    benchmarks = plan(checked.benchmarks)
    if checked.memory is not None:
        _check_technology(checked.memory)
    recorder = Recorder(
        secrets.token_hex(_RUN_ID_BYTES),
        key=checked.key,
        created_at=now(),
        requested=[msgspec.to_builtins(each) for each in _uniform(checked)],
        labels=checked.labels,
    )
    return PreparedRun(benchmarks, checked.memory, recorder)


def plan_again(requested: Sequence[dict[str, Any]]) -> list[PlannedBenchmark]:
    """The benchmarks of a run document's ``requested``, as this program plans them.

    Raises ``InvalidParameters`` and ``UnknownBenchmark`` for what an older program knew.
    """
    asked = [convert(each, BenchmarkRequest, f"$.requested[{index}]") for index, each in enumerate(requested)]
    return plan(asked)


def canonical_request(requested: RequestedRun) -> str:
    """What is to be measured, and where, as text that is equal for a request and its retry.

    The deadline is left out, and so is what a subclass adds: a retry may wait longer.
    """
    what: tuple[object, ...] = (requested.device, _uniform(requested), requested.memory)
    if requested.labels:  # left out if empty, so that requests of earlier versions stay equal
        what = (*what, requested.labels)
    return msgspec.json.encode(what, order="deterministic").decode()


def _uniform(requested: RequestedRun) -> list[BenchmarkRequest]:
    """The benchmarks asked for, with a name alone written as a request without parameters."""
    return [BenchmarkRequest(each) if isinstance(each, str) else each for each in requested.benchmarks]


def _check_technology(memory: StatedMemory) -> None:
    try:
        find_technology(memory.technology)
    except CatalogError as unknown:
        raise CatalogError(unknown.message, path="$.params.memory.technology") from None

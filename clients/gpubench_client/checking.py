"""Measures for a check: attempts on each device until its verdict is decided, then all devices together."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gpubench.comparison.acceptance import CheckReport, Rules, judge
from gpubench.comparison.acceptance.figures import TOGETHER_KEY
from gpubench.devices.selection import choose, choose_all
from gpubench.errors import GpubenchError, RunError
from gpubench.executor.supervisor import StopRequest
from gpubench.protocol.messages import Accepted
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.document import RunDocument
from gpubench.results.machine import DeviceInfo
from gpubench.results.progress import Progress
from gpubench_client.backend import Backend, ignore


@dataclass(frozen=True)
class CheckRequest:
    """``device`` is an id or an alias; without it the only GPU, else the only device.

    With ``all_devices``: all GPUs, else all devices.
    """

    benchmarks: Sequence[BenchmarkRequest]
    device: str | None = None
    all_devices: bool = False
    memory: StatedMemory | None = None
    deadline_seconds: float | None = None


@dataclass
class Checker:
    """``open_backend`` opens a connection of its own for each device that is measured at the same time.

    ``keep`` gets every finished run. ``may_run`` is asked before each run alone, and may wait; devices that
    it refuses are in ``refused``. With ``all_devices``, those that cannot be opened are in ``unavailable``.
    """

    open_backend: Callable[[], Backend]
    request: CheckRequest
    rules: Rules
    keep: Callable[[RunDocument], None] = ignore
    may_run: Callable[[DeviceInfo], bool] = lambda device: True
    on_accepted: Callable[[Accepted], None] = ignore
    on_progress: Callable[[Progress], None] = ignore
    stop: StopRequest = field(default_factory=StopRequest)
    unavailable: list[DeviceInfo] = field(default_factory=list, init=False)
    refused: list[DeviceInfo] = field(default_factory=list, init=False)
    _opened: list[Backend] = field(default_factory=list, init=False)

    def measure(self) -> list[RunDocument]:
        """The documents of all runs. A run that failed has one too; what failed without one is raised."""
        documents: list[RunDocument] = []
        with self._open() as backend:
            devices = self._devices(backend)
            for _ in range(self.rules.attempts.total if self.rules.attempts else 1):
                for device in devices:
                    if self._is_due(device, documents):
                        documents.append(self._run(backend, device, None))
        if len(devices) > 1 and self.stop.reason is None and not self.refused:
            documents += self._together(devices)
        return documents

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """As that of a backend, for all that are open."""
        with contextlib.ExitStack() as stack:
            for backend in tuple(self._opened):
                stack.enter_context(backend.stopped())
            yield

    @contextlib.contextmanager
    def _open(self) -> Iterator[Backend]:
        with self.open_backend() as backend:
            self._opened.append(backend)
            try:
                yield backend
            finally:
                self._opened.remove(backend)

    def _devices(self, backend: Backend) -> list[DeviceInfo]:
        found = backend.devices()
        if self.request.all_devices:
            self.unavailable = [each for each in found.devices if each.unavailable]
            return choose_all(found.devices, found.runtimes)
        return [choose(found.devices, self.request.device, found.runtimes)]

    def _is_due(self, device: DeviceInfo, documents: Sequence[RunDocument]) -> bool:
        if self.stop.reason is not None or device in self.refused:
            return False
        measured = any(each.device is not None and each.device.id == device.id for each in documents)
        if measured and not is_undecided(judge(documents, self.rules), device.id):
            return False
        if self.may_run(device):
            return True
        self.refused.append(device)
        return False

    def _run(self, backend: Backend, device: DeviceInfo, key: str | None) -> RunDocument:
        document: RunDocument
        try:
            document = backend.run(
                self.request.benchmarks,
                device=device.id,
                key=key,
                memory=self.request.memory,
                deadline_seconds=self.request.deadline_seconds,
                on_accepted=self.on_accepted if key is None else ignore,
                on_progress=self.on_progress if key is None else ignore,
                stop=self.stop,
            )
        except RunError as error:
            if error.document is None:
                raise
            document = error.document
        self.keep(document)
        return document

    def _together(self, devices: Sequence[DeviceInfo]) -> list[RunDocument]:
        """One run on each device at the same time; each is an error of its own if it cannot begin."""
        documents: list[RunDocument] = []
        errors: list[GpubenchError] = []

        def measure(device: DeviceInfo) -> None:
            try:
                with self._open() as backend:
                    documents.append(self._run(backend, device, TOGETHER_KEY + secrets.token_hex(8)))
            except GpubenchError as error:
                errors.append(error)

        threads = [threading.Thread(target=measure, args=(device,)) for device in devices]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return documents


def is_undecided(report: CheckReport, device_id: str | None = None) -> bool:
    """Whether further attempts might still give a verdict, on one device or on any; a failed one has it."""
    return any(
        claim.code == "GB-UNDECIDED"
        for verdict in report.devices
        if device_id in (None, verdict.id) and verdict.status != "FAILED"
        for claim in verdict.claims
    )

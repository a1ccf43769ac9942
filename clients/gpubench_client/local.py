"""Benchmarks on this machine without a server: the same interface over a private worker process."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Self

import msgspec

from gpubench.benchmarks.description import Benchmarks, describe
from gpubench.benchmarks.plan import plan
from gpubench.catalog.lookup import find_technology
from gpubench.devices.runtimes import RUNTIMES
from gpubench.devices.selection import choose
from gpubench.errors import DeadlineExceeded, from_wire
from gpubench.executor.messages import Run
from gpubench.executor.probe import devices_of, probe, workers_for
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest, supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.protocol.messages import Accepted, Devices, RunParams
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress
from gpubench.results.timestamps import now
from gpubench.validation import convert
from gpubench_client.backend import ignore, requests

RuntimeChoice = Literal["auto", "cuda", "opencl"]


class LocalClient:
    """This machine's devices, each run in a worker process of its own that ends with it."""

    def __init__(self, runtime: RuntimeChoice = "auto") -> None:
        self._runtimes = list(RUNTIMES) if runtime == "auto" else [runtime]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """There is nothing to close; a server's client has something."""

    def devices(self) -> Devices:
        probed = probe(self._runtimes)
        return Devices(devices=probed.devices, runtimes=probed.runtimes)

    def benchmarks(self) -> Benchmarks:
        return describe()

    def run(
        self,
        benchmarks: str | Sequence[BenchmarkRequest | str],
        *,
        device: str | None = None,
        key: str | None = None,
        deadline_seconds: float | None = None,
        memory: StatedMemory | None = None,
        on_accepted: Callable[[Accepted], None] = ignore,
        on_progress: Callable[[Progress], None] = ignore,
        stop: StopRequest | None = None,
    ) -> RunDocument:
        """As ``Client.run``; ``key`` is kept in the document and does nothing more."""
        asked = RunParams(requests(benchmarks), device, key, deadline_seconds, memory=memory)
        # The same checks, and the same words, as a server has for them.
        convert(msgspec.to_builtins(asked), RunParams, "$.params")
        planned = plan(asked.benchmarks)
        if memory is not None:
            find_technology(memory.technology)
        recorder = Recorder(
            uuid.uuid4().hex,
            key=key,
            created_at=now(),
            requested=[msgspec.to_builtins(request) for request in asked.benchmarks],
        )
        with workers_for(self._runtimes) as workers:
            probed = devices_of(workers)
            chosen = choose(probed.devices, device, probed.runtimes)
            # Who found the device has loaded what it needs; the others would only be in the way.
            worker = workers.pop(chosen.runtime)
        with _ending(worker):
            stop = stop or StopRequest()
            if stop.reason is not None:
                raise stop.reason
            run_id = recorder.document.run_id
            on_accepted(Accepted(request_id=None, run_id=run_id, position=0, eta_seconds=0.0))
            with _deadline(deadline_seconds, stop):
                document = supervise(worker, Run(chosen.id, planned, memory), recorder, stop, on_progress)
        if document.error is not None:
            said = document.error
            raise from_wire(said.code, said.message, {"kind": said.kind, "document": document})
        return document


@contextlib.contextmanager
def _ending(worker: WorkerProcess) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        worker.release()  # who interrupts does not want to wait for the end of a driver's call
        raise
    except BaseException:
        worker.end()
        raise
    worker.end()


@contextlib.contextmanager
def _deadline(seconds: float | None, stop: StopRequest) -> Iterator[None]:
    if seconds is None:
        yield
        return
    reason = DeadlineExceeded(f"the run was not over within its deadline of {seconds:g} s")
    timer = threading.Timer(seconds, stop.set, (reason,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

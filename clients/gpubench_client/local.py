"""Benchmarks on this machine without a server: the same interface, over a worker process of its own."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Collection, Iterator
from typing import Literal, Self, Unpack

from gpubench.benchmarks.description import Benchmarks, describe
from gpubench.devices.runtimes import RUNTIMES
from gpubench.devices.selection import choose
from gpubench.errors import DeadlineExceeded, from_wire
from gpubench.executor.prepare import prepare_run
from gpubench.executor.probe import devices_of, probe, workers_for
from gpubench.executor.supervisor import StopRequest, supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.executor.worker_slot import WorkerSlot
from gpubench.library import RunDocument
from gpubench.protocol.messages import Accepted, Devices
from gpubench_client.backend import BenchmarkNames, RunOptions, split_options

RuntimeChoice = Literal["auto", "cuda", "opencl"]


class LocalClient:
    """This machine's devices, each run in a worker process of its own that ends with it."""

    def __init__(self, runtime: RuntimeChoice = "auto") -> None:
        self._runtimes = list(RUNTIMES) if runtime == "auto" else [runtime]
        self._workers: Collection[WorkerProcess] = ()
        self._slot: WorkerSlot | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing to close; ``Backend`` has it for ``Client``."""

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stops the workers of a run while inside: they have no terminal whose ^Z would stop them."""
        replacing = self._slot.worker if self._slot else None
        workers = {*self._workers, *([replacing] if replacing else [])}
        for worker in workers:
            worker.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for worker in workers:
                worker.signal(signal.SIGCONT)

    def devices(self) -> Devices:
        probed = probe(self._runtimes)
        return Devices(devices=probed.devices, runtimes=probed.runtimes)

    def benchmarks(self) -> Benchmarks:
        return describe()

    def run(self, benchmarks: BenchmarkNames, **options: Unpack[RunOptions]) -> RunDocument:
        """As ``Client.run``; ``key`` is kept in the document and has no other effect."""
        started_at = time.monotonic()
        asked, callbacks = split_options(benchmarks, options)
        prepared = prepare_run(asked)
        with workers_for(self._runtimes) as workers:
            self._workers = tuple(workers.values())
            probed = devices_of(workers)
            chosen = choose(probed.devices, asked.device, probed.runtimes)
            # The worker that found the device has loaded its runtime already; the others end here. If another
            # driver ended that worker, a new one loads the device's driver alone.
            self._slot = slot = WorkerSlot(workers.pop(chosen.runtime, None), chosen.id)
        with _ending(slot):
            stop = callbacks.stop or StopRequest()
            callbacks.on_accepted(
                Accepted(request_id=None, run_id=prepared.run_id, position=0, eta_seconds=0.0)
            )
            with _deadline(asked.deadline_seconds, time.monotonic() - started_at, stop):
                run = prepared.on(chosen)
                document = supervise(
                    slot.worker_for(chosen.id),
                    run,
                    prepared.recorder,
                    stop,
                    callbacks.on_progress,
                    replace=slot.replace,
                )
        if document.error is not None:
            error = document.error
            data = {"kind": error.kind, "retryable": error.retryable, "document": RunDocument.of(document)}
            raise from_wire(error.code, error.message, data)
        return RunDocument.of(document)


@contextlib.contextmanager
def _ending(slot: WorkerSlot) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        slot.release()  # a user who interrupts does not want to wait until a driver's call returns
        raise
    except BaseException:
        slot.end()
        raise
    slot.end()


@contextlib.contextmanager
def _deadline(seconds: float | None, passed_seconds: float, stop: StopRequest) -> Iterator[None]:
    if seconds is None:
        yield
        return
    reason = DeadlineExceeded(f"the run was not finished within its deadline of {seconds:g} s")
    timer = threading.Timer(max(0.0, seconds - passed_seconds), stop.set, (reason,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

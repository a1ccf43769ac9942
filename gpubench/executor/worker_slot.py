"""The place of the one worker process that has a device open."""

from __future__ import annotations

from gpubench.devices.process_limits import limit_reached
from gpubench.executor.worker_process import WorkerProcess


class WorkerSlot:
    """Holds a worker process, starts it when it is needed, and replaces a lost one.

    ``worker`` is one that was started for ``device`` already. ``worker_for`` and ``replace`` raise
    ``LimitReached`` if a limit of the system forbids a new process.
    """

    def __init__(self, worker: WorkerProcess | None = None, device: str | None = None) -> None:
        self._worker = worker
        self._device = device

    @property
    def worker(self) -> WorkerProcess | None:
        return self._worker

    def worker_for(self, device: str) -> WorkerProcess:
        """The worker that has this device open; another, or one that is gone, is ended first."""
        if self._worker is None or self._device != device or not self._worker.alive:
            return self._start(device, empty_cache=False)
        return self._worker

    def replace(self, *, empty_cache: bool) -> WorkerProcess:
        """A new worker for the same device, if wanted with an empty cache of compiled kernels."""
        return self._start(self._device, empty_cache=empty_cache)

    def release(self) -> None:
        """Let the worker end without waiting for it."""
        if self._worker is not None:
            self._worker.release()

    def end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    def _start(self, device: str | None, *, empty_cache: bool) -> WorkerProcess:
        self.end()
        try:
            self._worker = WorkerProcess(empty_cache=empty_cache)
        except OSError as error:
            raise limit_reached(error) or error from None
        self._device = device
        return self._worker

"""Runs: in a worker process that owns one device, and the supervisor that its owner has for it.

What measures needs numpy and is not loaded here: ``run_executor`` runs one run's benchmarks, ``in_process``
without a worker process, ``worker_main`` within one.
"""

from gpubench.executor.messages import Run
from gpubench.executor.probe import devices_of, probe, workers_for
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest, supervise
from gpubench.executor.worker_process import WorkerProcess
from gpubench.executor.worker_slot import WorkerSlot

__all__ = [
    "Recorder",
    "Run",
    "StopRequest",
    "WorkerProcess",
    "WorkerSlot",
    "devices_of",
    "probe",
    "supervise",
    "workers_for",
]

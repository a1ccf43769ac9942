from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpubench.executor.probe import probe
from gpubench.executor.worker_process import WorkerProcess


@pytest.fixture(scope="module")
def device_id() -> str:
    return probe(["opencl"]).devices[0].id


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    started = WorkerProcess()
    yield started
    started.end()

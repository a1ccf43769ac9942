from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpubench.worker.handle import Worker, probe


@pytest.fixture(scope="module")
def device_id() -> str:
    return probe(["opencl"]).devices[0].id


@pytest.fixture
def worker() -> Iterator[Worker]:
    started = Worker()
    yield started
    started.end()

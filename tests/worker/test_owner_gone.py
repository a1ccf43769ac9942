"""A worker never outlives its owner, however the owner went."""

from __future__ import annotations

import select

import pytest

from gpubench.worker.handle import Worker
from gpubench.worker.messages import Probe

PATIENCE_SECONDS = 30.0


@pytest.mark.parametrize("unread", [False, True])
def test_a_worker_ends_with_its_owner(unread: bool) -> None:
    worker = Worker()
    worker.send(Probe(runtimes=["opencl"]))
    # An owner that closes over unread words resets the connection: an error, and no end of file.
    assert select.select([worker._socket], [], [], PATIENCE_SECONDS)[0]
    if not unread:
        assert worker.receive(PATIENCE_SECONDS) is not None
    worker.release()
    assert worker._process.wait(PATIENCE_SECONDS) == 0

"""Nodes of the host's memory: as systems report them, and on this one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gpubench.devices import numa


@pytest.fixture
def two_sockets(tmp_path: Path) -> Path:
    """Node 2 is the GPU's own memory, as a GH200 shows it, and node 3 has no memory."""
    nodes = tmp_path / "devices/system/node"
    for node, processors in enumerate(("0-3,8-11", "4-7", "", "12")):
        (nodes / f"node{node}").mkdir(parents=True)
        (nodes / f"node{node}/cpulist").write_text(f"{processors}\n")
    (nodes / "has_memory").write_text("0-2\n")
    return tmp_path


def test_nodes_have_memory_and_processors(two_sockets: Path) -> None:
    assert numa.nodes(two_sockets) == {
        0: frozenset({0, 1, 2, 3, 8, 9, 10, 11}),
        1: frozenset({4, 5, 6, 7}),
    }
    assert numa.nodes(two_sockets / "nothing") == {}


def test_memory_and_thread_are_on_the_node_and_all_is_as_before() -> None:
    """On this system's own first node, which may be its only one."""
    node = next(iter(numa.nodes()), None)
    if node is None:
        pytest.skip("this system reports no nodes")
    before = os.sched_getaffinity(0), numa._policy()
    with numa.placed_on(node):
        assert os.sched_getaffinity(0) <= numa.nodes()[node]
        memory = np.zeros(1 << 20, np.uint8)
        memory[:: numa.PAGE_BYTES] = 1
        assert numa.node_of_memory(memory.ctypes.data) in (node, None)  # containers may forbid to ask
    assert (os.sched_getaffinity(0), numa._policy()) == before
    with numa.placed_on(None):
        assert os.sched_getaffinity(0) == before[0]


def test_processors_that_may_not_be_used_are_no_error(two_sockets: Path) -> None:
    """Of a node outside the control group, or beyond the machine."""
    (two_sockets / "devices/system/node/node0/cpulist").write_text("4000-4001\n")
    before = os.sched_getaffinity(0)
    with numa.placed_on(0, two_sockets):
        assert os.sched_getaffinity(0) == before


def test_the_thread_runs_on_the_nodes_processors(two_sockets: Path) -> None:
    """Of which this machine has one at least."""
    before = os.sched_getaffinity(0)
    one = min(before)
    (two_sockets / "devices/system/node/node0/cpulist").write_text(f"{one}\n")
    with numa.placed_on(0, two_sockets):
        assert os.sched_getaffinity(0) == {one}
    assert os.sched_getaffinity(0) == before

"""Nodes of the host's memory (NUMA), and work that uses the memory of one.

A system with two sockets has two nodes. A transfer between a GPU and the memory of the other node crosses
the link between the sockets: 3.8 instead of 12.1 GB/s was reported
(https://github.com/mpicbg-scicomp/gearshifft/pull/82).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

from gpubench.devices import host

SYSTEM = Path("/sys")
PAGE_BYTES = 4096

_SET_POLICY, _GET_POLICY = {"x86_64": (238, 239), "aarch64": (237, 236)}.get(platform.machine(), (None, None))
"""Numbers of the system calls set_mempolicy and get_mempolicy, for which the C library has no functions."""

_PREFERRED, _NODE_OF_ADDRESS = 1, 3
_MAX_NODES = 1024


def nodes(system: Path = SYSTEM) -> Mapping[int, frozenset[int]]:
    """The processors of each node with memory; one without processors is a GPU's own memory."""
    folder = system / "devices/system/node"
    try:
        with_memory = sorted(_numbers(folder / "has_memory"))
        found = {node: _numbers(folder / f"node{node}/cpulist") for node in with_memory}
    except OSError:
        return {}
    return {node: processors for node, processors in found.items() if processors}


def run_on(node: int, system: Path = SYSTEM) -> None:
    """Let this thread run on a node's processors, if it may use any of them."""
    with contextlib.suppress(OSError, KeyError):
        os.sched_setaffinity(0, nodes(system)[node])


@contextlib.contextmanager
def placed_on(node: int | None, system: Path = SYSTEM) -> Iterator[None]:
    """Memory that is allocated and first written inside is on this node, if the system allows it.

    By a policy, and by running on that node's processors: containers often forbid the policy. Both are as
    before at the end. Nothing is done for None.
    """
    if node is None:
        yield
        return
    before, policy = os.sched_getaffinity(0), _policy()
    run_on(node, system)
    _set_policy(_PREFERRED, 1 << node)
    try:
        yield
    finally:
        _set_policy(*policy)
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


def node_of_memory(address: int) -> int | None:
    """The node of the page at an address that was written; null if the system does not report it."""
    node = ctypes.c_int(-1)
    failed = _call(_GET_POLICY, ctypes.byref(node), None, 0, ctypes.c_void_p(address), _NODE_OF_ADDRESS)
    return None if failed or node.value < 0 else node.value


def _policy() -> tuple[int, int]:
    """Of this thread, and its nodes as bits; 0 is the system's default."""
    mode, mask = ctypes.c_int(), (ctypes.c_ulong * (_MAX_NODES // 64))()
    if _call(_GET_POLICY, ctypes.byref(mode), mask, _MAX_NODES, None, 0):
        return 0, 0
    return mode.value, sum(word << 64 * k for k, word in enumerate(mask))


def _set_policy(mode: int, bits: int) -> None:
    mask = (ctypes.c_ulong * (_MAX_NODES // 64))(
        *(bits >> 64 * k & (1 << 64) - 1 for k in range(_MAX_NODES // 64))
    )
    _call(_SET_POLICY, mode, mask if bits else None, _MAX_NODES if bits else 0)


def _call(number: int | None, *arguments: object) -> bool:
    """Whether a system call failed, or is not known on this processor."""
    return number is None or ctypes.CDLL(None).syscall(ctypes.c_long(number), *arguments) != 0


def _numbers(path: Path) -> frozenset[int]:
    return frozenset(host.numbers(path.read_text("ascii", "replace").strip()) or ())

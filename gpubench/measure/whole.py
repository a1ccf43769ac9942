"""Nearly all memory of a device, for what looks at all of it: as much as there is, touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpubench.devices.base import Allocation
from gpubench.measure.workbench import Workbench

MEMORY_SHARE_RATIO = {"cpu": 0.25, "gpu": 0.9, "accelerator": 0.9}
"""Of free memory, where nobody asks for another share: a processor's belongs to other programs too."""

ENOUGH_BYTES = 2 << 30
"""Of a processor's memory, where nobody asks for a share: first touched it comes at 0.5 GB/s on virtual
machines, and a server's would take minutes. More where its caches need more to be kept out."""


def wanted_bytes(bench: Workbench, parameters: dict[str, Any]) -> int:
    """The footprint or the share asked for, else ``MEMORY_SHARE_RATIO`` of what is free.

    Free is what was so before the run and still is. On a processor ``ENOUGH_BYTES`` is the most.
    """
    if parameters["footprint_bytes"]:
        return int(parameters["footprint_bytes"])
    asked = parameters["memory_share_ratio"]
    share = asked or MEMORY_SHARE_RATIO[bench.device.info.kind]
    free = int(min(bench.free_bytes, bench.device.free_bytes() + bench.arena.nbytes) * share)
    enough = max(ENOUGH_BYTES, bench.footprint_bytes(None))
    return min(free, enough) if bench.on_processor and not asked else free


@contextmanager
def taken(bench: Workbench, nbytes: int, step_bytes: int) -> Iterator[list[Allocation]]:
    """Up to ``nbytes`` in allocations of a step or more, every byte of it written once.

    Raises ``OutOfDeviceMemory`` where there is not one step. Afterwards a processor's stay with the
    arena, for the next benchmark that looks at all memory; a GPU's are free for others.
    """
    try:
        yield bench.arena.take(nbytes, step_bytes)
    finally:
        if not bench.on_processor:
            bench.arena.release()

"""Whether a device can hold its commands until the host lets them begin.

A batch is enqueued behind an event that the host completes. Some devices run commands in the thread that
calls them, such as PoCL's ``basic`` one: that thread then waits for an event that only it could complete,
in a call that nothing ends. So this is tried in a process of its own, with a time limit, when a device is
opened; a device that can is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import subprocess
import sys

from gpubench.atomic_files import write_file
from gpubench.devices import cache_folder
from gpubench.results.machine import DeviceInfo

START_SECONDS = 60.0
"""For the process to load the driver and to compile a kernel."""

HOLD_SECONDS = 5.0
"""For one launch of an almost empty kernel."""

_READY, _DONE = b"ready\n", b"done\n"
_KERNEL = "kernel void tell(global uint *out) { out[get_global_id(0)] = 1; }"


def can_hold(info: DeviceInfo, own_name: str) -> bool:
    """Whether the device ran a launch that waited for the host; ``own_name`` is its driver's name for it."""
    driver = "\0".join((info.id, own_name, str(info.driver), str(info.runtime_version)))
    known = cache_folder.root() / "holds" / hashlib.sha256(driver.encode()).hexdigest()
    with contextlib.suppress(OSError):
        if known.read_bytes() == _DONE:
            return True
    if not _succeeds(info):
        return False
    with contextlib.suppress(OSError):  # it will be tried again
        known.parent.mkdir(parents=True, exist_ok=True)
        write_file(known, _DONE)
    return True


def _succeeds(info: DeviceInfo) -> bool:
    command = [sys.executable, "-P", "-m", __name__, info.id, info.library or ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as trial:  # noqa: S603
        try:
            return _says(trial, _READY, START_SECONDS) and _says(trial, _DONE, HOLD_SECONDS)
        finally:
            trial.kill()


def _says(trial: subprocess.Popen[bytes], line: bytes, seconds: float) -> bool:
    assert trial.stdout is not None  # noqa: S101
    return bool(select.select([trial.stdout], [], [], seconds)[0]) and trial.stdout.readline() == line


def main(device_id: str, library: str) -> None:
    import pyopencl as cl

    from gpubench.devices.opencl.info import find

    found = find([library] if library else None)
    device = next(device for device, info in found.devices if info.id == device_id)
    context = cl.Context([device])
    queue = cl.CommandQueue(context)
    buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4096)
    kernel = cl.Kernel(cl.Program(context, _KERNEL).build(), "tell")
    kernel.set_args(buffer)
    cl.enqueue_nd_range_kernel(queue, kernel, (1,), (1,)).wait()
    _say(_READY)
    held = cl.UserEvent(context)
    cl.enqueue_barrier(queue, wait_for=[held])
    launched = cl.enqueue_nd_range_kernel(queue, kernel, (1,), (1,))
    queue.flush()
    held.set_status(cl.command_execution_status.COMPLETE)
    launched.wait()
    _say(_DONE)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

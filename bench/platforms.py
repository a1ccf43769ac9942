"""Every OpenCL driver of this machine beside the others: which benchmarks each of them can run.

Intel's runtime comes from a virtual environment of its own, made by `make platforms` from PyPI; rusticl from
the system, where Debian's Mesa has it. Each benchmark runs over little memory and for a short time: what it
shows is whether kernels compile, run and compute the right data. Its figures are not the memory's.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

from gpubench_client.local import LocalClient

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.errors import GpubenchError
from gpubench.report.device_tables import driver_name
from gpubench.results.machine import DeviceInfo

FOOTPRINT_BYTES = 64 << 20
TIME_LIMIT_SECONDS = 0.1
REASON_LENGTH = 120


def add_drivers(environment: Path) -> None:
    """Name Intel's library to whatever looks for drivers, and let rusticl use the processor."""
    found = sorted(environment.glob("lib/libintelocl.so"))
    before = os.environ.get("OCL_ICD_FILENAMES")
    os.environ["OCL_ICD_FILENAMES"] = os.pathsep.join(filter(None, (before, *map(str, found))))
    os.environ.setdefault("RUSTICL_ENABLE", "llvmpipe")


def outcome(device: DeviceInfo, benchmark: str) -> tuple[str, str]:
    """The worst status of a benchmark's points, and the reason for it."""
    given = {"footprint_bytes": FOOTPRINT_BYTES, "time_limit_seconds": TIME_LIMIT_SECONDS}
    if benchmark == "sustained":
        given["duration_seconds"] = 1
    try:
        LocalClient("opencl").run([{"name": benchmark, "parameters": given}], device=device.id)
    except GpubenchError as error:
        statuses = {each.status for each in error.document.measurements} if error.document else set()
        return "skipped" if statuses == {"skipped"} else "failed", error.message
    return "ok", ""


def main() -> int:
    add_drivers(Path(sys.argv[1]))
    answer = LocalClient("opencl").devices()
    failed = 0
    print("| driver | device | ok | not measured |\n| :-- | :-- | --: | :-- |")
    for device in answer.devices:
        counts: Counter[str] = Counter()
        reasons = []
        for benchmark in BENCHMARKS:
            status, reason = (
                ("skipped", device.unavailable) if device.unavailable else outcome(device, benchmark)
            )
            counts[status] += 1
            if status != "ok":
                reasons.append(f"{benchmark} {status}: {(reason or '').splitlines()[0][:REASON_LENGTH]}")
        failed += counts["failed"]
        row = (driver_name(device), device.id, f"{counts['ok']} of {len(BENCHMARKS)}", "<br>".join(reasons))
        print(f"| {' | '.join(row)} |", flush=True)
    for runtime in answer.runtimes:
        for driver in runtime.drivers:
            if driver.reason:
                print(f"\n{driver.source}: {driver.state}: {driver.reason}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every OpenCL driver of this machine beside the others: which benchmarks each of them can run.

Intel's runtime comes from a virtual environment of its own, made by `make platforms` from PyPI; rusticl from
the system, where Debian's Mesa has it. Each benchmark runs over little memory and for a short time: what it
shows is whether kernels compile, run and compute the right data. Its figures are not the memory's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gpubench_client.local import LocalClient
from record import keep

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.errors import GpubenchError, Unsupported
from gpubench.results.machine import DeviceInfo

FOOTPRINT_BYTES = 64 << 20
TIME_LIMIT_SECONDS = 0.1
REASON_LENGTH = 120
COLUMNS = ("driver", "device", "ok", "not measured")


def add_drivers(environment: Path) -> None:
    """Name Intel's library to whatever looks for drivers, and let rusticl use the processor."""
    found = sorted(environment.glob("lib/libintelocl.so"))
    before = os.environ.get("OCL_ICD_FILENAMES")
    os.environ["OCL_ICD_FILENAMES"] = os.pathsep.join(filter(None, (before, *map(str, found))))
    os.environ.setdefault("RUSTICL_ENABLE", "llvmpipe")


def outcome(device: DeviceInfo, benchmark: str) -> tuple[str, str]:
    """Of one benchmark: ok, skipped, refused (for the device's clock) or failed; and why."""
    if device.unavailable:
        return "refused", device.unavailable
    given: dict[str, float] = {"footprint_bytes": FOOTPRINT_BYTES, "time_limit_seconds": TIME_LIMIT_SECONDS}
    if benchmark == "sustained":
        given["duration_seconds"] = 1
    try:
        LocalClient("opencl").run([{"name": benchmark, "parameters": given}], device=device.id)
    except Unsupported as error:
        return "skipped", error.message
    except GpubenchError as error:
        message = error.message.removeprefix(f"{benchmark} failed: ")
        return ("refused" if "clock does not keep time" in message else "failed"), message
    return "ok", ""


def row(device: DeviceInfo) -> tuple[tuple[str, ...], bool]:
    """A row of the table, and whether anything failed."""
    outcomes: dict[tuple[str, str], list[str]] = {}
    for benchmark in BENCHMARKS:
        status, reason = outcome(device, benchmark)
        # Numbers differ from one to the next.
        outcomes.setdefault((status, reason.partition(":")[0][:REASON_LENGTH]), []).append(benchmark)
    ok = len(outcomes.pop(("ok", ""), []))
    reasons = [
        f"{'all' if len(names) == len(BENCHMARKS) else ', '.join(names)} {status}: {reason}"
        for (status, reason), names in outcomes.items()
    ]
    cells = (device.driver_name, device.id, f"{ok} of {len(BENCHMARKS)}", "; ".join(reasons))
    return cells, any(status == "failed" for status, _ in outcomes)


def main() -> int:
    add_drivers(Path(sys.argv[1]))
    answer = LocalClient("opencl").devices()
    failed = False
    rows = []
    print(f"| {' | '.join(COLUMNS)} |\n| :-- | :-- | --: | :-- |")
    for device in answer.devices:
        cells, has_failed = row(device)
        failed = failed or has_failed
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
        print(f"| {' | '.join(cells)} |", flush=True)
    not_ready = [driver for runtime in answer.runtimes for driver in runtime.drivers if driver.reason]
    reasons = [f"{driver.source}: {driver.state}: {driver.reason}" for driver in not_ready]
    for reason in reasons:
        print(f"\n{reason}")
    keep("platforms", "benchmarks that ran and were verified", rows, not_ready=reasons)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

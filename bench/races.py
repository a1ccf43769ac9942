"""``make races``: every benchmark's kernels on a simulated GPU that reports data races and stray accesses.

Oclgrind interprets each item of a group by itself and remembers who touched which word since the last
barrier, so it finds what a processor, which runs items one after another, never shows. Ends with 1 if it
finds anything, or if a result is not verified. ``transfer`` has no kernels of its own, and those that tell of
wrong elements are not run. Arguments: these benchmarks alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import in_process
import pyopencl as cl

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.devices.opencl.runtime import OpenClDevice, OpenClRuntime
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import Measurement

LIBRARY = Path("/usr/lib/oclgrind/liboclgrind-rt-icd.so")
MIB = 1 << 20
SMALL = {"footprint_bytes": MIB, "time_limit_seconds": 0.01}
LIMIT_SECONDS = 900
SIMULATED = "--simulated"
ASKED: dict[str, list[dict[str, Any]]] = {
    "copy": [{}, {"dtype": "float"}],
    "scale": [{}],
    "add": [{}],
    "triad": [{}, {"order": "tile", "groups": 4, "streaming_stores": True}],
    "dot": [{}, {"dtype": "float"}],
    "read": [{}, {"order": "tile"}],
    "write": [{}],
    "mix": [{}],
    "pattern": [{}],
    "strided": [{}],
    "gather": [{}],
    "scatter": [{}],
    "update": [{}],
    "occupancy": [{}],
    "launch": [{}],
    "map": [{}],
    "integrity": [{"passes": 1, "pause_seconds": 0.0}],
    "sustained": [{"duration_seconds": 2.0}],
    "latency": [{}],
    "loaded_latency": [{"footprint_bytes": 4 * MIB}],
    "cache_sweep": [{}],
}
"""What of each benchmark is run, beside ``SMALL``."""


def main(names: list[str]) -> int:
    if not LIBRARY.exists():
        print("races: Oclgrind is not installed: apt install oclgrind", file=sys.stderr)
        return 2
    if missing := BENCHMARKS.keys() - ASKED.keys() - {"transfer"} | set(names) - ASKED.keys():
        print(f"races: nothing is known here of {', '.join(sorted(missing))}", file=sys.stderr)
        return 2
    work = [(name, SMALL | parameters) for name in names or ASKED for parameters in ASKED[name]]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        clean = list(pool.map(is_clean, work))
    return 0 if all(clean) else 1


def is_clean(asked: tuple[str, dict[str, Any]]) -> bool:
    """In a process of its own: Oclgrind reads its environment once, and writes to standard error."""
    name, parameters = asked
    with tempfile.TemporaryDirectory(prefix="gpubench-races-") as scratch:
        Path(scratch, "oclgrind.icd").write_text(f"{LIBRARY}\n")
        told = {
            "OCL_ICD_VENDORS": f"{scratch}/",
            "OCLGRIND_DATA_RACES": "1",
            "OCLGRIND_MAX_ERRORS": "5",
            "OCLGRIND_COMPUTE_UNITS": "4",  # loaded_latency needs two
            "OCLGRIND_NUM_THREADS": "4",
        }
        command = [sys.executable, __file__, SIMULATED, name, json.dumps(parameters)]
        try:
            done = subprocess.run(
                command,
                env=os.environ | told,
                capture_output=True,
                text=True,
                check=False,
                timeout=LIMIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            print("BAD", name, parameters, f"not done in {LIMIT_SECONDS} s", flush=True)
            return False
    clean = done.returncode == 0 and not done.stderr.strip()
    print("clean" if clean else "BAD", name, parameters, done.stdout.strip(), flush=True)
    if not clean:
        print(done.stderr, file=sys.stderr, flush=True)
    return clean


class Simulated(OpenClDevice):
    """Oclgrind 21.10 waits for itself for ever where three launches are held back."""

    def _can_hold(self, operations: object) -> bool:
        return False


def measure(name: str, parameters: dict[str, Any]) -> int:
    """On the simulator; how many measurements there are, and what is wrong, goes to standard output."""
    [simulator] = [each for each in cl.get_platforms() if each.name == "Oclgrind"]
    [info] = [info for info in OpenClRuntime().devices() if info.id.startswith("opencl:oclgrind:")]
    device = Simulated(simulator.get_devices()[0], info)
    done = in_process.run(device, [BenchmarkRequest(name, parameters)])
    wrong = [f"{m.status}: {m.reason}" for m in done.measurements if m.status != "ok" and not is_cut(m)]
    print(len(done.measurements), "measurements", *wrong)
    return 1 if wrong or not done.measurements else 0


def is_cut(measurement: Measurement) -> bool:
    """Simulated groups do not take turns fairly: readers may end before the walk, which is found."""
    return measurement.benchmark == "loaded_latency" and "ends of readers" in (measurement.reason or "")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(measure(arguments[1], json.loads(arguments[2])) if SIMULATED in arguments else main(arguments))

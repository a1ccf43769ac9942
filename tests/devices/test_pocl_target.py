"""A processor that PoCL's compiler has never heard of runs kernels all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpubench.devices.pocl_target import level_of

V2 = {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}
V3 = V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

_UNKNOWN = """
import pyopencl as cl
from gpubench.devices import pocl_target

cl.get_platforms()
library = pocl_target._loaded_library()
pocl_target.answer_with(library, "generic")
assert pocl_target.target(library) == "generic"
"""
"""As on a processor that is newer than the compiler."""

_TRIPLES = """
import numpy as np

device = cl.get_platforms()[0].get_devices()[0]
context = cl.Context([device])
text = "kernel void triple(global ulong8 *words) { words[get_global_id(0)] *= 3; }"
kernel = cl.Kernel(cl.Program(context, text).build(), "triple")
words = np.arange(512, dtype=np.uint64)
buffer = cl.Buffer(context, cl.mem_flags.COPY_HOST_PTR, hostbuf=words)
with cl.CommandQueue(context) as queue:
    kernel(queue, (64,), (4,), buffer)
    cl.enqueue_copy(queue, words, buffer)
print("tripled" if (words == 3 * np.arange(512)).all() else "wrong")
"""

_THROUGH_US = """
from gpubench.devices.opencl import OpenClRuntime

[info] = [info for info in OpenClRuntime().devices() if info.id == "opencl:pocl:0"]
print(info.unavailable)
"""


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        (V4, "x86-64-v4"),
        (V4 - {"avx512vl"}, "x86-64-v3"),
        (V3, "x86-64-v3"),
        (V4 - {"movbe"}, "x86-64-v2"),
        (V2, "x86-64-v2"),
        (V3 - {"ssse3"}, "x86-64"),
        (set(), "x86-64"),
    ],
)
def test_a_level_needs_all_of_itself_and_of_those_below(flags: set[str], level: str) -> None:
    assert level_of(flags) == level


def test_a_processor_without_a_name_runs_kernels(tmp_path: Path) -> None:
    assert "unknown target CPU 'generic'" in _said(_UNKNOWN + _TRIPLES, tmp_path / "before", ok=False)
    assert _said(_UNKNOWN + _THROUGH_US + _TRIPLES, tmp_path / "after") == "None\ntripled\n"


def test_where_no_code_may_be_written_the_device_says_so(tmp_path: Path) -> None:
    refused = """
def refuse(*_):
    raise OSError(13, "Permission denied")

pocl_target.answer_with = refuse
"""
    said = _said(_UNKNOWN + refused + _THROUGH_US, tmp_path)
    assert "does not know this processor" in said
    assert "Permission denied" in said
    assert "install a newer PoCL" in said


def _said(program: str, cache: Path, *, ok: bool = True) -> str:
    """In a process of its own: what PoCL was told stays until the process ends."""
    cache.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"POCL_CACHE_DIR": str(cache), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode == 0) is ok, done.stderr
    return done.stdout if ok else done.stderr

"""A processor that PoCL's compiler has never heard of runs kernels all the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gpubench.devices import host
from gpubench.devices.opencl.workarounds import nearest_known

SSSE3 = {"ssse3", "cx16"}
AVX = SSSE3 | {"sse4_1", "avx", "popcnt"}
AVX2 = AVX | {"f16c", "avx2", "abm", "fma", "bmi1", "bmi2"}

_UNKNOWN = """
import pyopencl as cl
from gpubench.devices.opencl import workarounds

cl.get_platforms()
[library] = workarounds.loaded_libraries()
workarounds.answer_with(library, "generic")
assert workarounds.target(library) == "generic"
"""
"""As on a processor that is newer than the compiler."""

_MULTIPLIED = """
import numpy as np

device = cl.get_platforms()[0].get_devices()[0]
context = cl.Context([device])
text = "kernel void multiply(global double8 *x) { int i = get_global_id(0); x[i] = fma(x[i], x[i], x[i]); }"
kernel = cl.Kernel(cl.Program(context, text).build(), "multiply")
numbers = np.arange(512, dtype=np.float64)
buffer = cl.Buffer(context, cl.mem_flags.COPY_HOST_PTR, hostbuf=numbers)
with cl.CommandQueue(context) as queue:
    kernel(queue, (64,), (4,), buffer)
    cl.enqueue_copy(queue, numbers, buffer)
print("right" if (numbers == np.arange(512) * np.arange(1, 513)).all() else "wrong")
"""
"""With a built-in function that takes whole vectors: of another processor's, they would not arrive."""

_THROUGH_US = """
from gpubench.devices.opencl.runtime import OpenClRuntime

[info] = [info for info in OpenClRuntime().devices() if info.id == "opencl:pocl:0"]
print(info.unavailable, workarounds.target(library))
"""

_WRITABLE_CODE = """
print([line for line in open("/proc/self/maps") if "libpocl" in line and "wx" in line])
"""


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (AVX2 | {"avx512f", "avx512vl"}, "skylake-avx512"),
        (AVX2, "haswell"),
        (AVX2 - {"fma"}, "ivybridge"),
        (AVX | {"xop", "fma4", "f16c"}, "bdver1"),
        (AVX, "sandybridge"),
        (SSSE3 | {"sse4_1"}, "penryn"),
        (SSSE3, "core2"),
        (AVX - {"cx16"}, "x86-64"),
        (set(), "x86-64"),
    ],
)
def test_the_last_that_fits_is_taken(flags: set[str], name: str) -> None:
    assert nearest_known(flags) == name


def test_a_processor_without_a_name_runs_kernels(tmp_path: Path) -> None:
    assert "unknown target CPU 'generic'" in _said(_UNKNOWN + _MULTIPLIED, tmp_path / "before", ok=False)
    name = nearest_known(host.processor_flags())
    assert name != "x86-64"
    said = _said(_UNKNOWN + _THROUGH_US + _MULTIPLIED + _WRITABLE_CODE, tmp_path / "after")
    assert said == f"None {name}\nright\n[]\n"


_BOTH = """
import ctypes, sys
from gpubench.devices.opencl import workarounds
from gpubench.devices.opencl.runtime import OpenClRuntime

for path in sys.argv[1:]:  # before anyone asks for platforms
    workarounds.answer_with(ctypes.CDLL(path), "generic")
runtime = OpenClRuntime()
for info in runtime.devices():
    runtime.open(info.id).compile("kernel void nothing(global int *x) { x[0] = 0; }")
    print(info.id, info.alias)
"""


def test_of_two_pocls_both_are_told(tmp_path: Path) -> None:
    """The loader sorts two platforms by their devices, and asks for these, where it is not told otherwise."""
    installed = Path(find_spec("pyopencl").origin).parent / ".libs"  # type: ignore[union-attr,arg-type]
    [first] = installed.glob("libpocl-*.so")
    second = tmp_path / "pyopencl" / ".libs" / "libpocl-second.so"
    second.parent.mkdir(parents=True)
    shutil.copy(first, second)
    # Where PoCL looks for the rest of itself.
    (tmp_path / "pocl_binary_distribution").symlink_to(installed.parents[1] / "pocl_binary_distribution")
    (tmp_path / "second.icd").write_text(f"{second}\n")
    said = _said(_BOTH, tmp_path / "cache", str(first), str(second), OCL_ICD_VENDORS=f"{tmp_path}/")
    assert said == "opencl:second-system:0 opencl-cpu0\nopencl:pocl:0 opencl-cpu0\n"


def test_a_processor_with_a_name_keeps_it(tmp_path: Path) -> None:
    known = _UNKNOWN.replace("generic", "nehalem")
    assert _said(known + _THROUGH_US, tmp_path) == "None nehalem\n"


def test_where_no_code_may_be_written_the_device_says_so(tmp_path: Path) -> None:
    refused = """
def refuse(*_):
    raise OSError(13, "Permission denied")

workarounds.answer_with = refuse
"""
    said = _said(_UNKNOWN + refused + _THROUGH_US, tmp_path)
    assert "does not know this processor" in said
    assert "Permission denied" in said
    assert "install a newer PoCL" in said


def _said(program: str, cache: Path, *arguments: str, ok: bool = True, **environment: str) -> str:
    """In a process of its own: what PoCL was told stays until the process ends."""
    cache.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={
            "POCL_CACHE_DIR": str(cache),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(sys.path),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode == 0) is ok, done.stderr
    return done.stdout if ok else done.stderr

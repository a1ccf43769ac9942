"""A driver for tests: PyCUDA's own code runs on it, and the kernels on the processor.

PyCUDA is built by ``gpubench.devices.cuda.build_pycuda``, once for a virtual environment, and unpacked beside
the stand-in: it is not installed where the tests run.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[2]
_NOT_SUPPORTED, _NO_DEVICE = 801, 100
_NO_DEVICE_TEXT = "no CUDA-capable device is detected"


def unpack_pycuda(folder: Path) -> None:
    """PyCUDA into ``folder``; built where it was not yet, in 3 minutes, by one test process for all."""
    wheels = Path(sys.prefix, "wheels")
    wheels.mkdir(exist_ok=True)
    build = [sys.executable, "-m", "gpubench.devices.cuda.build_pycuda", str(wheels)]
    with Path(wheels, ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL, cwd=_ROOT)
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    [wheel] = wheels.glob(f"pycuda-*-{tag}-*.whl")
    zipfile.ZipFile(wheel).extractall(folder)


def build_driver(pycuda: Path, folder: Path) -> None:
    """The stand-in as ``libcuda.so.1``, with every name that PyCUDA binds."""
    own = (_HERE / "libcuda.c").read_text()
    written = set(re.findall(r"^int (cu\w+)\(", own, re.M))
    rest = "".join(f"int {name}(void) {{ return {_NOT_SUPPORTED}; }}\n" for name in _bound(pycuda) - written)
    _compile(own + rest, folder)


def build_driver_without_device(pycuda: Path, folder: Path) -> None:
    """A ``libcuda.so.1`` as on a machine whose GPU is gone: every call says so."""
    names = _bound(pycuda) - {"cuGetErrorString"}
    text = f'int cuGetErrorString(int code, char **text) {{ *text = "{_NO_DEVICE_TEXT}"; return 0; }}\n'
    _compile(text + "".join(f"int {name}(void) {{ return {_NO_DEVICE}; }}\n" for name in names), folder)


def environment(pycuda: Path, driver: Path, **more: str) -> dict[str, str]:
    """Variables of a process that shall find the driver in ``driver``, and nothing of the user's."""
    paths = [str(_HERE), str(pycuda), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "STANDIN_FOLDER": str(driver),
        "XDG_CACHE_HOME": str(driver / "cache"),
        **more,
    }


def _bound(pycuda: Path) -> set[str]:
    """The driver's functions that PyCUDA's module asks its loader for."""
    [module] = pycuda.glob("pycuda/_driver*.so")
    said = subprocess.run(
        ["nm", "-D", "--undefined-only", module], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"\b(cu[A-Z]\w+)", said.stdout))


def _compile(text: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    options = ["-x", "c", "-O1", "-w", "-shared", "-fPIC", "-pthread", "-Wl,-soname,libcuda.so.1"]
    library = folder / "libcuda.so.1"
    subprocess.run(["gcc", *options, "-o", library, "-"], input=text, text=True, check=True)

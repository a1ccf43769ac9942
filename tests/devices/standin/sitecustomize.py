"""Python runs this at its start where its folder is on the path: puts the stand-in in the driver's place.

Every program is compiled twice: into a cubin, which the stand-in looks at as a driver does, and by g++
into what it runs.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from pathlib import Path

from gpubench.devices.cuda import compiler

_FOLDER = Path(os.environ["STANDIN_FOLDER"])
_BEHIND = b"STANDIN:"
"""Between a cubin and the path of the same program for the processor."""

_PRELUDE = Path(__file__).with_name("kernels_on_host.h")


def _host_code(text: str) -> Path:
    key = hashlib.sha256(text.encode()).hexdigest()
    library = _FOLDER / f"{key}.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}")
        options = [
            "-x",
            "c++",
            "-std=c++17",
            "-O1",
            "-w",
            "-Wno-psabi",
            "-shared",
            "-fPIC",
            "-include",
            str(_PRELUDE),
        ]
        subprocess.run(["g++", *options, "-o", str(part), "-"], input=text, text=True, check=True)
        part.replace(library)
    return library


def _install() -> None:
    ctypes.CDLL(str(_FOLDER / "libcuda.so.1"), mode=ctypes.RTLD_GLOBAL)
    cubin_of = compiler.compile_cubin

    def compile_twice(text: str, architecture: str, compiler: compiler.Compiler) -> bytes:
        cubin = cubin_of(text, os.environ.get("STANDIN_ARCHITECTURE", architecture), compiler)
        return cubin + _BEHIND + str(_host_code(text)).encode() + b"\0"

    compiler.compile_cubin = compile_twice  # type: ignore[assignment]


_install()

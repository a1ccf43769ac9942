"""Kernel text into a cubin for one architecture: from the cache, by NVRTC, or by nvcc.

Neither PyCUDA nor a driver is needed here. PyCUDA itself knows only nvcc; NVRTC comes as a wheel and
compiles several times faster, so that people who have only the driver can measure. A cubin for the
exact architecture is loaded by every driver of the same major version, which PTX is not.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import hashlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Protocol

import platformdirs

from gpubench.errors import BenchmarkFailed, MissingDependency

STANDARD = "c++17"


class Compiler(Protocol):
    @property
    def version(self) -> str:
        """Name and version; part of the cache's key."""
        ...

    def compile(self, text: str, architecture: str) -> bytes:
        """A cubin; raises ``BenchmarkFailed`` with what the compiler says."""
        ...


def compile_cubin(
    text: str, architecture: str, compiler: Compiler, cache_folder: Path | None = None
) -> bytes:
    """The cubin of ``text`` for an architecture such as ``sm_90``, compiled once for this user.

    The key is a hash over text, architecture and compiler. Files are replaced whole, and one that is
    not a cubin is made again. Raises ``BenchmarkFailed``.
    """
    folder = cache_folder or Path(platformdirs.user_cache_dir("gpubench"), "kernels")
    key = hashlib.sha256("\0".join((text, architecture, compiler.version)).encode()).hexdigest()
    path = folder / f"{key}.cubin"
    with contextlib.suppress(OSError):
        found = path.read_bytes()
        if found.startswith(b"\x7fELF"):
            return found
    cubin = compiler.compile(text, architecture)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not figures
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(cubin)
        Path(file.name).replace(path)
    return cubin


def find_compiler() -> Compiler:
    """NVRTC, else nvcc; raises ``MissingDependency`` where there is neither."""
    library = _nvrtc_library()
    if library is not None:
        return Nvrtc(library)
    nvcc = shutil.which("nvcc")
    if nvcc is not None:
        return Nvcc(nvcc)
    raise MissingDependency(
        "nothing compiles CUDA kernels here: pip install nvidia-cuda-nvrtc (the extra [cuda] brings it), "
        "or install a CUDA toolkit and put nvcc on PATH"
    )


class Nvcc:
    """The toolkit's compiler, as a process."""

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def version(self) -> str:
        return _nvcc_version(self._path)

    def compile(self, text: str, architecture: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, cubin = Path(folder, "kernels.cu"), Path(folder, "kernels.cubin")
            source.write_text(text)
            command = [
                self._path,
                "-cubin",
                f"-arch={architecture}",
                f"-std={STANDARD}",
                "-o",
                str(cubin),
                str(source),
            ]
            said = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
            if said.returncode:
                raise BenchmarkFailed(f"nvcc cannot compile for {architecture}: {said.stderr.strip()[:2000]}")
            return cubin.read_bytes()


class Nvrtc:
    """The run-time compilation library."""

    def __init__(self, library: Path) -> None:
        # The compiler looks for its built-in functions by name, where the loader does not find them.
        for builtins in sorted(library.parent.glob("libnvrtc-builtins.so*")):
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
        self._nvrtc = ctypes.CDLL(str(library))
        self._nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p

    @property
    def version(self) -> str:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        return f"NVRTC {major.value}.{minor.value}"

    def compile(self, text: str, architecture: str) -> bytes:
        program = ctypes.c_void_p()
        self._check(
            self._nvrtc.nvrtcCreateProgram(
                ctypes.byref(program), text.encode(), b"gpubench.cu", 0, None, None
            )
        )
        try:
            options = [f"--gpu-architecture={architecture}".encode(), f"--std={STANDARD}".encode()]
            failed = self._nvrtc.nvrtcCompileProgram(
                program, len(options), (ctypes.c_char_p * len(options))(*options)
            )
            if failed:
                log = self._bytes(program, "ProgramLog").decode(errors="replace").strip("\0 \n")
                raise BenchmarkFailed(f"NVRTC cannot compile for {architecture}: {log[:2000] or failed}")
            return self._bytes(program, "CUBIN")
        finally:
            self._nvrtc.nvrtcDestroyProgram(ctypes.byref(program))

    def _bytes(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        content = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._nvrtc, f"nvrtcGet{what}")(program, content))
        return content.raw

    def _check(self, code: int) -> None:
        if code:
            raise BenchmarkFailed(f"NVRTC failed: {self._nvrtc.nvrtcGetErrorString(code).decode()}")


@cache
def _nvcc_version(path: str) -> str:
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout  # noqa: S603
    found = re.search(r"V(\d[\d.]*)", said)
    return f"nvcc {found[1] if found else 'of unknown version'}"


def _nvrtc_library() -> Path | None:
    """From the wheel, else from the system's loader."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(Path(folder).glob("*/lib/libnvrtc.so.*"))
        if found:
            return found[-1]
    name = ctypes.util.find_library("nvrtc")
    return Path(name) if name else None

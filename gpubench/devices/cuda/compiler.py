"""Kernel text into a cubin for one architecture: from the cache, by NVRTC, or by nvcc.

Neither PyCUDA nor a driver is needed here. PyCUDA itself knows only nvcc; NVRTC comes as a wheel and
compiles several times faster, so that people who have only the driver can measure. A cubin for the
exact architecture is loaded by every driver of the compiler's major version or a newer one, which
PTX is not (CUDA's compatibility guide; not yet seen on a GPU).
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import platformdirs

from gpubench.atomic_files import write_file
from gpubench.errors import BenchmarkFailed, MissingDependency

STANDARD = "c++17"
NVCC_LIMIT_SECONDS = 120.0
OLDEST_OF_CUDA_13 = 75
"""CUDA 13 no longer compiles for what was before Turing."""

_LOG_CHARACTERS = 2000
_DIGEST_BYTES = hashlib.sha256().digest_size


class Compiler(Protocol):
    @property
    def version(self) -> str:
        """Name and version; part of the cache's key."""
        ...

    @property
    def cuda_major(self) -> int:
        """Drivers of older CUDA versions do not load what it makes."""
        ...

    @property
    def architectures(self) -> tuple[str, ...]:
        """All that it knows, such as ``sm_90``."""
        ...

    def compile(self, text: str, architecture: str) -> bytes:
        """A cubin; raises ``BenchmarkFailed`` with what the compiler says."""
        ...


def compile_cubin(
    text: str, architecture: str, compiler: Compiler, cache_folder: Path | None = None
) -> bytes:
    """The cubin of ``text`` for an architecture such as ``sm_90``, compiled once for this user.

    The name of a file is a hash over text, architecture and compiler; in it the cubin stands behind
    its own hash, and one that does not match is made again. Raises ``BenchmarkFailed``.
    """
    folder = cache_folder or Path(platformdirs.user_cache_dir("gpubench"), "kernels")
    key = hashlib.sha256("\0".join((text, architecture, compiler.version)).encode()).hexdigest()
    path = folder / f"{key}.cubin"
    with contextlib.suppress(OSError):
        kept = path.read_bytes()
        digest, cubin = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
        if hashlib.sha256(cubin).digest() == digest:
            return cubin
    cubin = compiler.compile(text, architecture)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not figures
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, hashlib.sha256(cubin).digest() + cubin)
    return cubin


def find_compiler(architecture: str, driver_cuda_major: int) -> Compiler:
    """NVRTC, the newest first, else nvcc: the first that suits this GPU and its driver.

    Raises ``MissingDependency``, which says what was found and what to install.
    """
    unsuitable = []
    for compiler in _compilers():
        if compiler.cuda_major > driver_cuda_major:
            unsuitable.append(f"{compiler.version} is newer than the driver, of CUDA {driver_cuda_major}")
        elif architecture not in compiler.architectures:
            unsuitable.append(f"{compiler.version} knows {', '.join(compiler.architectures)}")
        else:
            return compiler
    older = driver_cuda_major < 13 or int(architecture.removeprefix("sm_")) < OLDEST_OF_CUDA_13
    package = "nvidia-cuda-nvrtc-cu12" if older else "nvidia-cuda-nvrtc"
    raise MissingDependency(
        f"nothing compiles CUDA kernels for {architecture} here "
        f"({'; '.join(unsuitable) or 'neither NVRTC nor nvcc was found'}): pip install {package}, "
        "or install a CUDA toolkit and put nvcc on PATH"
    )


class Nvcc:
    """The toolkit's compiler, as a process; raises ``OSError`` where it does not run."""

    def __init__(self, path: str) -> None:
        self._path = path
        found = re.search(r"V(\d+)\.[\d.]*", self._run("--version").stdout)
        self.version = f"nvcc {found[0][1:] if found else 'of unknown version'}"
        self.cuda_major = int(found[1]) if found else 0
        self.architectures = tuple(self._run("--list-gpu-code").stdout.split())

    def compile(self, text: str, architecture: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, cubin = Path(folder, "kernels.cu"), Path(folder, "kernels.cubin")
            source.write_text(text)
            options = ("-cubin", f"-arch={architecture}", f"-std={STANDARD}", "-o", str(cubin), str(source))
            try:
                said = self._run(*options)
                if said.returncode == 0:
                    return cubin.read_bytes()
                log = said.stderr
            except (OSError, subprocess.TimeoutExpired) as error:
                log = str(error)
        raise BenchmarkFailed(f"nvcc cannot compile for {architecture}: {log.strip()[:_LOG_CHARACTERS]}")

    def _run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [self._path, *options], capture_output=True, text=True, timeout=NVCC_LIMIT_SECONDS
        )


class Nvrtc:
    """The run-time compilation library of CUDA 11.2 or newer; raises ``OSError`` where it does not load."""

    def __init__(self, library: Path) -> None:
        # The compiler looks for its built-in functions by name, where the loader does not find them.
        for builtins in sorted(library.parent.glob("libnvrtc-builtins.so*")):
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
        self._nvrtc = ctypes.CDLL(str(library))
        self._nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        self.version = f"NVRTC {major.value}.{minor.value}"
        self.cuda_major = major.value
        self.architectures = tuple(f"sm_{number}" for number in numbers)

    def compile(self, text: str, architecture: str) -> bytes:
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), text.encode(), b"gpubench.cu", 0, None, None)
        try:
            options = [f"--gpu-architecture={architecture}".encode(), f"--std={STANDARD}".encode()]
            failed = self._nvrtc.nvrtcCompileProgram(
                program, len(options), (ctypes.c_char_p * len(options))(*options)
            )
            if failed:
                log = self._bytes(program, "ProgramLog").decode(errors="replace").strip("\0 \n")
                raise BenchmarkFailed(
                    f"NVRTC cannot compile for {architecture}: {log[:_LOG_CHARACTERS] or failed}"
                )
            return self._bytes(program, "CUBIN")
        finally:
            self._nvrtc.nvrtcDestroyProgram(ctypes.byref(program))

    def _bytes(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, content)
        return content.raw

    def _call(self, function: str, *arguments: object) -> None:
        code = getattr(self._nvrtc, function)(*arguments)
        if code:
            raise BenchmarkFailed(f"{function} failed: {self._nvrtc.nvrtcGetErrorString(code).decode()}")


def _compilers() -> Iterator[Compiler]:
    """All that are here and run, the preferred one first; one that is broken is passed over."""
    for library in nvrtc_libraries():
        with contextlib.suppress(OSError, AttributeError, BenchmarkFailed):
            yield Nvrtc(library)
    nvcc = shutil.which("nvcc")
    if nvcc is not None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            yield Nvcc(nvcc)


def nvrtc_libraries() -> list[Path]:
    """Of the wheels, one for each CUDA version, the newest first."""
    spec = importlib.util.find_spec("nvidia")
    folders = (spec.submodule_search_locations or []) if spec else []
    found = [library for folder in folders for library in Path(folder).glob("*/lib/libnvrtc.so.*")]
    return sorted(found, key=lambda library: [int(n) for n in re.findall(r"\d+", library.name)], reverse=True)

"""Kernel text into code for one architecture: from the cache, by NVRTC, or by nvcc.

Neither PyCUDA nor a driver is needed here. PyCUDA itself knows only nvcc; NVRTC comes as a wheel and
compiles several times faster, so that people who have only the driver can measure. Machine code (a cubin)
is loaded by every driver of the compiler's major version or a newer one, and runs on its architecture and
the later ones of the same major; PTX, which the driver compiles, runs on any later architecture, but needs
a driver that is not older than the compiler (CUDA's compatibility guide; no GPU has been given PTX yet).
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gpubench.atomic_files import write_file
from gpubench.devices import cache_folder
from gpubench.errors import BenchmarkFailed, MissingDependency

STANDARD = "c++17"
NVCC_LIMIT_SECONDS = 120.0
_OLDEST_OF_CUDA_13 = 75
"""CUDA 13 no longer compiles for architectures before Turing."""

_PACKAGES = {12: "'nvidia-cuda-nvrtc-cu12>=12.8'", 13: "'nvidia-cuda-nvrtc>=13'"}

_LOG_CHARACTERS = 2000
_DIGEST_BYTES = hashlib.sha256().digest_size


class Compiler(Protocol):
    @property
    def version(self) -> str:
        """Name and version; part of the cache's key."""
        ...

    @property
    def cuda_version(self) -> tuple[int, int]:
        """Major and minor. Drivers of an older major version do not load what it makes."""
        ...

    @property
    def architectures(self) -> tuple[str, ...]:
        """All that it knows, such as ``sm_90``."""
        ...

    def compile(self, text: str, architecture: str) -> bytes:
        """Machine code for ``sm_90``, PTX for ``compute_90``; raises ``BenchmarkFailed`` with the log."""
        ...


@dataclass(frozen=True)
class Target:
    """What compiles for a GPU, and the architecture that it compiles for."""

    compiler: Compiler
    architecture: str
    exact: bool

    @property
    def description(self) -> str:
        """For the run document: ``NVRTC 13.0``, or ``NVRTC 12.9 for sm_86`` if that is not the GPU's own."""
        return self.compiler.version + ("" if self.exact else f" for {self.architecture}")


def compile_cubin(text: str, architecture: str, compiler: Compiler, cache: Path | None = None) -> bytes:
    """The code of ``text`` for an architecture such as ``sm_90``, compiled once for this user.

    The name of a file is a hash over text, architecture and compiler; in it the code follows
    its own hash, and one that does not match is made again. Raises ``BenchmarkFailed``.
    """
    folder = cache or cache_folder.root() / "kernels"
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


def find_target(architecture: str, driver_cuda: tuple[int, int]) -> Target:
    """What compiles for a GPU such as ``sm_90`` under a driver of this CUDA version.

    NVRTC comes first, the newest first, then nvcc: one that knows the architecture itself, else the latest
    earlier one of the same major, else PTX for the latest earlier one. Raises ``MissingDependency``, which
    names what was found and what to install.
    """
    number = int(architecture.removeprefix("sm_"))
    found = list(_compilers())
    loadable = [each for each in found if each.cuda_version[0] <= driver_cuda[0]]
    known = [(each, int(name.removeprefix("sm_"))) for each in loadable for name in _plain(each)]
    for compiler, known_number in known:
        if known_number == number:
            return Target(compiler, architecture, exact=True)
    same_major = [pair for pair in known if pair[1] // 10 == number // 10 and pair[1] < number]
    if same_major:
        compiler, best = max(same_major, key=lambda pair: pair[1])
        return Target(compiler, f"sm_{best}", exact=False)
    earlier = [pair for pair in known if pair[1] < number and pair[0].cuda_version <= driver_cuda]
    if earlier:
        compiler, best = max(earlier, key=lambda pair: pair[1])
        return Target(compiler, f"compute_{best}", exact=False)
    raise MissingDependency(
        f"nothing here compiles CUDA kernels for {architecture} under a driver of CUDA "
        f"{driver_cuda[0]}.{driver_cuda[1]} ({_what_was_found(found, driver_cuda)}); "
        f"{_what_to_install(number, driver_cuda, loadable)}"
    )


def _plain(compiler: Compiler) -> list[str]:
    """Without the variants whose code runs on one architecture alone, such as ``sm_90a``."""
    return [name for name in compiler.architectures if name.removeprefix("sm_").isdigit()]


def _what_was_found(found: Sequence[Compiler], driver_cuda: tuple[int, int]) -> str:
    said = [
        f"{each.version} is newer than the driver"
        if each.cuda_version[0] > driver_cuda[0]
        else f"{each.version} knows {', '.join(each.architectures)}"
        for each in found
    ]
    return "; ".join(said) or "neither NVRTC nor nvcc was found"


def _what_to_install(number: int, driver_cuda: tuple[int, int], loadable: Sequence[Compiler]) -> str:
    """Never what is here already: then the driver is too old for the GPU, or the GPU for gpubench."""
    major = 13 if driver_cuda[0] >= 13 and number >= _OLDEST_OF_CUDA_13 else 12
    if driver_cuda[0] < 12:
        return "install a driver of CUDA 12 or newer (R525)"
    if any(each.cuda_version[0] == major for each in loadable):
        if major == 12 and number >= _OLDEST_OF_CUDA_13 and driver_cuda[0] < 13:
            return "install a driver of CUDA 13 (R580 or newer), or a newer release of NVRTC 12"
        return "no newer compiler is known to help: this architecture is not supported"
    return f"pip install {_PACKAGES[major]}, or install a CUDA {major} toolkit and put nvcc on PATH"


class Nvcc:
    """The toolkit's compiler, as a process; raises ``OSError`` if it does not run."""

    def __init__(self, path: str) -> None:
        self._path = path
        found = re.search(r"V(\d+)\.(\d+)[\d.]*", self._run("--version").stdout)
        self.version = f"nvcc {found[0][1:] if found else 'of unknown version'}"
        self.cuda_version = (int(found[1]), int(found[2])) if found else (0, 0)
        self.architectures = tuple(self._run("--list-gpu-code").stdout.split())

    def compile(self, text: str, architecture: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, cubin = Path(folder, "kernels.cu"), Path(folder, "kernels.code")
            source.write_text(text)
            kind = "-ptx" if architecture.startswith("compute_") else "-cubin"
            options = (kind, f"-arch={architecture}", f"-std={STANDARD}", "-o", str(cubin), str(source))
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
    """The run-time compilation library of CUDA 11.2 or newer; raises ``OSError`` if it does not load."""

    def __init__(self, library: Path) -> None:
        # The compiler looks for its built-in functions by name, which the loader may not find.
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
        self.cuda_version = (major.value, minor.value)
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
            return self._bytes(program, "PTX" if architecture.startswith("compute_") else "CUBIN")
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
            reason = self._nvrtc.nvrtcGetErrorString(code).decode(errors="replace")
            raise BenchmarkFailed(f"{function} failed: {reason}")


def _compilers() -> Iterator[Compiler]:
    """All that are here and run, the preferred one first; a broken one is skipped."""
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

"""What PoCL compiles for, on a processor that is newer than the compiler inside PoCL.

LLVM calls such a processor "generic", and PoCL hands that name back to the compiler, which does not take it:
every kernel fails with "unknown target CPU 'generic'" (pocl/pocl#1049; PoCL 3.0 with LLVM 14 on AMD's Zen 5).
Later versions of PoCL ask a variable of the environment; older ones have only the function that names the
processor, so that function is made to answer with the level of x86-64 that the processor's flags allow.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
from pathlib import Path

_UNKNOWN = "generic"
_LEVELS = {
    "x86-64-v4": "avx512f avx512bw avx512cd avx512dq avx512vl",
    "x86-64-v3": "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave",
    "x86-64-v2": "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3",
    "x86-64": "",
}
"""The levels of the System V ABI for x86-64, best first, with what each adds, as Linux names it."""

_READ_EXECUTE, _WRITE = mmap.PROT_READ | mmap.PROT_EXEC, mmap.PROT_WRITE


def level_of(flags: set[str]) -> str:
    """The highest level of x86-64 of which a processor with ``flags`` has everything."""
    highest = "x86-64"
    for level, added in reversed(_LEVELS.items()):
        if not flags.issuperset(added.split()):
            break
        highest = level
    return highest


def name_unknown_processor() -> str | None:
    """Tells a PoCL in this process what to compile for where it does not know; null if kernels will compile.

    To be called when PoCL's library is loaded and before its devices are asked for. Otherwise it returns why
    nothing will compile, and what to do.
    """
    library = _loaded_library()
    if library is None or target(library) != _UNKNOWN:
        return None
    remedy = "install a newer PoCL as the system's OpenCL"
    if platform.machine() != "x86_64":
        return f"PoCL's compiler does not know this processor: {remedy}"
    try:
        answer_with(library, level_of(_flags()))
    except OSError as error:
        return f"PoCL's compiler does not know this processor, and PoCL cannot be told ({error}): {remedy}"
    return None


def target(library: ctypes.CDLL) -> str:
    """The name of the processor that PoCL's compiler is given."""
    name = library.pocl_get_llvm_cpu_name
    name.restype = ctypes.c_char_p
    return str(name().decode())


def answer_with(library: ctypes.CDLL, name: str) -> None:
    """Makes ``pocl_get_llvm_cpu_name`` return a copy of ``name``, which its caller frees, as it did before.

    Machine code and no Python: PoCL may ask on a thread of its own, and while this process ends. Raises
    OSError where the system lets no code be written.
    """
    c = ctypes.CDLL(None, use_errno=True)
    c.strdup.restype = ctypes.c_void_p
    kept = c.strdup(name.encode())  # never freed: it is read as long as the library is there
    copy = ctypes.cast(c.strdup, ctypes.c_void_p).value or 0
    code = b"".join(
        (
            b"\x48\xbf" + kept.to_bytes(8, "little"),  # mov rdi, name
            b"\x48\xb8" + copy.to_bytes(8, "little"),  # mov rax, strdup
            b"\xff\xe0",  # jmp rax
        )
    )
    begin = ctypes.cast(library.pocl_get_llvm_cpu_name, ctypes.c_void_p).value or 0
    page = begin // mmap.PAGESIZE * mmap.PAGESIZE
    nbytes = begin + len(code) - page
    _protect(c, page, nbytes, _READ_EXECUTE | _WRITE)
    ctypes.memmove(begin, code, len(code))
    _protect(c, page, nbytes, _READ_EXECUTE)


def _protect(c: ctypes.CDLL, page: int, nbytes: int, protection: int) -> None:
    c.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if c.mprotect(page, nbytes, protection):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _loaded_library() -> ctypes.CDLL | None:
    """PoCL as the OpenCL loader found it, whichever it was; one without the function needs nothing."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    paths = {line.split(maxsplit=5)[-1] for line in lines if "libpocl" in line}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        if hasattr(library, "pocl_get_llvm_cpu_name"):
            return library
    return None


def _flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()

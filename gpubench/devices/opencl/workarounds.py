"""What is done because of faults of PoCL, above all of 3.0, the newest that has a wheel.

Each of these goes when the versions of PoCL that need it are no longer supported; the first and the last when
a newer PoCL has a wheel and pyproject.toml asks for it.

The processor's name (PoCL 3, where LLVM is older than the processor). LLVM calls such a processor "generic",
and PoCL hands that name back to the compiler, which does not take it for x86-64: every kernel fails with
"unknown target CPU 'generic'" (pocl/pocl#1049; PoCL 3.0 with LLVM 14 on AMD's Zen 5). Later versions choose
another name by what the processor can do, by ``pocl_get_distro_cpu_name``. Older ones have only the function
that names it, so that function is made to answer as the later ones choose.

The number of threads (all versions). PoCL starts a thread for each core of the machine, also for those that
this process may not use.

The exit (PoCL 3.0). It sometimes crashes in its exit handlers, so a worker process ends without running any:
the last line of ``executor/worker_main.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
from pathlib import Path

from gpubench.devices import host

_UNKNOWN = "generic"
_NAMES = {
    "core2": "ssse3 cx16",
    "penryn": "sse4_1 cx16",
    "sandybridge": "avx cx16 popcnt",
    "ivybridge": "avx cx16 popcnt f16c",
    "bdver1": "avx cx16 popcnt xop fma4",
    "haswell": "avx avx2 cx16 popcnt abm f16c fma bmi1 bmi2",
    "skylake-avx512": "avx512f",
}
"""The processor that each of PoCL's builtin libraries is for, and the flags, as Linux calls them,
by which PoCL takes that library: the last that fits. Kernels for another would pass vectors otherwise than
the library takes them (pocl_llvm_utils.cc of PoCL 6)."""

_READ_EXECUTE, _WRITE = mmap.PROT_READ | mmap.PROT_EXEC, mmap.PROT_WRITE


def nearest_known(flags: set[str]) -> str:
    """What a processor with ``flags`` is to be compiled for."""
    fitting = [name for name, needed in _NAMES.items() if flags.issuperset(needed.split())]
    return fitting[-1] if fitting else "x86-64"


def limit_threads() -> None:
    """To be called before PoCL is loaded."""
    cores = host.usable_cores()
    if cores < (os.cpu_count() or 1):
        for name in ("POCL_MAX_PTHREAD_COUNT", "POCL_CPU_MAX_CU_COUNT"):  # before PoCL 4, and since
            os.environ.setdefault(name, str(cores))


def name_unknown_processor() -> str | None:
    """Set the target for every PoCL in this process that does not know its own; null if all have one then.

    To be called when PoCL is loaded, before its devices are asked for, and while no other thread uses it.
    Otherwise it returns why nothing will compile, and the remedy.
    """
    if platform.machine() != "x86_64":  # elsewhere the compiler takes "generic"
        return None
    for library in loaded_libraries():
        if target(library) == _UNKNOWN:
            try:
                answer_with(library, nearest_known(host.processor_flags()))
            except OSError as error:
                return (
                    f"PoCL's compiler does not know this processor, and it cannot be told ({error}): "
                    "install a newer PoCL as the system's OpenCL"
                )
    return None


def loaded_libraries() -> list[ctypes.CDLL]:
    """The PoCLs that the OpenCL loader found, without those that choose a target themselves."""
    try:
        lines = os.fsdecode(Path("/proc/self/maps").read_bytes()).splitlines()
    except OSError:
        return []
    libraries = []
    for path in sorted({line.split(maxsplit=5)[-1] for line in lines}):
        if Path(path).name.startswith("libpocl"):
            with contextlib.suppress(OSError):  # such as one that was replaced since it was loaded
                libraries.append(ctypes.CDLL(path))
    return [
        library
        for library in libraries
        if hasattr(library, "pocl_get_llvm_cpu_name") and not hasattr(library, "pocl_get_distro_cpu_name")
    ]


def target(library: ctypes.CDLL) -> str:
    """The name of the processor that PoCL's compiler is given."""
    c = ctypes.CDLL(None)
    c.free.argtypes = [ctypes.c_void_p]
    answer = library.pocl_get_llvm_cpu_name
    answer.restype = ctypes.c_void_p
    address = answer()
    name = ctypes.string_at(address).decode(errors="replace")
    c.free(address)
    return name


def answer_with(library: ctypes.CDLL, name: str) -> None:
    """Makes ``pocl_get_llvm_cpu_name`` return a copy of ``name``, which its caller frees, as it did before.

    Machine code, not Python: PoCL may call it while this process ends. Raises OSError if the system does
    not allow code to be written.
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

"""Kernels compile for GPUs without one, into the loads and stores that a memory's full rate needs.

A sample runs here: every shape of every kernel, each for one architecture and element type in turn.
``GPUBENCH_EXHAUSTIVE=1`` compiles all of them for all.
"""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpubench.benchmarks.integrity.memory import MAX_ROWS
from gpubench.benchmarks.integrity.patterns import PATTERNS
from gpubench.benchmarks.registry import STREAM
from gpubench.devices.cuda import compiler
from gpubench.devices.cuda.compiler import Compiler, Nvcc, Nvrtc, compile_cubin, find_compiler
from gpubench.errors import BenchmarkFailed, MissingDependency
from gpubench.kernels.programs import Programs
from gpubench.measure.shapes import Access, candidates
from gpubench.results.document import Shape
from gpubench.results.machine import DeviceInfo
from tests.devices.machine_code import Kernel, disassemble

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
WITH_256_BITS = ("sm_100", "sm_120")
DTYPES = ("double", "float")
GPU = DeviceInfo("cuda:GPU-1", "cuda-gpu0", "cuda", "gpu", "a GPU", "0000", compute_units=132)
ACCESSES: tuple[Access, ...] = ("read", "write", "copy")
MIN_BYTES_IN_FLIGHT = 4 * 16
"""Of each thread, loaded before the first use: four vectors of 16 bytes."""

Case = tuple[Access, Shape, str, str]


class Texts:
    """Takes the place of a device to learn which program a GPU would be given."""

    info = GPU

    def compile(self, text: str) -> str:
        return text


def programs() -> Programs:
    return Programs(Texts())  # type: ignore[arg-type]


def cases() -> list[Case]:
    shapes = [(access, shape) for access in ACCESSES for shape in candidates(GPU, access, "double", {})]
    if os.environ.get("GPUBENCH_EXHAUSTIVE"):
        return [(*each, dtype, arch) for each in shapes for dtype in DTYPES for arch in ARCHITECTURES]
    pairs = itertools.cycle(itertools.product(DTYPES, ARCHITECTURES))
    return [(*each, *next(pairs)) for each in shapes + shapes]


@pytest.fixture(scope="module")
def nvrtc() -> Compiler:
    return Nvrtc(compiler.nvrtc_libraries()[0])


@pytest.fixture(scope="module")
def nvcc() -> Compiler:
    """The toolkit's, else that of the wheel."""
    folders = importlib.import_module("nvidia").__path__
    [*wheels] = (str(path) for folder in folders for path in Path(folder).glob("*/bin/nvcc"))
    return Nvcc(shutil.which("nvcc") or wheels[0])


def machine_code(compiler: Compiler, case: Case) -> dict[str, Kernel]:
    access, shape, dtype, architecture = case
    kernels: dict[str, Kernel] = {}
    for row in STREAM.values():
        if row.access == access:
            text: str = programs().stream(row.name, dtype, shape)  # type: ignore[assignment]
            kernels |= disassemble(compiler.compile(text, architecture))
    return kernels


def mistakes(case: Case, kernels: dict[str, Kernel]) -> list[str]:
    """What is wrong with the kernels that are run in this shape."""
    access, shape, _, architecture = case
    wide = {256} if shape.vector_bytes >= 32 and architecture in WITH_256_BITS else {128}
    found = []
    for row in STREAM.values():
        if row.access != access:
            continue
        kernel = kernels[f"stream_{row.name}"]
        checks = {
            "loads": row.name == "write" or set(kernel.load_widths) == wide,
            "stores": access == "read" or set(kernel.store_widths) == wide,
            "bytes in flight": row.name == "write" or _bytes_in_flight(kernel) >= MIN_BYTES_IN_FLIGHT,
            "spills": kernel.local_accesses == 0,
        }
        found += [
            f"{architecture} {case[2]} {row.name} {shape}: {c} {kernel}" for c in checks if not checks[c]
        ]
    return found


def _bytes_in_flight(kernel: Kernel) -> int:
    return sum(kernel.load_widths[: kernel.loads_before_use]) // 8


def test_the_machine_code_of_every_shape(nvrtc: Compiler) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        all_cases = cases()
        kernels = pool.map(lambda case: machine_code(nvrtc, case), all_cases)
        wrong = [
            mistake
            for case, found in zip(all_cases, kernels, strict=True)
            for mistake in mistakes(case, found)
        ]
    assert wrong == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_programs_that_check_compile(nvrtc: Compiler, architecture: str) -> None:
    for dtype in DTYPES:
        text: str = programs().verify(dtype, 256)  # type: ignore[assignment]
        kernels = disassemble(nvrtc.compile(text, architecture))
        assert {"fill_elements", "check_elements", "report_elements", "check_word_sums"} <= set(kernels)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_walk_waits_for_nothing_but_global_memory(nvrtc: Compiler, architecture: str) -> None:
    """Loads that first ask which memory an address means are others, and not counted here."""
    walk: str = programs().program("latency", "double", group_size=1, NODE_WORDS=16)  # type: ignore[assignment]
    beside = programs().program(
        "loaded", "double", group_size=256, VECTOR_ELEMENTS=2, UNROLL=8, CHUNK_ROUNDS=4, GROUPS_AT_ONCE=4
    )
    chase = disassemble(nvrtc.compile(walk, architecture))["chase"]
    loaded = disassemble(nvrtc.compile(beside, architecture))["loaded_walk"]  # type: ignore[arg-type]
    for kernel in (chase, loaded):
        assert kernel.load_widths.count(64) >= 16
        assert kernel.local_accesses == 0
    assert loaded.load_widths.count(128) >= 8
    assert loaded.registers <= 65536 // (4 * 256)  # or not all readers run at once


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("streaming", [False, True])
def test_passes_over_a_cache_keep_all_loads_in_flight(
    nvrtc: Compiler, architecture: str, streaming: bool
) -> None:
    shape = Shape(16, 4, 256, "grid", streaming, 1056)
    text: str = programs().shaped("sweep", "double", shape)  # type: ignore[assignment]
    kernels = disassemble(nvrtc.compile(text, architecture))
    for name in ("sweep_read", "sweep_copy"):
        assert _bytes_in_flight(kernels[name]) >= MIN_BYTES_IN_FLIGHT
        assert kernels[name].local_accesses == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_memory_test_is_as_wide_as_a_copy(nvrtc: Compiler, architecture: str) -> None:
    """What tells an error costs nothing where there is none: no spills, and all loads before it."""
    shape = candidates(GPU, "copy", "double", {})[0]
    for number in {pattern.number for pattern in PATTERNS.values()}:
        text: str = programs().shaped("integrity", "double", shape, PATTERN=number, ROWS=MAX_ROWS)  # type: ignore[assignment]
        kernels = disassemble(nvrtc.compile(text, architecture))
        assert {"integrity_reread", "integrity_spoil"} <= set(kernels)
        write, check, turn = (kernels[f"integrity_{name}"] for name in ("write", "check", "turn"))
        assert set(write.store_widths) == {128}
        for kernel in (check, turn):
            assert kernel.load_widths[: shape.unroll] == (128,) * shape.unroll
            assert kernel.local_accesses == 0
            assert _bytes_in_flight(kernel) >= MIN_BYTES_IN_FLIGHT
        assert turn.store_widths.count(128) == shape.unroll


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_empty_kernel_is_one_store(nvrtc: Compiler, architecture: str) -> None:
    text: str = programs().program(  # type: ignore[assignment]
        "launch", "double", group_size=256, UNROLL=1, ORDER_TILE=0
    )
    kernels = disassemble(nvrtc.compile(text, architecture))
    assert {"check_marks", "report_marks"} <= set(kernels)
    mark = kernels["launch_mark"]
    assert (mark.load_widths, mark.store_widths, mark.local_accesses) == ((), (64,), 0)


@pytest.mark.parametrize(
    ("dtype", "architecture"), [("double", "sm_75"), ("float", "sm_90"), ("double", "sm_120")]
)
def test_nvcc_makes_the_same_loads_and_stores(
    nvrtc: Compiler, nvcc: Compiler, dtype: str, architecture: str
) -> None:
    case: Case = ("copy", candidates(GPU, "copy", dtype, {})[0], dtype, architecture)
    made = machine_code(nvcc, case)
    assert mistakes(case, made) == []
    assert made == machine_code(nvrtc, case)


def test_what_does_not_compile_is_told_in_the_compilers_words(nvrtc: Compiler) -> None:
    with pytest.raises(BenchmarkFailed, match="undefined_name"):
        nvrtc.compile('extern "C" __global__ void f() { undefined_name(); }', "sm_90")


class Known:
    """A compiler of a CUDA version that knows some architectures, and counts how often it is asked."""

    def __init__(self, cuda_major: int = 13, *architectures: str) -> None:
        self.cuda_major = cuda_major
        self.architectures = architectures
        self.version = f"compiler {cuda_major}.0"
        self.asked = 0

    def compile(self, text: str, architecture: str) -> bytes:
        self.asked += 1
        return text.encode() + architecture.encode()


def test_the_first_compiler_that_suits_gpu_and_driver_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = Known(13, "sm_90", "sm_100"), Known(12, "sm_70", "sm_90")
    monkeypatch.setattr(compiler, "_compilers", lambda: iter([new, old]))
    assert find_compiler("sm_90", 13) is new
    assert find_compiler("sm_90", 12) is old
    assert find_compiler("sm_70", 13) is old
    with pytest.raises(MissingDependency, match=r"sm_999.*compiler 13.0 knows sm_90, sm_100"):
        find_compiler("sm_999", 13)
    with pytest.raises(MissingDependency, match=r"13.0 is newer than the driver.*nvidia-cuda-nvrtc-cu12"):
        find_compiler("sm_100", 12)


def test_what_to_install_where_nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_compilers", lambda: iter(()))
    with pytest.raises(MissingDependency, match=r"neither NVRTC nor nvcc.*pip install nvidia-cuda-nvrtc,"):
        find_compiler("sm_90", 13)


def test_a_program_is_compiled_once_for_each_text_architecture_and_compiler(tmp_path: Path) -> None:
    compiler = Known()
    first = compile_cubin("text", "sm_90", compiler, tmp_path)
    assert compile_cubin("text", "sm_90", compiler, tmp_path) == first
    assert compiler.asked == 1
    for text, architecture, version in (("other", "sm_90", 13), ("text", "sm_80", 13), ("text", "sm_90", 12)):
        compiler.version = f"compiler {version}.0"
        compile_cubin(text, architecture, compiler, tmp_path)
    assert compiler.asked == 4


def test_a_broken_cache_costs_time_and_nothing_else(tmp_path: Path) -> None:
    compiler = Known()
    right = compile_cubin("text", "sm_90", compiler, tmp_path)
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert compile_cubin("text", "sm_90", compiler, tmp_path) == right
    assert compiler.asked == 2
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    assert compile_cubin("text", "sm_90", compiler, in_the_way) == right

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
from gpubench.devices.cuda.compiler import Compiler, Nvcc, Nvrtc, compile_cubin, find_target
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
"""Of each thread, loaded before the first use: four vectors of 16 bytes, or all of its part of a chunk."""

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
            "bytes in flight": row.name == "write"
            or _bytes_in_flight(kernel) >= min(MIN_BYTES_IN_FLIGHT, shape.vector_bytes * shape.unroll),
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


def bytes_in_flight_of_a_unit(kernel: Kernel, shape: Shape) -> int:
    """Of the groups that run at once: a thread takes registers in steps of eight; a unit has 65536 of them
    and room for 2048 threads."""
    registers = -(-kernel.registers // 8) * 8
    groups = min(65536 // (registers * shape.group_size), 2048 // shape.group_size)
    if shape.groups:  # else there are more than run at once
        groups = min(groups, shape.groups // (GPU.compute_units or 1))
    each = sum(kernel.load_widths[: min(kernel.loads_before_use, _loads_of_a_chunk(kernel, shape))]) // 8
    return groups * shape.group_size * each


def _loads_of_a_chunk(kernel: Kernel, shape: Shape) -> int:
    return shape.unroll * shape.vector_bytes * 8 // kernel.load_widths[0]


@pytest.mark.parametrize("architecture", ["sm_90", "sm_100"])
def test_a_unit_has_64_kib_in_flight_while_it_reads(nvrtc: Compiler, architecture: str) -> None:
    """4.8 TB/s over 132 units whose loads take 700 ns are 25 KB of each; under load they last twice that."""
    found = {}
    for shape in candidates(GPU, "read", "double", {}):
        text: str = programs().shaped("stream", "double", shape, STREAM_READ=1)  # type: ignore[assignment]
        kernel = disassemble(nvrtc.compile(text, architecture))["stream_read"]
        found[shape] = bytes_in_flight_of_a_unit(kernel, shape)
    assert {shape: nbytes for shape, nbytes in found.items() if nbytes < 64 << 10} == {}
    assert max(found.values()) >= 128 << 10


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_programs_that_check_compile(nvrtc: Compiler, architecture: str) -> None:
    for dtype in DTYPES:
        text: str = programs().verify(dtype, 256)  # type: ignore[assignment]
        kernels = disassemble(nvrtc.compile(text, architecture))
        assert {"fill_elements", "check_elements", "report_elements", "check_word_sums"} <= set(kernels)


@pytest.mark.parametrize("architecture", ("sm_60", "sm_61", "sm_70", "sm_80", "sm_90"))
def test_every_program_compiles_for_drivers_of_cuda_12(architecture: str) -> None:
    [library] = [each for each in compiler.nvrtc_libraries() if Nvrtc(each).cuda_version[0] == 12]
    nvrtc = Nvrtc(library)
    texts = programs()
    shape = candidates(GPU, "copy", "double", {})[0]
    mixed = candidates(GPU, "mix", "double", {})[0]
    made = [
        *(
            texts.stream(row.name, "double", candidates(GPU, row.access, "double", {})[0])
            for row in STREAM.values()
        ),
        texts.verify("double", 256),
        texts.verify("float", 256),
        texts.program("latency", "double", group_size=1, NODE_WORDS=16),
        texts.program("launch", "double", group_size=256, UNROLL=1, ORDER_TILE=0),
        texts.shaped("sweep", "double", Shape(16, 4, 256, "grid", True, 1056)),
        texts.shaped("integrity", "double", shape, PATTERN=0, ROWS=MAX_ROWS),
        texts.shaped("pattern", "double", shape),
        texts.shaped("mix", "double", mixed, READS=1, WRITES=1),
        texts.shaped("strided", "float", shape, STRIDE=4),
        texts.shaped("random", "float", shape, PARTS=1, PIECE_WORDS=4),
    ]
    for text in made:
        assert nvrtc.compile(text, architecture).startswith(b"\x7fELF"), text  # type: ignore[arg-type]


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
        self.cuda_version = (cuda_major, 0)
        self.architectures = architectures
        self.version = f"compiler {cuda_major}.0"
        self.asked = 0

    def compile(self, text: str, architecture: str) -> bytes:
        self.asked += 1
        return text.encode() + architecture.encode()


NEW, OLD = Known(13, "sm_80", "sm_90", "sm_90a", "sm_100", "sm_120"), Known(12, "sm_70", "sm_80", "sm_90")


@pytest.mark.parametrize(
    ("architecture", "driver", "compiler_taken", "compiled_for"),
    [
        ("sm_90", (13, 0), NEW, "sm_90"),
        ("sm_90", (12, 4), OLD, "sm_90"),
        ("sm_70", (13, 0), OLD, "sm_70"),
        ("sm_103", (13, 0), NEW, "sm_100"),  # machine code of an earlier one of the same major
        ("sm_89", (12, 4), OLD, "sm_80"),
        ("sm_130", (13, 0), NEW, "compute_120"),  # PTX, which the driver compiles
        ("sm_100", (12, 8), OLD, "compute_90"),
    ],
)
def test_what_compiles_for_a_gpu_and_its_driver(
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    driver: tuple[int, int],
    compiler_taken: Known,
    compiled_for: str,
) -> None:
    monkeypatch.setattr(compiler, "_compilers", lambda: iter([NEW, OLD]))
    target = find_target(architecture, driver)
    assert (target.compiler, target.architecture) == (compiler_taken, compiled_for)
    assert target.exact == (compiled_for == architecture)
    assert (target.description == compiler_taken.version) == target.exact


@pytest.mark.parametrize(
    ("here", "architecture", "driver", "advice"),
    [
        ([], "sm_90", (13, 0), r"neither NVRTC nor nvcc.*pip install 'nvidia-cuda-nvrtc>=13'"),
        ([], "sm_90", (12, 4), r"pip install 'nvidia-cuda-nvrtc-cu12>=12.8'"),
        ([], "sm_61", (13, 0), r"pip install 'nvidia-cuda-nvrtc-cu12>=12.8'"),
        ([NEW], "sm_90", (12, 4), r"compiler 13.0 is newer than the driver.*nvrtc-cu12>=12.8'"),
        ([NEW, OLD], "sm_61", (13, 0), r"compiler 12.0 knows sm_70.*not supported"),
        ([OLD], "sm_90", (11, 8), r"install a driver of CUDA 12"),
    ],
)
def test_advice_is_never_what_is_installed(
    monkeypatch: pytest.MonkeyPatch,
    here: list[Known],
    architecture: str,
    driver: tuple[int, int],
    advice: str,
) -> None:
    monkeypatch.setattr(compiler, "_compilers", lambda: iter(here))
    with pytest.raises(MissingDependency, match=advice):
        find_target(architecture, driver)


@pytest.mark.parametrize("number", range(2))
def test_ptx_is_made_where_machine_code_cannot_be(number: int) -> None:
    made = Nvrtc(compiler.nvrtc_libraries()[number]).compile(
        'extern "C" __global__ void f() {}', "compute_80"
    )
    assert b".target sm_80" in made


def test_both_compilers_of_the_wheels_are_found() -> None:
    found = {Nvrtc(library).cuda_version[0] for library in compiler.nvrtc_libraries()}
    assert found == {12, 13}
    for architecture, driver, major in (
        ("sm_90", (12, 4), 12),
        ("sm_70", (13, 0), 12),
        ("sm_120", (12, 8), 12),
        ("sm_110", (13, 0), 13),
    ):
        target = find_target(architecture, driver)
        assert (target.compiler.cuda_version[0], target.exact) == (major, True)


def test_the_cache_key_is_text_architecture_and_compiler(tmp_path: Path) -> None:
    """A program is compiled once for each."""
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

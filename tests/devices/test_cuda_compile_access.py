"""The kernels of mixes, patterns, strides and random places, as machine code of GPUs.

Each program is compiled for one architecture, all architectures taking turns.
"""

from __future__ import annotations

import itertools

import pytest

from gpubench.benchmarks import random_access, strided
from gpubench.benchmarks.mix import MIXES
from gpubench.benchmarks.pattern import KERNELS
from gpubench.devices.cuda.compiler import Compiler, Nvrtc, nvrtc_libraries
from gpubench.measure.shapes import candidates
from gpubench.results.document import Shape
from tests.devices.machine_code import Kernel, disassemble
from tests.devices.test_cuda_compile import ARCHITECTURES, GPU, WITH_256_BITS, programs

architectures = itertools.cycle(ARCHITECTURES)
MIX_CASES = [
    (mix, shape, next(architectures)) for mix in MIXES for shape in candidates(GPU, "mix", "double", {})
]
PIECE_CASES = [(piece, next(architectures)) for piece in random_access.PIECES_BYTES * 2]


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Nvrtc(nvrtc_libraries()[0])


def compiled(
    compiler: Compiler, family: str, dtype: str, shape: Shape, architecture: str, **definitions: int
) -> dict[str, Kernel]:
    text: str = programs().shaped(family, dtype, shape, **definitions)  # type: ignore[assignment]
    kernels = disassemble(compiler.compile(text, architecture))
    spilling = [name for name, kernel in kernels.items() if kernel.local_accesses]
    assert not spilling, (architecture, shape)
    return kernels


@pytest.mark.parametrize("mix", MIXES)
def test_mixes_keep_their_loads_in_flight(compiler: Compiler, mix: tuple[int, int]) -> None:
    reads, writes = mix
    for shape, architecture in ((shape, arch) for each, shape, arch in MIX_CASES if each == mix):
        kernels = compiled(compiler, "mix", "double", shape, architecture, READS=reads, WRITES=writes)
        kernel = kernels["read_and_write"]
        bits = 256 if shape.vector_bytes == 32 and architecture in WITH_256_BITS else 128
        each = shape.unroll * shape.vector_bytes * 8 // bits
        assert kernel.load_widths.count(bits) == reads * each
        assert kernel.loads_before_use >= reads * each
        assert kernel.store_widths.count(bits) == writes * each
        assert len(kernel.store_widths) == writes * each + bool(reads)  # and the sum of the group


@pytest.mark.parametrize("access", KERNELS)
def test_patterns_are_written_and_copied_by_whole_vectors(compiler: Compiler, access: str) -> None:
    for shape, architecture in zip(candidates(GPU, access, "double", {}), ARCHITECTURES, strict=False):  # type: ignore[arg-type]
        kernels = compiled(compiler, "pattern", "double", shape, architecture)
        assert {"check_pattern", "report_pattern"} <= set(kernels)
        kernel = kernels[f"pattern_{access}"]
        bits = 256 if shape.vector_bytes == 32 and architecture in WITH_256_BITS else 128
        assert set(kernel.store_widths) == {bits}
        assert access == "write" or set(kernel.load_widths) == {bits}


@pytest.mark.parametrize(("stride", "architecture"), list(zip(strided.STRIDES, ARCHITECTURES, strict=False)))
def test_strides_load_element_by_element(compiler: Compiler, stride: int, architecture: str) -> None:
    shape = strided.shape_for(GPU)
    kernel = compiled(compiler, "strided", "float", shape, architecture, STRIDE=stride)["strided_read"]
    assert kernel.load_widths == (32,) * shape.unroll
    assert kernel.loads_before_use >= shape.unroll


@pytest.mark.parametrize(("piece", "architecture"), PIECE_CASES)
def test_random_places_are_known_before_the_first_access(
    compiler: Compiler, piece: int, architecture: str
) -> None:
    shape = random_access.shape_for(GPU, piece)
    parts = piece // shape.vector_bytes
    kernels = compiled(compiler, "random", "float", shape, architecture, PARTS=parts, PIECE_WORDS=piece // 4)
    assert {"total_gather", "check_scatter", "report_scatter", "check_update", "report_update"} <= set(
        kernels
    )
    bits = shape.vector_bytes * 8
    for name in ("random_gather", "random_update"):
        assert kernels[name].load_widths[: shape.unroll] == (bits,) * shape.unroll
        assert kernels[name].loads_before_use >= shape.unroll
    for name in ("random_scatter", "random_update"):
        assert kernels[name].store_widths.count(bits) >= shape.unroll

"""Kernels compile for GPUs without one: by NVRTC from its wheel, for every architecture that we name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpubench.benchmarks.stream import Programs
from gpubench.devices.cuda_compile import Compiler, compile_cubin, find_compiler
from gpubench.errors import BenchmarkFailed
from gpubench.measure.shapes import candidates
from gpubench.results.document import DeviceInfo

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
GPU = DeviceInfo("cuda:GPU-1", "cuda-gpu0", "cuda", "gpu", "a GPU", "0000", compute_units=132)


class Texts:
    """Takes the place of a device to learn which programs a GPU would be given."""

    info = GPU

    def __init__(self) -> None:
        self.found: list[str] = []

    def compile(self, text: str) -> None:
        self.found.append(text)


def programs(dtype: str) -> list[str]:
    """Every program that a run in ``dtype`` may compile: the checks, and each shape that is tried."""
    texts = Texts()
    all_programs = Programs(texts)  # type: ignore[arg-type]
    all_programs.verify(dtype, 256)
    for access in ("read", "write", "copy"):
        for shape in candidates(GPU, access, dtype, {}):  # type: ignore[arg-type]
            all_programs.stream(dtype, shape)
    return list(dict.fromkeys(texts.found))


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return find_compiler()


@pytest.mark.parametrize("dtype", ["float", "double"])
def test_every_program_compiles(compiler: Compiler, dtype: str) -> None:
    texts = programs(dtype)
    assert len(texts) > 6
    for text in texts:
        cubin = compiler.compile(text, "sm_90")
        for kernel in (b"stream_triad", b"check_elements"):
            assert (kernel in cubin) == (kernel.decode() in text)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_compiled_for(compiler: Compiler, architecture: str) -> None:
    for text in programs("double")[:2]:
        assert compiler.compile(text, architecture).startswith(b"\x7fELF")


def test_what_does_not_compile_is_told_in_the_compilers_words(compiler: Compiler) -> None:
    with pytest.raises(BenchmarkFailed, match="undefined_name"):
        compiler.compile('extern "C" __global__ void f() { undefined_name(); }', "sm_90")
    with pytest.raises(BenchmarkFailed, match="sm_1"):
        compiler.compile('extern "C" __global__ void f() {}', "sm_1")


class Counting:
    """A compiler that counts how often it is asked."""

    version = "counting 1"

    def __init__(self) -> None:
        self.asked = 0

    def compile(self, text: str, architecture: str) -> bytes:
        self.asked += 1
        return b"\x7fELF" + text.encode() + architecture.encode()


def test_a_program_is_compiled_once_for_each_text_architecture_and_compiler(tmp_path: Path) -> None:
    compiler = Counting()
    first = compile_cubin("text", "sm_90", compiler, tmp_path)
    assert compile_cubin("text", "sm_90", compiler, tmp_path) == first
    assert compiler.asked == 1
    for text, architecture, version in (
        ("other", "sm_90", "1"),
        ("text", "sm_80", "1"),
        ("text", "sm_90", "2"),
    ):
        compiler.version = f"counting {version}"
        compile_cubin(text, architecture, compiler, tmp_path)
    assert compiler.asked == 4


def test_a_broken_cache_costs_time_and_nothing_else(tmp_path: Path) -> None:
    compiler = Counting()
    right = compile_cubin("text", "sm_90", compiler, tmp_path)
    [file] = tmp_path.iterdir()
    file.write_bytes(b"half a fi")
    assert compile_cubin("text", "sm_90", compiler, tmp_path) == right
    assert compiler.asked == 2
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    assert compile_cubin("text", "sm_90", compiler, in_the_way) == right

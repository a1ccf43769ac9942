"""Trials of access shapes: who is tried, after what, and what becomes of a shape that cannot run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.devices.base import Device, Launch
from gpubench.errors import BenchmarkFailed
from gpubench.kernels.programs import Programs
from gpubench.measure.memory import Arena
from gpubench.measure.shapes import candidates
from gpubench.measure.statistics import median
from gpubench.measure.tuning import MIN_ROUNDS, best, try_shapes
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Shape, Trial
from gpubench.results.machine import DeviceInfo
from tests.measure.conftest import MIB

GPU = DeviceInfo("cuda:GPU-1", "cuda-gpu0", "cuda", "gpu", "a GPU", "0000", compute_units=132)
SHAPES = [Shape(32, unroll, 1, "tile", True, 16) for unroll in (4, 8)]


@pytest.fixture
def task(device: Device) -> Iterator[StreamTask]:
    arena = Arena(device)
    segments = arena.cut(MIB, 2, 8, 4096)
    made = StreamTask(Programs(device), STREAM["copy"], "double", segments, seed=1)
    made.fill()
    yield made
    made.release()
    arena.release()


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program of bench/."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "bench")
    return importlib.import_module("shapes")


def nothing() -> None:
    pass


def test_the_device_is_warmed_once_when_all_shapes_have_run_and_before_any_trial(
    device: Device, task: StreamTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU idles while shapes are compiled, and would be tried at the clock of an idle one."""
    told: list[str] = []
    run = device.run

    def remember(operations: list[Launch]) -> float:
        told.append("run")
        return run(operations)

    monkeypatch.setattr(device, "run", remember)
    trials = try_shapes(
        device, task, SHAPES, nothing, lambda part: None, 1e-6, lambda launches: told.append("warm")
    )
    assert told[: len(SHAPES) + 1] == ["run"] * len(SHAPES) + ["warm"]
    assert told.count("warm") == 1
    assert [len(trial.samples_seconds) for trial in trials] == [MIN_ROUNDS] * len(SHAPES)


def test_a_shape_that_does_not_compile_is_told_and_not_chosen(
    device: Device, task: StreamTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_program = device.compile

    def refuse(text: str) -> object:
        if "UNROLL 4" in text:
            raise BenchmarkFailed("no such unrolling")
        return compile_program(text)

    monkeypatch.setattr(device, "compile", refuse)
    trials = try_shapes(device, task, SHAPES, nothing, lambda part: None, 1e-6)
    assert [trial.reason for trial in trials] == ["no such unrolling", None]
    assert best(trials) == SHAPES[1]
    with pytest.raises(BenchmarkFailed, match="no access shape can run: no such unrolling"):
        best(trials[:1])


def test_a_shape_is_set_against_those_of_its_round() -> None:
    """The memory is slow in two rounds of five; one shape is better but for a round that was disturbed."""
    usual, better = [1.0, 1.0, 1.0, 2.0, 2.0], [0.95, 0.95, 1.9, 1.9, 1.9]
    trials = [
        Trial(shape, 1e9 / median(samples), samples)
        for shape, samples in zip(SHAPES, (usual, better), strict=True)
    ]
    assert trials[0].bandwidth_bytes_per_second == 1e9 > (trials[1].bandwidth_bytes_per_second or 0)
    assert best(trials) == SHAPES[1]


def test_a_wide_grid_has_all_that_the_tuner_tries_on_a_gpu(shapes: Any) -> None:
    for access in ("read", "write", "copy"):
        assert set(candidates(GPU, access, "double", {})) < set(shapes.grid(GPU, access))


def test_the_winner_of_a_wide_grid_meets_the_tuners_choice_again(
    device: Device, shapes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Shape(64, 1, 1, "tile", False, 4)
    monkeypatch.setattr(shapes, "grid", lambda info, access: [other])
    monkeypatch.setattr(shapes, "HEAT_BUDGETS", (1e-6,) * 3)
    first, second, (winner, own) = heats = shapes.heats_of(device, "write", MIB)
    tried = candidates(device.info, "write", "double", {})
    assert [trial.shape for trial in first] == [*tried, other]
    assert {trial.shape for trial in second} == {*tried, other}
    assert winner.shape == best(second)
    assert own.shape in tried
    said = shapes.said_of("write", heats, device.info)
    assert len([line for line in said if " B x " in line]) == len(second) + 1


def test_a_winner_that_is_wrong_ends_the_search(
    device: Device, shapes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "grid", lambda info, access: [])
    monkeypatch.setattr(shapes, "HEAT_BUDGETS", (1e-6,) * 3)
    monkeypatch.setattr(StreamTask, "verify", lambda task, shape: VerificationResult(1, [], "elements"))
    with pytest.raises(SystemExit, match="write is wrong in Shape"):
        shapes.heats_of(device, "write", MIB)

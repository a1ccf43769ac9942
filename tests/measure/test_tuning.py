"""Trials of access shapes: who is tried, after what, and what becomes of a shape that cannot run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpubench.benchmarks.registry import STREAM
from gpubench.benchmarks.stream.task import StreamTask
from gpubench.devices.base import Device
from gpubench.errors import BenchmarkFailed
from gpubench.kernels.programs import Programs
from gpubench.measure.memory import Arena
from gpubench.measure.shapes import candidates
from gpubench.measure.statistics import median
from gpubench.measure.tuning import MIN_ROUNDS, best, try_shapes
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Shape, Trial
from gpubench.results.machine import DeviceInfo
from tests.measure.conftest import MIB, run_on
from tests.simulated import PROCESSOR, SimulatedDevice, SimulatedProgram, Work

GPU = DeviceInfo("cuda:GPU-1", "cuda-gpu0", "cuda", "gpu", "a GPU", "0000", compute_units=132)
SHAPES = [Shape(32, unroll, 1, "tile", True, 16) for unroll in (4, 8)]


@pytest.fixture
def task(simulated: SimulatedDevice) -> Iterator[StreamTask]:
    simulated.info = PROCESSOR
    arena = Arena(simulated)
    segments = arena.cut(MIB, 2, 8, 4096)
    made = StreamTask(Programs(simulated), STREAM["copy"], "double", segments, seed=1)
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


def by_unroll(paces: dict[int, float]) -> Callable[[Work], float]:
    return lambda work: paces.get(work.kernel.defined("UNROLL"), 100e6) if work.kernel else 100e6


def test_one_warm_up_after_all_shapes_ran_and_before_any_trial(
    simulated: SimulatedDevice, task: StreamTask
) -> None:
    """A GPU idles while shapes are compiled, and would be tried at the clock of an idle one."""
    before = len(simulated.runs)
    warmed_after: list[int] = []
    trials = try_shapes(
        simulated,
        task,
        SHAPES,
        nothing,
        lambda part: None,
        1e-6,
        lambda launches: warmed_after.append(len(simulated.runs) - before),
    )
    assert warmed_after == [len(SHAPES)]
    assert [len(trial.samples_seconds) for trial in trials] == [MIN_ROUNDS] * len(SHAPES)


def test_a_shape_that_does_not_compile_is_told_and_not_chosen(simulated: SimulatedDevice) -> None:
    class Picky(SimulatedDevice):
        def compile(self, text: str) -> SimulatedProgram:
            if "#define UNROLL 4\n" in text:
                raise BenchmarkFailed("no such unrolling")
            return super().compile(text)

    device = Picky(PROCESSOR, simulated.clock)
    pinned = {"vector_bytes": 32, "order": "tile", "streaming_stores": True, "groups": 16}
    _, told = run_on(device, "write", footprint_bytes=MIB, **pinned)
    [tuning] = told.tunings
    reasons = {trial.shape.unroll: trial.reason for trial in tuning.trials}
    assert reasons == {8: None, 4: "no such unrolling", 16: None}
    assert tuning.chosen.unroll != 4
    assert told.measurements[0].status == "ok"
    _, told = run_on(device, "write", footprint_bytes=MIB, unroll=4, order="tile")
    assert (told.measurements[0].status, told.measurements[0].reason) == (
        "failed",
        "no access shape can run: no such unrolling",
    )


@pytest.mark.parametrize("fastest", [4, 8, 16])
def test_the_fastest_shape_is_chosen_and_measured(simulated: SimulatedDevice, fastest: int) -> None:
    simulated.info = PROCESSOR
    simulated.pace = by_unroll({4: 100e6, 8: 100e6, 16: 100e6, fastest: 101e6})
    _, told = run_on(simulated, "copy", footprint_bytes=MIB)
    [tuning] = told.tunings
    assert tuning.chosen.unroll == fastest
    assert told.measurements[0].shape == tuning.chosen
    for trial in tuning.trials:
        expected = 101e6 if trial.shape.unroll == fastest else 100e6
        assert trial.bandwidth_bytes_per_second == pytest.approx(expected)


def test_a_memory_that_changes_its_pace_favours_no_shape(simulated: SimulatedDevice) -> None:
    """Rounds: each shape is tried once before any is tried again, each time after a pass of its own."""
    simulated.info = PROCESSOR
    begin = simulated.clock.seconds
    faster = by_unroll({16: 105e6})
    simulated.pace = lambda work: faster(work) * (2.0 if work.seconds < begin + 1.0 else 1.0)
    _, told = run_on(simulated, "copy", footprint_bytes=MIB, time_limit_seconds=None)
    assert told.tunings[0].chosen.unroll == 16


def test_trials_end_with_their_budget(simulated: SimulatedDevice) -> None:
    """A processor's of about a second, half of it timed; less for who asks for a quick figure."""
    simulated.info = PROCESSOR
    spent: dict[float | None, list[int]] = {}
    for limit in (None, 0.05):
        _, told = run_on(simulated, "copy", footprint_bytes=MIB, time_limit_seconds=limit)
        spent[limit] = [len(trial.samples_seconds) for trial in told.tunings[0].trials]
    pass_seconds = MIB / 100e6
    rounds = -(-1.0 // (12 * pass_seconds))
    assert spent == {None: [rounds] * 6, 0.05: [MIN_ROUNDS] * 6}


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

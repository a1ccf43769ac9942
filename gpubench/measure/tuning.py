"""Find the access shape with the highest bandwidth, by trying a few."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from gpubench.devices.base import Device, Launch, Program
from gpubench.devices.profile import profile_of
from gpubench.errors import BenchmarkFailed
from gpubench.measure.run_context import RunContext
from gpubench.measure.sampling import MIN_TRIAL_SECONDS, CancelCheck, passes_for, timed
from gpubench.measure.series import Point
from gpubench.measure.shapes import Access
from gpubench.measure.statistics import median
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Shape, Trial, Tuning

MIN_ROUNDS = 2
MAX_ROUNDS = 18


class Tunable(Protocol):
    """What is timed in each shape: a benchmark over one cut of memory. ``access`` is its class of shapes."""

    @property
    def access(self) -> Access: ...
    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def footprint_bytes(self) -> int: ...
    def program(self, shape: Shape) -> Program:
        """What a pass runs; its compilation may have only begun."""
        ...

    def launches(self, shape: Shape) -> list[Launch]:
        """One pass."""
        ...

    def pass_bytes(self, shape: Shape) -> tuple[int, int]:
        """Payload and bus bytes of one pass."""
        ...


def tuned_shape(
    context: RunContext, task: Tunable, shapes: Sequence[Shape], parameters: Mapping[str, Any]
) -> Shape:
    """The best shape for this task's kernel, tried once in a run.

    The shape of another kernel of its class is not used: a figure would depend on which came first in
    the run, and ``read`` has half the loads of ``dot`` in flight in the same shape.
    """
    if len(shapes) == 1:
        return shapes[0]
    key = (task.name, task.access, task.dtype, parameters["footprint_bytes"], *shapes)
    if key not in context.shapes:
        # A short time limit asks for a quick figure: the trials must not take much longer.
        limit = parameters["time_limit_seconds"]
        budget = min(context.profile.tuning_budget_seconds, 2 * limit if limit else math.inf)
        warms_up = context.profile.warms_up_before_trials and not context.warm
        trials = try_shapes(
            context.device,
            task,
            shapes,
            context.raise_if_cancelled,
            lambda part: context.progress.phase("tuning", part),
            budget,
            context.warm_up if warms_up else (lambda launches: None),
            max(MIN_TRIAL_SECONDS, context.clock_sample_seconds),
            context.pass_seconds,
        )
        context.warm = True
        chosen = context.shapes[key] = best(trials)
        context.tuned(Tuning(task.access, task.name, task.dtype, task.footprint_bytes, chosen, trials))
    return context.shapes[key]


def point_of(
    task: Tunable,
    shape: Shape,
    poison: Callable[[], None],
    verify: Callable[[], VerificationResult],
    **more: Any,
) -> Point:
    """A whole pass of a task in a shape; ``more`` is what else its ``Point`` has."""
    payload_bytes, bus_bytes = task.pass_bytes(shape)
    return Point(
        operations=task.launches(shape),
        payload_bytes=payload_bytes,
        bus_bytes=bus_bytes,
        footprint_bytes=task.footprint_bytes,
        poison=poison,
        verify=verify,
        shape=shape,
        **more,
    )


def try_shapes(
    device: Device,
    task: Tunable,
    shapes: Sequence[Shape],
    raise_if_cancelled: CancelCheck,
    on_round: Callable[[float], None],
    budget_seconds: float | None = None,
    warm_up: Callable[[list[Launch]], object] = lambda launches: None,
    sample_seconds: float = MIN_TRIAL_SECONDS,
    pass_seconds: Callable[[list[Launch]], float] | None = None,
) -> list[Trial]:
    """Time each shape in turn, round after round, so that drift favours none, until the budget is spent.

    Each sample follows one untimed pass of its own kernel, since the caches hold the data of another.
    A shape that does not compile is in the table with the reason. ``warm_up`` gets a pass to run once
    all are compiled: the device was idle meanwhile.
    """
    once: dict[Shape, list[Launch]] = {}
    samples: dict[Shape, list[float]] = {shape: [] for shape in shapes}
    reasons: dict[Shape, str] = {}
    for shape in shapes:
        raise_if_cancelled()
        with suppress(BenchmarkFailed):
            task.program(shape)  # some runtimes compile in parallel
    for shape in shapes:
        raise_if_cancelled()
        try:
            launches = task.launches(shape)
            device.run(launches)  # some runtimes compile only now
            once[shape] = launches
        except BenchmarkFailed as error:
            reasons[shape] = error.message
    if once:
        warm_up(next(iter(once.values())))
    passes = {
        shape: launches * passes_for(launches, (pass_seconds or device.run)(launches), sample_seconds)
        for shape, launches in once.items()
    }
    budget = budget_seconds or profile_of(device.info.kind).tuning_budget_seconds
    begin = time.monotonic()
    for done in range(MAX_ROUNDS):
        spent = time.monotonic() - begin
        if done >= MIN_ROUNDS and spent >= budget:
            break
        on_round(min(1.0, max(spent / budget, done / MAX_ROUNDS)))
        for shape, launches in passes.items():
            raise_if_cancelled()
            device.run(launches)
            samples[shape].append(timed(device, launches))
    return [_trial(task, shape, passes.get(shape), samples[shape], reasons.get(shape)) for shape in shapes]


def best(trials: Sequence[Trial]) -> Shape:
    """The shape that is fastest relative to the others of its round, by its median over the rounds.

    Not the one with the highest median of bandwidth: if the memory's speed changes between rounds, that
    depends on a few fast ones. Raises ``BenchmarkFailed`` if none could run.
    """
    rated = standings(trials)
    if not rated:
        raise BenchmarkFailed(f"no access shape can run: {trials[0].reason}")
    return max(rated, key=lambda each: each[1])[0].shape


def standings(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """The trials that could run, each with the median over the rounds of its ratio to the round's median."""
    rated = [trial for trial in trials if trial.bandwidth_bytes_per_second is not None]
    usual = [median(of_round) for of_round in zip(*map(rates, rated), strict=True)]
    return [
        (trial, median([rate / other for rate, other in zip(rates(trial), usual, strict=True)]))
        for trial in rated
    ]


def rates(trial: Trial) -> list[float]:
    """Bytes per second, round by round."""
    middle = (trial.bandwidth_bytes_per_second or 0.0) * median(trial.samples_seconds)
    return [middle / seconds for seconds in trial.samples_seconds]


def _trial(
    task: Tunable, shape: Shape, launches: list[Launch] | None, samples: list[float], reason: str | None
) -> Trial:
    if launches is None or not samples or min(samples) <= 0:
        return Trial(shape, None, samples, reason or "the device's clock is too coarse")
    passes = len(launches) // len(task.launches(shape))
    return Trial(shape, task.pass_bytes(shape)[1] * passes / median(samples), samples)

"""Options of ``gpubench run`` that would remove a flag from a figure; only those expected to succeed."""

from __future__ import annotations

import math
from typing import Any

from gpubench.benchmarks.parameters import (
    MAX_COUNTED_SAMPLES,
    MAX_FOOTPRINT_BYTES,
    MAX_TIME_LIMIT_SECONDS,
    Parameters,
)
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.measure.stopping import MAX_SAMPLES, MAX_SERIES_SAMPLES, MIN_SAMPLES
from gpubench.measure.validity import USUAL_TARGET_RATIO, unstable_above_ratio
from gpubench.results.document import Measurement, RunDocument
from gpubench.units import size_argument

_TIME_LIMITS_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, MAX_TIME_LIMIT_SECONDS)

_SAMPLES_MARGIN = 2
"""The interval of one series is up to 1.4 times as wide as that of another from the same noise."""

_FREE_MEMORY_RATIO = 0.9
"""The most of the free memory that is suggested: the runtime and other programs need some."""


def target_ratio(m: Measurement) -> float:
    """The precision asked for."""
    return float(_number(m, "target_ratio") or USUAL_TARGET_RATIO)


def footprint(run: RunDocument, m: Measurement, needed_bytes: int) -> str | None:
    """``--footprint 2600MiB``; null if the device has less free memory, or the benchmark might use less."""
    info, parameters = run.device, _parameters(m)
    if parameters is None or not parameters.keeps_footprint or info is None or info.memory_bytes is None:
        return None
    free_bytes = info.memory_bytes - (info.memory_used_bytes or 0)
    if needed_bytes > min(_FREE_MEMORY_RATIO * free_bytes, MAX_FOOTPRINT_BYTES):
        return None
    return f"--footprint {size_argument(needed_bytes)}"


def narrower_interval(run: RunDocument, m: Measurement, width_ratio: float) -> str | None:
    """The option that makes an interval of +- ``width_ratio`` narrow enough, if the noise does not change.

    The width of an interval goes with 1 / sqrt(samples). Null if that does not apply, as for samples that
    drift or fall into two groups, or if the run would take too long.
    """
    if m.bimodal or "drifting" in m.flags:
        return None
    enough = unstable_above_ratio(target_ratio(m))
    wanted = _SAMPLES_MARGIN * len(m.samples_seconds) * (width_ratio / enough) ** 2
    option = _samples(run, m, wanted)
    if option and target_ratio(m) > enough:
        return f"--set target_ratio={USUAL_TARGET_RATIO} {option}"
    return option


def enough_samples(run: RunDocument, m: Measurement) -> str | None:
    """The option for the fewest samples that the default stopping rule needs."""
    return _samples(run, m, MIN_SAMPLES)


def _samples(run: RunDocument, m: Measurement, wanted: float) -> str | None:
    """The option for ``wanted`` samples: the time limit, or their number if that ends the series."""
    parameters, stop = _parameters(m), m.parameters.get("stop")
    figures = sum(each.benchmark == m.benchmark for each in run.measurements)
    if parameters is None or not parameters.takes_more_samples or wanted > _most_samples(figures):
        return None
    if stop == "count" and m.parameters.get("time_limit_seconds") is None:
        return f"--set stop=count --set samples={math.ceil(wanted)}"
    if stop not in ("median", "time"):
        return None
    sampled = max(math.fsum(m.samples_seconds), _number(m, "time_limit_seconds") or 0.0)
    seconds = sampled * wanted / len(m.samples_seconds)
    limit = next((limit for limit in _TIME_LIMITS_SECONDS if limit >= seconds), math.inf)
    # Each figure of a curve takes as long.
    return f"--time-limit {limit:g}" if limit * figures <= MAX_TIME_LIMIT_SECONDS else None


def _most_samples(figures: int) -> int:
    """The most samples for each of ``figures`` figures of a benchmark, which share ``MAX_SAMPLES``.

    The shares are not in the document and may be unequal: half of an equal share is safe.
    """
    return min(MAX_SERIES_SAMPLES, MAX_COUNTED_SAMPLES, MAX_SAMPLES // (2 * figures))


def _parameters(m: Measurement) -> type[Parameters] | None:
    """Null for a benchmark of another version of the program."""
    row = BENCHMARKS.get(m.benchmark)
    return row.parameters if row else None


def _number(m: Measurement, name: str) -> float | None:
    value: Any = m.parameters.get(name)
    return value if isinstance(value, int | float) and value > 0 else None

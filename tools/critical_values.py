"""Simulate the critical values of ``gpubench/comparison/change_points.py``; needs numpy, and some minutes.

python tools/critical_values.py
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from gpubench.comparison.change_points import _CRITICAL, _LEVELS, MIN_SIDE

ORDERS = 400_000
AT_ONCE = 2_000_000


def statistics(count: int, orders: int, generator: np.random.Generator) -> np.ndarray:
    """The statistic of so many random orders of the normal scores of ``count`` values."""
    scores = np.array([NormalDist().inv_cdf((rank + 0.5) / count) for rank in range(count)])
    before = np.arange(MIN_SIDE, count - MIN_SIDE + 1)
    deviations = np.sqrt(before * (count - before) * (scores @ scores) / count / (count - 1))
    shuffled = scores[np.argsort(generator.random((orders, count)), axis=1)]
    sums = np.cumsum(shuffled, axis=1)[:, MIN_SIDE - 1 : count - MIN_SIDE]
    return np.abs(sums / deviations).max(axis=1)


def main() -> None:
    generator = np.random.default_rng(7)
    for count in _CRITICAL:
        step = AT_ONCE // count
        found = np.concatenate([statistics(count, step, generator) for _ in range(-(-ORDERS // step))])
        print(count, [round(float(np.quantile(found, 1 - level)), 2) for level in _LEVELS])


if __name__ == "__main__":
    main()

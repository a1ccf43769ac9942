"""How often a shift of 2 % in noise of 1 % is found: the table of docs/history.md. Some minutes.

python tools/shift_power.py [SERIES]
"""

from __future__ import annotations

import random
import sys

from gpubench.comparison.change_points import find_changes

BEFORE_AND_AFTER = ((20, 20), (30, 30), (45, 15), (50, 50), (75, 25), (85, 15), (170, 30))
NOISE_RATIO, SHIFT_RATIO = 0.01, 0.98


def found_ratio(before: int, after: int, count: int) -> float:
    """The share of ``count`` series in which exactly one change is found, and it is a shift."""
    generator = random.Random(before * 1000 + after)
    found = 0
    for _ in range(count):
        ratios = [1.0] * before + [SHIFT_RATIO] * after
        changes = find_changes([ratio * generator.gauss(1, NOISE_RATIO) for ratio in ratios])
        found += [each.kind for each in changes] == ["shift"]
    return found / count


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"| figures before, after | found, of {count} series |\n| :-- | --: |")
    for before, after in BEFORE_AND_AFTER:
        print(f"| {before}, {after} | {100 * found_ratio(before, after, count):.0f} % |", flush=True)


if __name__ == "__main__":
    main()

"""The patterns of the memory test: what is written, read and inverted, step by step."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from gpubench.benchmarks.integrity.errors import Words, owners_of_counters

_WALK_LANES = 16


@dataclass(frozen=True)
class Step:
    """One pass over all memory by ``integrity_<kernel>``; ``down`` goes from the last part to the first.

    ``flipped`` memory holds the complement when the step begins. With ``pause`` the device rests first.
    """

    kernel: str
    flipped: bool = False
    down: bool = False
    pause: bool = False

    @property
    def moves(self) -> int:
        """How many times the memory's bytes cross the bus."""
        return 2 if self.kernel == "turn" else 1


@dataclass(frozen=True)
class Pattern:
    """``number`` is that of integrity.cl."""

    name: str
    number: int
    steps: tuple[Step, ...]

    def salt(self, seed: int, turn: int) -> int:
        """Of one pass through the steps. Each has other values, so that a word not written is never right."""
        if self.name == "walking_ones":
            return turn * _WALK_LANES % 64
        return zlib.crc32(f"{self.name} {seed} {turn}".encode())

    def owners(self, values: Words, salt: int, flipped: bool) -> Words | None:
        """The indices to which values belong; None if a value does not determine one."""
        if self.name == "walking_ones":
            return None
        return owners_of_counters(~values if flipped else values, salt, folded=self.number == _RANDOM)


_ADDRESS, _WALKING, _RANDOM = range(3)

_CHECK_TWICE = (Step("write"), Step("check"), Step("check", pause=True))
_TURN_TWICE = (Step("write"), Step("turn"), Step("turn", flipped=True, down=True), Step("check"))
_MARCH = (
    Step("write"),
    Step("turn"),
    Step("turn", flipped=True),
    Step("turn", down=True),
    Step("turn", flipped=True, down=True),
    Step("check"),
)

# Most steps invert memory: read and written at once, it is as busy as with a copy.
PATTERNS = {
    pattern.name: pattern
    for pattern in (
        Pattern("address", _ADDRESS, _MARCH),
        Pattern("walking_ones", _WALKING, _MARCH),
        Pattern("moving_inversions", _RANDOM, _MARCH),
        Pattern("random", _RANDOM, _TURN_TWICE),
        Pattern("retention", _RANDOM, _CHECK_TWICE),
    )
}

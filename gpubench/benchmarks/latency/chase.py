"""A pointer chase: link its nodes, follow them, and verify where it ended."""

from __future__ import annotations

from typing import Literal

from gpubench.devices.base import Buffer, Kernel, Launch
from gpubench.measure.memory import PAGE_BYTES
from gpubench.measure.run_context import RunContext
from gpubench.measure.shapes import helper_grid
from gpubench.measure.verification.mismatch_reports import MismatchReports
from gpubench.measure.verification.result import VerificationResult
from gpubench.results.document import Mismatch

Order = Literal["random", "paged"]

STEPS_UNROLLED = 16
"""As in latency.cl: steps are counted in multiples of this."""

_SLOT_WORDS: dict[Order, int] = {"random": 0, "paged": 2}
"""The first word of an order in a node, so that both orders walk through the same lines."""

_GOLDEN = 0x9E3779B9
_SLICE_SECONDS = 0.1
_SLICE_NODES = 1 << 21
"""Linked or verified by one launch, so that the run can be cancelled soon."""


class Chase:
    """One walk over the first ``nbytes`` of ``memory``, a node for each line.

    The order "paged" walks through all nodes of ``page_bytes`` before it goes to the next page.
    """

    def __init__(
        self,
        context: RunContext,
        memory: Buffer,
        nbytes: int,
        *,
        line_bytes: int,
        order: Order = "random",
        page_bytes: int = 0,
        seed: int = 1,
    ) -> None:
        self._context = context
        self._memory = memory
        self.nodes = nbytes // line_bytes
        self.order: Order = order
        page_nodes = min(page_bytes // line_bytes, self.nodes) if order == "paged" else self.nodes
        bits = (page_nodes - 1).bit_length()
        salt = (seed * 8 + _SLOT_WORDS[order]) * _GOLDEN % 2**32
        self._walk = (
            self.nodes,
            page_nodes,
            (1 << bits) - 1,
            max(1, (bits + 1) // 2),
            salt,
            _SLOT_WORDS[order],
        )
        grid = self._grid = helper_grid(context.device.info)
        words = line_bytes // 8
        self._helpers = context.programs.program(
            "latency", "double", group_size=grid.group_size, NODE_WORDS=words
        )
        alone = context.programs.program("latency", "double", group_size=1, NODE_WORDS=words)
        self._chase: Kernel = alone.kernel("chase")
        self._start: int | None = None
        self._own = context.device.allocate(2 * PAGE_BYTES)
        self.state: Buffer = self._own.view(0, PAGE_BYTES)
        self._ended: Buffer = self._own.view(PAGE_BYTES, PAGE_BYTES)

    def link(self, reports: MismatchReports) -> VerificationResult:
        """Write the nodes and verify that they are one single cycle; only then may they be followed."""
        reports.clear()
        for name, buffers in (("link_nodes", ()), ("check_links", (reports.found, reports.rows))):
            for first in range(0, self.nodes, _SLICE_NODES):
                count = min(_SLICE_NODES, self.nodes - first)
                self._context.run([self._helper(name, self._memory, *self._walk, first, count, *buffers)])
        return reports.result("links")

    def begin(self) -> None:
        """Count steps anew, from the node reached so far: a walk that ends right was walked since.

        It does not start over: the nodes that it came through are still in caches, and would cost too little.
        """
        self._start = 0 if self._start is None else (self._start + self.walked()) % self.nodes
        self._context.device.run(
            [self._helper("begin_walk", self._memory, *self._walk, self._start, self.state)]
        )

    def steps(self, count: int) -> Launch:
        """``count`` steps from the node reached so far; a multiple of ``STEPS_UNROLLED``."""
        return Launch(self._chase, 1, 1, (self.state, count))

    def warm_up(self, steps: int) -> float:
        """Walk ``steps`` in slices; returns the seconds of one step at the end."""
        count, done, each = STEPS_UNROLLED * 64, 0, 0.0
        while True:
            self._context.raise_if_cancelled()
            each = self._context.device.run([self.steps(count)]) / count
            done += count
            if done >= steps and count * each > 1e-3:
                return each
            count = whole_steps(min(2 * count, _SLICE_SECONDS / max(each, 1e-10)))

    def walked(self) -> int:
        """Steps since ``begin``."""
        return self._context.device.read_words(self.state, 2, 8)[1]

    def result(self, steps: int) -> VerificationResult:
        """Whether the walk has reached the node to which its steps lead, a positive multiple of ``steps``."""
        self._context.device.run([self._helper("end_walk", self.state, self._ended)])
        ended, walked = self._context.device.read_words(self._ended, 2, 8)
        expected = ((self._start or 0) + walked) % self.nodes
        if walked and walked % steps == 0 and ended == expected:
            return VerificationResult(0, [], "ends of walks")
        return VerificationResult(1, [Mismatch(walked, f"{expected:#x}", f"{ended:#x}")], "ends of walks")

    def release(self) -> None:
        self._own.release()

    def _helper(self, name: str, *arguments: Buffer | int) -> Launch:
        return Launch(self._helpers.kernel(name), self._grid.groups, self._grid.group_size, arguments)


def whole_steps(steps: float) -> int:
    """About ``steps``, as an odd multiple of ``STEPS_UNROLLED``: half of them is no whole lap, and shows."""
    return (2 * round(steps / STEPS_UNROLLED / 2) + 1) * STEPS_UNROLLED

"""What a server and a private worker on this machine have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from gpubench.benchmarks.description import Benchmarks
from gpubench.library import RunDocument
from gpubench.protocol.messages import Accepted, Devices
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.progress import Progress

if TYPE_CHECKING:
    from gpubench.executor.supervisor import StopRequest


class Backend(Protocol):
    """Where benchmarks are run: ``Client`` or ``LocalClient``."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def devices(self) -> Devices: ...

    def benchmarks(self) -> Benchmarks: ...

    def run(
        self,
        benchmarks: str | Sequence[BenchmarkRequest | str],
        *,
        device: str | None = None,
        key: str | None = None,
        deadline_seconds: float | None = None,
        memory: StatedMemory | None = None,
        on_accepted: Callable[[Accepted], None] = ...,
        on_progress: Callable[[Progress], None] = ...,
        stop: StopRequest | None = None,
    ) -> RunDocument:
        """Run benchmarks or suites and wait for the document.

        Once ``stop`` has a reason the run is cancelled.

        Raises what became of a run that did not end well, as one of ``gpubench.errors``, with
        what was finished in its ``document``.
        """
        ...


def ignore(event: object) -> None:
    """The callback of who does not want to know."""


def requests(benchmarks: str | Sequence[BenchmarkRequest | str]) -> list[BenchmarkRequest | str]:
    """What a caller may write, as the wire has it: one name stands for itself."""
    named = [benchmarks] if isinstance(benchmarks, str) else benchmarks
    return [BenchmarkRequest(each) if isinstance(each, str) else each for each in named]

"""What ``Client`` and ``LocalClient`` have in common: the interface, and the options of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypedDict, Unpack, cast

from gpubench.benchmarks.description import Benchmarks
from gpubench.library import RunDocument
from gpubench.protocol.messages import Accepted, Devices, RunParams
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.results.progress import Progress

if TYPE_CHECKING:
    from gpubench.executor.supervisor import StopRequest

BenchmarkNames = str | Sequence[BenchmarkRequest | str]
"""One benchmark or suite by name, or several, each with or without parameters."""


class SubmitOptions(TypedDict, total=False):
    """What a run can be given besides its benchmarks.

    ``device`` is an id or an alias; without one the only GPU is used, else the only device. The same
    ``key`` again gives the same run instead of a second one. ``deadline_seconds``, above 0 and up to
    86,400, is for the whole run, its time in the queue included. ``memory`` states what the memory is,
    for devices that do not report it. ``labels`` are kept in the document.
    """

    device: str | None
    key: str | None
    deadline_seconds: float | None
    memory: StatedMemory | None
    labels: dict[str, str]


class RunOptions(SubmitOptions, total=False):
    """The same for a run that is waited for, and how to follow and end it.

    The callbacks are called in the thread that waits. Once ``stop`` has a reason, the run is cancelled.
    """

    on_accepted: Callable[[Accepted], None]
    on_progress: Callable[[Progress], None]
    stop: StopRequest | None


class Backend(Protocol):
    """Runs benchmarks: ``Client`` on a server, ``LocalClient`` on this machine."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def stopped(self) -> AbstractContextManager[None]:
        """Entered around a stop of this process (^Z): what works for it on this machine stops too."""
        ...

    def devices(self) -> Devices: ...

    def benchmarks(self) -> Benchmarks: ...

    def run(self, benchmarks: BenchmarkNames, **options: Unpack[RunOptions]) -> RunDocument:
        """Run benchmarks or suites and wait for the document.

        Raises one of ``gpubench.errors`` if the run did not end well, with what was finished in its
        ``document``.
        """
        ...


def ignore(event: object) -> None:
    """A callback that does nothing."""


@dataclass(frozen=True)
class RunCallbacks:
    """How the caller follows a run, and ends it."""

    on_accepted: Callable[[Accepted], None] = ignore
    on_progress: Callable[[Progress], None] = ignore
    stop: StopRequest | None = None


def split_options(
    benchmarks: BenchmarkNames, options: RunOptions, *, detach: bool = False
) -> tuple[RunParams, RunCallbacks]:
    """The request as it goes over the wire, and the callbacks, which do not.

    Raises ``TypeError`` for an option that does not exist.
    """
    callbacks = RunCallbacks(
        options.pop("on_accepted", ignore), options.pop("on_progress", ignore), options.pop("stop", None)
    )
    return run_params(benchmarks, cast(SubmitOptions, options), detach=detach), callbacks


def run_params(benchmarks: BenchmarkNames, options: SubmitOptions, *, detach: bool) -> RunParams:
    """The request for a run; raises ``TypeError`` for an option that does not exist."""
    return RunParams(as_requests(benchmarks), detach=detach, **options)


def as_requests(benchmarks: BenchmarkNames) -> list[BenchmarkRequest | str]:
    """Each benchmark or suite as a request with its parameters."""
    names = [benchmarks] if isinstance(benchmarks, str) else benchmarks
    return [BenchmarkRequest(each) if isinstance(each, str) else each for each in names]

"""What is shown while a run goes on: a live bar on a terminal, a line for each event elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Protocol, Self

from gpubench.protocol.messages import Accepted
from gpubench.report.text_table import clean
from gpubench.results.progress import Progress
from gpubench.units import format_bandwidth, format_percent, format_seconds
from gpubench_client.cli.output import Output

HEARTBEAT_SECONDS = 5.0
"""A program that prints nothing for longer looks as if it hung."""

CANCELLING = "cancelling, finished benchmarks are kept; press ^C again to exit at once"

_ERASE_LINE, _SHOW_CURSOR, _HIDE_CURSOR = "\r\x1b[2K", "\x1b[?25h", "\x1b[?25l"


class ProgressDisplay(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def accepted(self, accepted: Accepted) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def cancelling(self) -> None:
        """Called in a signal handler, as the next two: takes no lock."""
        ...

    def suspend(self) -> None:
        """The process is about to be stopped: the terminal is somebody else's."""
        ...

    def resume(self) -> None:
        """The process goes on."""
        ...


def progress_display(output: Output) -> ProgressDisplay:
    """The display that suits stderr."""
    if output.quiet:
        return NoDisplay()
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return BarDisplay()
    return LineDisplay(output)


class NoDisplay:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def accepted(self, accepted: Accepted) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        pass

    def cancelling(self) -> None:
        pass

    def suspend(self) -> None:
        pass

    def resume(self) -> None:
        pass


class LineDisplay(NoDisplay):
    """A line when the run is accepted, when a benchmark starts and finishes, and after long silence."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._benchmark: str | None = None
        self._result = ""
        self._last_line_at = 0.0

    def __exit__(self, *exception: object) -> None:
        self._finish_benchmark()

    def accepted(self, accepted: Accepted) -> None:
        self._write(f"run {accepted.run_id}: accepted, {queue_place(accepted)}")

    def progress(self, progress: Progress) -> None:
        if progress.benchmark != self._benchmark:
            self._finish_benchmark()
            self._benchmark = progress.benchmark
            if progress.benchmark:
                self._write(f"{progress.benchmark}: started")
        # The document's figure comes later, and is of all samples.
        figure = interim_figure(progress)
        self._result = f"interim figure {figure}" if figure else point_count(progress) or self._result
        if time.monotonic() - self._last_line_at >= HEARTBEAT_SECONDS:
            self._write(f"{activity(progress)}: {figure or format_percent(progress.done_ratio)}")

    def cancelling(self) -> None:
        _write_at_once(f"{CANCELLING}\n")

    def _finish_benchmark(self) -> None:
        if self._benchmark:
            self._write(f"{self._benchmark}: finished, {self._result or 'no figure'}")
        self._result = ""

    def _write(self, line: str) -> None:
        self._last_line_at = time.monotonic()
        self._output.note(line)


class BarDisplay(NoDisplay):
    """A bar with the current activity and the figure so far; it is erased at the end."""

    def __init__(self) -> None:
        # Imported here, because without a bar rich is not needed.
        from rich import progress
        from rich.console import Console

        self._cancelling = False
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[figure]}", style="bold", markup=False),
            progress.TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("waiting to be accepted", total=1.0, figure="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def accepted(self, accepted: Accepted) -> None:
        self._bar.update(self._task, description=f"accepted, {queue_place(accepted)}")

    def progress(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            completed=progress.done_ratio,
            description=CANCELLING if self._cancelling else activity(progress),
            figure=interim_figure(progress),
        )

    def cancelling(self) -> None:
        self._cancelling = True

    def suspend(self) -> None:
        _write_at_once(_ERASE_LINE + _SHOW_CURSOR)

    def resume(self) -> None:
        _write_at_once(_HIDE_CURSOR)


def _write_at_once(text: str) -> None:
    """To stderr without its buffer and its lock, which a signal handler may find taken."""
    with contextlib.suppress(OSError):  # a reader that is gone must not end what is kept
        os.write(sys.stderr.fileno(), text.encode())


def queue_place(accepted: Accepted) -> str:
    """The run's place in the queue: ``next in line``, or ``2 runs before it, starts in about 30 s``."""
    if accepted.replayed:
        return "the same run as before, by its key"
    place = "next in line" if accepted.position == 0 else _runs_before(accepted.position)
    return place + (
        f", starts in about {format_seconds(accepted.eta_seconds)}" if accepted.eta_seconds else ""
    )


def activity(progress: Progress) -> str:
    """What is being done now: ``triad, warming up``."""
    phase = progress.phase.replace("_", " ")
    if progress.message:
        message = clean(progress.message)
        phase = f"measuring {message}" if progress.phase == "measuring" else message
    if progress.phase == "queued" and progress.position:
        phase = f"queued, {_runs_before(progress.position)}"
    return f"{progress.benchmark}, {phase}" if progress.benchmark else phase


def point_count(progress: Progress) -> str:
    """How many points of a curve are measured in turns: ``6 points``; empty if there is a single figure."""
    return clean(progress.message) if progress.phase == "measuring" and progress.message else ""


def interim_figure(progress: Progress) -> str:
    """The figure of the samples so far: ``26.31 GB/s ± 0.8 %``; empty before the first."""
    if progress.bandwidth_bytes_per_second is None:
        return ""
    ratio = progress.interval_ratio
    # The first samples have no interval, or one that is wider than the figure.
    spread = f" ± {format_percent(ratio)}" if ratio and ratio < 1 else ""
    return format_bandwidth(progress.bandwidth_bytes_per_second) + spread


def _runs_before(position: int) -> str:
    return "1 run before it" if position == 1 else f"{position} runs before it"

"""What a person sees while a run goes on: a live bar on a terminal, a line for each event elsewhere."""

from __future__ import annotations

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
"""A program that says nothing for longer looks as if it hung."""

CANCELLING = "cancelling, and keeping what is finished; ^C again ends at once"


class View(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def accepted(self, accepted: Accepted) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def cancelling(self) -> None:
        """Called in a signal handler: takes no lock."""
        ...


def view(output: Output) -> View:
    """The one that suits stderr."""
    if output.quiet:
        return Nothing()
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Bar()
    return Lines(output)


class Nothing:
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


class Lines(Nothing):
    """One line for each event: accepted, each benchmark begun and ended, and a sign of life."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._benchmark: str | None = None
        self._figure = ""
        self._told_at = 0.0

    def __exit__(self, *exception: object) -> None:
        self._end_benchmark()

    def accepted(self, accepted: Accepted) -> None:
        self._tell(f"run {accepted.run_id}: accepted, {place(accepted)}")

    def progress(self, progress: Progress) -> None:
        if progress.benchmark != self._benchmark:
            self._end_benchmark()
            self._benchmark = progress.benchmark
            if progress.benchmark:
                self._tell(f"{progress.benchmark}: begun")
        # The document's figure comes later, and is of all samples.
        interim = figure(progress)
        self._figure = f"{interim} so far" if interim else curve(progress) or self._figure
        if time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
            self._tell(f"{activity(progress)}: {figure(progress) or format_percent(progress.done_ratio)}")

    def cancelling(self) -> None:
        os.write(sys.stderr.fileno(), f"{CANCELLING}\n".encode())

    def _end_benchmark(self) -> None:
        if self._benchmark:
            self._tell(f"{self._benchmark}: ended, {self._figure or 'without a figure'}")
        self._figure = ""

    def _tell(self, line: str) -> None:
        self._told_at = time.monotonic()
        self._output.tell(line)


class Bar(Nothing):
    """What is done, how far, and the figure as it stands; the bar leaves nothing behind."""

    def __init__(self) -> None:
        # Here, because where no bar is drawn nothing of this is needed.
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
        self._bar.update(self._task, description=f"accepted, {place(accepted)}")

    def progress(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            completed=progress.done_ratio,
            description=CANCELLING if self._cancelling else activity(progress),
            figure=figure(progress),
        )

    def cancelling(self) -> None:
        self._cancelling = True


def place(accepted: Accepted) -> str:
    """Where in the queue a run stands."""
    if accepted.replayed:
        return "the same as before by its key"
    where = "next in line" if accepted.position == 0 else f"{accepted.position} before it"
    return where + (
        f", begins in about {format_seconds(accepted.eta_seconds)}" if accepted.eta_seconds else ""
    )


def activity(progress: Progress) -> str:
    """What is being done now: ``triad, warming up``."""
    phase = progress.phase.replace("_", " ")
    if progress.message:
        message = clean(progress.message)
        phase = f"measuring {message}" if progress.phase == "measuring" else message
    if progress.phase == "queued" and progress.position:
        phase = f"queued, {progress.position} before it"
    return f"{progress.benchmark}, {phase}" if progress.benchmark else phase


def curve(progress: Progress) -> str:
    """How many points are measured in turns: ``6 points``; empty where it is one figure."""
    return clean(progress.message) if progress.phase == "measuring" and progress.message else ""


def figure(progress: Progress) -> str:
    """The figure of the samples so far: ``26.31 GB/s ± 0.8 %``; empty before the first."""
    if progress.bandwidth_bytes_per_second is None:
        return ""
    ratio = progress.interval_ratio
    # The first samples know of no interval, or of one that is wider than the figure.
    spread = f" ± {format_percent(ratio)}" if ratio and ratio < 1 else ""
    return format_bandwidth(progress.bandwidth_bytes_per_second) + spread

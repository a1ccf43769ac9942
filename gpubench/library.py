"""What ``import gpubench`` offers: runs, run documents, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, overload

from gpubench.atomic_files import write_file
from gpubench.benchmarks.registry import STREAM
from gpubench.comparison.compare import Comparison, compare_runs
from gpubench.comparison.compare import compare as compare_document
from gpubench.comparison.verdicts import Verdict
from gpubench.errors import InvalidParameters, MissingDependency, from_wire
from gpubench.executor.prepare import prepare_run
from gpubench.report.formats import RUN_FORMATS, format_of
from gpubench.report.markdown import render_markdown
from gpubench.report.subject import Subject
from gpubench.report.theory import TheoryReport, describe_theory
from gpubench.requests import BenchmarkRequest, RequestedRun, StatedMemory
from gpubench.results import document as stored
from gpubench.results.document import Measurement
from gpubench.results.progress import Progress
from gpubench.results.records import records

if TYPE_CHECKING:
    from pandas import DataFrame


class RunDocument(stored.RunDocument, frozen=True, kw_only=True):
    """Everything that is kept of a run, with the shortcuts of a notebook.

    The fields are those of ``gpubench.results.document.RunDocument``: what is not known is None, and
    units stand in the names. A notebook shows the report of ``gpubench report``.
    """

    @classmethod
    def of(cls, document: stored.RunDocument) -> Self:
        """The same document with these shortcuts."""
        return cls(**{name: getattr(document, name) for name in document.__struct_fields__})

    def __getitem__(self, benchmark: str) -> Measurement | list[Measurement]:
        """What was measured by a benchmark.

        Benchmarks of the stream family (copy, scale, add, triad, dot, read, write) have one figure: their
        ``Measurement``. The others have the points of a curve: a list of them, in the order in which
        they were measured. So has one of the stream family that the run holds at several settings.
        Raises ``KeyError``, which lists the benchmarks of the run.
        """
        found = [each for each in self.measurements if each.benchmark == benchmark]
        if not found:
            raise KeyError(f"this run has no benchmark {benchmark!r}; it has: {', '.join(self) or 'none'}")
        return found[0] if len(found) == 1 and benchmark in STREAM else found

    def __iter__(self) -> Iterator[str]:
        """The names of its benchmarks, each once."""
        return iter(dict.fromkeys(each.benchmark for each in self.measurements))

    def to_records(self) -> list[dict[str, Any]]:
        """One row for each measurement, and so for each point of a curve.

        A key is the path of a field below the measurement, with dots, such as ``parameters.dtype``,
        ``axes.footprint_bytes`` or ``bandwidth_bytes_per_second.median``: its unit is in it.
        """
        return records(self)

    def to_dataframe(self) -> DataFrame:
        """``to_records`` as a pandas DataFrame; raises ``MissingDependency`` if pandas is not installed."""
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependency(f"to_dataframe needs pandas ({error}): pip install pandas") from None
        return pd.DataFrame.from_records(self.to_records())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, which ``load`` and ``gpubench report`` read, or its figures alone as ``.csv``.

        The file is there whole or not at all, and one that was there before stays until then. Raises
        ``OSError``, and ``InvalidParameters`` for an ending other than these.
        """
        data = format_of(os.fsdecode(path), RUN_FORMATS).render(Subject.of([self]))
        write_file(Path(path), data)

    def _repr_markdown_(self) -> str:
        return render_markdown([self])


def load(source: str | os.PathLike[str] | bytes | IO[bytes] | IO[str]) -> RunDocument:
    """Read a run document: from a file's path, an open file, or the JSON itself as bytes.

    Raises ``OSError`` if the file cannot be read, ``InvalidDocument`` if it is not a run document, and
    ``UnsupportedDocument`` if a newer program wrote it; the message names the file and the wrong field.
    """
    if isinstance(source, bytes):
        name, data = "the data", source
    elif isinstance(source, str | os.PathLike):
        name, data = os.fspath(source), Path(source).read_bytes()
    else:
        name, read = str(getattr(source, "name", "the file")), source.read()
        # What the file's owner had decoded as `surrogateescape` becomes the bytes that it was.
        data = read if isinstance(read, bytes) else read.encode("utf-8", "surrogateescape")
    return RunDocument.of(stored.decode_document(data, name))


@overload
def compare(document: stored.RunDocument, /) -> Comparison: ...
@overload
def compare(
    before: stored.RunDocument | Sequence[stored.RunDocument],
    after: stored.RunDocument | Sequence[stored.RunDocument],
    /,
) -> list[Verdict]: ...
def compare(
    before: stored.RunDocument | Sequence[stored.RunDocument],
    after: stored.RunDocument | Sequence[stored.RunDocument] | None = None,
    /,
) -> Comparison | list[Verdict]:
    """What figures mean.

    Of one document: its figures against the theory of its memory, against other memories and boards, and
    against published figures. Of two sides, each a document or several of them: a verdict for each
    benchmark at each of its settings, of the second side against the first. A verdict of FASTER, SLOWER
    or SAME needs five runs a side (``gpubench.comparison.verdicts``).
    """
    if after is not None:
        return compare_runs(_side(before), _side(after))
    if not isinstance(before, stored.RunDocument):
        raise InvalidParameters(
            "several runs are compared with those of another side: compare(before, after)"
        )
    return compare_document(before)


def theory(board_or_technology: str, bus_width_bits: int | None = None) -> TheoryReport:
    """What the memory of a board (``RTX 5090``) or a technology on a bus (``gddr7-32``, 256) should reach.

    Raises ``CatalogError`` for what the catalogue does not know, for a technology without a bus width,
    and for a board with one: it has its own.
    """
    return describe_theory(board_or_technology, bus_width_bits)


def run(
    benchmarks: str | Sequence[str | BenchmarkRequest],
    *,
    device: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    memory: StatedMemory | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunDocument:
    """Run benchmarks or suites in this process, and return the run document.

    ``device`` is an id or alias as in ``gpubench devices``; the only GPU or only device unless given.
    ``parameters``, such as ``{"dtype": "float"}``, are for every benchmark here; a ``BenchmarkRequest`` has
    its own. ``memory`` states what a device does not report, for the theory. ``on_progress`` is called up
    to ten times a second, and may raise ``Cancelled`` to end the run.

    The device is opened in this process and closed again. A worker process, which a server and
    ``gpubench_client.LocalClient`` have for each device, protects from what this does not: a driver that
    crashes takes this process with it, a driver call that hangs cannot be interrupted, and a fault in a
    kernel leaves a CUDA context that no later run in this process can use. To measure unattended, use
    ``LocalClient``, whose ``run`` takes the same benchmarks.

    Raises ``UnknownBenchmark``, ``InvalidParameters``, ``CatalogError`` and ``NoSuchDevice`` before anything
    is measured, and ``RunError`` for a run that did not end well: its ``document`` has what was finished.
    """
    # Here, since these load numpy and the runtimes, which nothing else above needs.
    from gpubench.devices.runtimes import RUNTIMES, open_device, survey
    from gpubench.devices.selection import choose
    from gpubench.executor.in_process import RecordingReporter, run_in_process

    named = [benchmarks] if isinstance(benchmarks, str) else benchmarks
    if not named:
        raise InvalidParameters("there is nothing to run: name a benchmark or a suite, such as stream")
    requested = RequestedRun([_with(parameters or {}, each) for each in named], device, memory=memory)
    prepared = prepare_run(requested)
    devices, runtimes = survey(list(RUNTIMES))
    chosen = choose(devices, device, runtimes)
    recorder = prepared.recorder
    reporter = RecordingReporter(recorder, on_progress) if on_progress else RecordingReporter(recorder)
    opened = open_device(chosen.id)
    try:
        document = RunDocument.of(run_in_process(opened, prepared.on(chosen), reporter))
    finally:
        with suppress(Exception):  # a lost device cannot be closed, and the error of the run says so
            opened.close()
    if document.error is not None:
        ended = document.error
        error = from_wire(
            ended.code,
            ended.message,
            {"kind": ended.kind, "retryable": ended.retryable, "document": document},
        )
        if reporter.callback_error is not None:
            raise reporter.callback_error from error
        raise error
    return document


def _with(parameters: Mapping[str, Any], asked: str | BenchmarkRequest) -> BenchmarkRequest:
    request = BenchmarkRequest(asked) if isinstance(asked, str) else asked
    return BenchmarkRequest(request.name, {**parameters, **request.parameters})


def _side(runs: stored.RunDocument | Sequence[stored.RunDocument]) -> Sequence[stored.RunDocument]:
    return [runs] if isinstance(runs, stored.RunDocument) else runs

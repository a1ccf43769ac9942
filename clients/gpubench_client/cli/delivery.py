"""A run's document: written to the file that was asked for, and shown."""

from __future__ import annotations

from collections.abc import Iterable

from gpubench.comparison.compare import compare
from gpubench.report.formats import RUN_FORMATS
from gpubench.report.subject import Subject
from gpubench.report.text_table import clean
from gpubench.results.document import RunDocument
from gpubench.units import format_bytes
from gpubench_client.cli.files import STREAM
from gpubench_client.cli.out_file import OutFile, open_out
from gpubench_client.cli.output import Output


def document_out(name: str | None, output: Output, inputs: Iterable[str] = ()) -> OutFile[Subject] | None:
    """The file of ``--out``; ``--out -`` is the document on stdout, as with ``--json``."""
    output.json = output.json or name == STREAM
    return open_out(name, RUN_FORMATS, inputs)


def deliver(
    document: RunDocument,
    out: OutFile[Subject] | None,
    output: Output,
    *,
    references: bool | None = None,
) -> None:
    """Write the document, and show it even if it cannot be written; ``references`` is for ``compare``."""
    try:
        if out is not None:
            # With --json it is shown in any case.
            out.write(Subject.of([document]), (lambda data: None) if output.json else output.raw)
            output.note(f"wrote {out}")
    finally:
        _show(document, output, references)


def _show(document: RunDocument, output: Output, references: bool | None) -> None:
    if output.json:
        output.data(document)
        return
    # Imported here, because rich is slow to load and JSON does not need it.
    from gpubench.report.terminal import comparison_tables, measurement_table

    output.show(_device_line(document))
    comparison = compare(document, references=references)
    if document.measurements:
        output.show(measurement_table(comparison))
    if comparison.results:
        output.show(comparison_tables(comparison))


def _device_line(document: RunDocument) -> str:
    """The device in one line: name, alias, id, memory and driver; then what is special about it."""
    info = document.device
    if info is None:
        return f"run {document.run_id}: {document.outcome}, without a device"
    size = format_bytes(info.memory_bytes) if info.memory_bytes else None
    known = (info.alias, info.id, size, info.driver_name)
    return "\n".join(map(clean, (f"{info.name} ({', '.join(filter(None, known))})", *info.notes)))

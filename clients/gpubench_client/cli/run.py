"""``gpubench run``: from what was written on the command line to the document and its exit."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from gpubench.comparison.compare import compare
from gpubench.errors import Cancelled, GpubenchError, InvalidParameters, from_wire
from gpubench.executor.supervisor import StopRequest
from gpubench.report.text_table import clean
from gpubench.requests import StatedMemory
from gpubench.results.document import RunDocument, encode_document
from gpubench.units import format_bytes, parse_bytes
from gpubench_client.cli.backend import open_backend, open_server
from gpubench_client.cli.files import OutFile, out_file
from gpubench_client.cli.interrupts import cancelling
from gpubench_client.cli.output import Output
from gpubench_client.cli.progress import view
from gpubench_client.cli.request import RunRequest


def run(args: argparse.Namespace, output: Output) -> None:
    """Whatever becomes of the run, what it finished is written and shown; then the error is raised."""
    wanted = RunRequest(args.benchmarks, args.suite_file, parameters(args))
    asked: dict[str, Any] = {
        "device": args.device,
        "key": args.key,
        "deadline_seconds": args.deadline,
        "memory": stated_memory(args),
    }
    out = out_file(args.out)
    if args.detach:
        leave(args, output, wanted, asked)
        return
    stop = StopRequest()
    error: GpubenchError | None = None
    document: RunDocument | None
    with open_backend(args, output) as service, view(output) as seen, cancelling(stop, seen.cancelling):
        try:
            document = service.run(
                wanted.requests, **asked, on_accepted=seen.accepted, on_progress=seen.progress, stop=stop
            )
        except GpubenchError as failed:
            error, document = wanted.located(failed), failed.document
    if document is not None:
        deliver(document, out, output)
    if isinstance(stop.reason, Cancelled):  # a deadline is a reason too
        raise KeyboardInterrupt
    if error is not None:
        raise error


def leave(args: argparse.Namespace, output: Output, wanted: RunRequest, asked: dict[str, Any]) -> None:
    """Give the run to the server and go."""
    if args.out is not None:
        raise InvalidParameters(
            "--detach does not wait for a document to write; leave --out to `gpubench result`"
        )
    with open_server(args, output) as client:
        try:
            accepted = client.submit(wanted.requests, **asked)
        except GpubenchError as failed:
            raise wanted.located(failed) from None
    if output.json:
        output.data(accepted)
    else:
        output.text(accepted.run_id)
        output.tell(f"its document, once it has ended: gpubench result {accepted.run_id}")


def result(args: argparse.Namespace, output: Output) -> None:
    """The document of a run that a server was left with, and how it ended: as ``run`` would have said."""
    out = out_file(args.out)
    with open_server(args, output) as client:
        document = client.result(args.run_id)
    deliver(document, out, output)
    if document.error is not None:
        said = document.error
        raise from_wire(said.code, f"run {document.run_id}: {said.message}", {"kind": said.kind})


def deliver(document: RunDocument, out: OutFile | None, output: Output) -> None:
    """Write it where it was asked for, and show it, also where it cannot be written."""
    try:
        if out is not None:
            out.write(encode_document(document) + b"\n")
            output.tell(f"wrote {out}")
    finally:
        show(document, output)


def show(document: RunDocument, output: Output) -> None:
    if output.json:
        output.data(document)
        return
    # Here, because rich takes longer to load than most else, and JSON needs none of it.
    from gpubench.report.terminal import comparison_tables, measurement_table

    output.show(device_line(document))
    comparison = compare(document)
    if document.measurements:
        output.show(measurement_table(comparison))
    if comparison.results:
        output.show(comparison_tables(comparison))


def parameters(args: argparse.Namespace) -> dict[str, Any]:
    """What ``--set`` and its short forms say, for every benchmark that was named."""
    found = dict(setting(text) for text in args.settings)
    if args.footprint is not None:
        found["footprint_bytes"] = parse_bytes(args.footprint)
    if args.time_limit is not None:
        found["time_limit_seconds"] = args.time_limit
    return found


def setting(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``; a value that is no JSON is a string, so ``dtype=float`` needs no quotes."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidParameters(f"--set {text!r} is no NAME=VALUE, such as dtype=float")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def stated_memory(args: argparse.Namespace) -> StatedMemory | None:
    if args.memory is None and args.bus_width is None:
        return None
    if args.memory is None or args.bus_width is None:
        raise InvalidParameters("--memory and --bus-width go together: --memory ddr5-4800 --bus-width 128")
    return StatedMemory(args.memory, args.bus_width)


def device_line(document: RunDocument) -> str:
    """What was measured, in one line."""
    info = document.device
    if info is None:
        return f"run {document.run_id}: {document.outcome}; its document names no device"
    facts = [
        info.alias,
        info.id,
        format_bytes(info.memory_bytes) if info.memory_bytes else "",
        info.driver or "",
    ]
    return clean(f"{info.name} ({', '.join(fact for fact in facts if fact)})")

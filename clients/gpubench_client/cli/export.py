"""The documents of stored runs as files, one for each run."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from gpubench.atomic_files import write_file
from gpubench.errors import GpubenchError, InvalidParameters
from gpubench.results.document import RunDocument, encode_document
from gpubench.results.run_state import RunState
from gpubench.results.timestamps import milliseconds
from gpubench_client.cli.arguments import MAX_LISTED
from gpubench_client.cli.backend import local_runs, open_server
from gpubench_client.cli.output import Output

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


def export_runs(args: argparse.Namespace, output: Output, folder: Path, *, local: bool) -> tuple[int, int]:
    """Write each finished run that is asked for to ``RUN_ID.json``; how many, and how many were there.

    A file that exists stays as it is: documents of finished runs do not change. Raises ``InvalidParameters``
    if the folder cannot be used.
    """
    written = there = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for document in (_stored if local else _from_server)(args, output):
            path = folder / _file_name(document.run_id)
            if path.exists():
                there += 1
            else:
                write_file(path, encode_document(document) + b"\n")
                written += 1
    except OSError as error:
        raise InvalidParameters(f"FILE: {folder} cannot be written: {error.strerror}") from None
    return written, there


def _stored(args: argparse.Namespace, output: Output) -> Iterator[RunDocument]:
    return local_runs(args).documents(args.limit, args.device, _wanted(args))


def _from_server(args: argparse.Namespace, output: Output) -> Iterator[RunDocument]:
    with open_server(args, output, "`gpubench history`") as client:
        listed = client.results(min(args.limit, MAX_LISTED), args.device).runs
        if len(listed) == MAX_LISTED:
            output.note(f"a server lists its {MAX_LISTED} newest runs; older ones are not exported")
        for state in filter(_wanted(args), listed):
            yield client.result(state.run_id)


def _wanted(args: argparse.Namespace) -> Callable[[RunState], bool]:
    since = None if args.since is None else milliseconds(args.since)

    def wanted(state: RunState) -> bool:
        if state.state != "finished" or (args.benchmark and args.benchmark not in state.benchmarks):
            return False
        ended = milliseconds(state.finished_at or "")
        return since is None or (ended is not None and ended >= since)

    return wanted


def _file_name(run_id: str) -> str:
    """Ids come from documents and servers, which must not choose another folder."""
    if not _FILE_NAME.fullmatch(run_id):
        raise GpubenchError(f"the id {run_id[:60]!r} of a run is no name for a file; nothing more is written")
    return f"{run_id}.json"

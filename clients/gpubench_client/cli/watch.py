"""``gpubench watch``."""

from __future__ import annotations

import argparse

from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output
from gpubench_client.cli.result import add_arguments, deliver_as_run


def execute(args: argparse.Namespace, output: Output) -> None:
    """A signal ends the watching, not the run."""
    from gpubench_client.cli.backend import open_server
    from gpubench_client.cli.delivery import document_out
    from gpubench_client.cli.progress import progress_display
    from gpubench_client.cli.run_ids import of_run
    from gpubench_client.cli.run_signals import Ended, RunSignals

    out = document_out(args.out, output)
    try:
        with (
            RunSignals(None) as signals,
            open_server(args, output, "`gpubench watch`") as client,
            progress_display(output) as display,
            signals.during(display, client.stopped),
        ):
            document = of_run(client, args.run_id, lambda run_id: client.result(run_id, display.progress))
    except Ended:
        output.note(f"a run that has not ended goes on; `gpubench watch {args.run_id}` follows it again")
        raise
    deliver_as_run(args, document, out, output)


COMMAND = Command(
    "watch", "follow a run of a server until it ends, and show its result", add_arguments, execute
)

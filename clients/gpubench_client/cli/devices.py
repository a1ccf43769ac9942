"""``gpubench devices``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gpubench_client.cli.arguments import add_backend, add_json
from gpubench_client.cli.command import Command
from gpubench_client.cli.output import Output

if TYPE_CHECKING:
    from gpubench.protocol.messages import Devices
    from gpubench.results.machine import RuntimeStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_backend(parser)
    add_json(parser)


def execute(args: argparse.Namespace, output: Output) -> None:
    """Raises ``NoSuchDevice`` if none can be measured, and ``GpubenchError`` if a driver does not work."""
    from gpubench.devices.selection import describe_default
    from gpubench_client.cli.backend import open_backend

    with open_backend(args, output) as backend:
        answer = backend.devices()
    if output.json:
        output.data(answer)
    else:
        from gpubench.report.terminal import device_table

        if answer.devices:
            output.show(device_table(answer.devices))
            output.note(describe_default(answer.devices))
        for line in _problems(answer.runtimes):
            output.note(line)
    _raise_for(answer)


def _problems(runtimes: Sequence[RuntimeStatus]) -> Iterator[str]:
    for runtime in runtimes:
        if not runtime.available:
            yield f"{runtime.name}: {runtime.reason}"
        for driver in runtime.drivers:
            if driver.reason:
                library = f" ({driver.library})" if driver.library not in ("", driver.source) else ""
                yield f"{runtime.name}: driver {driver.source}{library}: {driver.state}: {driver.reason}"


def _raise_for(answer: Devices) -> None:
    """A driver without a device is usual; one that cannot be loaded is a fault of the installation."""
    from gpubench.errors import GpubenchError, NoSuchDevice

    if not any(device.unavailable is None for device in answer.devices):
        raise NoSuchDevice("no device can be measured")
    drivers = [driver for runtime in answer.runtimes for driver in runtime.drivers]
    bad = [driver.source for driver in drivers if driver.state in ("failed", "lost")]
    if bad:
        raise GpubenchError(
            f"drivers that do not work: {', '.join(bad)}; repair or remove them (the other devices can be "
            "measured all the same)"
        )


COMMAND = Command("devices", "list the devices that can be measured", add_arguments, execute)

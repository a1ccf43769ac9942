"""``check-config --socket``: the sockets of a systemd socket unit, which systemd passes at a start alone."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

from gpubench.errors import InvalidParameters
from gpubench_server.addresses import Endpoint, parse_endpoint
from gpubench_server.configuration import Configuration, Origin
from gpubench_server.security import with_tls

_HOW = (
    "write ListenStream=PORT as tcp://:PORT, ListenStream=HOST:PORT as tcp://HOST:PORT, ListenStream=/PATH "
    "as unix:///PATH, and ListenDatagram= in the same way with udp:// or unixgram://"
)


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--socket",
        action="append",
        type=_endpoint,
        default=[],
        metavar="URL",
        help="a socket that systemd passes at the start, for a socket unit, besides each --listen; may be "
        f"repeated; {_HOW}",
    )


def passed(sockets: Sequence[Endpoint] | None, tls: bool) -> list[Endpoint]:
    """What is served on them; ``tls``: with a certificate."""
    named = list(sockets or ())
    return with_tls(named) if tls else named


def shown_in(configuration: Configuration, sockets: Sequence[Endpoint]) -> Configuration:
    """They take the place of the default address."""
    listen = configuration.settings["listen"]
    if listen.value or not sockets:
        return configuration
    shown = dataclasses.replace(listen, value=list(map(str, sockets)), origin=Origin("flag", "--socket"))
    return dataclasses.replace(configuration, settings={**configuration.settings, "listen": shown})


def _endpoint(text: str) -> Endpoint:
    if "://" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; {_HOW}")
    try:
        endpoint = parse_endpoint(text)
    except InvalidParameters as error:
        raise argparse.ArgumentTypeError(error.message) from None
    if endpoint.scheme == "tls":
        raise argparse.ArgumentTypeError(
            f"{text!r} is not allowed: a socket unit cannot ask for TLS. Write tcp://, which speaks TLS if "
            "--tls-cert is set"
        )
    return endpoint

"""The options of the HTTP port: where it listens, by which names, and who may read the metrics."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from urllib.parse import urlsplit

from gpubench.command_line import choice
from gpubench_server.addresses import Address, internet_address
from gpubench_server.security import Security, check_protection

_HTTPS = "https://"


@dataclass(frozen=True)
class HttpSettings:
    """How the HTTP port serves."""

    tls: bool = False
    hosts: frozenset[str] = frozenset()
    """Host names that it answers to, besides those that are always this machine's."""
    open_metrics: bool = True
    """Whether ``/metrics`` is served to everybody who can connect, also where the pages need sign-in."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--http-host",
        action="append",
        type=_host_name,
        default=[],
        metavar="NAME",
        help="a host name by which browsers and scrapers reach the HTTP port without TLS; may be repeated; "
        "IP addresses, localhost and this machine's name are always allowed",
    )
    parser.add_argument(
        "--metrics-access",
        **choice(("open", "token")),
        help="who may read /metrics if the server requires tokens: everybody who can connect (open), or only "
        "clients that show one (token) (default: open on loopback, token elsewhere)",
    )


def url_of(text: str) -> str:
    """What ``--http`` means, which need not say the scheme."""
    return text if text.startswith((_HTTPS, "http://")) else f"http://{text}"


def https_urls(options: argparse.Namespace) -> list[str]:
    """What ``--http`` serves over TLS, for which a certificate is needed."""
    return [options.http] if options.http.startswith(_HTTPS) else []


def http_port(options: argparse.Namespace, chosen: Security) -> tuple[Address, HttpSettings]:
    """Raises ``InvalidParameters`` for an address beyond loopback that is not safe there, and for one that
    cannot be read; with ``--insecure`` the former is logged instead."""
    url = url_of(options.http)
    tls = url.startswith(_HTTPS)
    address = internet_address(url)
    if not address.loopback:
        remedy = None if tls else "--http https://HOST:PORT, with --tls-cert FILE"
        check_protection(url, remedy, chosen, options.insecure)
    named = {urlsplit(url).hostname or "", *options.http_host} - {""}
    wanted = options.metrics_access or ("open" if address.loopback else "token")
    return address, HttpSettings(tls, frozenset(named), wanted == "open")


def _host_name(text: str) -> str:
    name = text.lower().removesuffix(".")
    if not name or set(name) & set(" /:@[]?#"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a host name; write the name alone, without http:// and without a port"
        )
    return name

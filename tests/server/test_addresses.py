"""Addresses of IPv6 that are valid on one interface only keep its name, from the option to the client."""

from __future__ import annotations

import contextlib
import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gpubench_client import Client
from gpubench_client.urls import parse_url
from gpubench_server.addresses import resolve

from gpubench.errors import CannotListen
from tests.running import PATIENCE_SECONDS, RunningServer


def link_local() -> str:
    """A link-local address of this machine, with its interface."""
    table = Path("/proc/net/if_inet6")
    for line in table.read_text().splitlines() if table.exists() else []:
        digits, _, _, scope, _, interface = line.split()
        if scope == "20":
            groups = (digits[at : at + 4] for at in range(0, 32, 4))
            return f"{':'.join(groups)}%{interface}"
    pytest.skip("this machine has no link-local address")


def test_the_scope_is_resolved() -> None:
    address = resolve(link_local(), 0)
    assert address.scope > 0
    assert not address.loopback
    assert address.bindable == (address.host, 0, 0, address.scope)


@pytest.mark.parametrize("percent", ["%", "%25"])
def test_a_link_local_server_is_reached_by_what_it_prints(tmp_path: Path, percent: str) -> None:
    """A server on a link local address is reached by what it prints."""
    host = link_local().replace("%", percent)
    options = ("--insecure", "--listen", f"tcp://[{host}]:0", "--http", f"[{host}]:0")
    with RunningServer(tmp_path, *options) as server:
        words = next(line for line in server.log if "listening on" in line).split()
        tcp, web = (word for word in words if "://" in word)
        assert "%" in tcp
        with Client(tcp.replace("%", percent)) as client:
            assert client.ping().pong
        where = urlsplit(web)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200


def test_an_interface_that_does_not_exist_is_named() -> None:
    with pytest.raises(CannotListen, match="no-such-interface"):
        resolve("fe80::1%no-such-interface", 0)


def test_a_url_keeps_its_scope() -> None:
    for text in ("tcp://[fe80::1%eth0]:7707", "tcp://[fe80::1%25eth0]:7707"):
        assert str(parse_url(text)) == "tcp://[fe80::1%eth0]:7707"

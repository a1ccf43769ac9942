"""SECURITY.md names limits, roles and options as they are in the program."""

from __future__ import annotations

import re
from pathlib import Path

from gpubench_server import gateway, token_cli
from gpubench_server.cli import command_parser
from gpubench_server.limits import Limits, ranges
from gpubench_server.principals import METHODS, ROLES

from gpubench.protocol.messages import MAX_REQUEST_BYTES

PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text()

OF_THE_SERVICE_ITSELF = {
    "heartbeat_seconds",
    "progress_interval_seconds",
    "worker_idle_seconds",
    "probe_age_seconds",
    "drain_seconds",
    "linger_seconds",
    "stored_key_days",
}
"""Limits that no client can run into, and that protect nothing."""


def rows() -> dict[tuple[str, ...], list[float]]:
    """The limits of a row of the table, and their defaults in seconds or bytes."""
    table = PAGE[PAGE.index("| limit | default |") :]
    table = table[: table.index("\n\n")]
    found = {}
    for line in table.splitlines()[2:]:
        name, default, _ = (cell.strip() for cell in line.strip("|").split("|", 2))
        numbers = [
            float(number) * (1024 if unit else 1)
            for number, unit in re.findall(
                r"(\d+)( KiB)?", default.partition(" saved up")[0].removesuffix(",")
            )
        ]
        found[tuple(re.findall(r"`(\w+)`", name)) or (name,)] = numbers
    return found


def test_every_limit_has_a_row_with_its_default() -> None:
    table = rows()
    assert table[("request line",)] == [MAX_REQUEST_BYTES]
    named = {
        name: number for names, numbers in table.items() for name, number in zip(names, numbers, strict=True)
    }
    named = {name: number for name, number in named.items() if name in ranges()}
    assert named.keys() == ranges().keys() - OF_THE_SERVICE_ITSELF
    assert named == {name: getattr(Limits(), name) for name in named}


def test_every_role_has_a_row_with_its_methods() -> None:
    before: set[str] = set()
    for role in ROLES:
        (row,) = re.findall(rf"^\| `{role}` \| (.*) \|$", PAGE, re.M)
        listed = set(re.findall(r"`(\w+)`", row))
        assert before | listed == METHODS[role]
        before |= listed


def test_every_option_there_is_one() -> None:
    known = set(command_parser()._option_string_actions)
    for action in token_cli.ACTIONS:
        known |= set(token_cli.token_parser(action)._option_string_actions)
    known |= set(gateway.command_parser()._option_string_actions)
    of_clients = {"--version", "--ca-file", "--token-file", "--server"}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known | of_clients

"""Every number that a person gives the server has a range, and works at both of its ends."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import pytest
from gpubench_server.limits import Limits, changed, ranges

from gpubench.errors import InvalidParameters
from tests.running import RunningServer, quick

LIMITS = list(ranges())


def test_every_limit_has_a_range_that_holds_its_default() -> None:
    defaults = asdict(Limits())
    assert set(LIMITS) == set(defaults)
    for name, (kind, allowed) in ranges().items():
        assert allowed.low <= defaults[name] <= allowed.high
        assert type(defaults[name]) is kind
        assert allowed.unit == "s" or not name.endswith("_seconds")


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_out_of_range_is_refused_with_its_unit(name: str) -> None:
    """A number out of range is refused with the range and its unit."""
    kind, allowed = ranges()[name]
    beyond = [allowed.high * 2, 10**30, 0, -1, allowed.low / 2 if kind is float else allowed.low - 1]
    for value in [*beyond, *([math.inf, math.nan, 2_592_000.0] if kind is float else [])]:
        with pytest.raises(InvalidParameters, match=rf"limit {name} must be .*from .* to .* {allowed.unit}"):
            changed(Limits(), [f"{name}={value}"])
        with pytest.raises(InvalidParameters, match=f"limit {name} must be"):
            Limits(**{name: value})


@pytest.mark.parametrize("text", ["", "ten", "10s", "0x10", "1e", "--1"])
@pytest.mark.parametrize("name", ["max_connections", "idle_seconds"])
def test_what_is_not_a_number_is_refused_in_the_same_way(name: str, text: str) -> None:
    with pytest.raises(InvalidParameters, match=rf"limit {name} must be a .*number from .* not '{text}'"):
        changed(Limits(), [f"{name}={text}"])


@pytest.mark.parametrize("end", ["low", "high"])
def test_the_server_works_with_all_limits_at_one_end(tmp_path: Path, end: str) -> None:
    """Nothing that they are handed to overflows: waits, sockets, semaphores, deadlines."""
    needed = ("idle_seconds", "send_deadline_seconds", "line_deadline_seconds", "max_run_seconds")
    values = {name: getattr(allowed, end) for name, (kind, allowed) in ranges().items()}
    if end == "low":  # what a client needs to be served at all; a run at the low end is a run out of time
        values |= dict.fromkeys(needed, 60) | {"max_connections": 2, "http_deadline_seconds": 5}
    whole = {name: int(value) if ranges()[name][0] is int else value for name, value in values.items()}
    with RunningServer(tmp_path, **whole) as server:
        with server.connect() as client:
            assert client.ask("ping") == {"pong": True}
            assert client.ask("hello")["limits"]["max_queue_length"] == whole["max_queue_length"]
            small = quick(footprint_bytes=1 << 20, time_limit_seconds=0.02)
            assert client.ask("run", {"benchmarks": [small]})["outcome"] == "ok"
        assert server.get("/healthz")[0] == 200
        assert server.stop() == 0
    assert not [line for line in server.log if "CRITICAL" in line or "Traceback" in line]

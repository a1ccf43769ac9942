"""The share of one principal: runs, queue places, length, memory and requests; and what a refusal leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import RunningServer, long, quick
from tests.server.test_roles import add_token, connected

GIB = 1 << 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With tokens of different quotas, in files of their names beside its data."""
    directory = tmp_path_factory.mktemp("server")
    for name, quotas in {
        "two-runs": ("--max-runs", "2"),
        "one-place": ("--max-queue-places", "1"),
        "short": ("--max-run-seconds", "1"),
        "little": ("--max-memory-share-ratio", "0.001"),
        "slow": ("--max-requests-per-second", "0.4"),
        "other": (),
    }.items():
        add_token(directory, name, "run", *quotas)
    options = ("--tokens", str(directory / "tokens.json"))
    with RunningServer(directory / "data", *options, max_run_seconds=300) as running:
        yield running


def refusals(server: RunningServer, name: str, limit: str) -> float:
    return server.metric(f'gpubench_refusals_total{{principal="{name}",reason="{limit}"}}') or 0


def test_runs_at_once_are_counted_over_all_connections(server: RunningServer) -> None:
    """Runs at once are counted over all connections and detached ones too."""
    with (
        connected(server, "two-runs") as first,
        connected(server, "two-runs") as second,
        connected(server, "other") as other,
    ):
        running, waiting = first.begin(long(), detach=True), first.begin(long(), detach=True)
        error = second.refused("run", {"benchmarks": [quick()]})
        assert (error["code"], error["data"]["limit"]) == (-32013, "runs")
        assert error["data"]["retryable"]
        assert "token two-runs has 2 runs waiting or running" in error["message"]
        others = other.begin(quick(), detach=True)  # nobody else is affected
        assert second.ask("cancel", {"run_id": waiting})["cancelled"]
        assert second.begin(quick(), detach=True)
        assert second.ask("cancel", {"run_id": running})["cancelled"]
        assert other.ask("result", {"run_id": others})["outcome"] == "ok"
    assert refusals(server, "two-runs", "runs") == 1
    assert any("refused run to token two-runs at 127.0.0.1: runs:" in line for line in server.log)


def test_places_in_a_queue(server: RunningServer) -> None:
    with connected(server, "one-place") as client, connected(server, "other") as other:
        running = other.begin_measuring(long(), detach=True)
        waiting = client.begin(quick(), detach=True)
        error = client.refused("run", {"benchmarks": [quick()]})
        assert (error["code"], error["data"]["limit"]) == (-32013, "queue_places")
        assert other.ask("cancel", {"run_id": running})["cancelled"]
        assert client.ask("result", {"run_id": waiting})["outcome"] == "ok"
        assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"
    assert refusals(server, "one-place", "queue_places") == 1


def test_the_length_of_a_run(server: RunningServer) -> None:
    with connected(server, "short") as client:
        assert client.ask("hello")["limits"]["max_run_seconds"] == 1
        error = client.refused("run", {"benchmarks": [long()]})
        assert error["data"]["kind"] == "deadline_exceeded"
        assert "after 1 s, the limit for a run of token short" in error["message"]


def test_the_share_of_memory(server: RunningServer) -> None:
    with connected(server, "little") as client:
        assert client.ask("hello")["limits"]["max_memory_share_ratio"] == 0.001
        asked = {"name": "triad", "parameters": {"footprint_bytes": 8 * GIB, "time_limit_seconds": 0.3}}
        error = client.refused("run", {"benchmarks": [asked]})
        assert error["data"]["kind"] == "out_of_device_memory"
        assert "0.1% of" in error["message"]
        # The default is made to fit, and flagged if that is too little for the caches.
        default = {"name": "triad", "parameters": {"time_limit_seconds": 0.3}}
        document = client.ask("run", {"benchmarks": [default]})
        (first, *_) = document["measurements"]
        free = document["device"]["memory_bytes"]
        assert first["footprint_bytes"] <= 0.001 * free


def test_the_rate_of_requests(server: RunningServer) -> None:
    with connected(server, "slow") as client, connected(server, "slow") as again:
        error = client.refused("ping")
        assert (error["code"], error["data"]["limit"]) == (-32013, "request_rate")
        assert 0 < error["data"]["retry_after_seconds"] <= 1 / 0.4
        assert again.refused("ping")["data"]["limit"] == "request_rate"
        with connected(server, "other") as other:
            assert other.ask("ping") == {"pong": True}
    assert refusals(server, "slow", "request_rate") == 2


def test_a_hundred_requests_at_once_are_a_burst_and_not_a_loop(server: RunningServer) -> None:
    with connected(server, "other") as client:
        client.send(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n' * 100)
        assert [client.response().get("result") for _ in range(100)] == [{"pong": True}] * 100


def test_clients_on_this_machine_are_not_counted(tmp_path: Path) -> None:
    with RunningServer(tmp_path, max_requests_per_second=1) as server, server.connect() as client:
        client.send(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n' * 100)
        assert [client.response().get("result") for _ in range(100)] == [{"pong": True}] * 100

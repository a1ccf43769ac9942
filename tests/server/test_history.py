"""The history and the retention of a real server."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from gpubench_client.client import Client

from gpubench.errors import InvalidParameters
from gpubench.results.store import Store
from tests.cli.command import gpubench
from tests.client.conftest import url_of
from tests.results.test_retention import ended, keep
from tests.running import RunningServer, within


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with five runs of two kinds in its store."""
    folder = tmp_path_factory.mktemp("stored")
    with Store(folder) as store:
        for days in range(5, 0, -1):
            keep(store, ended(days, f"r{days}"))
    with RunningServer(folder) as server:
        yield server


def test_the_history_comes_over_the_wire(stored: RunningServer) -> None:
    with Client(url_of(stored)) as client:
        assert "history" in client.hello().features
        found = client.history(device="gpu0", benchmark="triad", limit=2)
        (series,) = found.series
        assert [point.run_id for point in series.points] == ["r2", "r1"]
        assert (series.host, series.parameters, found.truncated) == (None, {"dtype": "float64"}, True)
        since = series.points[0].at
        assert [p.run_id for s in client.history(since=since).series for p in s.points] == ["r2", "r1"]
        assert client.history(device="nope").series == []


def test_a_run_is_in_the_history_once_it_is_answered(server: RunningServer) -> None:
    document = server.run_ok()
    with Client(url_of(server)) as client:
        (point,) = [p for s in client.history(limit=1).series for p in s.points]
    assert point.run_id == document["run_id"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"since": "yesterday"}, "'yesterday' is not a time; write one in ISO 8601"),
        ({"since": "2" * 41}, "since"),
        ({"device": ""}, "device"),
        ({"devices": "x"}, "allowed: device, benchmark, since, limit"),
    ],
)
def test_wrong_parameters(stored: RunningServer, params: dict[str, Any], said: str) -> None:
    with stored.connect() as client:
        client.request("history", params)
        error = client.response()["error"]
    assert error["data"]["kind"] == InvalidParameters.kind
    assert said in error["message"]


def test_the_command_asks_the_server(stored: RunningServer, tmp_path: Path) -> None:
    where = ["--server", url_of(stored)]
    ran = gpubench("history", "--csv", "--since=60h", *where)
    assert [row["run_id"] for row in csv.DictReader(ran.stdout.splitlines())] == ["r2", "r1"]
    trends = json.loads(gpubench("history", "trend", "--json", *where).stdout)["trends"]
    assert [(each["figures"], each["enough"]) for each in trends] == [(5, False)]
    assert gpubench("history", "plot", *where).stdout.count("●") == 5
    out = gpubench("history", "export", str(tmp_path / "out"), "--since=60h", *where)
    assert out.stdout == "2 written\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["r1.json", "r2.json"]
    assert gpubench("history", "import", "x.json", *where).returncode == 2


def test_a_server_keeps_as_many_runs_as_its_limits_say(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for days in range(6, 0, -1):
            keep(store, ended(days, f"r{days}", key="k" if days == 6 else None))
    limits = {"max_stored_runs": 4, "stored_days": 3.5}

    def runs() -> list[str]:
        return [run["run_id"] for run in server.ask("results")["runs"]]

    with RunningServer(tmp_path, **limits) as server:
        assert within(30, lambda: runs() == ["r1", "r2", "r3", "r6"])  # a key is kept for a week
        assert len(server.ask("history")["series"][0]["points"]) == 4

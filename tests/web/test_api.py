"""The JSON API against its own description, and the live events."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

from tests.running import PATIENCE_SECONDS, RunningServer, long, within
from tests.web.conftest import Filled
from tests.web.planted import DAMAGED, GOOD, LONG, ODD, SLOW, plant

ROOT = "/api/v1"


def ask(server: RunningServer, path: str, method: str = "GET") -> tuple[int, Any]:
    with closing(http.client.HTTPConnection(*server.http, timeout=PATIENCE_SECONDS)) as connection:
        connection.request(method, ROOT + path)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if method == "GET" else body


ANSWERS = [
    ("/openapi.json", "/openapi.json", 200),
    ("/status", "/status", 200),
    ("/devices", "/devices", 200),
    ("/runs", "/runs?limit=3", 200),
    ("/runs", "/runs?limit=many", 400),
    ("/runs/{run_id}", f"/runs/{GOOD}", 200),
    ("/runs/{run_id}", f"/runs/{quote(ODD, safe='')}", 200),
    ("/runs/{run_id}", "/runs/none", 404),
    ("/runs/{run_id}", f"/runs/{DAMAGED}", 500),
    ("/history", "/history", 200),
    ("/history", "/history?device=cuda:0", 200),
    ("/verdicts", "/verdicts", 200),
    ("/compare", f"/compare?run={SLOW}&run={GOOD}", 200),
    ("/compare", "/compare", 400),
    ("/compare", "/compare?run=none", 404),
    ("/compare", f"/compare?run={GOOD}&pool=yes", 400),
]


@pytest.mark.parametrize(("place", "path", "code"), ANSWERS)
def test_answers_are_as_described(filled: Filled, place: str, path: str, code: int) -> None:
    description = ask(filled.server, "/openapi.json")[1]
    answer = description["paths"][ROOT + place]["get"]["responses"][str(code)]
    schema = answer["content"]["application/json"]["schema"]
    status, found = ask(filled.server, path)
    assert status == code, found
    described = {**schema, "components": description["components"]}
    jsonschema.Draft202012Validator(described).validate(found)


@pytest.mark.parametrize("path", ["/openapi.json", "/status", f"/runs/{GOOD}"])
def test_an_answer_is_the_same_after_one_that_was_compressed(filled: Filled, path: str) -> None:
    usual = ask(filled.server, path)
    with closing(http.client.HTTPConnection(*filled.server.http, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("GET", ROOT + path, headers={"Accept-Encoding": "gzip"})
        body = connection.getresponse().read()
        assert json.loads(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body) == usual[1]
    assert ask(filled.server, path) == usual


def test_every_described_address_is_tested_and_only_read(filled: Filled) -> None:
    description = ask(filled.server, "/openapi.json")[1]
    assert {place for place, _, _ in ANSWERS} == {p.removeprefix(ROOT) for p in description["paths"]}
    for operations in description["paths"].values():
        assert list(operations) == ["get"]
    for _, path, _ in ANSWERS:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert ask(filled.server, path, method)[0] == 405


def test_a_run_document_is_the_stored_one(filled: Filled) -> None:
    assert ask(filled.server, f"/runs/{GOOD}")[1]["run_id"] == GOOD
    assert ask(filled.server, "/compare?run=slow&run=good")[1]["sides"][1]["run_ids"] == [GOOD]
    (first, second) = ask(filled.server, "/runs?limit=2&device=cuda:0")[1]
    assert first["run"]["run_id"] == DAMAGED
    assert first["summary"] is None
    assert second["run"]["run_id"] == LONG


def greedy(server: RunningServer) -> socket.socket:
    """A client that asks for megabytes and takes nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(server.http)
    client.sendall(f"GET {ROOT}/runs/{LONG} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


def test_clients_that_do_not_read_are_cut_off(tmp_path: Path) -> None:
    """Those that have all places."""
    plant(tmp_path)
    with RunningServer(tmp_path, http_connections=2, http_deadline_seconds=1) as server, ExitStack() as stack:
        assert within(PATIENCE_SECONDS, lambda: ask(server, f"/runs/{LONG}")[0] == 200)
        for _ in range(2):
            stack.enter_context(greedy(server))
        assert within(PATIENCE_SECONDS, lambda: server.get("/healthz")[0] == 200)
        assert server.stop() == 0
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


def test_a_client_that_does_not_read_is_no_error_at_the_end(tmp_path: Path) -> None:
    plant(tmp_path)
    with RunningServer(tmp_path, http_deadline_seconds=60) as server, greedy(server) as client:
        assert client.recv(100)
        assert server.stop() == 0
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


# Live.


class Events:
    """One that watches ``/live``."""

    def __init__(self, server: RunningServer) -> None:
        self.connection = http.client.HTTPConnection(*server.http, timeout=PATIENCE_SECONDS)
        self.connection.request("GET", "/live")
        self.response = self.connection.getresponse()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self.connection.close()

    def until(self, accepts: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status that is accepted; ``EOFError`` at the end of the events."""
        while line := self.response.readline():
            if line.startswith(b"data: "):
                status: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                if accepts(status):
                    return status
        raise EOFError


def test_a_run_is_watched_from_start_to_end(filled: Filled) -> None:
    with Events(filled.server) as events:
        assert events.response.getheader("content-type", "").startswith("text/event-stream")
        (idle,) = events.until(lambda _: True)["queues"]
        assert idle["running"] is None
        with filled.server.connect() as client:
            run_id = client.begin(long())
            (queue,) = events.until(
                lambda status: status["queues"][0]["text"].startswith("triad, measuring: ")
            )["queues"]
            assert queue["running"] == run_id
            assert 0 <= queue["progress"]["done_ratio"] < 1
        ended = events.until(lambda status: status["queues"][0]["running"] is None)
        assert ended["newest"] == run_id


def test_watchers_leave_places_for_scrapers(filled: Filled) -> None:
    """Of the 8 connections 4 may watch; who leaves makes room."""

    def watch_more(stack: ExitStack, wanted: list[Events]) -> bool:
        events = Events(filled.server)
        if events.response.status == 200:
            wanted.append(stack.enter_context(events))
        else:
            events.__exit__()
        return len(wanted) == 4

    for _ in range(2):
        with ExitStack() as stack:
            watching: list[Events] = []
            assert within(PATIENCE_SECONDS, lambda: watch_more(stack, watching))  # noqa: B023 - called here
            with Events(filled.server) as refused:
                assert refused.response.status == 503
            assert filled.server.get("/healthz")[0] == 200


def test_a_watcher_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server, Events(server) as events:
        events.until(lambda _: True)
        assert server.stop() == 0
        with pytest.raises(EOFError):
            events.until(lambda _: False)
        assert not [line for line in server.log if "ERROR" in line]

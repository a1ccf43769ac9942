"""Runs over a socket: their order, progress and end."""

from __future__ import annotations

import time

import msgspec
import pytest

from gpubench.results.document import decode_document
from tests.running import RunningServer, long, quick, within


def test_accepted_then_progress_then_the_document(server: RunningServer) -> None:
    with server.connect() as client:
        document = client.ask("run", {"benchmarks": [quick("copy"), quick("read")]})
        accepted, *progress = client.notifications
        assert accepted["method"] == "accepted"
        assert accepted["params"]["run_id"] == document["run_id"]
        assert {each["method"] for each in progress} == {"progress"}
        assert all(each["params"]["request_id"] == 1 for each in client.notifications)
        ratios = [each["params"]["done_ratio"] for each in progress]
        assert ratios == sorted(ratios)
        assert "measuring" in [each["params"]["phase"] for each in progress]
    whole = decode_document(msgspec.json.encode(document))
    assert [(m.benchmark, m.status, m.verified) for m in whole.measurements] == [
        ("copy", "ok", True),
        ("read", "ok", True),
    ]
    assert all(m.bandwidth_bytes_per_second for m in whole.measurements)


@pytest.mark.timing
def test_progress_comes_at_most_ten_times_a_second(server: RunningServer) -> None:
    with server.connect() as client:
        begin = time.monotonic()
        client.ask("run", {"benchmarks": [quick(time_limit_seconds=1)]})
        seconds = time.monotonic() - begin
        progress = [each for each in client.notifications if each["method"] == "progress"]
        assert len(progress) <= 10 * seconds + 2


def test_queued_runs_get_their_position_and_their_turn(server: RunningServer) -> None:
    with server.connect() as first, server.connect() as second, server.connect() as third:
        running = first.begin_measuring(long())
        waiting = second.begin(quick("copy"))
        last = third.begin(quick("write"))
        (queue,) = first.ask("status")["queues"]
        assert (queue["running"], queue["queued"]) == (running, [waiting, last])
        positions = [
            client.notified("progress", lambda p: p["phase"] == "queued")["position"]
            for client in (second, third)
        ]
        assert positions == [1, 2]
        server.ask("cancel", {"run_id": running})
        assert third.notified("progress", lambda p: p["position"] in (0, 1))
        assert second.response()["result"]["measurements"][0]["benchmark"] == "copy"
        assert third.response()["result"]["measurements"][0]["benchmark"] == "write"


@pytest.mark.timing
def test_a_queued_run_gets_progress_every_half_second(server: RunningServer) -> None:
    with server.connect() as first, server.connect() as second:
        first.begin_measuring(long())
        second.begin(quick())
        begin = time.monotonic()
        for _ in range(4):
            second.notified("progress", lambda p: p["phase"] == "queued")
        assert time.monotonic() - begin < 4


@pytest.mark.timing
def test_a_running_run_is_cancelled_within_a_second(server: RunningServer) -> None:
    with server.connect() as client:
        run_id = client.begin_measuring(long())
        assert server.ask("cancel", {"run_id": run_id}) == {"run_id": run_id, "cancelled": True}
        assert within(1.0, lambda: server.running() is None)
        error = client.response()["error"]
        assert (error["code"], error["data"]["kind"]) == (-32800, "cancelled")
        assert error["data"]["document"]["outcome"] == "cancelled"
        assert server.ask("cancel", {"run_id": run_id}) == {"run_id": run_id, "cancelled": False}
        assert client.ask("run", {"benchmarks": [quick()]})["outcome"] == "ok"


def test_a_waiting_run_is_cancelled_at_once(server: RunningServer) -> None:
    with server.connect() as first, server.connect() as second:
        first.begin_measuring(long())
        waiting = second.begin(quick())
        server.ask("cancel", {"run_id": waiting})
        error = second.response()["error"]
        assert error["data"]["kind"] == "cancelled"
        assert error["data"]["document"]["started_at"] is None


def test_a_run_is_ended_by_its_deadline(server: RunningServer) -> None:
    with server.connect() as client:
        error = client.refused("run", {"benchmarks": [long()], "deadline_seconds": 1})
        assert (error["code"], error["data"]["kind"]) == (-32024, "deadline_exceeded")
        assert error["data"]["document"]["outcome"] == "timeout"


def test_the_deadline_includes_the_time_in_the_queue(server: RunningServer) -> None:
    with server.connect() as first, server.connect() as second:
        first.begin_measuring(long())
        error = second.refused("run", {"benchmarks": [quick()], "deadline_seconds": 0.3})
        assert error["data"]["kind"] == "deadline_exceeded"
        assert error["data"]["document"]["measurements"] == []
        assert server.running() is not None


def test_a_detached_run_goes_on_and_can_be_fetched(server: RunningServer) -> None:
    with server.connect() as client:
        run_id = client.begin(quick(time_limit_seconds=1), detach=True)
    with server.connect() as later:
        later.request("result", {"run_id": run_id})
        document = later.response()["result"]  # it waits for the run's end
        assert (document["run_id"], document["outcome"]) == (run_id, "ok")
        assert any(each["method"] == "progress" for each in later.notifications)


def test_a_request_for_the_result_does_not_keep_a_run_alive(server: RunningServer) -> None:
    with server.connect() as watcher:
        with server.connect() as owner:
            run_id = owner.begin_measuring(long())
            watcher.request("result", {"run_id": run_id})
            watcher.notified("progress", lambda _: True)
        document = watcher.response()["result"]  # a fetched document is a result, however the run ended
        assert (document["run_id"], document["outcome"]) == (run_id, "cancelled")


def test_a_second_request_with_the_same_key_joins_the_run(server: RunningServer) -> None:
    request = {"benchmarks": [quick(time_limit_seconds=1)], "key": "joined"}
    with server.connect() as second:
        with server.connect() as first:
            run_id = first.begin_measuring(benchmark=request["benchmarks"][0], key="joined")
            second.request("run", request)
            accepted = second.notified("accepted", lambda _: True)
            assert (accepted["run_id"], accepted["replayed"]) == (run_id, True)
        # The first client is gone; the second one still holds the run.
        assert second.response()["result"]["run_id"] == run_id


def test_the_key_of_a_cancelled_run_can_be_used_again(server: RunningServer) -> None:
    with server.connect() as client:
        lost = client.begin_measuring(long(), key="again")
    assert server.ask("result", {"run_id": lost})["outcome"] == "cancelled"  # its end is stored by then
    with server.connect() as client:
        assert client.begin_measuring(long(), key="again") != lost

"""Detached runs that wait when their server ends, however it ends: the next one takes them up."""

from __future__ import annotations

import http.client
import signal
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from gpubench_client import BenchmarkRequest, Client
from gpubench_server.limits import Limits
from gpubench_server.live_run import LiveRun
from gpubench_server.principals import Principal, Quota
from gpubench_server.waiting_runs import take_up, terms_of

from gpubench.executor.messages import Run
from gpubench.executor.prepare import prepare_run
from gpubench.requests import RequestedRun, StatedMemory
from gpubench.results.document import decode_document
from gpubench.results.store import Store
from gpubench.results.timestamps import timestamp
from gpubench.results.unfinished import Terms
from tests.client.proxy import Proxy
from tests.documents import processor
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick, within
from tests.server.test_roles import add_token, connected

SMALL = quick(footprint_bytes=1 << 20, time_limit_seconds=0.05)
NO_DEVICE = {"CUDA_VISIBLE_DEVICES": "-1"}


def outcome(server: RunningServer, run_id: str) -> tuple[str, str | None]:
    """The outcome of a run and the kind of its error, once it has ended."""
    document = server.ask("result", {"run_id": run_id})
    return document["outcome"], document["error"] and document["error"]["kind"]


def leave(server: RunningServer, *runs: dict[str, object]) -> list[str]:
    """Ask for detached runs, the first of which measures then; returns their ids."""
    first, *others = runs
    with server.connect() as client:
        ids = [client.begin_measuring(long(), **{"detach": True, **first})]
    for each in others:
        with server.connect() as client:
            client.request("run", {"benchmarks": [SMALL], "detach": True, **each})
            ids.append(client.notified("accepted", lambda _: True)["run_id"])
    return ids


def test_each_kill_costs_only_the_run_that_had_started(tmp_path: Path) -> None:
    """And the next server runs those that waited in their order, more than its own queue would hold."""
    asked = {"benchmarks": [quick("copy")], "key": "mine", "labels": {"node": "n1"}}
    with RunningServer(tmp_path) as server:
        started, second, third, fourth = leave(server, {}, {"benchmarks": [long()]}, asked, {})
        with server.connect() as attached:
            lost = attached.begin(SMALL)
            server.kill()
    with RunningServer(tmp_path, max_queue_length=1) as server:
        assert outcome(server, started) == ("failed", "interrupted")
        assert outcome(server, lost) == ("failed", "interrupted")
        assert within(PATIENCE_SECONDS, lambda: server.running() == second)
        with server.connect() as client:
            client.request("result", {"run_id": second})
            client.notified("progress", lambda progress: progress["phase"] == "measuring")
            server.kill()
    with RunningServer(tmp_path) as server, server.connect() as client:
        assert outcome(server, second) == ("failed", "interrupted")
        document = client.ask("run", asked)
        assert client.notifications[0]["params"]["replayed"]
        assert (document["run_id"], document["outcome"]) == (third, "ok")
        assert (document["key"], document["labels"]) == ("mine", {"node": "n1"})
        last = client.ask("result", {"run_id": fourth})
        assert last["outcome"] == "ok"
        assert document["finished_at"] <= last["started_at"]
        states = {run["run_id"]: run["state"] for run in client.ask("results")["runs"]}
        assert states == dict.fromkeys((started, second, third, fourth, lost), "finished")


def test_owner_key_and_quota_outlive_a_kill(tmp_path: Path) -> None:
    add_token(tmp_path, "mine", "run", "--max-runs", "3")
    add_token(tmp_path, "other", "run")
    options = ("--tokens", str(tmp_path / "tokens.json"))
    asked = {"benchmarks": [SMALL], "detach": True, "key": "k"}
    with RunningServer(tmp_path / "data", *options) as server, connected(server, "mine") as client:
        client.begin_measuring(long(), detach=True)
        first = client.begin(long(), detach=True)
        client.request("run", asked)
        second = client.notified("accepted", lambda _: True)["run_id"]
        server.kill()
    with (
        RunningServer(tmp_path / "data", *options) as server,
        connected(server, "mine") as mine,
        connected(server, "other") as other,
    ):
        queues = other.ask("status")["queues"]
        assert not queues or second in queues[0]["queued"]
        mine.begin(SMALL, detach=True)
        assert mine.refused("run", {"benchmarks": [SMALL]})["data"]["limit"] == "runs"
        assert (
            mine.refused("run", {"benchmarks": [quick("copy")], "key": "k"})["data"]["kind"] == "key_conflict"
        )
        assert other.refused("cancel", {"run_id": second})["data"]["kind"] == "forbidden"
        mine.request("run", asked, request_id=2)
        joined = mine.notified("accepted", lambda params: params["request_id"] == 2)
        assert (joined["run_id"], joined["replayed"]) == (second, True)
        with connected(server, "mine") as again:
            assert again.ask("cancel", {"run_id": first})["cancelled"]
        answer = mine.response()
        while answer["id"] != 2:
            answer = mine.response()
        assert (answer["result"]["run_id"], answer["result"]["outcome"]) == (second, "ok")


def test_the_last_request_holds_after_a_kill(tmp_path: Path) -> None:
    """A run that was cancelled is not taken up; one that was detached after it was accepted is."""
    asked = {"benchmarks": [SMALL], "key": "mine"}
    with RunningServer(tmp_path) as server, server.connect() as first, server.connect() as again:
        _, cancelled = leave(server, {}, {})
        first.request("run", asked)
        detached = first.notified("accepted", lambda _: True)["run_id"]
        again.request("run", {**asked, "detach": True})
        assert again.notified("accepted", lambda _: True)["replayed"]
        assert server.ask("cancel", {"run_id": cancelled})["cancelled"]
        server.kill()
    with RunningServer(tmp_path) as server:
        assert outcome(server, cancelled) == ("cancelled", "cancelled")
        assert outcome(server, detached) == ("ok", None)


def test_a_drain_leaves_detached_runs_for_the_next_server(tmp_path: Path) -> None:
    """A client that asks for one gets the error `draining`, and the next server executes it."""
    asked = {"benchmarks": [SMALL], "key": "mine", "detach": True}
    with RunningServer(tmp_path) as server:
        with server.connect() as late, server.connect() as client, server.connect() as watching:
            late.ask("ping")
            (running,) = leave(server, {})
            client.request("run", asked)
            run_id = client.notified("accepted", lambda _: True)["run_id"]
            watching.request("result", {"run_id": run_id})
            watching.notified("progress", lambda progress: progress["phase"] == "queued")
            server.process.send_signal(signal.SIGTERM)
            for each in (client, watching):
                error = each.response()["error"]
                assert (error["code"], error["data"]["kind"]) == (-32010, "draining")
                assert (error["data"]["run_id"], error["data"]["retryable"]) == (run_id, True)
            for method, params in (
                ("run", asked),
                ("result", {"run_id": run_id}),
                ("cancel", {"run_id": run_id}),
            ):
                assert late.refused(method, params)["data"]["run_id"] == run_id
            states = {run["run_id"]: run["state"] for run in late.ask("results")["runs"]}
            assert states == {running: "running", run_id: "queued"}
            for page in (f"/runs/{run_id}", f"/runs/{run_id}/report"):  # not a redirection to itself
                with closing(http.client.HTTPConnection(*server.http, timeout=PATIENCE_SECONDS)) as browser:
                    browser.request("GET", page)
                    answer = browser.getresponse()
                    assert (answer.status, answer.getheader("Retry-After")) == (503, "5")
                    assert b"waits for its device" in answer.read()
            server.process.send_signal(signal.SIGTERM)  # ends the run in progress, and not the one that waits
        assert server.wait() == 0
    with RunningServer(tmp_path) as server:
        assert outcome(server, running) == ("cancelled", "cancelled")
        assert outcome(server, run_id) == ("ok", None)


def test_a_client_waits_on_through_a_drain(tmp_path: Path) -> None:
    """It is told that the run waits, and finds it by its key at the next server."""
    with RunningServer(tmp_path) as first, Proxy(first.tcp) as proxy:
        leave(first, {})
        retries: list[str] = []

        def restarted(error: Exception, seconds: float) -> None:
            retries.append(type(error).__name__)
            if first.process.poll() is None:
                first.process.send_signal(signal.SIGTERM)
                assert first.wait() == 0
                servers.append(RunningServer(tmp_path))
                proxy.target = servers[0].tcp

        servers: list[RunningServer] = []
        with Client(proxy.url, on_retry=restarted) as client:
            document = client.run(
                [BenchmarkRequest(**SMALL)],
                detach=True,
                key="mine",
                on_accepted=lambda _: first.process.send_signal(signal.SIGTERM),
            )
        assert document.outcome == "ok"
        assert retries[0] == "Draining"
        with servers[0] as server:
            assert [run["outcome"] for run in server.ask("results")["runs"]] == ["ok", "cancelled"]


def test_a_run_whose_device_is_gone_says_so(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        device = server.ask("devices")["devices"][0]
        _, run_id = leave(server, {}, {"key": "mine"})
        server.kill()
    with RunningServer(tmp_path, "--runtime", "cuda", environment=NO_DEVICE) as server:
        document = server.ask("result", {"run_id": run_id})
        assert (document["outcome"], document["error"]["code"]) == ("device_lost", -32021)
        said = document["error"]["message"]
        assert f"the device of this run, {device['id']} ({device['name']}), was not found after" in said
        assert server.ask("status")["queues"] == []
        with server.connect() as client:  # the key is free again
            again = client.refused("run", {"benchmarks": [SMALL], "key": "mine"})
            assert again["data"]["kind"] == "no_such_device"


# What is read back, without a server.


def stored(store: Store, *, created_seconds_ago: float = 0, key: str | None = None) -> LiveRun:
    """A detached run in the store, as a server keeps one that waits."""
    prepared = prepare_run(
        RequestedRun([BenchmarkRequest("triad", {"footprint_bytes": 1 << 20})], key=key, labels={"a": "b"})
    )
    recorder = prepared.recorder
    created_at = timestamp(round((time.time() - created_seconds_ago) * 1000))
    recorder.back_to(msgspec.structs.replace(recorder.document, created_at=created_at))
    device = processor()
    queued_at = time.monotonic() - created_seconds_ago
    run = LiveRun(
        id=prepared.run_id,
        device=device,
        work=Run(device.id, prepared.benchmarks, StatedMemory("gddr7-28", 512)),
        recorder=recorder,
        deadline_at=queued_at + 7200,
        detached=True,
        owner=Principal("token", "somebody", "run", Quota(max_run_seconds=7, max_memory_share_ratio=0.5)),
        max_seconds=900,
        queued_at=queued_at,
    )
    store.accept(recorder.document, "request", device.id, ["triad"], terms_of(run))
    return run


def test_a_run_is_taken_up_as_it_was_accepted(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        before = stored(store, created_seconds_ago=3600, key="k")
    with Store(tmp_path) as store:
        (run,) = take_up(store, Limits(max_run_seconds=60))
    assert (run.id, run.device, run.owner, run.owner.quota) == (
        before.id,
        before.device,
        before.owner,
        before.owner.quota,
    )
    assert run.recorder.document == before.recorder.document
    assert (run.detached, run.taken_up, run.device_known) == (True, True, False)
    assert run.work.benchmarks == before.work.benchmarks
    assert run.work.memory == before.work.memory
    assert (run.max_seconds, run.work.max_memory_share_ratio) == (7, 0.5)
    # The deadline counts from the acceptance, an hour ago.
    assert run.deadline_at == pytest.approx(before.deadline_at, abs=5)
    assert run.deadline_at is not None
    assert run.deadline_at - run.queued_at == pytest.approx(7200, abs=0.01)


def test_the_order_is_kept_if_the_clock_is_set_back(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        ids = [stored(store, created_seconds_ago=seconds).id for seconds in (100, -3600, 5000, 200)]
        runs = list(take_up(store, Limits()))
    assert [run.id for run in runs] == ids
    waits = [run.queued_at for run in runs]
    assert waits == sorted(waits)
    assert max(waits) <= time.monotonic()


@pytest.mark.parametrize("spoil", ["terms", "benchmark"])
def test_a_run_that_cannot_be_taken_up_ends(tmp_path: Path, spoil: str) -> None:
    """And the others are taken up all the same."""
    with Store(tmp_path) as store:
        run = stored(store)
        document = run.recorder.document
        terms = terms_of(run)
        if spoil == "terms":
            terms = Terms(True, b'{"owner": 7}')
        else:
            document = msgspec.structs.replace(document, requested=[{"name": "dropped", "parameters": {}}])
        document = msgspec.structs.replace(document, run_id="spoiled", key="k")
        store.accept(document, "request", "opencl:0", ["triad"], terms)
        after = stored(store)
    with Store(tmp_path) as store:
        assert [each.id for each in take_up(store, Limits())] == [run.id, after.id]
        data = store.document("spoiled")
        assert data is not None
        error = decode_document(data).error
        assert error is not None
        assert (error.kind, "cannot be taken up again" in error.message) == ("interrupted", True)
        assert store.find_key("k", "request") is None
    with Store(tmp_path) as store:  # it does not come back
        assert [each.id for each in take_up(store, Limits())] == [run.id, after.id]

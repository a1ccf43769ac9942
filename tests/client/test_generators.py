"""The client's generators, step by step without any I/O; drivers are in the other tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from gpubench_client.backend import RunCallbacks, run_params
from gpubench_client.backoff import BASE_SECONDS, LONGEST_SECONDS
from gpubench_client.exchange import STOP_POLL_SECONDS
from gpubench_client.generators import ClientProtocol
from gpubench_client.steps import Close, Connect, Outcome, Receive, Send, Sleep, Step, Steps
from gpubench_client.urls import parse_url

from gpubench import errors
from gpubench.executor.supervisor import StopRequest
from gpubench.protocol.messages import PROTOCOL, Accepted, RunParams
from gpubench.requests import BenchmarkRequest
from gpubench.results.progress import Progress
from tests.running import long


def protocol(url: str, patience_seconds: float = 30.0, on_retry: Any = lambda *_: None) -> ClientProtocol:
    return ClientProtocol(
        parse_url(url),
        connect_timeout_seconds=5.0,
        answer_timeout_seconds=60.0,
        patience_seconds=patience_seconds,
        on_retry=on_retry,
    )


def params(benchmark: dict[str, Any], *, detach: bool = False, key: str | None = None) -> RunParams:
    return run_params([BenchmarkRequest(**benchmark)], {"key": key}, detach=detach)


HELLO = {
    "protocol": PROTOCOL,
    "server": "1",
    "features": [],
    "devices": [],
    "limits": {
        "max_request_bytes": 1,
        "line_deadline_seconds": 1,
        "idle_seconds": 1,
        "max_connections": 1,
        "max_queue_length": 1,
        "max_run_seconds": 1,
        "max_memory_share_ratio": 1,
        "max_runs_per_connection": 1,
    },
}


def line(**message: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n"


def steps_of(steps: Steps[Any], *received: bytes | None) -> Iterator[Step]:
    """The steps, each performed in no time: a wait lasts as long as asked, and bytes come as listed."""
    data = iter(received)
    step = next(steps)
    while True:
        yield step
        match step:
            case Receive():
                chunk = next(data, None)
                outcome = Outcome(0.0 if chunk is not None else step.timeout_seconds, chunk)
            case Sleep():
                outcome = Outcome(step.seconds)
            case _:
                outcome = Outcome()
        try:
            step = steps.send(outcome)
        except StopIteration:
            return


def kinds(steps: list[Step]) -> list[type[Step]]:
    return [type(step) for step in steps]


def test_the_first_request_connects_and_says_hello() -> None:
    client = protocol("tcp://host:1")
    first = list(steps_of(client.ping(), line(id=1, result=HELLO), line(id=2, result={"pong": True})))
    assert kinds(first) == [Connect, Send, Receive, Send, Receive]
    again = list(steps_of(client.ping(), None, line(id=3, result={"pong": True})))
    assert kinds(again) == [Receive, Send, Receive]
    assert again[0] == Receive(0.0)


def test_an_idle_connection_that_ended_is_replaced() -> None:
    client = protocol("tcp://host:1")
    list(steps_of(client.ping(), line(id=1, result=HELLO), line(id=2, result={"pong": True})))
    answers = (b"", line(id=1, result=HELLO), line(id=2, result={"pong": True}))
    assert kinds(list(steps_of(client.ping(), *answers))) == [Receive, Connect, Send, Receive, Send, Receive]


def test_silence_is_an_error_after_the_answer_timeout() -> None:
    steps = steps_of(protocol("tcp://host:1").ping())
    taken: list[Step] = []
    with pytest.raises(errors.Unreachable, match="sent nothing for 60 s"):
        taken.extend(steps)  # keeps what came before the exception
    assert kinds(taken) == [Connect, Send, Receive, Close]
    assert taken[2] == Receive(60.0)


def test_a_stop_request_is_polled_while_waiting() -> None:
    stop = StopRequest()
    run = protocol("tcp://host:1").run(params(long()), RunCallbacks(stop=stop))
    accepted = line(method="accepted", params=msgspec.to_builtins(Accepted(2, "r", 0)))
    steps = steps_of(run, line(id=1, result=HELLO), accepted)
    assert kinds([next(steps) for _ in range(5)]) == [Connect, Send, Receive, Send, Receive]
    assert [next(steps) for _ in range(3)] == [Receive(STOP_POLL_SECONDS)] * 3
    stop.set(errors.Cancelled("enough"))
    cancel = next(steps)
    assert isinstance(cancel, Send)
    assert msgspec.json.decode(cancel.data)["method"] == "cancel"
    assert next(steps) == Receive(60.0)  # nothing to look at any more
    run.close()


def test_a_stopped_client_is_no_silence_of_the_server() -> None:
    """Time in which the client was stopped is no silence of the server."""
    run = protocol("tcp://host:1").run(params(long()), RunCallbacks(stop=StopRequest()))
    accepted = line(method="accepted", params=msgspec.to_builtins(Accepted(2, "r", 0)))
    steps = steps_of(run, line(id=1, result=HELLO), accepted)
    assert [next(steps) for _ in range(6)][-1] == Receive(STOP_POLL_SECONDS)
    assert run.send(Outcome(600.0, None)) == Receive(STOP_POLL_SECONDS)
    run.close()


def test_a_busy_server_is_asked_until_patience_ends() -> None:
    refused: list[float] = []
    client = protocol("tcp://host:1", 100.0, lambda error, seconds: refused.append(seconds))
    error = {"code": -32012, "message": "full", "data": {"kind": "too_many_connections"}}
    taken: list[Step] = []
    with pytest.raises(errors.TooManyConnections):
        taken.extend(steps_of(client.ping(), *[line(id=None, error=error)] * 1000))
    slept = sum(step.seconds for step in taken if isinstance(step, Sleep))
    assert slept == pytest.approx(sum(refused))
    assert 100.0 - LONGEST_SECONDS < slept <= 100.0
    connections = kinds(taken).count(Connect)
    assert connections == kinds(taken).count(Close) == len(refused) + 1  # none is held while waiting


def test_a_driver_that_gives_up_leaves_no_connection() -> None:
    client = protocol("tcp://host:1")
    abandoned = client.ping()
    taken = steps_of(abandoned, line(id=1, result=HELLO))
    assert kinds([next(taken) for _ in range(4)])[-1] is Send
    abandoned.close()
    assert isinstance(next(client.ping()), Connect)


ACCEPTED = [
    line(id=1, result=HELLO),
    line(method="accepted", params=msgspec.to_builtins(Accepted(2, "r", 0))),
]


def progress(done_ratio: float) -> bytes:
    event = Progress(request_id=2, phase="measuring", done_ratio=done_ratio)
    return line(method="progress", params=msgspec.to_builtins(event))


def broken_off(run: RunParams, stop: StopRequest | None = None) -> tuple[list[Step], errors.Unreachable]:
    """The steps until a run is given up whose connection breaks each time that it was accepted."""
    client = protocol("tcp://host:1", 100.0)
    taken: list[Step] = []
    with pytest.raises(errors.Unreachable) as caught:
        taken.extend(steps_of(client.run(run, RunCallbacks(stop=stop)), *[*ACCEPTED, b""] * 1000))
    return taken, caught.value


def test_a_detached_run_with_a_key_is_sent_again() -> None:
    """A run with a key that goes on without its client is sent again."""
    taken, error = broken_off(params(long(), detach=True, key="k"))
    runs = [step.data for step in taken if isinstance(step, Send) and b'"run"' in step.data]
    assert len(runs) > 5
    assert len(set(runs)) == 1
    assert 100.0 - LONGEST_SECONDS < sum(step.seconds for step in taken if isinstance(step, Sleep)) <= 100.0
    assert error.details["run_id"] == "r"


@pytest.mark.parametrize("run", [params(long(), key="k"), params(long(), detach=True)])
def test_a_run_that_would_be_repeated_is_not_sent_again(run: RunParams) -> None:
    """A run that another request would repeat is not sent again."""
    taken, error = broken_off(run)
    assert kinds(taken).count(Connect) == 1
    assert "the run was r" in error.message


def test_patience_begins_anew_when_the_run_went_on() -> None:
    waits: list[float] = []
    client = protocol("tcp://host:1", BASE_SECONDS, lambda error, seconds: waits.append(seconds))
    further = [each for ratio in range(1, 51) for each in (*ACCEPTED, progress(ratio / 100), b"")]
    steps = client.run(params(long(), detach=True, key="k"), RunCallbacks())
    with pytest.raises(errors.Unreachable):
        list(steps_of(steps, *further, *[*ACCEPTED, progress(0.5), b""] * 1000))
    assert len(waits) >= 50
    assert sum(waits[50:]) <= BASE_SECONDS  # nothing but the rest of the patience since it last went on


def test_a_stop_while_disconnected_claims_no_cancel() -> None:
    """A stop while the connection is broken does not claim that the run was cancelled."""
    stop = StopRequest()
    stop.set(errors.Cancelled("enough"))
    taken, _ = broken_off(params(long(), detach=True, key="k"), stop)
    assert kinds(taken).count(Connect) == 1


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    run = protocol("tcp://host:1").run(params(long(), detach=True, key="k"), RunCallbacks())
    assert isinstance(next(run), Connect)
    assert isinstance(run.throw(ConnectionRefusedError(111, "Connection refused")), Close)
    with pytest.raises(errors.Unreachable, match="Connection refused"):
        run.send(Outcome())

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubench.errors import Cancelled, GpubenchError, InvalidParameters, ProtocolError, QueueFull
from gpubench.protocol import messages
from gpubench.protocol.session import RESULTS, ClientSession, Failure, Result
from gpubench.protocol.validation import decode_params, decode_request
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument
from gpubench.results.progress import Progress


def line(**message: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


DOCUMENT = {"run_id": "r1", "outcome": "cancelled", "created_at": "2025-01-01T00:00:00.000Z"}
CONVERSATION = (
    line(method="accepted", params={"request_id": 1, "run_id": "r1", "position": 0})
    + line(method="progress", params={"request_id": 1, "run_id": "r1", "phase": "tuning", "done_ratio": 0.1})
    + line(method="weather", params={"of": "a newer server"})
    + line(id=2, result={"pong": True, "and": "more"})
    + line(
        id=1, error={"code": -32800, "message": "gone", "data": {"kind": "cancelled", "document": DOCUMENT}}
    )
)


def session_with_a_run_and_a_ping() -> ClientSession:
    session = ClientSession()
    session.request("run", messages.RunParams(benchmarks=["triad"]))
    session.request("ping")
    return session


def test_a_request_is_one_line_that_the_server_takes() -> None:
    request_id, data = ClientSession().request("run", messages.RunParams(benchmarks=["triad"], key="k"))
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    request = decode_request(data)
    assert request.id == request_id
    assert decode_params(request.params, messages.RunParams).key == "k"


def test_every_method_has_a_result_type() -> None:
    assert RESULTS.keys() == messages.PARAMETERS.keys()


def test_ids_are_never_used_twice() -> None:
    session = ClientSession()
    assert len({session.request("ping")[0] for _ in range(100)}) == 100


def test_a_conversation_becomes_events_in_order() -> None:
    accepted, progress, pong, failure = session_with_a_run_and_a_ping().feed(CONVERSATION)
    assert isinstance(accepted, messages.Accepted)
    assert accepted.run_id == "r1"
    assert isinstance(progress, Progress)
    assert progress.done_ratio == 0.1
    assert pong == Result(2, messages.Pong())
    assert isinstance(failure, Failure)
    assert failure.request_id == 1
    assert isinstance(failure.error, Cancelled)
    assert isinstance(failure.error.document, RunDocument)


@given(cuts=st.lists(st.integers(0, len(CONVERSATION)), max_size=10))
def test_the_events_do_not_depend_on_how_the_bytes_come(cuts: list[int]) -> None:
    session = session_with_a_run_and_a_ping()
    edges = [0, *sorted(cuts), len(CONVERSATION)]
    pieces = [CONVERSATION[begin:end] for begin, end in itertools.pairwise(edges)]
    events = [event for piece in pieces for event in session.feed(piece)]
    assert [type(event).__name__ for event in events] == ["Accepted", "Progress", "Result", "Failure"]


def test_progress_after_the_end_is_passed_over() -> None:
    session = session_with_a_run_and_a_ping()
    session.feed(CONVERSATION)
    assert session.feed(CONVERSATION.splitlines(keepends=True)[1]) == []


def test_an_error_without_an_id_is_about_the_connection() -> None:
    body = {"code": -32012, "message": "full", "data": {"kind": "too_many_connections"}}
    (failure,) = session_with_a_run_and_a_ping().feed(line(id=None, error=body))
    assert isinstance(failure, Failure)
    assert failure.request_id is None
    assert failure.error.kind == "too_many_connections"


def test_a_kind_of_a_newer_server_is_known_by_its_code() -> None:
    body = {"code": -32011, "message": "full", "data": {"kind": "new", "retry_after_seconds": 2}}
    (failure,) = session_with_a_run_and_a_ping().feed(line(id=1, error=body))
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, QueueFull)
    assert failure.error.details == {"retry_after_seconds": 2}


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b"{}\n",
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"\xff"}}\n',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x","data":{"a":' + b"[" * 100_000 + b"}}\n",
        line(id=1),
        line(id=99, result={}),
        line(id=2, result={"pong": "yes"}),
        line(id=1, result={"run_id": "r1"}),
        line(id=1, error={"code": 0, "message": "x", "data": {"document": {}}}),
        line(method="accepted", params={"request_id": 1}),
    ],
)
def test_nonsense_from_a_peer_is_a_protocol_error(nonsense: bytes) -> None:
    with pytest.raises(ProtocolError):
        session_with_a_run_and_a_ping().feed(nonsense)


def test_an_error_with_hostile_data_is_still_an_error_of_ours() -> None:
    data = {"kind": "cancelled", "message": "mine", "self": 1, "code": {}}
    (failure,) = session_with_a_run_and_a_ping().feed(
        line(id=1, error={"code": 1, "message": "x", "data": data})
    )
    assert isinstance(failure, Failure)
    assert failure.error.message == "x"


@given(data=st.binary(max_size=200))
def test_no_bytes_make_anything_but_an_error_of_ours(data: bytes) -> None:
    try:
        session_with_a_run_and_a_ping().feed(data + b"\n")
    except GpubenchError as error:
        assert isinstance(error, ProtocolError)


def test_a_request_that_no_server_takes_is_not_sent() -> None:
    much = [BenchmarkRequest(name="triad", parameters={"x": "y" * 2000}) for _ in range(64)]
    with pytest.raises(InvalidParameters, match="allowed: 65536"):
        ClientSession().request("run", messages.RunParams(benchmarks=list(much)))

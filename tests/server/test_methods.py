"""The methods of the protocol, over a real socket."""

from __future__ import annotations

import json
import socket

import msgspec
import pytest

from gpubench.benchmarks.description import Benchmarks
from gpubench.protocol import messages
from tests.running import PATIENCE_SECONDS, RunningServer, long, quick, within


def test_hello_reports_protocol_and_limits(server: RunningServer) -> None:
    hello = msgspec.convert(server.ask("hello", {"client": "a test"}), messages.Hello)
    assert hello.protocol == messages.PROTOCOL
    assert hello.limits.max_request_bytes == 64 * 1024
    assert hello.limits.max_connections == 64


def test_devices_come_with_their_runtimes(server: RunningServer) -> None:
    found = msgspec.convert(server.ask("devices"), messages.Devices)
    assert [device.runtime for device in found.devices] == ["opencl"]
    assert [(runtime.name, runtime.available) for runtime in found.runtimes] == [("opencl", True)]


def test_benchmarks_come_with_a_schema_of_their_parameters(server: RunningServer) -> None:
    found = msgspec.convert(server.ask("benchmarks"), Benchmarks)
    assert "triad" in [benchmark.name for benchmark in found.benchmarks]
    assert all("$defs" in benchmark.parameters for benchmark in found.benchmarks)
    assert "stream" in [suite.name for suite in found.suites]


def test_status_shows_each_device(server: RunningServer) -> None:
    device = server.ask("devices")["devices"][0]["id"]
    status = msgspec.convert(server.ask("status"), messages.Status)
    assert status.state == "ready"
    assert status.queues == [messages.QueueStatus(device, None, [])]


def test_results_lists_and_result_fetches(server: RunningServer) -> None:
    document = server.run_ok()
    (latest,) = server.ask("results", {"limit": 1})["runs"]
    assert (latest["run_id"], latest["outcome"]) == (document["run_id"], "ok")
    assert server.ask("results", {"device": "another"})["runs"] == []
    assert server.ask("result", {"run_id": document["run_id"]}) == document


def test_a_device_is_named_by_id_or_alias(server: RunningServer) -> None:
    (device,) = server.ask("devices")["devices"]
    for name in (device["id"], device["alias"]):
        assert server.ask("run", {"benchmarks": [quick()], "device": name})["device"]["id"] == device["id"]


@pytest.mark.parametrize("params", ["[]", "null", "{}"])
@pytest.mark.parametrize("method", ["hello", "ping", "devices", "benchmarks", "status", "results"])
def test_no_parameters_may_be_written_in_three_ways(server: RunningServer, method: str, params: str) -> None:
    with server.connect() as client:
        line = f'{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params}}}'
        client.send(line.encode() + b"\n")
        assert "result" in client.response()


def test_a_run_without_notifications_gets_its_response_alone(server: RunningServer) -> None:
    with server.connect() as client:
        client.request("run", {"benchmarks": [quick()], "notifications": False})
        assert client.read()["result"]["outcome"] == "ok"
        assert "notifications" in client.ask("hello")["features"]


def test_without_notifications_a_client_may_end_its_input(server: RunningServer) -> None:
    """Spaces before the response, which JSON allows, then show whether the client is still there."""
    with server.connect() as client:
        request = {"benchmarks": [quick(time_limit_seconds=1, target_ratio=0.0001)], "notifications": False}
        client.request("run", request)
        client.socket.shutdown(socket.SHUT_WR)
        line = client.reader.readline()
        assert line.startswith(b" ")
        assert json.loads(line)["result"]["outcome"] == "ok"


@pytest.mark.timing
def test_a_silent_client_that_is_gone_frees_the_device(server: RunningServer) -> None:
    """Without notifications a client that is gone frees the device."""
    client = server.connect()
    client.request("run", {"benchmarks": [long()], "notifications": False})
    assert within(PATIENCE_SECONDS, lambda: server.running() is not None)
    client.vanish()
    assert within(2.0, lambda: server.running() is None)


def test_requests_sent_together_are_answered_in_order(server: RunningServer) -> None:
    with server.connect() as client:
        for number in range(500):
            client.request("ping", request_id=number)
        assert [client.response()["id"] for _ in range(500)] == list(range(500))


def test_requests_are_answered_during_a_run(server: RunningServer) -> None:
    with server.connect() as client:
        client.request("run", {"benchmarks": [quick(time_limit_seconds=1)]}, request_id="run")
        client.request("ping", request_id="ping")
        assert [client.response()["id"] for _ in range(2)] == ["ping", "run"]


def test_ids_are_returned_unchanged(server: RunningServer) -> None:
    with server.connect() as client:
        for request_id in (0, -7, 10**30, "", "a\u00e9\U0001f600", None):
            client.request("ping", request_id=request_id)
            assert client.response() == {"id": request_id, "jsonrpc": "2.0", "result": {"pong": True}}


def test_notifications_and_blank_lines_get_no_response(server: RunningServer) -> None:
    with server.connect() as client:
        client.send(
            b'\n  \r\n{"jsonrpc": "2.0", "method": "ping"}\n{"jsonrpc": "2.0", "method": "nothing"}\n'
        )
        client.request("ping", request_id="after")
        assert client.read()["id"] == "after"


def test_crlf_and_a_missing_last_newline_are_accepted(server: RunningServer) -> None:
    with server.connect() as client:
        client.send(
            b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\r\n{"jsonrpc": "2.0", "id": 2, "method": "ping"}'
        )
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.response()["id"] for _ in range(2)] == [1, 2]
        assert client.ended()


def test_responses_keep_their_order(server: RunningServer) -> None:
    """The notification that a run is accepted comes before the responses to later requests."""
    run = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"benchmarks": [quick()]}})
    with server.connect() as client:
        client.send(f'{run}\n{{"jsonrpc": "2.0", "id": 2, "method": "ping"}}\n'.encode())
        assert client.read()["method"] == "accepted"
        assert client.response()["id"] == 2
        assert client.response()["result"]["outcome"] == "ok"


def test_a_line_may_come_in_pieces(server: RunningServer) -> None:
    with server.connect() as client:
        for byte in b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n':
            client.send(bytes([byte]))
        assert client.response()["result"] == {"pong": True}

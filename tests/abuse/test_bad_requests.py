"""Requests that are wrong: each gets a clear error, and its connection stays usable."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import MIB, Lines, RunningServer, quick

WELL_FORMED = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n'
INVALID = "invalid_parameters"
RUN = b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"deadline_seconds": %s}}'
PARAMETERS = "$.params.benchmarks[0].parameters"


def still_serves(client: Lines) -> bool:
    client.send(WELL_FORMED)
    return bool(client.response()["result"] == {"pong": True})


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        (b"run triad please", -32700, "not JSON"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping"', -32700, "not JSON"),
        (RUN % b"NaN", -32700, "not JSON"),
        (RUN % b"Infinity", -32700, "JSON"),
        (RUN % b"1e999", -32700, "range"),
        (b"[" * 60_000, -32700, "nests too deeply"),
        (RUN % (b"[" * 30_000 + b"]" * 30_000), -32700, "nests too deeply"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff\xfe"}', -32700, "UTF-8"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "\\ud800"}', -32700, "JSON"),
        (b"\x00\x01\x02", -32700, "not JSON"),
        (b'{"jsonrpc": "2.0", "id": ' + b"9" * 5000 + b', "method": "ping"}', -32700, "range"),
        (b"null", -32600, "JSON-RPC"),
        (b"7", -32600, "JSON-RPC"),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', -32600, "batches"),
        (b'{"id": 1, "method": "ping"}', -32600, "jsonrpc"),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600, "$.jsonrpc"),
        (b'{"jsonrpc": "2.0", "id": [1], "method": "ping"}', -32600, "$.id"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', -32600, "$.method"),
        (b'{"jsonrpc": "2.0", "method": "run", "params": {"benchmarks": ["triad"]}}', -32600, "needs an id"),
    ],
)  # fmt: skip
def test_a_line_that_is_not_a_request(server: RunningServer, line: bytes, code: int, expected: str) -> None:
    with server.connect() as client:
        client.send(line + b"\n")
        error = client.response()["error"]
        assert error["code"] == code
        assert expected in error["message"]
        assert error["data"]["kind"] in ("parse_error", "invalid_request")
        assert still_serves(client)


def test_a_wrong_request_keeps_its_id(server: RunningServer) -> None:
    with server.connect() as client:
        client.send(b'{"jsonrpc": "2.0", "id": "mine", "method": 5}\n')
        assert client.response()["id"] == "mine"


def triad(**parameters: Any) -> dict[str, Any]:
    return {"benchmarks": [{"name": "triad", "parameters": parameters}]}


def stated(technology: Any, bus_width_bits: Any = 128) -> dict[str, Any]:
    return {
        "benchmarks": ["triad"],
        "memory": {"technology": technology, "bus_width_bits": bus_width_bits},
    }


# Each with the kind of its error, the path that it names, and a part of its message.
NOT_A_RUN: list[tuple[Any, str, str | None, str]] = [
    ([7], INVALID, "$.params", "array"),
    ([], INVALID, "$.params", "benchmarks"),
    ({}, INVALID, "$.params", "benchmarks"),
    ({"benchmarks": ["triad"], "colour": 1}, INVALID, "$.params.colour", "deadline_seconds"),
]
"""What a call of ``LocalClient.run`` cannot express."""

BAD_RUNS: list[tuple[dict[str, Any], str, str | None, str]] = [
    ({"benchmarks": []}, INVALID, "$.params.benchmarks", "length"),
    ({"benchmarks": ["triad"] * 65}, INVALID, "$.params.benchmarks", "length"),
    ({"benchmarks": ["stream"] * 10}, INVALID, "$.params.benchmarks", "70 benchmarks"),
    ({"benchmarks": [7]}, INVALID, "$.params.benchmarks[0]", "int"),
    ({"benchmarks": ["triad"], "device": ""}, INVALID, "$.params.device", "length"),
    ({"benchmarks": ["triad"], "deadline_seconds": 0}, INVALID, "$.params.deadline_seconds", "> 0"),
    ({"benchmarks": ["triad"], "key": ""}, INVALID, "$.params.key", "length"),
    ({"benchmarks": ["tirad"]}, "unknown_benchmark", "$.params.benchmarks[0].name", "triad"),
    (triad(dtype="half"), INVALID, f"{PARAMETERS}.dtype", "double"),
    (triad(size=1), INVALID, f"{PARAMETERS}.size", "footprint_bytes"),
    *(
        (triad(footprint_bytes=size), INVALID, f"{PARAMETERS}.footprint_bytes", "")
        for size in (-1, 0, 1 << 62, 10**30, 1.5, "64MiB")
    ),
    (triad(time_limit_seconds=-1), INVALID, f"{PARAMETERS}.time_limit_seconds", "> 0"),
    (stated("ddr9-1"), "not_in_catalog", "$.params.memory.technology", "ddr"),
    (stated("fast"), "not_in_catalog", "$.params.memory.technology", "gddr7-32"),
    (stated(""), INVALID, "$.params.memory.technology", "length"),
    (stated(5), INVALID, "$.params.memory.technology", "int"),
    (stated("ddr5-4800", 7), INVALID, "$.params.memory.bus_width_bits", ">= 8"),
    (stated("ddr5-4800", "wide"), INVALID, "$.params.memory.bus_width_bits", "str"),
    ({"benchmarks": ["triad"], "memory": "ddr5-4800"}, INVALID, "$.params.memory", "str"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "kind", "path", "expected"), [*NOT_A_RUN, *BAD_RUNS])
def test_wrong_parameters(server: RunningServer, params: Any, kind: str, path: str, expected: str) -> None:
    with server.connect() as client:
        error = client.refused("run", params)
        assert (error["code"], error["data"]["kind"]) == (-32602, kind)
        assert error["data"]["path"] == path
        assert expected in error["message"]
        assert still_serves(client)


def test_an_unknown_method_names_the_known_ones(server: RunningServer) -> None:
    with server.connect() as client:
        error = client.refused("rnu")
        assert error["code"] == -32601
        assert "run" in error["data"]["allowed"]
        assert still_serves(client)


def test_an_unknown_device_names_the_known_ones(server: RunningServer) -> None:
    with server.connect() as client:
        error = client.refused("run", {"benchmarks": [quick()], "device": "cuda:GPU-none"})
        assert error["code"] == -32020
        assert "opencl:" in error["message"]
        assert still_serves(client)


def test_an_unknown_run(server: RunningServer) -> None:
    with server.connect() as client:
        for method in ("result", "cancel"):
            error = client.refused(method, {"run_id": "none"})
            assert error["data"]["kind"] == "no_such_run"
        assert still_serves(client)


def test_another_protocol_version_names_the_supported_one(server: RunningServer) -> None:
    with server.connect() as client:
        assert client.refused("hello", {"protocol": 2})["data"]["allowed"] == [1]


def test_a_footprint_over_free_memory(server: RunningServer) -> None:
    with server.connect() as client:
        error = client.refused("run", {"benchmarks": [quick(footprint_bytes=1 << 45)]})
        assert (error["code"], error["data"]["kind"]) == (-32022, "out_of_device_memory")
        assert "free" in error["message"]
        assert error["data"]["document"]["outcome"] == "failed"
        assert still_serves(client)
    server.run_ok(quick(footprint_bytes=16 * MIB))

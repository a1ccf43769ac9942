import json
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import inspect

from gpubench.benchmarks.plan import plan
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.benchmarks.suites import suites
from gpubench.errors import InvalidParameters, InvalidRequest, ParseError, ProtocolError, UnknownBenchmark
from gpubench.protocol.messages import PARAMETERS, RunParams
from gpubench.protocol.validation import decode_params, decode_request
from gpubench.requests import BenchmarkRequest

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
methods = st.sampled_from([*PARAMETERS, "exec", ""]) | values
field_names = st.sampled_from(sorted(f for struct in PARAMETERS.values() for f in struct.__struct_fields__))
run_params = st.dictionaries(field_names | st.text(max_size=8), values, max_size=4)
requests = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": methods, "params": run_params | values}, optional={"id": scalars}
)


def numbers(of: inspect.Type, path: str) -> Iterator[tuple[str, inspect.IntType | inspect.FloatType]]:
    """Every number in a type, with its place."""
    match of:
        case inspect.IntType() | inspect.FloatType():
            yield path, of
        case inspect.StructType():
            for field in of.fields:
                yield from numbers(field.type, f"{path}.{field.name}")
        case inspect.UnionType():
            for each in of.types:
                yield from numbers(each, path)
        case inspect.ListType():
            yield from numbers(of.item_type, f"{path}[]")


@pytest.mark.parametrize(
    ("name", "struct"),
    [*PARAMETERS.items(), *((name, benchmark.parameters) for name, benchmark in BENCHMARKS.items())],
)
def test_every_number_in_a_request_has_a_range(name: str, struct: type[msgspec.Struct]) -> None:
    for path, number in numbers(inspect.type_info(struct), name):
        assert number.ge is not None or number.gt is not None, path
        assert number.le is not None or number.lt is not None, path


def serve(line: bytes) -> None:
    """What a server does with a line before it does anything else."""
    request = decode_request(line)
    if request.method in PARAMETERS:
        params = decode_params(request.params, PARAMETERS[request.method])
        if isinstance(params, RunParams):
            plan(params.benchmarks)


@given(line=st.binary(max_size=300))
@example(line=b"[" * 60_000)
@example(line=b'{"a":' * 60_000)
@example(line=b"\xff\xfe")
@example(line=b'{"jsonrpc":"2.0","method":"ping","params":{"x":NaN}}')
@example(line=b'{"jsonrpc":"2.0","method":"ping","params":"\xff"}')
@example(line=b'{"jsonrpc":"2.0","method":"run","params":{"deadline_seconds":1e999}}')
@example(line=b"GET / HTTP/1.1\r")
@example(line=b"\x16\x03\x01\x02\x00")
def test_no_bytes_make_anything_but_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        serve(line)


@given(message=requests)
@example(message={"jsonrpc": "2.0", "method": "hello", "params": {"\n": None}})
def test_no_json_makes_anything_but_a_protocol_error(message: object) -> None:
    try:
        serve(json.dumps(message).encode("utf-8", "surrogatepass"))
    except ProtocolError as error:
        assert error.message
        assert "\n" not in error.message[:200]


def test_a_field_that_is_no_name_is_told_in_one_line() -> None:
    with pytest.raises(InvalidParameters) as caught:
        decode_params(msgspec.Raw(b'{"a b\\u2028": 1}'), PARAMETERS["cancel"])
    assert caught.value.message == ("unknown field 'a b\\u2028' at $.params['a b\\u2028']; allowed: run_id")


parameter_names = st.sampled_from(
    ["dtype", "footprint_bytes", "time_limit_seconds", "unroll", "groups", "nope"]
)


@given(
    parameters=st.dictionaries(parameter_names, values, max_size=3),
    name=st.sampled_from([*BENCHMARKS, *suites()]),
)
def test_parameters_of_a_benchmark_are_taken_or_named(parameters: dict[str, object], name: str) -> None:
    try:
        planned = plan([BenchmarkRequest(name=name, parameters=parameters)])
    except InvalidParameters as error:
        assert error.details["path"].startswith("$.params.benchmarks[0].parameters")
    else:
        assert all(
            benchmark.parameters[field] == value
            for benchmark in planned
            for field, value in parameters.items()
        )


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        (b"", ParseError, "not JSON"),
        (b"{'a': 1}", ParseError, "not JSON"),
        (b'"\xff"', ParseError, "not UTF-8"),
        (b"[" * 60_000, ParseError, "nests too deeply"),
        (b"[]", InvalidRequest, "one request per line"),
        (b"7", InvalidRequest, "JSON-RPC 2.0"),
        (b'{"jsonrpc":"1.0","method":"ping"}', InvalidRequest, r"\$\.jsonrpc"),
        (b'{"jsonrpc":"2.0","method":7}', InvalidRequest, r"\$\.method"),
    ],
)
def test_the_error_says_what_was_wrong(line: bytes, error: type[ProtocolError], said: str) -> None:
    with pytest.raises(error, match=said):
        serve(line)


@pytest.mark.parametrize(
    ("params", "error", "said"),
    [
        ({"benchmarks": 7}, InvalidParameters, r"\$\.params\.benchmarks"),
        ({"benchmark": []}, InvalidParameters, "allowed: benchmarks"),
        ({"benchmarks": ["nope"]}, UnknownBenchmark, "triad"),
        ({"benchmarks": ["copy"], "deadline_seconds": -1}, InvalidParameters, "deadline_seconds"),
    ],
)
def test_wrong_parameters_are_named(params: object, error: type[ProtocolError], said: str) -> None:
    with pytest.raises(error, match=said):
        serve(json.dumps({"jsonrpc": "2.0", "method": "run", "params": params}).encode())

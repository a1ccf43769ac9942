"""A small part of ``make fuzz``: inputs that hypothesis makes, and those that the fuzzer begins with."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gpubench.protocol.messages import PARAMETERS
from tests.fuzz.targets import NAMES, Targets, seeds

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # busy machines are no failure

names = st.sampled_from(sorted({field for each in PARAMETERS.values() for field in each.__struct_fields__}))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from(sorted(PARAMETERS)) | st.text(max_size=9)},
    optional={"id": values, "params": st.dictionaries(names, values, max_size=4) | values},
)
lines = st.binary(max_size=300) | requests.map(
    lambda message: json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
)


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    made = Targets(tmp_path_factory.mktemp("data"))
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_each_input_that_the_fuzzer_begins_with(targets: Targets, name: str) -> None:
    for data in seeds():
        targets.named[name](data)


@unhurried
@given(sizes=st.binary(min_size=2, max_size=2), stream=st.text("ab\n", max_size=80), short=st.booleans())
def test_any_stream_in_any_pieces(targets: Targets, sizes: bytes, stream: str, short: bool) -> None:
    """Lines of a few bytes, among them some that are just too long."""
    sizes = bytes(size % 6 for size in sizes) if short else sizes
    targets.named["framing"](sizes + stream.encode())


@unhurried
@given(data=st.binary(max_size=300))
def test_any_bytes_to_a_client(targets: Targets, data: bytes) -> None:
    targets.named["client"](data)


@pytest.mark.parametrize("name", ["decoder", "service", "datagram"])
@unhurried
@given(line=lines)
@example(line=b"[" * 60_000)
@example(line=b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 10_000)
@example(line=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "x" * 65_000}).encode())
@example(line=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x" * 65_000: 1}}).encode())
def test_any_line(targets: Targets, name: str, line: bytes) -> None:
    targets.named[name](line)


@unhurried
@given(sent=st.lists(lines, max_size=6).map(b"\n".join))
def test_anything_sent_on_a_connection(targets: Targets, sent: bytes) -> None:
    targets.named["connection"](sent)

"""Text from outside that is not UTF-8: refused where it comes in, shown where only a person reads it."""

from __future__ import annotations

import ast
import io
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gpubench_client.local import LocalClient
from gpubench_server.encode import error_line
from hypothesis import given
from hypothesis import strategies as st

import gpubench
from gpubench.benchmarks.suites import parse_suites
from gpubench.errors import GpubenchError, InvalidDocument, InvalidParameters, StoreError
from gpubench.executor.prepare import prepare_run
from gpubench.protocol.messages import RunParams
from gpubench.protocol.session import ClientSession
from gpubench.requests import BenchmarkRequest, RequestedRun, StatedMemory
from gpubench.results.document import ErrorInfo, decode_document, encode_document
from gpubench.text import as_utf8, encodable, not_text, places_of_no_text
from tests.documents import document, measurement

BYTE = os.fsdecode(b"\xff")
RUN = document(measurement(1500.0))
JSON = encode_document(RUN).decode()

ANY_TEXT = st.text(st.characters(exclude_categories=[]))


@given(ANY_TEXT)
def test_what_is_shown_can_be_encoded(text: str) -> None:
    shown = encodable(text)
    shown.encode()
    assert (not_text(text) is None) == (shown == text)


@given(
    st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner), max_leaves=20)
)
def test_exactly_what_cannot_be_encoded_is_found(data: Any) -> None:
    found = list(places_of_no_text(data, "$"))
    try:
        msgspec.json.encode(data)
    except UnicodeEncodeError:
        assert found
    else:
        assert not found


def test_how_it_is_shown() -> None:
    assert encodable(os.fsdecode(b"caf\xe9/\x80")) == "caf\\xe9/\\x80"
    assert not_text(os.fsdecode(b"caf\xe9")) == "byte 0xe9 is not UTF-8"
    assert not_text("\ud800") == "\\ud800 is no character"
    assert list(places_of_no_text({"a": [1, BYTE], BYTE: 2}, "$")) == [
        ("$.a[1]", BYTE),
        ("$['\\\\xff']", BYTE),
    ]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_of_documents_and_suite_files(encoding: str, tmp_path: Path) -> None:
    data = JSON.replace(RUN.run_id, "Größe €").encode(encoding)
    path = tmp_path / "run.json"
    path.write_bytes(data)
    assert decode_document(data).run_id == "Größe €"
    assert gpubench.load(path) == gpubench.load(io.BytesIO(data)) == gpubench.load(data)
    suite = '[[suite]]\nname = "mine"\nsummary = "Größe €"\nbenchmarks = [{ name = "triad" }]\n'
    assert as_utf8(suite.encode(encoding)).decode() == suite
    assert list(parse_suites(as_utf8(suite.encode(encoding)).decode())) == ["mine"]


def test_a_file_that_was_opened_as_text() -> None:
    loaded = gpubench.load(io.StringIO("\ufeff" + JSON))
    assert encode_document(loaded) == encode_document(decode_document(JSON))
    with pytest.raises(InvalidDocument, match="UTF-8"):
        gpubench.load(io.StringIO(JSON.replace(RUN.run_id, BYTE)))


@pytest.mark.parametrize(
    "data",
    [
        JSON.replace(RUN.run_id, "é").encode("latin-1"),
        JSON.encode("utf-16")[:-1],
        b"\xff\xfe\x00\xd8",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\x00",
        b"",
    ],
)
def test_damaged_text_is_no_document(data: bytes) -> None:
    with pytest.raises(InvalidDocument, match=r"here is not a run document"):
        decode_document(data, "here")


WRONG = [
    ({"key": BYTE}, "$.params.key"),
    ({"device": BYTE}, "$.params.device"),
    ({"memory": StatedMemory(BYTE, 64)}, "$.params.memory.technology"),
]


@pytest.mark.parametrize(("options", "path"), WRONG)
def test_a_request_in_python_is_checked_before_measuring(options: dict[str, Any], path: str) -> None:
    for refuse in (
        lambda: prepare_run(RequestedRun(["triad"], **options)),
        lambda: LocalClient().run("triad", **options),
        lambda: ClientSession().request("run", RunParams(["triad"], **options)),
    ):
        with pytest.raises(InvalidParameters, match="byte 0xff is not UTF-8") as raised:
            refuse()
        assert raised.value.details["path"] == path


@pytest.mark.parametrize(
    "benchmark", [BYTE, BenchmarkRequest("triad", {"dtype": BYTE}), BenchmarkRequest("triad", {BYTE: 1})]
)
def test_a_benchmark_in_python_is_checked_before_measuring(benchmark: str | BenchmarkRequest) -> None:
    with pytest.raises(InvalidParameters, match="byte 0xff is not UTF-8"):
        gpubench.run([benchmark])


def test_an_error_can_always_be_sent_and_stored() -> None:
    error = StoreError(f"the data directory /home/{BYTE} cannot be used")
    assert error.message == str(error) == "the data directory /home/\\xff cannot be used"
    assert b"\\\\xff" in msgspec.json.encode(ErrorInfo.of(error))
    for details in ({"path": BYTE}, {"path": Path("/")}, {"path": object()}):
        answer = msgspec.json.decode(error_line(1, GpubenchError("why", **details)))
        assert answer["error"]["message"] == "why"
        assert answer["error"]["data"] == {"kind": "error", "retryable": False}


def test_what_the_system_says_is_read_whatever_its_bytes() -> None:
    """Looks for others: paths of libraries, names of control groups and of processors may be any bytes."""
    strict = [
        f"{path.name}:{call.lineno}"
        for path in (Path(gpubench.__file__).parent / "devices").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and (
            (call.func.attr == "read_text" and len(call.args) < 2)
            or (call.func.attr == "decode" and not any(word.arg == "errors" for word in call.keywords))
        )
    ]
    assert strict == []

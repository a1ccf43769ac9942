"""What identifies a run document, and documents that come packed or in a report."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubench.errors import InvalidDocument, UnsupportedDocument
from gpubench.results import kept as kept_documents
from gpubench.results.document import encode_document
from gpubench.results.kept import KeptDocument, canonical_json, pack, read_kept
from tests.documents import document, measurement

DATA = encode_document(document(measurement(34.2)))


def page(address: str, sha256: str = "0" * 64) -> bytes:
    return f'<!doctype html><a data-sha256="{sha256}" href="{address}">x</a>'.encode()


def test_the_sum_is_what_a_line_of_python_computes() -> None:
    """And no layout of the same JSON changes it."""
    fields = json.loads(DATA, parse_float=lambda x: int(float(x)) if float(x).is_integer() else float(x))
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    expected = hashlib.sha256(text.encode()).hexdigest()
    turned = json.dumps(dict(reversed(fields.items())), indent=4).encode()
    assert {
        each.sha256
        for layout in (DATA, turned, gzip.compress(DATA, mtime=0))
        for each in read_kept(layout, "x")
    } == {expected}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.integers(-(2**60), 2**60).map(float)
    | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=6),
)


@given(JSON)
def test_a_quicker_parser_changes_no_sum(fields: object) -> None:
    """What one parser refuses, such as NaN, the other one reads."""
    data = json.dumps(fields).encode()
    slow = json.loads(data, parse_float=lambda x: whole(float(x)))
    text = json.dumps(slow, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        expected = text.encode()
    except UnicodeEncodeError:  # half of a character is no text that could be hashed
        with pytest.raises(UnicodeEncodeError):
            canonical_json(data)
    else:
        assert canonical_json(data) == expected


def whole(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


@pytest.mark.parametrize("change", [{"run_id": "another"}, {"not_yet_invented": 1}])
def test_any_field_changes_the_sum_also_one_of_a_newer_program(change: dict[str, object]) -> None:
    [before] = read_kept(DATA, "x")
    [after] = read_kept(json.dumps({**json.loads(DATA), **change}).encode(), "x")
    assert before.sha256 != after.sha256


def test_a_page_gives_its_documents_back_as_they_were() -> None:
    [original] = read_kept(json.dumps(json.loads(DATA), indent=1).encode(), "x")
    [found] = read_kept(page(pack(original), original.sha256), "page.html")
    assert (found.data, found.sha256, found.printed) == (original.data, original.sha256, original.sha256)
    assert found.name == "page.html, document 1"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (page(kept_documents.EMBEDDED + "AAA"), "page, document 1 is damaged"),
        (page(kept_documents.EMBEDDED + "AAAA"), "page, document 1 is not a run document"),
        (b"<!DOCTYPE HTML><p>no documents", "page is a page without run documents"),
        (gzip.compress(DATA, mtime=0)[:-20], "page is damaged"),
        (gzip.compress(b'{"run_id": 3}', mtime=0), r"page is not a run document: .*\$.run_id"),
        (b"{", "page is not a run document"),
    ],
)
def test_what_is_damaged_is_refused_with_its_name(data: bytes, words: str) -> None:
    with pytest.raises(InvalidDocument, match=words):
        read_kept(data, "page")


def test_few_bytes_are_not_unpacked_to_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_documents, "MAX_BYTES", 1 << 20)
    with pytest.raises(InvalidDocument, match="unpacks to more than 1 MiB"):
        read_kept(gzip.compress(bytes(2 << 20)), "bomb.json.gz")


def test_a_newer_document_in_a_page_is_not_called_damaged() -> None:
    """It is told apart from a damaged one."""
    newer = json.dumps({**json.loads(DATA), "schema": 999}).encode()
    address = kept_documents.EMBEDDED + base64.b64encode(gzip.compress(newer, mtime=0)).decode()
    with pytest.raises(UnsupportedDocument, match="page, document 1 has version 999"):
        read_kept(page(address), "page")


def test_one_in_memory_has_the_sum_of_its_file() -> None:
    [read] = read_kept(DATA, "x")
    assert KeptDocument.of(read.document).sha256 == read.sha256

"""Run documents of other versions: older ones are migrated, newer ones refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpubench.errors import InvalidDocument, UnsupportedDocument
from gpubench.protocol.session import ClientSession, Failure, Result
from gpubench.results import versions
from gpubench.results.document import decode_document, encode_document
from gpubench.results.store import FILE_NAME, Store
from gpubench.results.versions import Fields
from tests.documents import document, measurement
from tests.results.edit import replace_document

RECORDED = Path(__file__).parents[2] / "results"


def of_version(version: Any, **fields: Any) -> bytes:
    """A document as an older program could have written it: its figures were called ``figures``."""
    written = json.loads(encode_document(document(measurement(1500), run_id="old", **fields)))
    written["figures"] = written.pop("measurements")
    return json.dumps({**written, "schema": version}).encode()


def rename_figures(fields: Fields) -> Fields:
    rest = {name: value for name, value in fields.items() if name != "figures"}
    return {**rest, "measurements": fields["figures"]}


def mark_verified(fields: Fields) -> Fields:
    return {**fields, "measurements": [{**each, "mismatches": 7} for each in fields["measurements"]]}


@pytest.fixture
def three_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of version 3, which knows how versions 1 and 2 were written."""
    monkeypatch.setattr(versions, "MIGRATIONS", {1: rename_figures, 2: mark_verified})
    monkeypatch.setattr(versions, "SCHEMA", 3)


def test_each_version_has_a_step_to_the_next() -> None:
    assert sorted(versions.MIGRATIONS) == list(range(versions.FIRST, versions.SCHEMA))


def test_recorded_documents_are_read() -> None:
    """Every run document in results/, each as the program of that time wrote it."""
    found = [path for path in RECORDED.glob("*.json") if b'"run_id"' in path.read_bytes()[:100]]
    assert len(found) >= 3
    for path in found:
        read = decode_document(path.read_bytes(), path.name)
        assert read.schema == versions.SCHEMA
        written = json.loads(path.read_bytes())
        assert len(read.measurements) == len(written["measurements"]) > 0
        samples = [each.samples_seconds for each in read.measurements]
        assert samples == [each["samples_seconds"] for each in written["measurements"]]


@pytest.mark.usefixtures("three_versions")
def test_an_older_document_goes_through_every_step() -> None:
    read = decode_document(of_version(1))
    assert (read.schema, read.run_id) == (3, "old")
    assert read.measurements[0].mismatches == 7
    from_two = json.loads(of_version(2))
    from_two["measurements"] = from_two.pop("figures")
    assert decode_document(json.dumps(from_two)) == read


@pytest.mark.usefixtures("three_versions")
def test_an_older_document_comes_through_store_and_wire(tmp_path: Path) -> None:
    read = decode_document(of_version(1))
    with Store(tmp_path) as store:
        store.accept(read, "triad", "cuda:0", ["triad"])
        store.finish(read)
    replace_document(tmp_path / FILE_NAME, "old", of_version(1))
    with Store(tmp_path) as store:
        assert list(store.last_documents(10)) == [read]
    (result,) = answers(result=json.loads(of_version(1)))
    assert isinstance(result, Result)
    assert encode_document(result.value) == encode_document(read)
    (failure,) = answers(
        error={"code": 1, "message": "lost", "data": {"document": json.loads(of_version(1))}}
    )
    assert isinstance(failure, Failure)
    assert encode_document(failure.error.details["document"]) == encode_document(read)


@pytest.mark.usefixtures("three_versions")
def test_an_older_document_that_is_damaged_is_refused() -> None:
    with pytest.raises(InvalidDocument, match=r"old\.json is not a run document of version 1.*'figures'"):
        decode_document(b'{"schema": 1, "run_id": "old"}', "old.json")
    with pytest.raises(InvalidDocument, match="run_id"):
        decode_document(b'{"schema": 1, "figures": []}')


def test_a_newer_document_is_refused_with_its_name() -> None:
    with pytest.raises(UnsupportedDocument) as caught:
        decode_document(of_version(99), "new.json")
    assert caught.value.details == {"found": 99, "supported": [*range(1, versions.SCHEMA + 1)]}
    assert caught.value.message.startswith("new.json has version 99 of the run document, but this program")
    assert "upgrade gpubench" in caught.value.message


@pytest.mark.usefixtures("three_versions")
def test_the_refusal_lists_all_supported_versions() -> None:
    with pytest.raises(UnsupportedDocument, match="reads only versions 1 to 3"):
        decode_document(of_version(4))


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.5])
def test_a_version_that_never_was_is_no_document(version: Any) -> None:
    with pytest.raises(InvalidDocument, match=r"is not a run document: .*\$\.schema"):
        decode_document(of_version(version))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"null", b"{}", b'{"schema": 1}'])
def test_what_is_not_a_run_document(data: bytes) -> None:
    with pytest.raises(InvalidDocument, match="x is not a run document"):
        decode_document(data, "x")


def answers(**answer: Any) -> list[Any]:
    """What a client makes of the answer to its request for a result."""
    session = ClientSession()
    session.request("result")
    return session.feed(json.dumps({"jsonrpc": "2.0", "id": 1, **answer}).encode() + b"\n")


def test_a_newer_result_from_a_server_is_refused() -> None:
    with pytest.raises(UnsupportedDocument, match="the document from the server has version 99"):
        answers(result=json.loads(of_version(99)))


def test_the_error_of_a_run_outlives_its_newer_document() -> None:
    data = {"kind": "cancelled", "document": json.loads(of_version(99))}
    (failure,) = answers(error={"code": -32800, "message": "cancelled on request", "data": data})
    assert isinstance(failure, Failure)
    assert failure.error.kind == "cancelled"
    assert failure.error.details == {}
    assert failure.error.message.startswith("cancelled on request; the document from the server has version")

"""The published JSON Schema against real documents, by a validator that is not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gpubench_client import LocalClient
from jsonschema import Draft202012Validator

from gpubench.requests import BenchmarkRequest
from gpubench.results.document import encode_document
from tests.running import quick

ROOT = Path(__file__).parents[2]
PUBLISHED = json.loads((ROOT / "docs" / "run-document.schema.json").read_bytes())


@pytest.fixture(scope="module")
def fresh() -> dict[str, Any]:
    """A document as a run writes it now."""
    small = {"footprint_bytes": 1 << 20, "time_limit_seconds": 0.02}
    benchmarks = [BenchmarkRequest(**quick("triad")), BenchmarkRequest("latency", small)]
    document: dict[str, Any] = json.loads(encode_document(LocalClient("opencl").run(benchmarks)))
    return document


def errors(document: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(PUBLISHED).iter_errors(document)]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(PUBLISHED)


def test_a_document_of_a_run_is_valid(fresh: dict[str, Any]) -> None:
    assert errors(fresh) == []
    measurement = fresh["measurements"][0]
    assert measurement["stop_code"]
    assert measurement["stop_values"]


def test_the_recorded_documents_are_valid() -> None:
    found = [path for path in (ROOT / "results").glob("*.json") if b'"run_id"' in path.read_bytes()[:100]]
    assert len(found) >= 3
    for path in found:
        assert errors(json.loads(path.read_bytes())) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 99}, "99 is not one of [1, 2]"),
        ({"outcome": "great"}, "'great' is not one of"),
        ({"run_id": 7}, "7 is not of type 'string'"),
        ({"measurements": [{"benchmark": "triad"}]}, "'parameters' is a required property"),
    ],
)
def test_what_is_wrong_is_found(fresh: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    assert any(said in message for message in errors({**fresh, **changes}))


def test_unknown_fields_are_allowed(fresh: dict[str, Any]) -> None:
    """A newer program may write more fields in a document of the same version."""
    assert errors({**fresh, "colour": "blue"}) == []

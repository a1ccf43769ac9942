"""The JSON Schema of the run document, for programs in other languages."""

from __future__ import annotations

from typing import Any

import msgspec

from gpubench.results.document import RunDocument
from gpubench.results.versions import SCHEMA

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document_schema() -> dict[str, Any]:
    """Made from the structs that documents are read into; allows unknown fields, as reading does."""
    return {"$schema": DIALECT, "title": f"gpubench run document, version {SCHEMA}"} | msgspec.json.schema(
        RunDocument
    )


def render_schema() -> str:
    """The schema as a file: indented JSON with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document_schema()), indent=2).decode() + "\n"

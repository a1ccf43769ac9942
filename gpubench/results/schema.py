"""The JSON Schema of the run document, for programs in other languages."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from gpubench.results.document import RunDocument
from gpubench.results.versions import SCHEMA

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a struct, the same under every Python.

    Descriptions are docstrings, which Python before 3.13 leaves indented as they are in the source.
    """
    schema: dict[str, Any] = msgspec.json.schema(struct)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    return schema


def document_schema() -> dict[str, Any]:
    """Made from the structs that documents are read into; allows unknown fields, as reading does."""
    title = f"gpubench run document, version {SCHEMA}"
    return {"$schema": DIALECT, "title": title} | json_schema(RunDocument)


def render_schema(schema: dict[str, Any]) -> str:
    """A schema as a file: indented JSON with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"

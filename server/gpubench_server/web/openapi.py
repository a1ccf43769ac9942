"""The description of the JSON API, as OpenAPI 3.1, made from the structs that it answers with."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

import gpubench
from gpubench.comparison.acceptance import CheckReport
from gpubench.comparison.history import Trend
from gpubench.results.document import RunDocument
from gpubench_server.web.queries import DEFAULT_RUNS, MAX_COMPARED
from gpubench_server.web.source import MAX_RUNS
from gpubench_server.web.views import DeviceView, ErrorView, RunView, StatusView

Schema = dict[str, Any]

ROOT = "/api/v1"

_RUN_ID: Schema = {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string"}}
_DEVICE: Schema = {
    "name": "device",
    "in": "query",
    "description": "the id of a device",
    "schema": {"type": "string"},
}
_RUN_QUERY: list[Schema] = [
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_RUNS, "default": DEFAULT_RUNS},
    },
    _DEVICE,
]
_COMPARE_QUERY: list[Schema] = [
    {
        "name": "run",
        "in": "query",
        "required": True,
        "description": "ids of finished runs; the first is the baseline",
        "schema": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_COMPARED},
    },
    {
        "name": "pool",
        "in": "query",
        "description": "1: runs of one device are one side",
        "schema": {"type": "string", "enum": ["0", "1"]},
    },
]

_ANYTHING: Schema = {"type": "object"}

_ALWAYS = (401, 403, 421, 429, 503)
"""Answers that every address can give."""

_SECURITY: Schema = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "a token of `gpubench-server token add`; the role read is enough",
    }
}


def description(asks: bool) -> Schema:
    """The whole document of a server that ``asks`` for tokens, or does not."""
    types = (StatusView, DeviceView, RunView, CheckReport, RunDocument, Trend, ErrorView)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    status, device, run, report, document, trend, error = schemas
    for each in components.values():
        if "description" in each:  # a docstring, indented as in the source
            each["description"] = cleandoc(each["description"])

    def get(summary: str, answer: Schema, parameters: list[Schema] | None = None, *errors: int) -> Schema:
        answers = {
            200: ("As asked for", answer),
            400: ("A parameter is wrong", error),
            401: ("No token, or one that is not valid", error),
            403: ("The token's role does not allow it, or a page of another site made the request", error),
            404: ("No such run", error),
            409: ("The run has not finished", error),
            421: ("The name in the Host header is not this server's", error),
            429: ("Too many requests, or too many wrong tokens", error),
            503: ("Not now: the message says what has to end first", error),
            500: ("The run's document is damaged", error),
        }
        responses = {
            str(code): {"description": text, "content": {"application/json": {"schema": schema}}}
            for code, (text, schema) in answers.items()
            if code in (200, *_ALWAYS, *errors)
        }
        return {"get": {"summary": summary, "parameters": parameters or [], "responses": responses}}

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gpubench",
            "version": gpubench.__version__,
            "description": "What the server has measured, and what it is doing. Read-only.",
        },
        "paths": {
            f"{ROOT}/openapi.json": get("This description", _ANYTHING),
            f"{ROOT}/status": get("Whether runs are accepted, the queues and their progress", status),
            f"{ROOT}/devices": get("Devices, with theory and their last figure", _list(device)),
            f"{ROOT}/runs": get("The newest runs, newest first", _list(run), _RUN_QUERY, 400),
            f"{ROOT}/runs/{{run_id}}": get("A run document", document, [_RUN_ID], 404, 409, 500),
            f"{ROOT}/history": get("Figures over time, and their shifts", _list(trend), [_DEVICE]),
            f"{ROOT}/verdicts": get("Whether each device is all right, by its newest run", report),
            f"{ROOT}/compare": get(
                "Finished runs against the first of them", _ANYTHING, _COMPARE_QUERY, 400, 404, 500
            ),
        },
        "security": [{"token": []}] if asks else [],
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}

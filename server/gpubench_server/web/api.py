"""The JSON API, version 1: what the pages show, for programs. It only reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gpubench.errors import InvalidParameters
from gpubench.report.sides import sides_json
from gpubench_server.web.openapi import ROOT, description
from gpubench_server.web.pages import compare_stored
from gpubench_server.web.queries import chosen, device_query, run_query
from gpubench_server.web.source import Source
from gpubench_server.web.views import ErrorView


class Api:
    """One method for each address."""

    def __init__(self, source: Source, asks: bool) -> None:
        """``asks``: whether clients must show a token."""
        self._source = source
        self._description = msgspec.json.encode(description(asks))

    @property
    def routes(self) -> list[Route]:
        places: dict[str, Callable[[Request], Response]] = {
            "/openapi.json": lambda request: json_bytes(self._description),
            "/status": lambda request: json_response(self._source.status()),
            "/devices": lambda request: json_response(self._source.devices()),
            "/runs": lambda request: json_response(self._source.runs(*run_query(request))),
            "/runs/{run_id}": self._document,
            "/history": lambda request: json_response(self._source.trends(device_query(request))),
            "/verdicts": lambda request: json_response(self._source.verdicts()),
            "/compare": self._compare,
        }
        return [Route(f"{ROOT}{path}", endpoint) for path, endpoint in places.items()]

    def _document(self, request: Request) -> Response:
        run_id = request.path_params["run_id"]
        stored = self._source.stored(run_id)
        if stored is None:
            view = ErrorView(kind="not_finished", message=f"the run {run_id} has not finished")
            return json_response(view, 409)
        return json_bytes(stored.data)

    def _compare(self, request: Request) -> Response:
        run_ids, pooled = chosen(request)
        if not run_ids:
            raise InvalidParameters("choose runs to compare: /compare?run=ID&run=ID")
        return json_bytes(sides_json(compare_stored(self._source, run_ids, pooled)))


def json_response(value: Any, status: int = 200) -> Response:
    return json_bytes(msgspec.json.encode(value), status)


def json_bytes(data: bytes, status: int = 200) -> Response:
    return Response(data, status, media_type="application/json")

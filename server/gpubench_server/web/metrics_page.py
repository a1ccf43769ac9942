"""``/metrics``, in the format that the scraper asks for."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from gpubench_server.metrics import ServiceSnapshot, SnapshotCollector
from gpubench_server.named_families import NamedFamilies


def metrics_page(snapshot: Callable[[], ServiceSnapshot]) -> Callable[[Request], Response]:
    registry = NamedFamilies()
    registry.register(SnapshotCollector(snapshot))

    def page(request: Request) -> Response:
        names = request.query_params.getlist("name[]")
        asked = registry.restricted_registry(names) if names else registry
        try:
            encode, kind = choose_encoder(request.headers.get("accept", ""))
            body = encode(asked)
        except TypeError:  # prometheus_client fails if the version in Accept is not a number
            encode, kind = choose_encoder("text/plain")
            body = encode(asked)
        return Response(body, headers={"content-type": kind})

    return page

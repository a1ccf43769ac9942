"""One server for all tests of this folder, with planted runs; each test must leave it usable for the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gpubench.results.document import RunDocument
from tests.running import RunningServer
from tests.web.planted import plant


@dataclass(frozen=True)
class Filled:
    server: RunningServer
    planted: dict[str, RunDocument]


@pytest.fixture(scope="package")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    data = tmp_path_factory.mktemp("data")
    planted = plant(data)
    with RunningServer(data, http_connections=8) as server:
        server.ask("devices")
        yield Filled(server, planted)

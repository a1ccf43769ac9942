"""One server for all tests of this folder; each test must leave it usable for the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running import RunningServer


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data = tmp_path_factory.mktemp("data")
    with RunningServer(data, line_deadline_seconds=0.5, http_deadline_seconds=1) as running:
        yield running

"""One server for all tests of this folder: each must leave it idle and working."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running import RunningServer


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="package")
def url(server: RunningServer) -> str:
    return url_of(server)


def url_of(server: RunningServer) -> str:
    host, port = server.tcp
    return f"tcp://{host}:{port}"

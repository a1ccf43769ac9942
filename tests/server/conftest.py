"""One server for all tests of this folder; each test must leave it usable for the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.certificates import Authority
from tests.running import RunningServer
from tests.server.gateway import Place, reachable


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def place(authority: Authority) -> Iterator[Place]:
    """For a gateway and the server behind it."""
    with reachable() as directory:
        yield Place(directory, authority)


@pytest.fixture(scope="module")
def token(place: Place) -> str:
    return place.token("alice")

"""A bad run gets the same error from a server and on this machine: both prepare it alike."""

from __future__ import annotations

import re
from typing import Any

import pytest
from gpubench_client import LocalClient

from gpubench.errors import GpubenchError
from tests.abuse.test_bad_requests import BAD_RUNS
from tests.running import RunningServer, quick

REFUSED_BY_THE_DEVICE: list[dict[str, Any]] = [
    {"benchmarks": [quick()], "device": "cuda:GPU-none"},
    {"benchmarks": [quick(footprint_bytes=1 << 45)]},
]

_SIZE = re.compile(r"[\d.]+ [KMGT]iB")
"""How much memory is free changes between two runs."""


def local_error(params: dict[str, Any]) -> GpubenchError:
    with pytest.raises(GpubenchError) as caught:
        LocalClient("opencl").run(**params)
    return caught.value


@pytest.mark.parametrize("params", [*(bad[0] for bad in BAD_RUNS), *REFUSED_BY_THE_DEVICE])
def test_server_and_local_client_agree(server: RunningServer, params: dict[str, Any]) -> None:
    with server.connect() as client:
        remote = client.refused("run", params)
    local = local_error(params)
    data = remote["data"]
    assert (local.code, local.kind) == (remote["code"], data["kind"])
    assert _SIZE.sub("SIZE", local.message) == _SIZE.sub("SIZE", remote["message"])
    assert (local.details.get("path"), local.details.get("allowed")) == (
        data.get("path"),
        data.get("allowed"),
    )


def test_a_refused_technology_is_not_stored(server: RunningServer) -> None:
    before = server.ask("results", {"limit": 1000})
    memory = {"technology": "ddr9-1", "bus_width_bits": 128}
    with server.connect() as client:
        client.refused("run", {"benchmarks": [quick()], "memory": memory})
    assert server.ask("results", {"limit": 1000}) == before

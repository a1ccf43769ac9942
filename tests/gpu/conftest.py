"""These need a GPU, and belong to ``make gpu-check``, which asks for them by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpubench.devices.base import Device, Runtime
from gpubench.devices.runtimes import load_runtime


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """Raises where there is no GPU: who asks for these tests says that there is one."""
    return load_runtime("cuda")


@pytest.fixture(scope="session")
def device(runtime: Runtime) -> Iterator[Device]:
    opened = runtime.open(runtime.devices()[0].id)
    yield opened
    opened.close()

"""These need a GPU, and belong to ``make gpu-check``, which asks for them by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpubench.devices.base import Device, Runtime
from gpubench.devices.runtimes import load_runtime
from gpubench.errors import GpubenchError


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """Ends the tests where there is no GPU: who asks for them says that there is one."""
    try:
        return load_runtime("cuda")
    except GpubenchError as error:
        pytest.exit(f"no GPU: {error.message}", returncode=2)


@pytest.fixture(scope="session")
def device(runtime: Runtime) -> Iterator[Device]:
    opened = runtime.open(runtime.devices()[0].id)
    yield opened
    opened.close()

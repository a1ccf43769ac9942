"""The stand-in for CUDA's driver, where processes started by a test find it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from gpubench.executor.worker_process import WorkerProcess
from tests.devices import falsifier, standin

Place = Callable[..., None]
Falsify = Callable[..., None]


@pytest.fixture(scope="session")
def pycuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pycuda")
    standin.unpack_pycuda(folder)
    return folder


@pytest.fixture(scope="session")
def driver(pycuda: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    standin.build_driver(pycuda, folder)
    return folder


@pytest.fixture
def in_place(pycuda: Path, driver: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Puts the stand-in where processes started from now on look for the driver."""

    def place(**more: str) -> None:
        for name in [each for each in os.environ if each.startswith("STANDIN_")]:
            monkeypatch.delenv(name)
        for name, value in standin.environment(pycuda, driver, **more).items():
            monkeypatch.setenv(name, value)

    return place


@pytest.fixture
def start(in_place: Place) -> Iterator[Callable[..., WorkerProcess]]:
    """Workers on the stand-in, with a fault or none."""
    workers: list[WorkerProcess] = []

    def started(**more: str) -> WorkerProcess:
        in_place(**more)
        workers.append(WorkerProcess())
        return workers[-1]

    yield started
    for worker in workers:
        worker.end()


@pytest.fixture(scope="session")
def false_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return falsifier.build(tmp_path_factory.mktemp("falsifier"))


@pytest.fixture
def falsify(false_driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Falsify:
    """Installs the false driver, for processes started from now on: beside PoCL, or alone.

    ``files`` are further ones among those that name drivers, with what they say.
    """
    vendors = tmp_path / "vendors"
    vendors.mkdir()

    def install(*, alone: bool = False, files: Mapping[str, str] | None = None, **faults: str) -> None:
        (vendors / "false.icd").write_text(f"{false_driver}\n")
        for name, text in (files or {}).items():
            (vendors / name).write_text(text)
        monkeypatch.setenv("OCL_ICD_VENDORS", str(false_driver if alone else vendors))
        monkeypatch.setenv("FALSE_POCL", str(falsifier.pocl()))
        for name in [each for each in os.environ if each.startswith("FALSE_") and each != "FALSE_POCL"]:
            monkeypatch.delenv(name)
        for name, value in faults.items():
            monkeypatch.setenv(f"FALSE_{name.upper()}", value)

    return install

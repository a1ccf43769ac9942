"""Compiled kernels on disk: a folder that cannot be used, and files that are damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpubench.benchmarks.plan import plan
from gpubench.executor.messages import Run
from gpubench.executor.recorder import Recorder
from gpubench.executor.supervisor import StopRequest, supervise
from gpubench.executor.worker_slot import WorkerSlot
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument
from gpubench.results.timestamps import now
from tests.measure.conftest import MIB, PINNED

QUICK = {"footprint_bytes": 4 * MIB, "time_limit_seconds": 0.05, **PINNED}


def measure(device_id: str) -> RunDocument:
    slot = WorkerSlot()
    run = Run(device_id, plan([BenchmarkRequest("copy", QUICK)]))
    recorder = Recorder("run-1", key=None, created_at=now(), requested=[])
    try:
        worker = slot.worker_for(device_id)
        return supervise(worker, run, recorder, StopRequest(), lambda progress: None, replace=slot.replace)
    finally:
        slot.end()


def notes(document: RunDocument) -> list[str]:
    assert document.environment is not None
    return document.environment.notes


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, device_id: str) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("POCL_CACHE_DIR", raising=False)
        patch.setenv("GPUBENCH_CACHE_DIR", str(folder))
        document = measure(device_id)
    assert (document.outcome, notes(document)) == ("ok", [])
    return folder


@pytest.fixture
def cache(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache"
    shutil.copytree(filled, folder)
    monkeypatch.delenv("POCL_CACHE_DIR", raising=False)
    monkeypatch.setenv("GPUBENCH_CACHE_DIR", str(folder))
    yield folder


def compiled(folder: Path, ending: str = "") -> list[Path]:
    return [path for path in (folder / "pocl").rglob(f"*{ending}") if path.is_file() and path.stat().st_size]


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "programs without content": (".bc", lambda data: b""),
    "code of zeros": (".so", lambda data: bytes(len(data))),
    "half of the code": (".so", lambda data: data[: len(data) // 2]),
    "noise": ("", lambda data: bytes(byte ^ 0x5A for byte in data)),
}
"""A kernel is then missing from a program that was just built, or the process is aborted, or gets SIGBUS."""


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_cache_is_left_out_and_emptied(cache: Path, device_id: str, kind: str) -> None:
    ending, damage = DAMAGES[kind]
    damaged = compiled(cache, ending)
    assert damaged
    for path in damaged:
        path.write_bytes(damage(path.read_bytes()))
    document = measure(device_id)
    assert [each.status for each in document.measurements] == ["ok"]
    (note,) = notes(document)
    assert "copy failed at first" in note
    assert f"{cache} has been emptied" in note
    assert compiled(cache) == []


def test_a_folder_that_is_a_file_is_not_used(cache: Path, device_id: str) -> None:
    shutil.rmtree(cache)
    cache.write_text("mine")
    document = measure(device_id)
    assert document.outcome == "ok"
    (note,) = notes(document)
    assert f"compiled kernels were not kept ({cache}" in note
    assert "free: " in note
    assert cache.read_text() == "mine"


FAILURES = {
    "abort": "os.abort()",
    "error": "raise BenchmarkFailed('it does not compile')",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_that_is_not_the_caches_names_the_folder(
    cache: Path, device_id: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried twice, and the cache stays as it was."""
    tries = tmp_path / "tries"
    program = f"""
import os
from gpubench.devices.opencl import runtime
from gpubench.errors import BenchmarkFailed
def compile(self, text):
    with open({str(tries)!r}, "a") as file:
        file.write(os.environ["POCL_CACHE_DIR"] + "\\n")
    {FAILURES[kind]}
runtime.OpenClDevice.compile = compile
"""
    (tmp_path / "sitecustomize.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}", prepend=":")
    before = compiled(cache)
    document = measure(device_id)
    first, second = tries.read_text().split()
    assert first == str(cache / "pocl")
    assert second != first
    assert not Path(second).exists()  # removed with its worker
    assert compiled(cache) == before
    (measurement,) = document.measurements
    assert measurement.status == "failed"
    assert str(Path(second).parent) in str(measurement.reason)
    assert "B free" in str(measurement.reason)
    assert document.error and document.error.retryable is False

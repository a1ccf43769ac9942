"""What is said of a runtime that cannot be loaded, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpubench.devices.opencl import pocl
from gpubench.executor.probe import probe


@pytest.mark.parametrize(
    ("raised", "reason", "remedy"),
    [
        ("No module named 'pycuda'", "not installed", "make cuda"),
        ("_driver.so: undefined symbol: cuCtxCreate_v4", "built for a newer CUDA", "pip uninstall pycuda"),
        ("libcuda.so.1: cannot open shared object file", "driver is not installed", ""),
    ],
)
def test_why_cuda_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: str, reason: str, remedy: str
) -> None:
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda/__init__.py").touch()
    (tmp_path / "pycuda/driver.py").write_text(f"raise ImportError({raised!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    [status] = probe(["cuda"]).runtimes
    assert not status.available
    assert status.reason
    assert reason in status.reason
    assert remedy in status.reason


@pytest.mark.parametrize(("machine", "named"), [("x86_64", False), ("aarch64", True), ("riscv64", True)])
def test_where_pocl_has_no_wheel_the_package_is_named(machine: str, named: bool) -> None:
    advice = pocl.how_to_get(machine)
    assert "pip install '.[opencl]'" in advice
    assert ("apt install pocl-opencl-icd" in advice) == named

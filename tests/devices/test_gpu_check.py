"""What ``make gpu-check`` does on a machine where something is missing or fails, on the driver's stand-in."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpubench.measure.shapes import candidates, geometry
from gpubench.results.document import RunDocument, decode_document
from gpubench.results.machine import DeviceInfo
from tests.devices.conftest import Place
from tests.documents import document, measurement

ROOT = Path(__file__).parents[2]
GPU = DeviceInfo(
    id="cuda:0", alias="gpu0", runtime="cuda", kind="gpu", name="", hardware_id="", compute_units=132
)


def imported(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "bench")
    return importlib.import_module(name)


def check(output: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[RunDocument]]:
    paths = [os.environ["PYTHONPATH"], str(ROOT / "clients"), str(ROOT / "server")]
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "gpu_check.py", "--output", output, "--footprint", str(1 << 21),
         "--rounds", "9", "--only", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True,
    )  # fmt: skip
    kept = [output / f"{name}.json" for name in ("launch", "occupancy", "transfer")]
    return done, [decode_document(path.read_bytes()) for path in kept if path.exists()]


CUPY = """
import time
from numpy import copyto, empty, random

def ElementwiseKernel(inputs, outputs, body):
    def kernel(b, c, q, a):
        exec(body.replace("a =", "a[:] ="), {"a": a, "b": b, "c": c, "q": q})
    return kernel

class cuda:
    class Event:
        def record(self): self.at = time.perf_counter()
        def synchronize(self): pass
    get_elapsed_time = staticmethod(lambda begin, end: 1e3 * (end.at - begin.at))

class get_default_memory_pool:
    def free_all_blocks(self): pass
"""
"""What the comparison needs of cupy, on the processor."""


def test_a_peer_that_fails_costs_nobody_else(
    in_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place()
    (tmp_path / "torch.py").write_text(
        "float64 = None\ndef rand(*_, **__): raise RuntimeError('no\\n random')\n"
    )
    (tmp_path / "cupy.py").write_text(CUPY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    done, _ = check(tmp_path / "out", "peers")
    table = (tmp_path / "out" / "table.md").read_text()
    assert "- copy of torch is not compared: RuntimeError: no random\n" in table
    assert "- copy, cuMemcpyDtoD: " in table
    kept = json.loads((tmp_path / "out" / "peers.json").read_text())
    compared = {kernel: set(seconds) for kernel, seconds in kept["rounds"].items()}
    assert compared == {
        "copy": {"gpubench", "cuMemcpyDtoD", "cupy"},
        "triad": {"gpubench", "cupy"},
        "read": {"gpubench", "cupy"},
        "write": {"gpubench", "cuMemsetD32", "cupy"},
    }
    assert kept["moved_bytes"].keys() == compared.keys()
    assert {len(each) for seconds in kept["rounds"].values() for each in seconds.values()} == {9}
    assert done.returncode == int("WRONG" in table)


def test_what_fails_is_kept_and_the_next_is_still_run(in_place: Place, tmp_path: Path) -> None:
    in_place(STANDIN_FAULT="cuLaunchKernel:700:3")
    done, documents = check(tmp_path, "peers", "launch", "transfer")
    assert done.returncode == 1
    assert [each.outcome for each in documents] == ["device_lost", "device_lost"]
    table = (tmp_path / "table.md").read_text()
    for name in (
        "peers could not be compared",
        "launch ended as device_lost",
        "transfer ended as device_lost",
    ):
        assert f"- WRONG: {name}: " in table


def test_a_peer_is_above_ours_only_beyond_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    peers = imported("gpu_peers", monkeypatch)
    own = [1.0, 1.01, 0.99] * 7
    narrow = [1.0, 1.0001, 0.9999] * 7
    for ours, peer, wrong in (
        (own, [each * 0.98 for each in own], 1),
        (own, [0.995, 0.97, 1.02] * 7, 0),
        (narrow, [each * 0.9995 for each in narrow], 0),  # surely below, and by nothing
        (narrow, [each * 0.994 for each in narrow], 1),
    ):
        said = peers.said_of("copy", {"gpubench": ours, "peer": peer}, 1)
        assert sum(line.startswith("WRONG: copy is below that of peer") for line in said) == wrong


def test_a_pinned_shape_leaves_nothing_to_tune(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = imported("socket_pairs", monkeypatch).pins
    for shape in candidates(GPU, "copy", "double", {}):
        [pinned] = candidates(GPU, "copy", "double", pins(shape))
        assert geometry(pinned, 1 << 29, 8) == geometry(shape, 1 << 29, 8)


def test_without_a_network_the_check_says_what_is_missing(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        [ROOT / "tools" / "gpu-check.sh", tmp_path / "venv", "--offline"],
        env={"PATH": os.environ["PATH"], "PYTHON": str(python)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "lacks msgspec numpy platformdirs " in done.stderr
    assert not (tmp_path / "venv").exists()


def planned(*arguments: str) -> str:
    done = subprocess.run(
        [ROOT / "tools" / "gpu-check.sh", "/nonexistent/venv", "--offline", "--plan", *arguments],
        env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_plan_says_what_would_be_done_and_when_it_is_over(tmp_path: Path) -> None:
    """Without a GPU, and without a trace."""
    told = planned("--output", str(tmp_path / "out"), "--budget", "110")
    assert "| tests | 30 s | 30 s | the tests that need a GPU |" in told
    assert "| stream-2 | 15 s | over the budget |" in told
    assert "In all about " in told
    assert not (tmp_path / "out").exists()


def test_a_step_that_has_its_document_is_not_run_again(in_place: Place, tmp_path: Path) -> None:
    in_place()
    first, [kept] = check(tmp_path, "launch")
    again, [same] = check(tmp_path, "launch")
    assert (first.returncode, again.returncode) == (0, 0)
    assert kept.run_id == same.run_id
    assert "launch, done before" in again.stderr
    assert "| launch | 8 s | done |" in planned("--output", str(tmp_path))
    assert [line for line in first.stdout.splitlines() if line.startswith("- launch, ")] == [
        line for line in again.stdout.splitlines() if line.startswith("- launch, ")
    ]
    _, [fresh] = check(tmp_path, "launch", "--fresh")
    assert fresh.run_id != kept.run_id
    # A run that was cut short is run again, and so is one of other kernels.
    path = tmp_path / "launch.json"
    path.write_bytes(path.read_bytes().replace(b'"outcome":"ok"', b'"outcome":"device_lost"'))
    assert check(tmp_path, "launch")[1][0].run_id != fresh.run_id


def test_what_is_over_the_budget_is_left_out_and_named(in_place: Place, tmp_path: Path) -> None:
    in_place()
    done, documents = check(tmp_path, "launch", "map", "--budget", "15")
    assert done.returncode == 3
    assert [each.measurements[0].benchmark for each in documents] == ["launch"]
    assert "- map is left out: it takes about 20 s, and " in done.stdout
    assert "left out: map; call it again to go on" in done.stderr


def test_tests_of_a_gpu_ask_whether_it_has_what_they_need(in_place: Place) -> None:
    """One copy engine and no memory clock are no fault."""
    in_place(STANDIN_ATTRIBUTES="40=1,36=0,37=32")
    names = "both_ways or driver_knows or device_is_described"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "tests/gpu", "-k", names],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "ASYNC_ENGINE_COUNT is 1 here, and this needs 2" in done.stdout
    assert "MEMORY_CLOCK_RATE is 0 here" in done.stdout
    assert "2 passed, 2 skipped" in done.stdout


def test_two_processes_differ_only_in_steady_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    table = imported("gpu_table", monkeypatch)
    for median, flag, wrong in ((990.0, (), 1), (996.0, (), 0), (990.0, ("contended",), 0)):
        runs = [
            document(measurement(1000.0, "copy", spread=0.0001)),
            document(measurement(median, "copy", *flag, spread=0.0001)),
        ]
        assert len(table.differences(*runs)) == wrong, (median, flag)

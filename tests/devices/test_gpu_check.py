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
    beside = output / "beside.jsonl"
    return done, [
        decode_document(line) for line in beside.read_text().splitlines()
    ] if beside.exists() else []


def test_a_peer_that_fails_costs_nobody_else(
    in_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place()
    (tmp_path / "torch.py").write_text(
        "float64 = None\ndef rand(*_, **__): raise RuntimeError('no\\n random')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    done, _ = check(tmp_path / "out", "copies")
    table = (tmp_path / "out" / "table.md").read_text()
    assert "- torch is not compared: RuntimeError: no random\n" in table
    assert "- cuMemcpyDtoD: " in table
    copies = json.loads((tmp_path / "out" / "copies.json").read_text())
    assert {name: len(rounds) for name, rounds in copies["rounds"].items()} == {
        "gpubench": 9,
        "cuMemcpyDtoD": 9,
    }
    assert done.returncode == int("WRONG" in table)


def test_what_fails_is_kept_and_the_next_is_still_run(in_place: Place, tmp_path: Path) -> None:
    in_place(STANDIN_FAULT="cuLaunchKernel:700:3")
    done, documents = check(tmp_path, "copies", "launch", "transfer")
    assert done.returncode == 1
    assert [each.outcome for each in documents] == ["device_lost", "device_lost"]
    table = (tmp_path / "table.md").read_text()
    for name in (
        "copies could not be compared",
        "launch ended as device_lost",
        "transfer ended as device_lost",
    ):
        assert f"- WRONG: {name}: " in table


def test_the_copies_of_a_peer_are_above_ours_beyond_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = imported("gpu_copies", monkeypatch)
    own = [1.0, 1.01, 0.99] * 7
    for peer, wrong in (([each * 0.98 for each in own], 1), ([0.995, 0.97, 1.02] * 7, 0)):
        said = copies.said_of({"gpubench": own, "peer": peer}, 1)
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

"""The commands that do not measure."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gpubench.benchmarks.description import describe
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.benchmarks.suites import suites
from gpubench.report.benchmarks import page
from gpubench.results.document import encode_document
from tests.cli.command import QUICK, gpubench
from tests.documents import document, measurement, processor


def test_devices() -> None:
    ran = gpubench("devices", "--runtime=opencl")
    assert ran.returncode == 0
    found = json.loads(gpubench("devices", "--runtime=opencl", "--json").stdout)
    assert [runtime["available"] for runtime in found["runtimes"]] == [True]
    assert found["devices"]
    for device in found["devices"]:
        assert device["id"] in ran.stdout
        assert device["alias"] in ran.stdout


def test_a_missing_runtime_says_how_to_install_it(tmp_path: Path) -> None:
    """Even if it is installed: a module earlier on the path hides it."""
    (tmp_path / "pycuda.py").write_text("raise ModuleNotFoundError(\"No module named 'pycuda'\")")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    ran = gpubench("devices", "--runtime=cuda", PYTHONPATH=path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "cuda: " in ran.stderr
    assert "python -m gpubench.devices.cuda.build_pycuda" in ran.stderr
    for option, text in (
        ([], "gpubench: there is no device to measure"),
        (["--device=x"], "--device: no device"),
    ):
        ran = gpubench("run", "triad", "--runtime=cuda", *option, PYTHONPATH=path)
        assert (ran.returncode, ran.stdout) == (1, "")  # not a usage error: no name would be right
        assert text in ran.stderr


def test_benchmarks() -> None:
    ran = gpubench("benchmarks")
    assert all(f"{name}: " in ran.stdout for name in (*BENCHMARKS, *suites()))
    assert gpubench("benchmarks", "--markdown").stdout == page(describe())
    found = json.loads(gpubench("benchmarks", "--json").stdout)
    assert [benchmark["name"] for benchmark in found["benchmarks"]] == list(BENCHMARKS)
    assert [suite["name"] for suite in found["suites"]] == list(suites())


def test_theory_needs_neither_device_nor_server() -> None:
    ran = gpubench("theory", "RTX 5090", GPUBENCH_SERVER="tcp://127.0.0.1:1")
    assert ran.returncode == 0
    assert "1792.0 GB/s" in ran.stdout
    found = json.loads(gpubench("theory", "gddr7-32", "--bus-width=256", "--json").stdout)
    assert found["peak_bytes_per_second"] == 1024e9


def test_report(url: str, tmp_path: Path) -> None:
    run, report = tmp_path / "run.json", tmp_path / "report.md"
    ran = gpubench("run", "triad", *QUICK, "--json", "--quiet", "--out", str(run), "--server", url)
    assert (ran.returncode, ran.stderr) == (0, "")
    to_stdout = gpubench("report", str(run))
    to_file = gpubench("report", str(run), "-o", str(report))
    from_stdin = gpubench("report", "-", stdin=run.read_text())
    assert to_stdout.returncode == to_file.returncode == from_stdin.returncode == 0
    assert to_stdout.stdout == report.read_text() == from_stdin.stdout
    assert to_stdout.stdout.startswith("# ")
    assert "triad" in to_stdout.stdout
    assert to_file.stdout == ""
    assert to_file.stderr == f"wrote {report}\n"


def test_theory_of_several_boards_with_sources_and_the_full_list() -> None:
    several = gpubench("theory", "5090", "rtx4090")
    assert several.returncode == 0
    assert "1792.0 GB/s" in several.stdout and "1008.0 GB/s" in several.stdout
    assert "source:" not in several.stdout
    assert "source:" in gpubench("theory", "5090", "--sources").stdout
    listed = gpubench("theory", "--list")
    assert "nvidia-geforce-rtx-5090" in listed.stdout and "gddr7-32" in listed.stdout
    lines = gpubench("theory", "--list", "--json").stdout.splitlines()
    assert {"id": "nvidia-geforce-rtx-5090"}.items() <= json.loads(
        next(line for line in lines if '"nvidia-geforce-rtx-5090"' in line)
    ).items()
    assert gpubench("theory").returncode == gpubench("theory", "5090", "--list").returncode == 2


def test_references_are_shown_for_a_processor_if_asked_for(tmp_path: Path) -> None:
    run = tmp_path / "run.json"
    run.write_bytes(encode_document(document(measurement(34.2), device=processor())))
    assert "GDDR7 32 Gbit/s" not in gpubench("report", str(run)).stdout
    assert "GDDR7 32 Gbit/s" in gpubench("report", str(run), "--references").stdout

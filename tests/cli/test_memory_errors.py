"""Faulty memory shows in the exit code, for scripts."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import gpubench
from tests.cli.command import gpubench as command

QUICK = ["--footprint=1280KiB", '--set=patterns=["random"]']


def test_memory_errors_give_exit_code_1_and_a_document(tmp_path: Path) -> None:
    """A copy of the program whose kernel stores one wrong bit, as a stuck cell would."""
    package = tmp_path / "gpubench"
    shutil.copytree(Path(gpubench.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    kernels = package / "kernels" / "integrity.cl"
    store = "STORE(a + AT(u), VALUES(u) ^ turned);"
    assert store in kernels.read_text()
    stuck = store.replace("turned", "turned ^ SPLAT(WORD, (WORD)(first == 24576 && AT(u) == 7))")
    kernels.write_text(kernels.read_text().replace(store, stuck))

    done = command(
        "run",
        "integrity",
        "--json",
        *QUICK,
        PYTHONSAFEPATH="1",
        PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]),
    )
    assert done.returncode == 1
    assert "verification of integrity failed" in done.stderr
    document = json.loads(done.stdout)
    assert (document["outcome"], document["error"]["kind"]) == ("unverified", "verification_failed")
    [measured] = document["measurements"]
    assert measured["status"] == "unverified"
    assert measured["first_mismatches"][0]["reread"] == measured["first_mismatches"][0]["actual"]
    assert {"errors", "storage_errors", "flipped_bit_0"} == {f["name"] for f in document["findings"]}


def test_memory_without_errors_gives_exit_code_0() -> None:
    done = command("run", "integrity", "--json", *QUICK)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "ok"

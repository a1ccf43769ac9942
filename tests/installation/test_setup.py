"""``tools/setup.sh`` where it was interrupted, moved, or cannot go on; with a stand-in for pip's download."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "gpubench-memory"
version = "0"
[project.optional-dependencies]
server = []
test = []
"""
BACKEND = '''
"""Installs a folder ``gpubench`` in place, and nothing from a registry."""
import os, zipfile

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name, info = "gpubench_memory-0-py3-none-any.whl", "gpubench_memory-0.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("gpubench_memory.pth", os.getcwd())
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: gpubench-memory\\nVersion: 0\\n"
                       "Provides-Extra: server\\nProvides-Extra: test\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project with our ``tools/setup.sh`` and no dependencies."""
    made = tmp_path / "check out"
    (made / "gpubench/devices/opencl").mkdir(parents=True)
    (made / "gpubench/__init__.py").touch()
    (made / "tools").mkdir()
    shutil.copy(ROOT / "tools/setup.sh", made / "tools")
    shutil.copy(ROOT / "gpubench/devices/opencl/pocl.py", made / "gpubench/devices/opencl")
    (made / "pyproject.toml").write_text(PROJECT)
    (made / "backend.py").write_text(BACKEND)
    return made


def setup(checkout: Path, extras: str = "server", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "tools/setup.sh", ".venv", extras],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable, **variables},
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def works(checkout: Path) -> bool:
    return not subprocess.run(
        [checkout / ".venv/bin/python", "-P", "-c", "import pip, gpubench"],
        check=False,
        stderr=subprocess.DEVNULL,
    ).returncode


def test_what_is_there_is_not_made_again(checkout: Path) -> None:
    first = setup(checkout)
    assert first.returncode == 0, first.stderr
    assert works(checkout)
    again = setup(checkout)
    assert (again.returncode, again.stderr) == (0, "")
    more = setup(checkout, "server,test")
    assert more.returncode == 0
    assert "installing gpubench with server,test;" in more.stderr
    assert "making" not in more.stderr
    assert setup(checkout).stderr == setup(checkout, "test").stderr == ""


@pytest.mark.parametrize("moment", ["before the environment", "before pip", "before the installation"])
def test_one_that_was_interrupted_is_made_anew(checkout: Path, moment: str) -> None:
    assert setup(checkout).returncode == 0
    environment = checkout / ".venv"
    (environment / ".gpubench-setup").write_text("setup\n")
    if moment == "before pip":
        shutil.rmtree(next(environment.glob("lib/python*/site-packages/pip")))
    if moment == "before the environment":
        shutil.rmtree(environment / "bin")
    again = setup(checkout)
    assert again.returncode == 0, again.stderr
    assert works(checkout)


def test_a_checkout_that_was_renamed_is_set_up_anew(checkout: Path) -> None:
    assert setup(checkout).returncode == 0
    moved = checkout.rename(checkout.with_name("moved"))
    assert not works(moved)
    assert setup(moved).returncode == 0
    assert works(moved)


def test_two_at_once_make_one(checkout: Path) -> None:
    command = [checkout / "tools/setup.sh", ".venv", "server"]
    variables = {**os.environ, "PYTHON": sys.executable}
    both = [
        subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE_SECONDS)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("making" in each for each in said) == 1
    assert works(checkout)


def test_an_environment_of_somebody_else_is_never_cleared(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    precious = checkout / ".venv/precious"
    precious.touch()
    refused = setup(checkout)
    assert refused.returncode == 2
    assert "remove it, or name another folder with make VENV=" in refused.stderr
    assert precious.exists()


def stand_in(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_an_old_python_gets_advice_that_names_a_package(checkout: Path, tmp_path: Path) -> None:
    old = 'case "$*" in *version_info\\ *) exit 1 ;; *) echo Python 3.10.12 ;; esac'
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        stand_in(tmp_path, name, old)
    refused = setup(checkout, PYTHON="", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert refused.returncode == 2
    assert "Python 3.11 or newer is needed, found: Python 3.10.12" in refused.stderr
    assert "python3.11-venv" in refused.stderr


def test_the_venv_package_is_of_the_chosen_python(checkout: Path, tmp_path: Path) -> None:
    script = f'case "$*" in *ensurepip*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac'
    python = stand_in(tmp_path, "python", script)
    refused = setup(checkout, PYTHON=str(python))
    assert refused.returncode == 2
    assert f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv\n" in refused.stderr

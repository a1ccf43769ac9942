"""The folder that drivers get for compiled kernels has been tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpubench.devices import cache_folder

OPEN = "from gpubench.devices.cache_folder import open_folder; folder = open_folder(); "
SHOW = "print(folder.note); folder.remove()"


@pytest.fixture(autouse=True)
def _no_folders_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POCL_CACHE_DIR", "CUDA_CACHE_PATH", "XDG_CACHE_HOME", cache_folder.VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_every_driver_gets_a_folder_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path / "new"))
    folder = cache_folder.open_folder()
    assert (folder.note, folder.temporary) == (None, False)
    assert set(folder.environment) == {
        "POCL_CACHE_DIR",
        "CUDA_CACHE_PATH",
        "XDG_CACHE_HOME",
        cache_folder.VARIABLE,
    }
    assert all(
        Path(path).is_dir() and Path(path).is_relative_to(tmp_path) for path in folder.environment.values()
    )
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def test_a_folder_that_the_user_set_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user set for a driver is kept if it can be used."""
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path / "ours"))
    monkeypatch.setenv("POCL_CACHE_DIR", str(tmp_path / "theirs"))
    folder = cache_folder.open_folder()
    assert folder.environment["POCL_CACHE_DIR"] == str(tmp_path / "theirs")
    (tmp_path / "theirs/kernel").write_text("")
    assert f"delete the contents of POCL_CACHE_DIR={tmp_path / 'theirs'}" in folder.discard()
    assert (tmp_path / "theirs/kernel").exists()
    assert cache_folder.open_folder(empty=True).environment["POCL_CACHE_DIR"] != str(tmp_path / "theirs")
    shutil.rmtree(tmp_path / "theirs")
    (tmp_path / "theirs").write_text("a file")
    refused = cache_folder.open_folder()
    assert refused.environment["POCL_CACHE_DIR"] == str(tmp_path / "ours/pocl")
    assert refused.note and "POCL_CACHE_DIR" in refused.note


def test_only_what_drivers_keep_is_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path))
    folder = cache_folder.open_folder()
    for path in (tmp_path / "mine", tmp_path / "pocl/kernel"):
        path.write_text("")
    folder.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path))
    folder = cache_folder.open_folder(empty=True)
    assert folder.temporary
    assert folder.path != tmp_path
    assert not any((folder.path / "pocl").iterdir())
    folder.remove()
    assert not folder.path.exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path / "new"))
    folder = cache_folder.open_folder()
    folder.remove()
    tmp_path.chmod(0o700)
    assert folder.note and "Permission denied" in folder.note


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("noexec", "code there cannot be run (noexec)"),
        ("size=1m", "No space left on device"),
        ("ro", "Read-only"),
    ],
)
def test_a_disk_that_cannot_hold_kernels_is_not_used(tmp_path: Path, options: str, said: str) -> None:
    """Mounted where nobody else sees it, which only root can."""
    program = f'mount -t tmpfs -o {options} tmpfs {tmp_path} && exec {sys.executable} -c "$1"'
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", program, "sh", OPEN + SHOW],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, cache_folder.VARIABLE: str(tmp_path / "cache")},
    )
    assert said in done.stdout
    assert f"{tmp_path / 'cache'}, " in done.stdout


def test_a_limit_on_the_size_of_files_is_named() -> None:
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", sys.executable, "-c", OPEN + SHOW],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "LimitReached: a file may not grow beyond" in done.stderr
    assert "ulimit -f" in done.stderr


def test_without_any_folder_each_is_named(tmp_path: Path) -> None:
    program = (
        "import tempfile; tempfile.mkdtemp = lambda **o: (_ for _ in ()).throw(OSError(28, 'full')); " + OPEN
    )
    file = tmp_path / "file"
    file.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, cache_folder.VARIABLE: str(file)},
    )
    last = done.stderr.splitlines()[-1]
    assert "no folder can hold compiled kernels" in last
    assert str(file) in last
    assert "/var/tmp, " in last
    assert "16 MiB" in last

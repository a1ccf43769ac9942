from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gpubench.atomic_files import write_file
from tests.running import PATIENCE_SECONDS

MANY = 1 << 20

_FULL_DISK = """
import resource, sys
from pathlib import Path
from gpubench.atomic_files import write_file

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_file(Path(sys.argv[1]), b"x" * 1001)
"""


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_readers_see_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with path.open("rb") as opened_before:
        write_file(path, b"after")
        assert opened_before.read() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", [None, b"before"])
def test_a_full_disk_changes_nothing(tmp_path: Path, before: bytes | None) -> None:
    """Beyond the limit on file sizes a write fails in its middle, as on a full disk."""
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    ended = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(path)], capture_output=True, text=True, check=False
    )
    assert f"[Errno {errno.EFBIG}]" in ended.stderr
    assert [each.read_bytes() for each in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_folder_that_vanished_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "vanished" / "file", b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_file(path, b"data")
    assert list(tmp_path.iterdir()) == [path]


def test_writers_at_once_each_write_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([value]) * MANY for value in range(4)]
    write_file(path, contents[0])
    together = threading.Barrier(len(contents) + 1)
    done = threading.Event()
    failed: list[Exception] = []
    seen: set[bytes] = set()

    def write(content: bytes) -> None:
        together.wait(PATIENCE_SECONDS)
        try:
            for _ in range(10):
                write_file(path, content)
        except Exception as error:
            failed.append(error)

    def read() -> None:
        together.wait(PATIENCE_SECONDS)
        while not done.is_set():
            seen.add(path.read_bytes())

    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join(PATIENCE_SECONDS)
    done.set()
    reader.join(PATIENCE_SECONDS)
    assert failed == []
    assert seen <= set(contents)
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        write_file(path, b"")
    finally:
        os.umask(before)
    assert permissions(path) == 0o640


def test_an_existing_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o604)
    write_file(path, b"after")
    assert (permissions(path), path.read_bytes()) == (0o604, b"after")


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write_file(path, b"data")
    assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    for data in (b"new", b"changed"):
        write_file(link, data)
        assert (link.readlink(), target.read_bytes()) == (target, data)
        assert sorted(tmp_path.iterdir()) == [link, target]


def test_a_link_leads_to_the_old_file_or_the_new(tmp_path: Path) -> None:
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"before")
    link.symlink_to(Path("folder") / "target")
    ended = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(link)], capture_output=True, text=True, check=False
    )
    assert f"[Errno {errno.EFBIG}]" in ended.stderr
    assert target.read_bytes() == b"before"
    assert list(target.parent.iterdir()) == [target]


def test_links_in_a_circle(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        write_file(link, b"data")


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    write_file(path, b"data")
    reader.join(PATIENCE_SECONDS)
    assert read == [b"data"]
    assert path.is_fifo()


def test_a_device_stays_a_device() -> None:
    write_file(Path(os.devnull), b"data")
    assert Path(os.devnull).is_char_device()

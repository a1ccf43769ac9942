from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from gpubench_client.cli.files import OutFile

from gpubench.errors import InvalidParameters
from tests.running import PATIENCE_SECONDS


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("before")
    with path.open() as opened_before:
        OutFile(str(path)).write(b"after")
        assert opened_before.read() == "before"  # a reader sees the old or the new, never a part
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    path = folder / "run.json"
    out = OutFile(str(path))
    folder.rename(tmp_path / "moved away")
    with pytest.raises(InvalidParameters, match="cannot be written: No such file"):
        out.write(b"after")


def test_the_default_permissions(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    OutFile(str(path)).write(b"")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    OutFile(str(path)).write(b"after")
    reader.join(PATIENCE_SECONDS)
    assert read == [b"after"]
    assert path.is_fifo()

"""A database that is damaged is found so at the start, before anything is written into it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gpubench.errors import StoreError
from gpubench.results import integrity
from gpubench.results.store import FILE_NAME, Store
from tests.documents import document, measurement
from tests.results.edit import cut_pages

COPY = f"{FILE_NAME}.damaged"


def fill(directory: Path) -> None:
    """Two runs whose documents are long enough for pages of their own."""
    with Store(directory) as store:
        for run_id in ("a", "b"):
            figures = [measurement(number, stopped_because=run_id) for number in range(60)]
            run = document(*figures, run_id=run_id, finished_at="2026-01-02T03:04:09.000Z")
            store.accept(run, "request", "cuda:0", ["triad"])
            store.finish(run)


def test_a_whole_database_is_not_copied(tmp_path: Path) -> None:
    Store(tmp_path, check=True).close()  # a new one
    fill(tmp_path)
    with Store(tmp_path, check=True) as store:
        assert store.damage is None
        assert store.document("a") is not None
    assert not (tmp_path / COPY).exists()


def test_damage_is_found_and_kept_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    damaged = cut_pages(tmp_path / FILE_NAME, "a")
    for _ in range(2):  # the second time, the copy of the first is kept
        with Store(tmp_path, check=True) as store:
            assert "invalid page number" in (store.damage or "")
            assert store.document("b") is not None
            run = document(run_id=f"later-{len(store.latest(9))}")
            store.accept(run, "request", "cuda:0", ["triad"])
            store.finish(run)
        assert (tmp_path / COPY).read_bytes() == damaged
    assert (tmp_path / FILE_NAME).read_bytes() != damaged
    (said, *_) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert str(tmp_path / FILE_NAME) in said
    assert str(tmp_path / COPY) in said


def test_what_is_in_the_log_is_checked_and_copied(tmp_path: Path) -> None:
    """After a kill the newest runs are only in the log beside the database."""
    fill(tmp_path)
    cut_pages(tmp_path / FILE_NAME, "a")
    killed = tmp_path / "killed"
    killed.mkdir()
    with Store(tmp_path) as store:
        store.accept(document(run_id="newest"), "request", "cuda:0", ["triad"])
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            (killed / name).write_bytes((tmp_path / name).read_bytes())
    with Store(killed, check=True) as store:
        assert store.damage is not None
        assert "newest" in [run.run_id for run in store.latest(9)]
    with closing(sqlite3.connect(killed / COPY)) as copy:
        assert copy.execute("SELECT count(*) FROM runs WHERE run_id = 'newest'").fetchone() == (1,)


def test_a_database_that_cannot_be_copied_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    damaged = cut_pages(tmp_path / FILE_NAME, "a")
    (tmp_path / COPY).symlink_to(tmp_path / "nowhere" / "copy")
    with pytest.raises(StoreError, match="no copy can be made of it"):
        Store(tmp_path, check=True)
    assert (tmp_path / FILE_NAME).read_bytes() == damaged


def test_a_very_large_database_is_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path)
    cut_pages(tmp_path / FILE_NAME, "a")
    monkeypatch.setattr(integrity, "MAX_CHECKED_BYTES", 1024)
    with caplog.at_level("INFO"), Store(tmp_path, check=True) as store:
        assert store.damage is None
    assert "is not checked for damage" in caplog.text

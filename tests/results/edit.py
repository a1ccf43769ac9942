"""Change stored documents behind a store's back, as damage or a newer program does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_PIECE_BYTES = 1000
"""Of a document: enough to be found once, and less than fits on a page."""


def replace_document(database: Path, run_id: str, document: bytes | str, *, finished: bool = True) -> None:
    """Put ``document`` in the place of a run's document; no store may have the file open."""
    with closing(sqlite3.connect(database)) as connection, connection:
        changed = connection.execute(
            "UPDATE runs SET document = ?, finished = ? WHERE run_id = ?", (document, finished, run_id)
        )
        assert changed.rowcount == 1


def cut_pages(path: Path, run_id: str) -> bytes:
    """Cut the chain of pages that a long document is on, as a disk may; returns what the file is then."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    # The document begins within its row, and goes on in pages of its own, each with the number of the next.
    with closing(sqlite3.connect(path)) as database:
        (document,) = database.execute("SELECT document FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    starts = range(2 * page_bytes, len(document) - _PIECE_BYTES, _PIECE_BYTES // 4)
    pieces = (bytes(document)[start : start + _PIECE_BYTES] for start in starts)
    page = next(data.index(piece) for piece in pieces if data.count(piece) == 1) // page_bytes * page_bytes
    data[page : page + 4] = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(data)
    return bytes(data)

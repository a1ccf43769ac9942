"""Change stored documents behind a store's back, as damage or a newer program does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def replace_document(database: Path, run_id: str, document: bytes | str, *, finished: bool = True) -> None:
    """Put ``document`` in the place of a run's document; no store may have the file open."""
    with closing(sqlite3.connect(database)) as connection, connection:
        changed = connection.execute(
            "UPDATE runs SET document = ?, finished = ? WHERE run_id = ?", (document, finished, run_id)
        )
        assert changed.rowcount == 1

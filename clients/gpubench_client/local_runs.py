"""The runs of this machine that were made without a server, kept in the user's data directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from gpubench.comparison.acceptance.figures import answering
from gpubench.errors import DocumentError, StoreError
from gpubench.requests import PlannedBenchmark
from gpubench.results.document import RunDocument, decode_document
from gpubench.results.history import History, HistoryQuery
from gpubench.results.retention import Retention
from gpubench.results.run_state import RunState
from gpubench.results.store import Store

VARIABLE = "GPUBENCH_DATA_DIR"

LOCK_WAIT_SECONDS = 5.0
"""Another command holds the directory only while it reads or writes one run."""

MOST_RUNS = 200
"""How many of the newest runs are looked through for those of a check."""


def local_directory(stated: str | None = None) -> Path:
    """``stated``, else ``$GPUBENCH_DATA_DIR``, else ``local`` in the user's data directory.

    Beside the server's default directory, not in it: a server keeps its own locked.
    """
    named = stated or os.environ.get(VARIABLE)
    return Path(named) if named else Path(platformdirs.user_data_dir("gpubench")) / "local"


class LocalRuns:
    """Opened for each use, and only as long: several commands may use one directory."""

    def __init__(self, directory: Path, retention: Retention | None = None) -> None:
        self.directory = directory
        self._retention = retention or Retention()

    def keep(self, document: RunDocument, warn: Callable[[str], None]) -> None:
        """Store a finished run. Whatever prevents that is a warning: the run itself is not affected."""
        try:
            with self._store() as store:
                store.add(document)
                store.prune(self._retention)
        except StoreError as error:
            warn(f"the run is not stored: {error.message}")

    def add(self, documents: Iterable[RunDocument]) -> int:
        """Store runs that were made elsewhere; returns how many were not there yet. Raises ``StoreError``."""
        with self._store() as store:
            added = sum([store.add(document) for document in documents])
            store.prune(self._retention)
        return added

    def history(self, query: HistoryQuery) -> History:
        """The newest figures that are stored; raises ``StoreError``."""
        if not self._exists():
            return History([])
        with self._store() as store:
            return store.history(query)

    def documents(
        self, limit: int, device: str | None, wanted: Callable[[RunState], bool]
    ) -> Iterator[RunDocument]:
        """Of the newest runs those that are wanted, newest first. What cannot be read is left out.

        Raises ``StoreError``.
        """
        if not self._exists():
            return
        with self._store() as store:
            for state in filter(wanted, store.latest(limit, device)):
                with contextlib.suppress(DocumentError):
                    data = store.document(state.run_id)
                    if data is not None:
                        yield decode_document(data, f"run {state.run_id}")

    def younger_than(self, seconds: float, planned: Sequence[PlannedBenchmark]) -> list[RunDocument]:
        """The stored runs of these benchmarks that ended at most so long ago, newest first.

        Without what else they measured. Raises ``StoreError`` if the directory cannot be used. A run that
        cannot be read is left out.
        """
        now = datetime.now(UTC)
        found = []
        for document in self._of(planned):
            age = age_seconds(document, now)
            if age is not None and age <= seconds:
                found.append(document)
        return found

    def newest(self, planned: Sequence[PlannedBenchmark]) -> RunDocument | None:
        """The newest stored run of these benchmarks, of any age; raises ``StoreError``."""
        return next(self._of(planned), None)

    def _of(self, planned: Sequence[PlannedBenchmark]) -> Iterator[RunDocument]:
        wanted = {each.name for each in planned}
        for document in self.documents(MOST_RUNS, None, lambda state: wanted <= set(state.benchmarks)):
            if (part := answering(document, planned)) is not None:
                yield part

    def _store(self) -> Store:
        return Store(self.directory, wait_seconds=LOCK_WAIT_SECONDS)

    def _exists(self) -> bool:
        """Whether the directory is there; looking at it must not make it."""
        try:
            return self.directory.is_dir()
        except OSError as error:
            raise StoreError(f"{self.directory} cannot be read: {error.strerror}") from None


def age_seconds(document: RunDocument, now: datetime | None = None) -> float | None:
    """How long ago the run ended; null if that is not known, or in the future, as after a wrong clock."""
    try:
        ended = datetime.fromisoformat(document.finished_at or document.created_at)
        age = ((now or datetime.now(UTC)) - ended).total_seconds()
    except (ValueError, TypeError):
        return None
    return age if age >= -60 else None

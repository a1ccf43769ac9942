"""Which runs a store keeps, and that the room of the others is given back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpubench.results.document import RunDocument
from gpubench.results.history import HistoryQuery
from gpubench.results.retention import DAY_SECONDS, Retention
from gpubench.results.rows import LastOf
from gpubench.results.store import FILE_NAME, Store
from tests.documents import document, measurement
from tests.results.test_store import DAMAGE, edit


def ended(days_ago: float, run_id: str, key: str | None = None, **fields: object) -> RunDocument:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return document(measurement(1500), run_id=run_id, key=key, finished_at=text, **fields)  # type: ignore[arg-type]


def keep(store: Store, run: RunDocument, *last_of: LastOf) -> None:
    store.accept(run, "triad", "cuda:0", ["triad"])
    store.finish(run, last_of)


def kept(store: Store) -> list[str]:
    """Newest first; of each its document, its row and its figures are there, or nothing of it."""
    listed = [run.run_id for run in store.latest(1000)]
    figures = {point.run_id for series in store.history(HistoryQuery()).series for point in series.points}
    assert figures == set(listed)
    assert all(store.document(run_id) for run_id in listed)
    return listed


def test_the_newest_runs_are_kept(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for number in range(250):
            keep(store, ended(1, f"r{number}"))
        assert store.prune(Retention(runs=3)) == 247
        assert kept(store) == ["r249", "r248", "r247"]
        assert store.prune(Retention(runs=3)) == 0


def test_old_runs_are_removed(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for days in (40, 31, 29, 0):
            keep(store, ended(days, f"r{days}"))
        assert store.prune(Retention(seconds=30 * DAY_SECONDS)) == 2
        assert kept(store) == ["r0", "r29"]


def test_a_run_is_kept_while_its_key_may_be_asked_for(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for days, key in ((9, "old"), (8, None), (6, "young"), (5, None), (1, None)):
            keep(store, ended(days, f"r{days}", key))
        store.prune(Retention(runs=1, seconds=DAY_SECONDS / 2, key_seconds=7 * DAY_SECONDS))
        assert kept(store) == ["r6"]
        assert store.find_key("young", "triad") is not None
        assert store.find_key("old", "triad") is None


def test_what_the_metrics_come_from_is_kept(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        keep(store, ended(400, "last"), LastOf("cuda:0", "triad", "float", True))
        keep(store, ended(300, "other"))
        store.prune(Retention(seconds=DAY_SECONDS))
        assert kept(store) == ["last"]
        assert [run.run_id for run in store.last_documents(9)] == ["last"]


def test_an_unfinished_run_is_never_removed(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.accept(document(run_id="running"), "triad", "cuda:0", ["triad"])
        keep(store, ended(1, "a"))
        keep(store, ended(1, "b"))
        store.prune(Retention(runs=1, seconds=1.0))
        assert [run.run_id for run in store.latest(9)] == ["running"]


@pytest.mark.parametrize("damage", [*DAMAGE, "NULL"])
def test_a_damaged_end_is_not_taken_for_an_old_one(tmp_path: Path, damage: str) -> None:
    with Store(tmp_path) as store:
        keep(store, ended(1, "a"))
        keep(store, ended(400, "b"))
    edit(tmp_path, f"UPDATE runs SET finished_at = {damage} WHERE run_id = 'a'")
    with Store(tmp_path) as store:
        assert store.prune(Retention(seconds=DAY_SECONDS)) == 1
        assert store.document("a") is not None


def test_the_room_is_given_back(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for number in range(60):
            keep(store, ended(1, f"r{number}", explanations={"large": "x" * 100_000}))
    full = (tmp_path / FILE_NAME).stat().st_size
    with Store(tmp_path) as store:
        store.prune(Retention(runs=2))
    assert (tmp_path / FILE_NAME).stat().st_size < full / 10


def test_series_without_figures_are_removed(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        keep(store, ended(2, "a", kernels="old"))
        keep(store, ended(1, "b", kernels="new"))
        store.prune(Retention(runs=1))
        with store._reading() as database:
            assert database.execute("SELECT COUNT(*) FROM series").fetchone() == (1,)
        keep(store, ended(1, "c", kernels="old"))
        assert kept(store) == ["c", "b"]


def test_pruning_stops_when_it_is_told(tmp_path: Path) -> None:
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 1

    with Store(tmp_path) as store:
        for number in range(201):
            keep(store, ended(1, f"r{number}"))
        assert store.prune(Retention(runs=1), stopped) == 100

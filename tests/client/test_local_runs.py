"""The store of local runs: what it keeps and finds, and that it never makes a run fail."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gpubench_client.local_runs import LocalRuns, age_seconds, local_directory

from gpubench.benchmarks.plan import plan
from gpubench.requests import BenchmarkRequest
from gpubench.results.document import RunDocument
from gpubench.results.store import FILE_NAME, Store
from tests.documents import document, measurement

TRIAD = plan([BenchmarkRequest("triad", {"dtype": "float"})])
OTHER = plan([BenchmarkRequest("triad", {"dtype": "double"})])


def ended(hours_ago: float, run_id: str = "r1", key: str | None = None) -> RunDocument:
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    return document(
        measurement(1600, "triad", parameters=TRIAD[0].parameters),
        measurement(1600, "copy"),
        run_id=run_id,
        key=key,
        finished_at=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def no_warning(text: str) -> None:
    raise AssertionError(text)


def test_what_is_kept_is_found_if_young_enough(tmp_path: Path) -> None:
    runs = LocalRuns(tmp_path)
    for number, hours in enumerate((30, 3, 1)):
        runs.keep(ended(hours, f"r{number}"), no_warning)
    assert [run.run_id for run in runs.younger_than(24 * 3600, TRIAD)] == ["r2", "r1"]
    assert [run.run_id for run in runs.younger_than(2 * 3600, TRIAD)] == ["r2"]
    newest = runs.newest(TRIAD)
    assert newest is not None
    assert newest.run_id == "r2"


def test_only_runs_of_the_same_settings_answer(tmp_path: Path) -> None:
    runs = LocalRuns(tmp_path)
    runs.keep(ended(1), no_warning)
    assert runs.younger_than(7200, OTHER) == []
    assert runs.younger_than(7200, [*TRIAD, *plan(["integrity"])]) == []
    assert runs.younger_than(7200, [*TRIAD, *OTHER]) == []
    (found,) = runs.younger_than(7200, TRIAD)
    assert [each.benchmark for each in found.measurements] == ["triad"]  # and not what else was measured


def test_several_runs_may_have_one_key(tmp_path: Path) -> None:
    runs = LocalRuns(tmp_path)
    for number in range(2):
        runs.keep(ended(1, f"r{number}", key="nightly"), no_warning)
    assert [run.key for run in runs.younger_than(7200, TRIAD)] == ["nightly", "nightly"]


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    directory = tmp_path / "none"
    assert LocalRuns(directory).younger_than(1, TRIAD) == []
    assert LocalRuns(directory).newest(TRIAD) is None
    assert not directory.exists()


@pytest.mark.parametrize("how", ["a file", "damaged", "no permission", "in use"])
def test_whatever_prevents_storing_is_a_warning(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "data"
    if how == "a file":
        directory.write_text("")
    else:
        directory.mkdir()
    if how == "damaged":
        (directory / FILE_NAME).write_text("no database")
    if how == "no permission":
        directory = Path("/proc/1/gpubench")
    monkeypatch.setattr("gpubench_client.local_runs.LOCK_WAIT_SECONDS", 0.05)
    held = Store(directory) if how == "in use" else None
    warnings: list[str] = []
    try:
        LocalRuns(directory).keep(ended(1), warnings.append)
    finally:
        if held is not None:
            held.close()
    (warning,) = warnings
    assert warning.startswith("the run is not stored: ")
    assert str(directory) in warning


def test_a_lock_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    """Several commands at once on one machine: each holds the directory for a moment."""
    import threading

    warnings: list[str] = []
    threads = [
        threading.Thread(target=LocalRuns(tmp_path).keep, args=(ended(1, f"r{n}"), warnings.append))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings == []
    assert len(LocalRuns(tmp_path).younger_than(7200, TRIAD)) == 8


def test_the_directory_is_not_the_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GPUBENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert local_directory() == tmp_path / "gpubench" / "local"
    monkeypatch.setenv("GPUBENCH_DATA_DIR", "/elsewhere")
    assert local_directory() == Path("/elsewhere")
    assert local_directory("/stated") == Path("/stated")
    assert os.fspath(tmp_path) not in os.fspath(local_directory())


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01T00:00:00", "2999-01-01T00:00:00Z"])
def test_an_age_that_is_not_known(text: str) -> None:
    """A run from the future, after a clock that was wrong, is not young."""
    assert age_seconds(document(finished_at=text, created_at=text)) is None

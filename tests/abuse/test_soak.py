"""Each fault of the table a few times in a row: `make soak` does the same for ten minutes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abuse.injections import FAULTS, Fault
from tests.abuse.subject import Counts, Subject

ROUNDS = 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with Subject(tmp_path_factory.mktemp("soak"), Counts()) as subject:
        yield subject


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_leaves_nothing_behind(fault: Fault, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if fault.alone:
        with Subject(tmp_path, Counts(), environment=fault.environment(tmp_path)) as subject:
            _several(fault, subject)
    else:
        _several(fault, request.getfixturevalue("shared"))


def _several(fault: Fault, subject: Subject) -> None:
    subject.counts.problems.clear()
    for number in range(ROUNDS):
        began_at = time.monotonic()
        fault.inject(subject, random.Random(f"{number} {fault.name}"))
        subject.check(began_at)
    assert subject.counts.problems == []

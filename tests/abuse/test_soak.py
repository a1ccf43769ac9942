"""Each fault of the table once, and then a run: `make soak` does the same for ten minutes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abuse.injections import FAULTS, Fault
from tests.abuse.subject import Counts, Subject


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache of compiled kernels for all: compiling them is the longest part of a first run."""
    return {"GPUBENCH_CACHE_DIR": str(tmp_path_factory.mktemp("kernels"))}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, kernels: dict[str, str]) -> Iterator[Subject]:
    with Subject(tmp_path_factory.mktemp("soak"), Counts(), environment=kernels) as subject:
        yield subject


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_leaves_nothing_behind(
    fault: Fault, kernels: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if fault.alone:
        own = fault.environment(tmp_path)
        with Subject(tmp_path, Counts(), environment={**kernels, **own}) as subject:
            make(fault, subject)
    else:
        make(fault, request.getfixturevalue("shared"))


def make(fault: Fault, subject: Subject) -> None:
    subject.counts.problems.clear()
    fault.make(subject, random.Random(fault.name))
    assert subject.counts.problems == []

"""A device without 64-bit floating point: everything that is of integers or float is measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpubench.devices.base import Device
from gpubench.kernels.programs import Programs
from gpubench.kernels.source import read_source
from gpubench.measure import run_context
from tests.measure.conftest import PINNED, run_on

ASKED = "#ifdef cl_khr_fp64"
REFUSED = f"#undef cl_khr_fp64\n#define double no_double\n#define as_double no_double\n{ASKED}"
"""The compiler would still take a double: here its name is none."""


@pytest.fixture(autouse=True)
def _hardly_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "COLD_LIMIT_SECONDS", 0.05)


@pytest.fixture
def without_double(open_as: Callable[..., Device]) -> Device:
    return open_as(has_double=False)


def test_words_need_no_double(without_double: Device) -> None:
    _, told = run_on(
        without_double, "read", "write", "gather", faults=(("prelude_opencl.h", ASKED, REFUSED),)
    )
    assert {m.benchmark for m in told.measurements} == {"read", "write", "gather"}
    assert {m.status for m in told.measurements} == {"ok"}


@pytest.mark.parametrize(
    ("family", "definitions"),
    [
        ("mix", {"UNROLL": 1, "ORDER_TILE": 0, "READS": 1, "WRITES": 1}),
        ("pattern", {"UNROLL": 1, "ORDER_TILE": 0}),
        ("latency", {"NODE_WORDS": 8}),
        ("loaded", {"UNROLL": 1, "CHUNK_ROUNDS": 1, "ORDER_TILE": 0}),
        ("sweep", {"UNROLL": 1, "ORDER_TILE": 0}),
        ("integrity", {"UNROLL": 1, "ORDER_TILE": 0, "PATTERN": 0, "ROWS": 8}),
        ("launch", {"UNROLL": 1, "ORDER_TILE": 0}),
    ],
)
def test_programs_of_words_compile(without_double: Device, family: str, definitions: dict[str, int]) -> None:
    programs = Programs(without_double, lambda name: read_source(name).replace(ASKED, REFUSED))
    assert programs.program(family, "double", group_size=1, **definitions)


def test_what_needs_double_is_skipped_and_float_is_measured(without_double: Device) -> None:
    faults = (("prelude_opencl.h", ASKED, REFUSED),)
    _, told = run_on(without_double, "triad", "dot", faults=faults, dtype="double", **PINNED)
    assert [(m.status, "fp64" in (m.reason or "")) for m in told.measurements] == [("skipped", True)] * 2
    assert "float is possible" in (told.measurements[0].reason or "")
    _, told = run_on(without_double, "copy", "read", "dot", faults=faults, **PINNED)
    assert [(m.status, m.parameters["dtype"]) for m in told.measurements] == [
        ("ok", "float"),
        ("ok", "double"),  # words, which are no floating point
        ("skipped", "float"),
    ]


def test_copies_of_transfer_need_no_double(without_double: Device) -> None:
    faults = (("prelude_opencl.h", ASKED, REFUSED),)
    _, told = run_on(without_double, "transfer", faults=faults, max_transfer_bytes=4096)
    directions = {m.axes["direction"]: m.status for m in told.measurements}
    assert directions["local kernel"] == directions["host to device"] == "ok"

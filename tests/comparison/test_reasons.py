"""The codes of why a verdict is what it is: every one is produced, listed, and agrees with its sentence."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from gpubench.comparison.compare import compare, compare_runs
from gpubench.comparison.reasons import JUDGED, NOT_COMPARABLE, REASON_CODES, UNUSABLE, reason
from gpubench.comparison.verdicts import Verdict, Word
from gpubench.results.document import RunDocument, Summary
from gpubench.results.machine import Host
from gpubench.units import fill
from tests.documents import document, measurement, processor, rtx_5090

OTHER = msgspec.structs.replace(rtx_5090(), name="NVIDIA GeForce RTX 5080", id="cuda:1")


def side(gb_per_second: float, count: int = 5, **fields: Any) -> list[RunDocument]:
    device, flags = fields.pop("device", None), fields.pop("flags", ())
    return [
        document(measurement(gb_per_second, "triad", *flags, **fields), run_id=f"run-{number}", device=device)
        for number in range(count)
    ]


def unlike(**fields: Any) -> tuple[list[RunDocument], list[RunDocument]]:
    return side(1500), side(1600, **fields)


def with_quota(cores: float | None) -> RunDocument:
    run = document(measurement(1500), device=processor(), run_id=f"quota-{cores}")
    assert run.environment is not None
    host = Host(cores=4, quota_cores=cores)
    return msgspec.structs.replace(run, environment=msgspec.structs.replace(run.environment, host=host))


CASES: dict[str, tuple[Word, tuple[list[RunDocument], list[RunDocument]]]] = {
    "only_first_side": ("NOT COMPARABLE", (side(1500), [])),
    "only_second_side": ("NOT COMPARABLE", ([], side(1500))),
    "settings_differ": ("NOT COMPARABLE", unlike(parameters={"dtype": "int32"})),
    "devices_differ": ("NOT COMPARABLE", (side(1500), [*side(1600, 4), *side(1600, device=OTHER)])),
    "machines_differ": ("NOT COMPARABLE", ([with_quota(None)], [with_quota(2), with_quota(0.5)])),
    "not_measured": ("NOT COMPARABLE", unlike(status="skipped", reason="it has no {such} thing")),
    "not_verified": ("NOT COMPARABLE", unlike(verified=False)),
    "no_figure": ("NOT COMPARABLE", unlike(bandwidth_bytes_per_second=None)),
    "not_positive": ("NOT COMPARABLE", unlike(bandwidth_bytes_per_second=Summary(*[0.0] * 7))),
    "not_of_the_memory": ("NOT COMPARABLE", unlike(flags=["over_theory", "cached_footprint"])),
    "intervals_apart": ("FASTER", unlike()),
    "medians_close": ("SAME", (side(1500), side(1501))),
    "intervals_wide": ("AMBIGUOUS", (side(1500, spread=0.1), side(1501, spread=0.1))),
    "intervals_overlap": ("AMBIGUOUS", (side(1500, spread=0.1), side(1600, spread=0.1))),
    "few_runs": ("AMBIGUOUS", (side(1500, 4), side(1600))),
    "contended": ("AMBIGUOUS", unlike(flags=["contended"])),
}


def verdict_of(code: str) -> Verdict:
    (found,) = compare_runs(*CASES[code][1])
    return found


@pytest.mark.parametrize("code", CASES)
def test_a_verdict_gives_the_code_of_its_sentence(code: str) -> None:
    found = verdict_of(code)
    assert (found.reason_code, found.verdict) == (code, CASES[code][0])
    assert found.reason.endswith(fill(REASON_CODES[code], found.reason_values))


def test_every_listed_code_is_produced() -> None:
    """Those of two sets of runs here, that of a board in ``test_sides``."""
    assert CASES.keys() == REASON_CODES.keys() - {"not_a_measurement"}
    assert len(REASON_CODES) == len(NOT_COMPARABLE) + len(UNUSABLE) + len(JUDGED)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)+|contended", code) for code in REASON_CODES)


def test_a_reason_carries_its_numbers() -> None:
    assert verdict_of("few_runs").reason_values == {"minimum_runs": 5, "runs_a": 4, "runs_b": 5}
    assert verdict_of("intervals_wide").reason_values == {
        "minimum_effect_ratio": 0.005,
        "same_within_ratio": 0.02,
    }
    wide = "the intervals are too wide to exclude a difference above 2 %"
    assert verdict_of("intervals_wide").reason == f"the medians differ by less than 0.5 %, but {wide}"
    assert verdict_of("not_measured").reason == "a figure cannot be used: it has no {such} thing"
    assert verdict_of("not_of_the_memory").reason_values == {"flags": "cached_footprint, over_theory"}


def test_codes_are_in_the_json_of_a_comparison() -> None:
    (found,) = json.loads(msgspec.json.encode([verdict_of("few_runs")]))
    assert found["reason_code"] == "few_runs"
    assert found["reason_values"]["runs_a"] == 4


def test_a_report_has_the_same_sentence_for_an_unusable_figure() -> None:
    run = document(measurement(1500, bandwidth_bytes_per_second=None))
    assert [each.reason for each in compare(run).excluded] == [reason("no_figure").text]


def test_an_unknown_code_is_an_error() -> None:
    with pytest.raises(KeyError, match="nope"):
        reason("nope")

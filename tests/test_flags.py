"""One table says all about a flag: the type, the conditions, the reports and the documentation follow it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from gpubench.flags import EFFECTS, FLAGS, Effect, Flag, flags_with, ordered
from gpubench.measure.validity import CONDITIONS
from gpubench.report.flag_notes import NUMBERS
from gpubench.report.flag_page import flag_page

ROOT = Path(__file__).parents[1]


def test_the_type_the_table_and_its_users_have_the_same_flags() -> None:
    assert get_args(Flag) == tuple(FLAGS)
    assert set(CONDITIONS) == set(NUMBERS) == set(FLAGS)
    assert get_args(Effect) == tuple(EFFECTS)


def test_every_flag_has_a_meaning_and_a_remedy() -> None:
    for flag, info in FLAGS.items():
        assert info.meaning.endswith(".") and info.remedy.endswith("."), flag
        assert len(f"{flag}: {info.meaning} {info.remedy}") <= 200, flag


@pytest.mark.parametrize(
    ("effect", "flags"),
    [
        ("no_gauge", {"over_theory", "cached_footprint", "unverified"}),
        ("not_comparable", {"over_theory", "cached_footprint", "unverified"}),
        ("no_verdict", {"contended"}),
        ("no_projection", set(FLAGS) - {"clock_limited"}),
        ("unsteady", {"unstable", "drifting", "power_limited", "thermal_limited", "contended", "throttled"}),
        ("slows", {"contended", "throttled", "clock_limited", "power_limited", "thermal_limited"}),
    ],
)
def test_what_each_flag_does(effect: Effect, flags: set[Flag]) -> None:
    """A change here changes gauges, verdicts, projections or findings: it must be meant."""
    assert set(flags_with(effect)) == flags


def test_flags_are_listed_in_the_order_of_the_table() -> None:
    found: list[Flag] = ["contended", "unstable", "cached_footprint", "contended"]
    assert ordered(found) == ("cached_footprint", "unstable", "contended")
    assert flags_with("unsteady", found) == ("unstable", "contended")


def test_the_page_of_flags_is_up_to_date() -> None:
    """If not: `make docs`."""
    assert (ROOT / "docs" / "flags.md").read_text(encoding="utf-8") == flag_page()


def test_the_readme_links_to_the_page_of_flags() -> None:
    assert "(docs/flags.md)" in (ROOT / "README.md").read_text(encoding="utf-8")

"""Suites as data: ours hold what there is, and a user's mistakes are named where they stand."""

from __future__ import annotations

import pytest

from gpubench.benchmarks.description import describe
from gpubench.benchmarks.plan import MAX_BENCHMARKS, plan
from gpubench.benchmarks.registry import BENCHMARKS, STREAM
from gpubench.benchmarks.suites import parse_suites, suites
from gpubench.errors import InvalidParameters
from gpubench.requests import BenchmarkRequest

MINE = """
[[suite]]
name = "mine"
summary = "what I look at"
[[suite.benchmarks]]
name = "triad"
parameters = { dtype = "float", footprint_bytes = 16777216 }
[[suite.benchmarks]]
name = "read"

[[suite]]
name = "all-of-it"
all = true
"""


def test_full_is_everything_and_fits_in_a_run() -> None:
    assert [planned.name for planned in plan(["full"])] == list(BENCHMARKS)
    assert all(planned.default_parameters for planned in plan(["full"]))
    assert len(BENCHMARKS) <= MAX_BENCHMARKS


def test_stream_is_its_family() -> None:
    assert [planned.name for planned in plan(["stream"])] == list(STREAM)


@pytest.mark.parametrize("name", suites())
def test_every_suite_can_be_planned_and_has_words(name: str) -> None:
    assert plan([name])
    assert suites()[name].summary
    (told,) = [suite for suite in describe().suites if suite.name == name]
    assert told.benchmarks == [planned.name for planned in plan([name])]


def test_no_suite_has_the_name_of_a_benchmark() -> None:
    assert not suites().keys() & BENCHMARKS.keys()


def test_a_request_overrides_the_parameters_of_a_suite() -> None:
    assert {planned.parameters["time_limit_seconds"] for planned in plan(["quick"])} == {0.2}
    asked = plan([BenchmarkRequest("quick", {"time_limit_seconds": 7.0, "seed": 3})])
    assert {planned.parameters["time_limit_seconds"] for planned in asked} == {7.0}
    assert {planned.parameters["seed"] for planned in asked} == {3}
    assert not any(planned.default_parameters for planned in plan(["quick"]))


def test_an_unknown_parameter_of_a_suite_names_the_member() -> None:
    with pytest.raises(InvalidParameters, match="copy: unknown field 'nope'") as caught:
        plan([BenchmarkRequest("stream", {"nope": 1})])
    assert caught.value.details["path"] == "$.params.benchmarks[0].parameters.nope"


def test_a_users_own() -> None:
    found = parse_suites(MINE)
    assert list(found) == ["mine", "all-of-it"]
    assert [member.name for member in found["mine"].members] == ["triad", "read"]
    assert found["mine"].members[0].parameters == {"dtype": "float", "footprint_bytes": 16 << 20}
    assert [member.name for member in found["all-of-it"].members] == list(BENCHMARKS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[suite]]\nname = \n", "not TOML: .* line 2"),
        ("[[suite]]\nname = 'a'\nname = 'b'\n", "not TOML: .* line 3"),
        ("", "no suite in it"),
        ("suite = 7", "no suite in it"),
        ("suite = []", "no suite in it"),
        ("[[suites]]\nname = 'a'\n", "suites: unknown; allowed: tables"),
        ("[[suite]]\nname = 'a'\nall = true\n[other]\n", "other: unknown"),
        ("suite = ['triad']", r"Expected `object`, got `str` at suite\[0\]"),
        ("[[suite]]\nall = true\n", r"missing required field `name` at suite\[0\]"),
        ("[[suite]]\nname = 'Not A Name'\nall = true\n", r"at suite\[0\]\.name"),
        ("[[suite]]\nname = 'a'\n", r"suite\[0\]: 'a' needs either benchmarks or `all = true`"),
        ("[[suite]]\nname = 'a'\nall = true\nbenchmarks = [{name = 'triad'}]\n", "needs either"),
        ("[[suite]]\nname = 'a'\nall = true\n" * 2, r"suite\[1\]\.name: an earlier suite is also called 'a'"),
        ("[[suite]]\nname = 'a'\nbenchmark = 1\n", r"'benchmark' at suite\[0\]\.benchmark; allowed: name"),
        (
            "[[suite]]\nname = 'a'\n[[suite.benchmarks]]\nname = 'triad'\nparams = 1\n",
            r"'params' at suite\[0\]\.benchmarks\[0\]\.params; allowed: name, parameters",
        ),
        (
            "[[suite]]\nname = 'a'\n[[suite.benchmarks]]\nname = 7\n",
            r"Expected `str`, got `int` at suite\[0\]\.benchmarks\[0\]\.name",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named(text: str, said: str) -> None:
    with pytest.raises(InvalidParameters, match=said):
        parse_suites(text)

"""What parameters say that they do, in each benchmark."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gpubench.benchmarks.description import describe
from gpubench.benchmarks.parameters import MAX_COUNTED_SAMPLES, MAX_TIME_LIMIT_SECONDS
from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.report.benchmarks import page
from tests.report.test_markdown import section


def description(benchmark: str, name: str) -> str:
    schema = msgspec.json.schema(BENCHMARKS[benchmark].parameters)
    properties: dict[str, Any] = schema["$defs"][BENCHMARKS[benchmark].parameters.__name__]["properties"]
    return str(properties[name]["description"])


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_parameter_is_described(benchmark: str) -> None:
    for name in BENCHMARKS[benchmark].parameters.__struct_fields__:
        assert len(description(benchmark, name)) > 15, name


@pytest.mark.parametrize(
    ("benchmark", "text"),
    [
        (
            "triad",
            "sampling time of each figure, so of each point of a curve; null: set by benchmark and device",
        ),
        ("map", "sampling time of each slice, which may end it before its last round; null: set by device"),
        ("sustained", "length of a window, unless window_seconds is given"),
        ("integrity", "not used: passes says how long each pattern takes"),
    ],
)
def test_a_time_limit_says_what_it_limits(benchmark: str, text: str) -> None:
    assert description(benchmark, "time_limit_seconds") == text
    own = section(page(describe()), benchmark)
    assert ("| `time_limit_seconds` |" in own) == (benchmark != "triad")


@pytest.mark.parametrize(
    ("name", "most"), [("time_limit_seconds", MAX_TIME_LIMIT_SECONDS), ("samples", MAX_COUNTED_SAMPLES)]
)
def test_the_limits_that_advice_keeps_to_are_those_of_the_schema(name: str, most: int) -> None:
    given = {"stop": "count", name: most}
    parameters = BENCHMARKS["triad"].parameters
    assert getattr(msgspec.convert(given, parameters), name) == most
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**given, name: most + 1}, parameters)

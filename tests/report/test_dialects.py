"""Answers of a check, read by the parsers of others."""

from __future__ import annotations

import json
import re

import jsonschema
import junitparser
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpubench.comparison.acceptance import CheckReport, judge
from gpubench.report.dialects import DIALECTS
from gpubench.report.dialects import FORMATS as FILE_FORMATS
from gpubench.report.dialects.files import check_schema
from tests.comparison.acceptance.fleet import board, integrity, latencies, run, run_of, windows
from tests.documents import document, measurement

FORMATS = {
    each.endings[0]: lambda report, render=each.render: render(report).decode() for each in FILE_FORMATS
}

HOSTILE = '<script>"x" & \\ {}\'|`*_ \u202e \x00\x1b[31m\ud7ff\n line 日本'

OK = judge([run(1600, findings=[integrity(0)])])
DEGRADED = judge([run(1300)])
FAILED = judge([run(1600, findings=[integrity(3)])])
UNKNOWN = judge([run(1600, 1, "contended")])
MIXED = judge(
    [run(1650, 1), run(1000, 2, host="b"), run(1650, 3, "contended"), run(1650, 4, findings=[integrity(1)])]
)
NOTHING = judge([])
SLOW_TO_ANSWER = judge(
    [run_of([*latencies(600 if number else 800), *windows(*[1600] * 10)], number) for number in range(8)]
)
SAGGING = judge([run_of([measurement(1600), *windows(*range(1600, 1400, -20))])])
BAD_NAMES = judge([document(measurement(1600), device=board(name=HOSTILE, id=HOSTILE, hardware_id=HOSTILE))])
LONG_NAMES = judge([document(measurement(1000), device=board(name="x" * 10_000, id="é" * 10_000))])
ALL = {
    "ok": OK,
    "degraded": DEGRADED,
    "failed": FAILED,
    "unknown": UNKNOWN,
    "mixed": MIXED,
    "nothing": NOTHING,
    "latency": SLOW_TO_ANSWER,
    "sustained": SAGGING,
    "hostile": BAD_NAMES,
    "long": LONG_NAMES,
}

EVERY = pytest.mark.parametrize("report", ALL.values(), ids=ALL)


@pytest.mark.parametrize(
    ("dialect", "codes"),
    [("nagios", (0, 1, 2, 3)), ("nhc", (0, 1, 1, 1)), ("npd", (0, 1, 1, 2)), ("termination", (0, 1, 1, 2))],
)
def test_exit_codes(dialect: str, codes: tuple[int, ...]) -> None:
    found = tuple(DIALECTS[dialect](report).exit_code for report in (OK, DEGRADED, FAILED, UNKNOWN))
    assert found == codes
    assert DIALECTS[dialect](NOTHING).exit_code == codes[3]
    assert DIALECTS[dialect](MIXED).exit_code == codes[2]


@EVERY
@pytest.mark.parametrize("dialect", ["nagios", "nhc", "npd"])
def test_one_line_of_printable_text(report: CheckReport, dialect: str) -> None:
    text = DIALECTS[dialect](report).text
    assert "\n" not in text
    assert text.isprintable()
    assert {"npd": 80, "nhc": 200}.get(dialect, 10**6) >= len(text)


def test_nhc_is_silent_if_all_is_right() -> None:
    assert DIALECTS["nhc"](OK).text == ""
    assert DIALECTS["nhc"](DEGRADED).text.startswith("gpubench: GB-BW-LOW cuda:1: triad: 1300.0 GB/s")


def test_npd_has_the_code_within_its_80_characters() -> None:
    assert DIALECTS["npd"](DEGRADED).text.startswith("GB-BW-LOW cuda:1")
    assert DIALECTS["npd"](MIXED).text.startswith("GB-MEM-ERROR cuda:4")


PERFDATA = re.compile(
    r"(?:'(?P<quoted>[^'=]+)'|(?P<plain>[^' =]+))=(?P<value>-?[0-9.]+)(?P<unit>s|us|ms|%|B|KB|MB|TB|c)?"
    r"(?:;(?P<warn>@?(?:[0-9.]+:?|~?:)?[0-9.]*))?(?:;[^;\s]*)?(?:;[^;\s]*)?(?:;[^;\s]*)?"
)
"""As the Monitoring Plugins Development Guidelines define it."""


@EVERY
def test_nagios_performance_data(report: CheckReport) -> None:
    text = DIALECTS["nagios"](msgspec.structs.replace(report, check_seconds=12.5)).text
    head, bar, data = text.partition(" | ")
    assert "|" not in head + data
    assert head.startswith("GPUBENCH ")
    assert bar
    for word in data.split(" "):
        assert PERFDATA.fullmatch(word), word
    assert "'check_seconds'=12.500s;;;0" in data


def test_nagios_warns_below_the_floor() -> None:
    found = PERFDATA.search(DIALECTS["nagios"](DEGRADED).text.partition(" | ")[2])
    assert found is not None
    assert (found["quoted"], float(found["value"])) == ("triad_GBps", 1300.0)
    assert 1300 < float(found["warn"].removesuffix(":")) < 1600


def test_nagios_warns_above_the_ceiling_of_a_latency() -> None:
    data = DIALECTS["nagios"](SLOW_TO_ANSWER).text.partition(" | ")[2]
    found = next(each for each in PERFDATA.finditer(data) if "cuda:0_latency" in each["quoted"])
    assert (float(found["value"]), found["unit"]) == (0.8, "us")
    assert 0.6 < float(found["warn"]) < 0.8


def test_nagios_has_the_end_of_sustained_in_percent() -> None:
    data = DIALECTS["nagios"](SAGGING).text.partition(" | ")[2]
    found = next(each for each in PERFDATA.finditer(data) if each["unit"] == "%")
    assert found["quoted"] == "end_of_sustained_against_its_beginning"
    assert float(found["value"]) < float(found["warn"].removesuffix(":")) < 100


@EVERY
def test_the_termination_message_fits(report: CheckReport) -> None:
    text = DIALECTS["termination"](report).text
    assert len(text.encode()) <= 4096
    assert text.startswith(report.status)


@pytest.mark.parametrize("length", range(500, 1500, 53))
def test_a_long_termination_message_is_cut_between_characters(length: int) -> None:
    named = judge([document(measurement(1000), device=board(id="日" * length))])
    text = DIALECTS["termination"](named).text
    assert len(text.encode()) <= 4096
    assert "\ufffd" not in text


@EVERY
def test_json_is_as_its_schema_says(report: CheckReport) -> None:
    data = json.loads(FORMATS[".json"](report))
    jsonschema.Draft202012Validator(check_schema()).validate(data)
    assert msgspec.convert(data, CheckReport) == report


def test_the_schema_refuses_what_is_no_answer() -> None:
    data = json.loads(FORMATS[".json"](OK))
    for wrong in ({**data, "status": "FINE"}, {k: v for k, v in data.items() if k != "devices"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, check_schema())


@EVERY
def test_junit(report: CheckReport) -> None:
    suites = junitparser.JUnitXml.fromstring(FORMATS[".xml"](report).encode())
    claims = [claim for device in report.devices for claim in device.claims]
    cases = [case for suite in suites for case in suite]
    assert suites.tests == len(cases) == len(claims)
    for case, claim in zip(cases, claims, strict=True):
        kinds = {"OK": set(), "UNKNOWN": {junitparser.Error}}.get(claim.status, {junitparser.Failure})
        assert {type(each) for each in case.result} == kinds
        assert {each.type for each in case.result} == ({claim.code} if claim.code else set())
    assert suites.failures == sum(claim.status in ("DEGRADED", "FAILED") for claim in claims)
    assert suites.errors == sum(claim.status == "UNKNOWN" for claim in claims)


CTRF_STATUSES = {"passed", "failed", "skipped", "pending", "other"}


@EVERY
def test_ctrf(report: CheckReport) -> None:
    """The required properties of the Common Test Report Format, https://ctrf.io/docs/specification."""
    data = json.loads(FORMATS[".ctrf.json"](report))
    assert data["reportFormat"] == "CTRF"
    assert re.fullmatch(r"\d+\.\d+\.\d+", data["specVersion"])
    results = data["results"]
    assert results["tool"]["name"] == "gpubench"
    summary, tests = results["summary"], results["tests"]
    for status in CTRF_STATUSES:
        assert summary[status] == sum(test["status"] == status for test in tests)
    assert summary["tests"] == len(tests) == sum(summary[status] for status in CTRF_STATUSES)
    assert isinstance(summary["start"], int)
    assert summary["start"] <= summary["stop"]
    for test in tests:
        assert {"name", "status", "duration"} <= test.keys()
        assert isinstance(test["duration"], int)
        assert test["suite"]
    assert all((test["status"] == "passed") == (test["rawStatus"] == "OK") for test in tests)


@EVERY
def test_prometheus(report: CheckReport) -> None:
    report = msgspec.structs.replace(report, check_seconds=12.5)
    families = {each.name: each for each in text_string_to_metric_families(FORMATS[".prom"](report))}
    status = families["gpubench_check_status"].samples
    for device in report.devices:
        own = {
            sample.labels["status"]: sample.value
            for sample in status
            if (sample.labels["device"], sample.labels["hardware_id"])
            == (device.id or "", device.hardware_id or "")
        }
        assert own == {word: float(word == device.status) for word in ("OK", "UNKNOWN", "DEGRADED", "FAILED")}
    assert [sample.value for sample in families["gpubench_check_duration_seconds"].samples] == [12.5]
    codes = {sample.labels["code"] for sample in getattr(families.get("gpubench_check_fault"), "samples", [])}
    assert codes == {claim.code for device in report.devices for claim in device.claims if claim.code}


def test_prometheus_has_the_figures() -> None:
    families = {each.name: each for each in text_string_to_metric_families(FORMATS[".prom"](DEGRADED))}
    (figure,) = families["gpubench_check_bandwidth_bytes_per_second"].samples
    (floor,) = families["gpubench_check_floor_bytes_per_second"].samples
    assert (figure.value, figure.labels["claim"]) == (1300e9, "bandwidth of triad")
    assert floor.value > figure.value
    (ended,) = families["gpubench_check_run_end_time_seconds"].samples
    assert ended.value == 1767322865


def test_prometheus_has_latencies_and_sustained() -> None:
    families = {each.name: each for each in text_string_to_metric_families(FORMATS[".prom"](SLOW_TO_ANSWER))}

    def of(name: str) -> dict[str, float]:
        return {each.labels["device"]: each.value for each in families[f"gpubench_check_{name}"].samples}

    assert of("latency_seconds")["cuda:0"] == pytest.approx(800e-9)
    assert of("latency_expected_seconds")["cuda:0"] == pytest.approx(600e-9)
    ceilings = of("latency_ceiling_seconds")
    assert 600e-9 < ceilings["cuda:0"] < 800e-9
    assert of("sustained_ratio")["cuda:7"] == 1.0
    assert of("sustained_floor_ratio")["cuda:7"] == pytest.approx(0.98)


@EVERY
def test_no_series_is_there_twice(report: CheckReport) -> None:
    lines = [line for line in FORMATS[".prom"](report).splitlines() if not line.startswith("#")]
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(set(series)) == len(series)


@EVERY
def test_markdown_shows_names_literally(report: CheckReport) -> None:
    text = FORMATS[".md"](report)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1

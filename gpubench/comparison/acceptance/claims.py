"""The claims on a device's runs: bandwidth and latency, right data, evenly fast memory, and a good end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from gpubench.comparison.acceptance.attempts import AttemptRule, decide, figure_of, worst_reason
from gpubench.comparison.acceptance.expectation import Question, expectation
from gpubench.comparison.acceptance.figures import DeviceRuns, labels, middle
from gpubench.comparison.acceptance.limits import limits
from gpubench.comparison.acceptance.run_figures import SUSTAINED, RunFigure, Setting, by_setting, run_figures
from gpubench.comparison.acceptance.steadiness import steadiness
from gpubench.comparison.acceptance.verdict import ITSELF, Attempt, Claim, Expected, fault
from gpubench.comparison.verdicts import SAME_WITHIN
from gpubench.flags import Flag
from gpubench.results.document import Finding, RunDocument
from gpubench.units import format_percent

_CAUSES: dict[Flag, str] = {
    "thermal_limited": "GB-HEAT-LIMITED",
    "power_limited": "GB-POWER-LIMITED",
    "clock_limited": "GB-CLOCK-LOW",
}
"""Flags that explain a low bandwidth; the first that an attempt below the floor has is named."""


@dataclass(frozen=True)
class Claims:
    """``counting`` are those of ``found`` that decide the device's status."""

    found: list[Claim]
    counting: list[Claim]


def claims_of(question: Question, rule: AttemptRule | None) -> Claims:
    """All claims on the device of ``question``, whose setting is replaced by each of the device's own."""
    device = question.device
    runs = device.alone[-rule.total :] if rule else device.alone
    named = labels(device.runs)
    figures = {
        setting: _figure(replace(question, setting=setting), runs, named[setting], rule)
        for setting in device.settings()
    }
    found = list(figures.values())
    found += [
        steadiness(setting, runs, named[setting], rule)
        for setting in figures
        if setting.benchmark == SUSTAINED
    ]
    found += _together(device, named)
    for claim in (_memory(device.runs), _ecc(device.newest), _map(runs, rule), _ended(device.runs)):
        if claim is not None:
            found.append(claim)
    if not found:
        text = "the runs have nothing to judge: no figure of the memory, no integrity and no map"
        found.append(fault("run", "GB-NOT-MEASURED", text))
    return Claims(found, _counting(found, figures))


def _counting(found: Sequence[Claim], figures: dict[Setting, Claim]) -> list[Claim]:
    """All claims, less figures of which nothing is known.

    They are left out if something is known of another bandwidth, from elsewhere than the device itself. Of
    latencies and sustained bandwidths nothing is published: they are left out if anything else was judged.
    """
    others = [claim for claim in found if claim.expected is None or claim.expected.link not in ITSELF]
    known = any(claim.unit == "byte/s" and claim.expected is not None for claim in others)
    judged = any(claim.attempts and claim.code != "GB-NO-EXPECTATION" for claim in others)
    unpublished = [claim for setting, claim in figures.items() if not setting.published]
    return [
        claim
        for claim in found
        if claim.code != "GB-NO-EXPECTATION" or not (known or (judged and claim in unpublished))
    ]


def _figure(question: Question, runs: Sequence[RunDocument], label: str, rule: AttemptRule | None) -> Claim:
    setting, theory = question.setting, question.theory
    name = label if setting.unit == "s" else f"bandwidth of {label}"
    peak = theory.peak_bytes_per_second if theory and setting.unit == "byte/s" else None
    measured = [
        figure for run in runs for figure in run_figures(run, setting, by_setting(run).get(setting, []), peak)
    ]
    answer = expectation(replace(question, flags=frozenset(flag for each in measured for flag in each.flags)))
    attempts = [_attempt(each, answer.expected) for each in measured]
    figure = figure_of(attempts)
    common: dict[str, Any] = {
        "figure": figure,
        "unit": setting.unit,
        "theory_ratio": figure / peak if figure is not None and peak else None,
        "attempts": attempts,
        "not_used": answer.not_used,
        "warnings": answer.warnings,
        "expected": answer.expected,
    }
    decision = decide(attempts, rule)
    if decision.word == "unknown" and decision.code != "GB-UNDECIDED":
        assert decision.code is not None  # noqa: S101
        code = decision.code
        return fault(name, code, f"{label}: {worst_reason(attempts, code)}", **common)
    if figure is None or answer.expected is None:
        if figure is None:
            why = f"no figure so far; {(attempts[-1].reason if attempts else None) or 'no attempt counts'}"
            return fault(name, "GB-UNDECIDED", f"{label}: {why}", **common)
        text = f"{label}: {setting.format(figure)}, but there is no expectation for it"
        return fault(name, "GB-NO-EXPECTATION", f"{text}: {'; '.join(answer.not_used)}", **common)
    text = f"{label}: {_held_against(setting, figure, answer.expected)}"
    if decision.word == "pass":
        return Claim(name=name, status="OK", text=text, **common)
    count = f" ({_counted(attempts, answer.expected)})" if len(attempts) > 1 else ""
    if setting.unit == "s":
        why = limits(setting, runs, attempts)
        return fault(name, decision.code or "GB-LAT-HIGH", f"{text}{count}{why}", **common)
    return fault(name, decision.code or _cause(attempts), f"{text}{count}", **common)


def _held_against(setting: Setting, figure: float, expected: Expected) -> str:
    kind = "floor" if expected.ceiling is None else "ceiling"
    limit = setting.format(expected.limit)
    share = f"{setting.format(figure)}, {format_percent(figure / expected.value)} of what is expected"
    return f"{share}, {kind if expected.allows(figure) else f'{setting.worse} its {kind} of'} {limit}"


def _counted(attempts: Sequence[Attempt], expected: Expected) -> str:
    passed = sum(each.result == "pass" for each in attempts)
    where = "reached the floor" if expected.ceiling is None else "were within the ceiling"
    return f"{passed} of {len(attempts)} attempts {where}"


def _attempt(figure: RunFigure, expected: Expected | None) -> Attempt:
    """Without an expectation a usable figure passes nothing and fails nothing, but is shown."""
    found = Attempt(
        run_id=figure.run.run_id,
        result="unknown",
        figure=figure.value,
        low=figure.low,
        high=figure.high,
        flags=list(figure.flags),
    )
    if figure.unusable.code is not None:
        return structs.replace(found, code=figure.unusable.code, reason=figure.unusable.reason)
    if expected is None or figure.value is None:
        return structs.replace(found, result="pass")
    return structs.replace(found, result="pass" if expected.allows(figure.value) else "fail")


def _cause(attempts: Sequence[Attempt]) -> str:
    flags = {flag for each in attempts if each.result == "fail" for flag in each.flags}
    return next((code for flag, code in _CAUSES.items() if flag in flags), "GB-BW-LOW")


def _together(device: DeviceRuns, named: dict[Setting, str]) -> Iterator[Claim]:
    """Each bandwidth while all devices worked, against the same alone."""
    alone, beside = ([(run, by_setting(run)) for run in runs] for runs in (device.alone, device.together))
    for setting, label in named.items():
        if setting.unit != "byte/s":
            continue
        there = [
            figure
            for run, found in beside
            for figure in run_figures(run, setting, found.get(setting, []), together=True)
        ]
        if not there:
            continue
        name = f"bandwidth of {label} with all devices at work"
        usual = middle(device.figures(setting))
        if usual is None:
            yield fault(name, "GB-NOT-MEASURED", f"{label}: there is no figure of the device alone")
            continue
        lowest = min(
            figure.low
            for run, found in alone
            for figure in run_figures(run, setting, found.get(setting, []))
            if figure.low is not None and figure.unusable.code is None
        )
        margin = max(SAME_WITHIN, 1 - lowest / usual)
        expected = Expected(
            link="alone",
            value=usual,
            floor=usual * (1 - margin),
            margin_ratio=margin,
            why="the device alone",
            margin_why="the lowest end of its intervals alone, 2 % at least",
        )
        attempts = [_attempt(each, expected) for each in there]
        figure, decision = figure_of(attempts), decide(attempts, None)
        shown = _held_against(setting, figure, expected) if figure is not None else "no figure"
        text = f"{label} with all devices at work: {shown}"
        fields: dict[str, Any] = {
            "figure": figure,
            "unit": "byte/s",
            "expected": expected,
            "attempts": attempts,
        }
        if decision.word == "pass":
            yield Claim(name=name, status="OK", text=text, **fields)
        else:
            yield fault(name, decision.code or "GB-BW-TOGETHER", text, **fields)


def _memory(runs: Sequence[RunDocument]) -> Claim | None:
    """One wrong value in any run fails it: data that are wrong now and then are wrong."""
    attempts = []
    for run in runs:
        wrong = sum(each.mismatches or 0 for each in run.measurements if each.status == "unverified")
        counted = _found(run, "integrity", "errors")
        wrong = max(wrong, round(sum(each.value or 0 for each in counted)))
        if counted or wrong:
            attempts.append(Attempt(run_id=run.run_id, result="fail" if wrong else "pass", figure=wrong))
    if not attempts:
        return None
    total = sum(round(each.figure or 0) for each in attempts)
    if total:
        named = ", ".join(each.run_id for each in attempts if each.result == "fail")
        text = f"wrong data were read {total} times, in run {named}"
        return fault("memory", "GB-MEM-ERROR", text, figure=total, unit="wrong reads", attempts=attempts)
    tested = [each.text for run in runs for each in _found(run, "integrity", "errors")]
    return Claim(name="memory", status="OK", text=tested[-1], figure=0, unit="wrong reads", attempts=attempts)


def _found(run: RunDocument, benchmark: str, name: str) -> list[Finding]:
    return [each for each in run.findings if (each.benchmark, each.name) == (benchmark, name)]


def _ecc(newest: RunDocument) -> Claim | None:
    count = newest.telemetry.ecc_errors_uncorrected
    if count is None:
        return None
    if count:
        text = f"{count} uncorrected ECC errors since the driver was loaded"
        return fault("ecc", "GB-ECC-ERROR", text, figure=count, unit="errors")
    return Claim(name="ecc", status="OK", text="no uncorrected ECC error", figure=0, unit="errors")


def _map(runs: Sequence[RunDocument], rule: AttemptRule | None) -> Claim | None:
    found = [(run, each) for run in runs for each in _found(run, "map", "slow_regions")]
    if not found:
        return None
    attempts = [
        Attempt(run_id=run.run_id, result="fail" if each.value else "pass", figure=each.value)
        for run, each in found
    ]
    decision = decide(attempts, rule)
    text = found[-1][1].text
    fields: dict[str, Any] = {"figure": figure_of(attempts), "unit": "slow regions", "attempts": attempts}
    if decision.word == "pass":
        return Claim(name="map", status="OK", text=text, **fields)
    return fault("map", decision.code or "GB-MAP-SLOW", text, **fields)


def _ended(runs: Sequence[RunDocument]) -> Claim | None:
    """Runs that did not end well. One complete run is enough, except that no device may be lost."""
    for run in runs:
        if run.outcome == "device_lost":
            return fault("run", "GB-DEVICE-LOST", f"run {run.run_id}: {_error(run)}")
    if any(run.outcome in ("ok", "unverified") for run in runs):
        return None
    return unfinished(runs[-1])


def unfinished(run: RunDocument) -> Claim:
    """The claim of a run without all of its figures."""
    code = "GB-DEVICE-LOST" if run.outcome == "device_lost" else "GB-NOT-MEASURED"
    if run.error is not None and run.error.kind == "no_such_device":
        code = "GB-NO-DEVICE"
    return fault("run", code, f"run {run.run_id}: {_error(run)}")


def _error(run: RunDocument) -> str:
    return run.error.message if run.error else f"it ended as {run.outcome}"

"""Whether a figure may be compared at all, and verdicts on two sets of runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

from gpubench.comparison.environment import Change, Environments, huge_pages_change
from gpubench.comparison.reasons import Reason, Values, reason
from gpubench.flags import Flag, flags_with, ordered
from gpubench.results.document import Measurement, RunDocument
from gpubench.results.figures import figure_of, meant, settings_text

Word = Literal["SAME", "FASTER", "SLOWER", "AMBIGUOUS", "NOT COMPARABLE"]

MINIMUM_EFFECT = 0.005
"""A smaller difference does not count, however narrow the intervals are."""

SAME_WITHIN = 0.02
"""Two sides are the same only if their intervals exclude a difference larger than this."""

MINIMUM_RUNS = 5
"""Per side. One program gave 38.2, 36.2 and 34.2 GB/s in three runs, each with a narrow interval of
its own: only the spread between runs shows how far a figure repeats. By chance, all runs of one side are
above all of the other in 2 of C(2n, n) cases: 10 % of three runs a side, 0.8 % of five."""


@dataclass(frozen=True)
class Verdict:
    """Side b against side a: ``ratio`` is b's speed over a's, with its interval.

    The speed is the bandwidth, or the inverse of a latency. ``axes`` are the position on a curve.
    ``differences`` name the settings that differ, as "name: a's value, b's value"; ``flags`` are those
    of the figures of both sides; ``changes`` what else is not the same, such as the driver: it may be why
    the figures differ. ``reason`` is a sentence; ``reason_code``, a key of ``REASON_CODES``, and
    ``reason_values`` are the same for programs.
    """

    benchmark: str
    parameters: dict[str, Any]
    verdict: Word
    reason: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    runs_a: int = 0
    runs_b: int = 0
    differences: tuple[str, ...] = ()
    axes: Mapping[str, int | float | str] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    reason_code: str = ""
    reason_values: Values = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    def because(self, why: Reason, word: Word = "NOT COMPARABLE") -> Verdict:
        return replace(self, verdict=word, reason=why.text, reason_code=why.code, reason_values=why.values)


@dataclass(frozen=True)
class _Side:
    """One benchmark's figures in the runs of one side, in byte/s or accesses per second."""

    median: float
    low: float
    high: float


def why_unusable(measurement: Measurement) -> Reason | None:
    """Why a measurement gives no figure that may be compared; null if it does."""
    summary = figure_of(measurement)
    if measurement.status != "ok":
        return reason("not_measured", detail=measurement.reason or measurement.status)
    if not measurement.verified or "unverified" in measurement.flags:
        return reason("not_verified")
    if summary is None:
        return reason("no_figure")
    if not all(math.isfinite(value) and value > 0 for value in (summary.median, summary.low, summary.high)):
        return reason("not_positive", quantity=measurement.quantity)
    return None


def compare_runs(a: Sequence[RunDocument], b: Sequence[RunDocument]) -> list[Verdict]:
    """Verdicts on the runs of side b against those of side a, for each benchmark at each of its settings.

    A side's interval spans the intervals of its runs. Every verdict needs ``MINIMUM_RUNS`` runs on each side,
    none of them contended. FASTER and SLOWER need intervals that do not overlap and an effect of at least
    0.5 %; SAME needs an effect below 0.5 % and intervals that exclude one above 2 %; anything else is
    AMBIGUOUS. The two sides may have different devices and machines, which ``changes`` names, but one side
    may not, and the settings must be equal. Points that only one side has are NOT COMPARABLE.
    """
    found = {id(each): each for each in verdicts_by_settings(a, b).values()}
    return list(found.values())


Settings = tuple[str, str, str]
"""A benchmark with its parameters and its position on a curve, as text."""

Figure = tuple[RunDocument, Measurement]


def verdicts_by_settings(a: Sequence[RunDocument], b: Sequence[RunDocument]) -> dict[Settings, Verdict]:
    """As ``compare_runs``. A benchmark without common settings has one verdict for all of them."""
    ours, theirs = by_settings(a), by_settings(b)
    verdicts: dict[Settings, Verdict] = {}
    known = Environments()
    for benchmark in dict.fromkeys(key[0] for key in (*ours, *theirs)):
        mine = {key: figures for key, figures in ours.items() if key[0] == benchmark}
        other = {key: figures for key, figures in theirs.items() if key[0] == benchmark}
        common = mine.keys() & other.keys()
        if common:
            keys = dict.fromkeys((*mine, *other))
            for key in keys:
                verdicts[key] = _verdict(benchmark, mine.get(key, []), other.get(key, []), known)
        else:
            a_all, b_all = (list(chain.from_iterable(side.values())) for side in (mine, other))
            verdict = _verdict(benchmark, a_all, b_all, known)
            verdicts |= dict.fromkeys((*mine, *other), verdict)
    return verdicts


def by_settings(documents: Sequence[RunDocument]) -> dict[Settings, list[Figure]]:
    """A suite may hold one benchmark at several settings; each is compared at equal settings."""
    grouped: dict[Settings, list[Figure]] = {}
    for document in documents:
        for m in document.measurements:
            key = (m.benchmark, settings_text(meant(m.parameters)), settings_text(m.axes))
            grouped.setdefault(key, []).append((document, m))
    return grouped


def _verdict(benchmark: str, a: list[Figure], b: list[Figure], known: Environments) -> Verdict:
    found = Verdict(
        benchmark=benchmark,
        parameters=(a or b)[0][1].parameters,
        verdict="NOT COMPARABLE",
        reason="",
        axes=(a or b)[0][1].axes,
        runs_a=_runs(a),
        runs_b=_runs(b),
        differences=_differences(a, b) if a and b else (),
        flags=ordered(flag for _, measurement in (*a, *b) for flag in measurement.flags),
        changes=_changes(a, b, known) if a and b else (),
    )
    if not a or not b:
        return found.because(reason("only_first_side" if a else "only_second_side"))
    if found.differences:
        return found.because(reason("settings_differ", differences="; ".join(found.differences)))
    for _, measurement in (*a, *b):
        wrong = why_unusable(measurement) or _not_of_the_memory(measurement)
        if wrong:
            return found.because(replace(wrong, text=f"a figure cannot be used: {wrong.text}"))
    if mixed := _mixed(a) or _mixed(b):
        return found.because(reason("devices_differ", devices=mixed))
    if unlike_machines := _unlike(a, known) or _unlike(b, known):
        return found.because(reason("machines_differ", differences=unlike_machines))
    first, second = _side(a), _side(b)
    ratio, low, high = second.median / first.median, second.low / first.high, second.high / first.low
    word, why = _judge(ratio, low, high)
    if word != "AMBIGUOUS" and (weaker := _weakened(found, why.text)):
        word, why = "AMBIGUOUS", weaker
    return replace(found.because(why, word), ratio=ratio, low=low, high=high)


def _runs(figures: list[Figure]) -> int:
    """One document given twice is still one run."""
    return len({document.run_id for document, _ in figures})


def _judge(ratio: float, low: float, high: float) -> tuple[Word, Reason]:
    """The verdict of the figures alone, regardless of the number of runs."""
    if abs(ratio - 1) < MINIMUM_EFFECT:
        if max(high - 1, 1 - low) > SAME_WITHIN:
            return "AMBIGUOUS", reason(
                "intervals_wide", minimum_effect_ratio=MINIMUM_EFFECT, same_within_ratio=SAME_WITHIN
            )
        return "SAME", reason("medians_close", minimum_effect_ratio=MINIMUM_EFFECT)
    if low > 1 or high < 1:
        return ("FASTER" if ratio > 1 else "SLOWER"), reason("intervals_apart")
    return "AMBIGUOUS", reason("intervals_overlap")


def _weakened(found: Verdict, judged: str) -> Reason | None:
    """Why the figures are not enough for a verdict; ``judged`` is what they show."""
    if min(found.runs_a, found.runs_b) < MINIMUM_RUNS:
        return reason(
            "few_runs",
            before=f"{judged}, but ",
            minimum_runs=MINIMUM_RUNS,
            runs_a=found.runs_a,
            runs_b=found.runs_b,
        )
    return reason("contended", before=f"{judged}, but ") if flags_with("no_verdict", found.flags) else None


def _mixed(figures: list[Figure]) -> str:
    """The devices of one side, by name; empty if there is only one. Two boards of one model are the same."""
    names = dict.fromkeys(document.device.name for document, _ in figures if document.device)
    return ", ".join(names) if len(names) > 1 else ""


def _unlike(figures: list[Figure], known: Environments) -> str:
    found = known.unlike([document for document, _ in figures])
    return "; ".join(f"{name}: {' and '.join(values)}" for name, values in found.items())


def _changes(a: list[Figure], b: list[Figure], known: Environments) -> tuple[Change, ...]:
    first, second = ([document for document, _ in side] for side in (a, b))
    pages = huge_pages_change([m for _, m in a], [m for _, m in b])
    return (*known.changes(first, second), *([pages] if pages else []))


def _side(figures: list[Figure]) -> _Side:
    medians, lows, highs = zip(*(_speed(m) for _, m in figures), strict=True)
    return _Side(median=statistics.median(medians), low=min(lows), high=max(highs))


def _speed(measurement: Measurement) -> tuple[float, float, float]:
    """Median, low and high, for which higher is better: a latency becomes accesses per second."""
    found = figure_of(measurement)
    assert found is not None  # noqa: S101  (why_unusable checked it)
    if measurement.quantity == "latency":
        return 1 / found.median, 1 / found.high, 1 / found.low
    return found.median, found.low, found.high


def _not_of_the_memory(measurement: Measurement) -> Reason | None:
    found = flags_with("not_comparable", measurement.flags)
    return reason("not_of_the_memory", flags=", ".join(found)) if found else None


def _differences(a: list[Figure], b: list[Figure]) -> tuple[str, ...]:
    """The settings that are not the same in all runs of both sides."""
    ours, theirs = [_settings(*figure) for figure in a], [_settings(*figure) for figure in b]
    names = dict.fromkeys(name for settings in (*ours, *theirs) for name in settings)
    return _ecc_differences(a, b) + tuple(
        f"{name}: {_values(ours, name)} and {_values(theirs, name)}"
        for name in names
        if len({settings.get(name, "absent") for settings in (*ours, *theirs)}) > 1
    )


def _ecc_differences(a: list[Figure], b: list[Figure]) -> tuple[str, ...]:
    """ECC on and off on one model with GDDR memory, where its bits share the bus with the data. Two models
    may differ in it, as in all else."""
    known: dict[str, set[bool]] = {}
    for document, _ in (*a, *b):
        inline = document.theory is not None and (document.theory.family or "").startswith("GDDR")
        if inline and document.device and document.device.ecc_enabled is not None:
            known.setdefault(document.device.name, set()).add(document.device.ecc_enabled)
    return tuple(f"ECC of {name}: on and off" for name, states in known.items() if len(states) > 1)


def _settings(document: RunDocument, measurement: Measurement) -> dict[str, str]:
    """What must be equal for two figures to be comparable, each as text."""
    return {
        **{
            f"parameters.{name}": settings_text(value)
            for name, value in meant(measurement.parameters).items()
        },
        "axes": settings_text(measurement.axes),
        "quantity": measurement.quantity,
        "runtime": document.device.runtime if document.device else "unknown",
        "kernels": document.environment.kernel_source_hash[:12] if document.environment else "unknown",
    }


def _values(settings: list[dict[str, str]], name: str) -> str:
    return " or ".join(dict.fromkeys(each.get(name, "absent") for each in settings))

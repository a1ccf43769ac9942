"""What a figure is expected to be: a chain of sources, of which the first that says something is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from gpubench.catalog.load import Board
from gpubench.catalog.theory import theory_of_board
from gpubench.comparison.acceptance.bands import band_for
from gpubench.comparison.acceptance.baselines import Baseline
from gpubench.comparison.acceptance.figures import DeviceRuns
from gpubench.comparison.acceptance.run_figures import Setting
from gpubench.comparison.acceptance.spread import MAX_MARGIN_RATIO, Margin, margin_of
from gpubench.comparison.acceptance.verdict import Expected, Link
from gpubench.comparison.compare import sound
from gpubench.flags import Flag
from gpubench.results.machine import Theory
from gpubench.units import format_bandwidth, format_percent


@dataclass(frozen=True)
class Sources:
    """What the user states: a baseline with the name of its file; ``tolerance_ratio`` instead of the margin
    of a baseline or of twins; a share of theory that must be reached; the board that a device is like."""

    baseline: Baseline | None = None
    baseline_name: str = "the baseline"
    tolerance_ratio: float | None = None
    min_efficiency: float | None = None
    like: Board | None = None


@dataclass(frozen=True)
class Question:
    """One figure of one device, and the other devices of the same model."""

    device: DeviceRuns
    setting: Setting
    twins: Sequence[DeviceRuns]
    sources: Sources
    flags: frozenset[Flag] = frozenset()

    @property
    def theory(self) -> Theory | None:
        board, theory = self.sources.like, self.device.newest.theory
        if board is None:
            return theory if theory is not None and sound(theory) else None
        return theory_of_board(board)


@dataclass(frozen=True)
class Answer:
    """``expected`` is null if no source says anything; ``not_used`` says why each earlier one did not."""

    expected: Expected | None
    not_used: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def expectation(question: Question) -> Answer:
    """The first of: stated efficiency, baseline, twins, published band. Warns if the second or third of them
    is below the published band: then all boards of this site may be slow.

    Nothing is stated or published of a latency, and nothing published of a sustained bandwidth.
    """
    not_used: list[str] = []
    for source in (_given, _baseline, _twins, _band):
        found = source(question)
        if isinstance(found, Expected):
            return Answer(found, not_used, _too_low(question, found))
        if found is not None:
            not_used.append(found)
    return Answer(None, not_used)


_Source = Callable[[Question], Expected | str | None]


def _given(question: Question) -> Expected | str | None:
    ratio, theory = question.sources.min_efficiency, question.theory
    if ratio is None or question.setting.unit != "byte/s":
        return None
    if theory is None:
        return "--min-efficiency: the theory of this memory is not known; add --like BOARD"
    share = f"{format_percent(ratio)} of the theoretical {format_bandwidth(theory.peak_bytes_per_second)}"
    value = ratio * theory.peak_bytes_per_second
    return _expected(question, "given", value, f"{share}, as asked for", _NO_MARGIN)


_NO_MARGIN = Margin(0.0, "none: it is a floor")


def _baseline(question: Question) -> Expected | str | None:
    sources = question.sources
    if sources.baseline is None:
        return None
    found = sources.baseline.find(question.device.model, question.setting)
    if isinstance(found, str):
        return f"{sources.baseline_name} {found}"
    margin = _stated(sources) or Margin(found.margin_ratio, found.margin_why)
    if margin.ratio > MAX_MARGIN_RATIO and sources.tolerance_ratio is None:
        return (
            f"{sources.baseline_name}: its margin of {format_percent(margin.ratio)} is too wide to judge by"
        )
    why = f"{sources.baseline_name}: median of {found.boards} boards, {found.runs} runs"
    return _expected(question, "baseline", found.median, why, margin)


def _twins(question: Question) -> Expected | str | None:
    figures = [found for twin in question.twins if (found := twin.figures(question.setting))]
    if not figures:
        return f"no other {question.device.info.name} was measured with it"
    margin = _stated(question.sources) or margin_of([question.setting.speeds(each) for each in figures])
    if margin.ratio > MAX_MARGIN_RATIO and question.sources.tolerance_ratio is None:
        return f"its twins differ too much to judge by: a margin of {format_percent(margin.ratio)}"
    twins = f"{len(figures)} twins" if len(figures) > 1 else "its only twin"
    why = f"the median of {twins} in these runs"
    return _expected(question, "twins", median(median(each) for each in figures), why, margin)


def _band(question: Question) -> Expected | str | None:
    if not question.setting.published:
        return None
    if "cache_unknown" in question.flags:
        return "the size of the cache is not known, so the figure is not held against the theory"
    theory = question.theory
    band = band_for(theory, question.setting.benchmark)
    if isinstance(band, str) or theory is None:
        return band if isinstance(band, str) else None
    value = band.median_ratio * theory.peak_bytes_per_second
    why = f"{format_percent(band.median_ratio)} of theory, the median of {band.why}"
    margin = Margin(band.margin_ratio, "from how far published figures lie apart")
    return _expected(question, band.link, value, why, margin)


def _stated(sources: Sources) -> Margin | None:
    ratio = sources.tolerance_ratio
    return Margin(ratio, "as given with --tolerance") if ratio is not None else None


def _expected(question: Question, link: Link, value: float, why: str, margin: Margin) -> Expected:
    limit = question.setting.limit(value, margin.ratio)
    is_latency = question.setting.unit == "s"
    return Expected(
        link=link,
        value=value,
        floor=None if is_latency else limit,
        ceiling=limit if is_latency else None,
        margin_ratio=margin.ratio,
        why=why,
        margin_why=margin.why,
    )


def _too_low(question: Question, found: Expected) -> list[str]:
    if found.link not in ("baseline", "twins"):
        return []
    band = _band(question)
    if not isinstance(band, Expected) or band.floor is None or found.value >= band.floor:
        return []
    return [
        f"{found.why} is {format_bandwidth(found.value)}, below the floor of {format_bandwidth(band.floor)} "
        f"from {band.why}: all of these boards may be slow"
    ]

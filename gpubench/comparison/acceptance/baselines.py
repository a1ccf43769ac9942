"""A site's own baseline: what its boards reached, learned from runs and kept as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated

import msgspec
from msgspec import Meta

from gpubench import __version__
from gpubench.comparison.acceptance.bands import band_for
from gpubench.comparison.acceptance.figures import DeviceRuns, Model, by_device
from gpubench.comparison.acceptance.run_figures import Setting
from gpubench.comparison.acceptance.spread import (
    MAX_MARGIN_RATIO,
    margin_of,
    spread_above,
    spread_of_runs,
)
from gpubench.comparison.compare import sound
from gpubench.errors import InvalidParameters
from gpubench.results.document import RunDocument
from gpubench.results.timestamps import now
from gpubench.units import format_bandwidth, format_percent
from gpubench.validation import convert

SCHEMA = 1

MINIMUM_RUNS = 3
"""Of a benchmark, on all boards of a model together: fewer show no spread at all."""

Ratio = Annotated[float, Meta(ge=0, lt=1)]


class BaselineFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one benchmark reached on one model of board: the median of its boards' medians.

    In byte/s, or in seconds for a latency: exactly one of the two is there. ``parameters`` is JSON.
    ``margin_ratio`` may be edited; the spreads and numbers say where it came from.
    """

    benchmark: str
    parameters: str
    median_bytes_per_second: Annotated[float, Meta(gt=0)] | None = None
    median_seconds: Annotated[float, Meta(gt=0)] | None = None
    margin_ratio: Ratio
    margin_why: str = "as stated in the baseline"
    spread_between_boards_ratio: float = 0.0
    spread_between_runs_ratio: float = 0.0
    boards: int = 1
    runs: int = 1

    def __post_init__(self) -> None:
        """Raises ValueError, which msgspec turns into its own."""
        wanted, other = "median_bytes_per_second", "median_seconds"
        if self._setting.unit == "s":
            wanted, other = other, wanted
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.benchmark} needs {wanted}, and must not have {other}")

    @property
    def _setting(self) -> Setting:
        return Setting(self.benchmark, self.parameters)

    @property
    def median(self) -> float:
        """In the unit of its setting."""
        found = self.median_seconds if self._setting.unit == "s" else self.median_bytes_per_second
        assert found is not None  # noqa: S101  (__post_init__ checked it)
        return found


class BaselineBoard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``kernels`` is the hash of the kernels that measured: figures of other kernels are not comparable."""

    name: str
    runtime: str
    kernels: str
    figure: list[BaselineFigure]


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Annotated[int, Meta(ge=1, le=SCHEMA)] = SCHEMA
    learned_at: str = ""
    program_version: str = ""
    board: list[BaselineBoard] = msgspec.field(default_factory=list)

    def find(self, model: Model, setting: Setting) -> BaselineFigure | str:
        """The figure, or why there is none that may be compared."""
        boards = [each for each in self.board if each.name == model.name]
        if not boards:
            return f"has no board {model.name}"
        same = [each for each in boards if (each.runtime, each.kernels) == (model.runtime, model.kernels)]
        if not same:
            return f"was learned for {model.name} with another runtime or other kernels: learn it again"
        for figure in (figure for board in same for figure in board.figure):
            if (figure.benchmark, figure.parameters) == setting:
                return figure
        if any(figure.benchmark == setting.benchmark for board in same for figure in board.figure):
            return f"has {setting.benchmark} for {model.name} with other parameters only"
        return f"has no {setting.benchmark} for {model.name}"


@dataclass(frozen=True)
class Learned:
    """``warnings`` name boards and figures that should be looked at before the baseline is used."""

    baseline: Baseline
    warnings: tuple[str, ...]


def learn(documents: Sequence[RunDocument]) -> Learned:
    """A baseline from runs of healthy boards; raises ``InvalidParameters`` if no figure repeats often enough.

    Figures that are contended, unverified or not the memory's own are left out.
    """
    models: dict[Model, list[DeviceRuns]] = {}
    for device in by_device(documents):
        models.setdefault(device.model, []).append(device)
    boards, warnings = [], []
    for model, devices in models.items():
        figures = []
        for setting in dict.fromkeys(setting for device in devices for setting in device.settings()):
            runs = {device: found for device in devices if (found := device.figures(setting))}
            count = sum(map(len, runs.values()))
            if count < MINIMUM_RUNS:
                warnings.append(
                    f"{model.name}: {setting.benchmark} is left out: {count} usable runs, "
                    f"at least {MINIMUM_RUNS} are needed"
                )
                continue
            figure = _figure(setting, list(runs.values()))
            figures.append(figure)
            warnings += _warnings(model, setting, figure, runs)
        if figures:
            boards.append(
                BaselineBoard(name=model.name, runtime=model.runtime, kernels=model.kernels, figure=figures)
            )
    if not boards:
        why = "; ".join(warnings) or "the documents have no figure that a check judges"
        raise InvalidParameters(
            f"nothing can be learned: {why}; give at least {MINIMUM_RUNS} runs of `gpubench run check` "
            "on healthy, idle devices"
        )
    baseline = Baseline(learned_at=now(), program_version=__version__, board=boards)
    return Learned(baseline, tuple(warnings))


def _figure(setting: Setting, runs: list[list[float]]) -> BaselineFigure:
    medians = [median(each) for each in runs]
    speeds = [setting.speeds(each) for each in runs]
    margin, expected = margin_of(speeds), median(medians)
    return BaselineFigure(
        benchmark=setting.benchmark,
        parameters=setting.parameters,
        median_bytes_per_second=expected if setting.unit == "byte/s" else None,
        median_seconds=expected if setting.unit == "s" else None,
        margin_ratio=min(round(margin.ratio, 6), 0.999999),
        margin_why=margin.why,
        spread_between_boards_ratio=round(spread_above([median(each) for each in speeds])[0], 6),
        spread_between_runs_ratio=round(spread_of_runs(speeds)[0], 6),
        boards=len(runs),
        runs=sum(map(len, runs)),
    )


def _warnings(
    model: Model, setting: Setting, figure: BaselineFigure, runs: dict[DeviceRuns, list[float]]
) -> list[str]:
    expected, found = figure.median, []
    what = f"{model.name}: {setting.benchmark}"
    if figure.margin_ratio > MAX_MARGIN_RATIO:
        found.append(
            f"{what}: the margin of {format_percent(figure.margin_ratio)} ({figure.margin_why}) is too wide "
            "to judge by; measure more boards, or on idle ones"
        )
    for device, values in runs.items():
        own = median(values)
        if setting.is_worse(own, setting.limit(expected, figure.margin_ratio)):
            place = " ".join(filter(None, (device.host, device.info.hardware_id)))
            found.append(
                f"{what} on {place} is {setting.format(own)}, {format_percent(abs(own / expected - 1))} "
                f"{setting.worse} the median of {figure.boards} boards: check it before you use this baseline"
            )
    if not setting.published:
        return found
    theories = [device.newest.theory for device in runs if device.newest.theory]
    theory = next(filter(sound, theories), None)
    band = band_for(theory, setting.benchmark)
    if theory is not None and not isinstance(band, str):
        floor = band.floor_ratio * theory.peak_bytes_per_second
        if expected < floor:
            found.append(
                f"{what}: the median is {format_bandwidth(expected)}, below the {format_bandwidth(floor)} "
                f"expected from {band.why}: are all these boards healthy?"
            )
    return found


def read_baseline(text: str) -> Baseline:
    """From TOML; raises ``InvalidParameters`` with the line or the field that is wrong."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidParameters(f"not TOML: {error}") from None
    if isinstance(data.get("schema"), int) and data["schema"] > SCHEMA:
        raise InvalidParameters(
            f"a newer gpubench wrote it (version {data['schema']} of baselines, this program reads "
            f"{SCHEMA}); upgrade gpubench"
        )
    return convert(data, Baseline, "baseline")


def render_baseline(baseline: Baseline) -> str:
    """As TOML, which ``read_baseline`` reads."""
    plain = msgspec.to_builtins(baseline)
    lines = [
        "# What this site's boards reach; made by `gpubench baseline learn`, for `gpubench check --baseline`."
    ]
    lines += [f"{name} = {_value(value)}" for name, value in plain.items() if name != "board"]
    for board in plain["board"]:
        lines += ["", "[[board]]"]
        lines += [f"{name} = {_value(value)}" for name, value in board.items() if name != "figure"]
        for figure in board["figure"]:
            lines += [
                "",
                "[[board.figure]]",
                *(f"{name} = {_value(value)}" for name, value in figure.items() if value is not None),
            ]
    return "\n".join(lines) + "\n"


def _value(value: str | float) -> str:
    # JSON's strings are TOML's basic strings, except for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

"""What ``gpubench run`` asks for, and which words of the command line each part came from."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gpubench.benchmarks.registry import BENCHMARKS
from gpubench.benchmarks.suites import suites
from gpubench.errors import CatalogError, GpubenchError, InvalidParameters, KeyConflict, NoSuchDevice
from gpubench.requests import BenchmarkRequest, StatedMemory
from gpubench.units import parse_bytes, parse_seconds
from gpubench_client.backend import SubmitOptions
from gpubench_client.cli.arguments import MAX_LABELS
from gpubench_client.cli.request_errors import explain
from gpubench_client.cli.suite_file import read_suites

_BENCHMARK_PATH = re.compile(
    r"\$\.params\.benchmarks\[(?P<index>\d+)\](?P<rest>(?:\.parameters)?(?:\.(?P<name>\w+)|\['(?P<key>.*)'\])?.*)"
)
_OPTION_OF_PATH = {
    "$.params.benchmarks": "BENCHMARK",
    "$.params.deadline_seconds": "--deadline",
    "$.params.device": "--device",
    "$.params.key": "--key",
    "$.params.memory.bus_width_bits": "--bus-width",
    "$.params.memory.technology": "--memory",
}
_OPTION_OF_ERROR: dict[type[GpubenchError], str] = {
    CatalogError: "--memory",
    KeyConflict: "--key",
    NoSuchDevice: "--device",
}


@dataclass(frozen=True)
class Setting:
    """The value of a parameter, and the option that gave it, as it was written."""

    written: str
    value: Any


@dataclass
class RunRequest:
    """The benchmarks and options of a run. Suites of a file are expanded, so a server needs no file."""

    options: SubmitOptions
    settings: Mapping[str, Setting]
    benchmarks: list[BenchmarkRequest] = field(default_factory=list, init=False)
    _places: list[str | None] = field(default_factory=list, init=False)

    def add(self, name: str, parameters: Mapping[str, Any], place: str | None) -> None:
        """``place`` is where in the suite file it stands, None if the command line names it.

        The settings of the command line win over ``parameters``.
        """
        values = {name: setting.value for name, setting in self.settings.items()}
        self.benchmarks.append(BenchmarkRequest(name, {**parameters, **values}))
        self._places.append(place)

    def explain(self, error: GpubenchError) -> GpubenchError:
        """The same error in the words of the command line, if it is about something written there."""
        path = str(error.details.get("path", ""))
        match = _BENCHMARK_PATH.fullmatch(path)
        if match and int(match["index"]) < len(self._places):
            return explain(error, self._source(match, error.message))
        option = _OPTION_OF_PATH.get(path) or _OPTION_OF_ERROR.get(type(error))
        if option == "--device" and self.options.get("device") is None:
            return error  # there is none, or several
        return explain(error, option) if option else error

    def _source(self, match: re.Match[str], message: str) -> str:
        """The option, or the place in the file, that gave what the path points at; empty for a BENCHMARK."""
        if match["rest"].startswith(".parameters"):
            name = match["name"] or match["key"]
            written = [
                setting.written
                for each, setting in self.settings.items()
                # Without a name, it is about parameters that do not go together.
                if (each == name if name else re.search(rf"\b{re.escape(each)}\b", message))
            ]
            if written:
                return " ".join(written)
        place = self._places[int(match["index"])]
        return f"{place}{match['rest']}" if place else ""


def run_request(args: argparse.Namespace) -> RunRequest:
    """Raises ``InvalidParameters`` if nothing is asked for, or what is written cannot be read."""
    if not args.benchmarks and args.suite_file is None:
        raise InvalidParameters(
            "nothing to run; name a benchmark or a suite, as in `gpubench run triad`; "
            "`gpubench benchmarks` lists them"
        )
    file_suites = read_suites(args.suite_file) if args.suite_file is not None else {}
    request = RunRequest(
        {
            "device": args.device,
            "key": args.key,
            "deadline_seconds": args.deadline,
            "memory": _stated_memory(args),
            "labels": _labels(args.labels),
        },
        _settings(args),
    )
    words = _separate(args.benchmarks) if args.benchmarks else file_suites
    for name in (_known_name(word, file_suites) for word in words):
        if name not in file_suites:
            request.add(name, {}, None)
            continue
        suite = file_suites[name]
        at = f"{args.suite_file}: suite[{list(file_suites).index(name)}]"
        for index, member in enumerate(suite.members):
            place = None if suite.all else f"{at}.benchmarks[{index}]"
            request.add(member.name, member.parameters, place)
    return request


def _separate(words: Iterable[str]) -> list[str]:
    """``copy,triad`` are two names; raises ``InvalidParameters`` for a parameter without ``--set``."""
    names: list[str] = []
    for word in words:
        if "=" in word:
            raise InvalidParameters(f"BENCHMARK: {word!r} sets a parameter; write --set {word}")
        names += (name for name in re.split(r"[,\s]+", word) if name or not word.strip(", "))
    return names


def _known_name(word: str, file_suites: Iterable[str]) -> str:
    """The benchmark or suite that is meant, in its own spelling; a server may know others."""
    known = (*file_suites, *BENCHMARKS, *suites())
    if word in known:
        return word
    same = {name for name in known if _folded(name) == _folded(word)}
    return same.pop() if len(same) == 1 else word


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")


def _settings(args: argparse.Namespace) -> dict[str, Setting]:
    settings = dict(map(_setting, args.settings))
    if args.footprint is not None:
        settings["footprint_bytes"] = Setting("--footprint", args.footprint)
    if args.time_limit is not None:
        settings["time_limit_seconds"] = Setting("--time-limit", args.time_limit)
    return settings


def _setting(text: str) -> tuple[str, Setting]:
    """``NAME=VALUE``, the value in JSON, or a text without quotes; with a unit for bytes and seconds."""
    name, equals, value = text.partition("=")
    name, written = name.strip(), f"--set {text}"
    if not name or not equals:
        raise InvalidParameters(f"{written}: write NAME=VALUE, such as dtype=float")
    try:
        return name, Setting(written, msgspec.json.decode(value))
    except (msgspec.DecodeError, UnicodeEncodeError):  # the latter is reported later, with the option's name
        pass
    try:
        if name.endswith("_bytes"):
            return name, Setting(written, parse_bytes(value))
        if name.endswith("_seconds"):
            return name, Setting(written, parse_seconds(value))
    except InvalidParameters as error:
        raise InvalidParameters(f"{written}: {error.message}") from None
    return name, Setting(written, value)


def _labels(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    labels = dict(pairs)
    if len(labels) < len(pairs):
        twice = next(key for key in labels if [each for each, _ in pairs].count(key) > 1)
        raise InvalidParameters(f"--label: {twice} is given more than once; give each key one value")
    if len(labels) > MAX_LABELS:
        raise InvalidParameters(f"--label: {len(labels)} labels; allowed: {MAX_LABELS}")
    return labels


def _stated_memory(args: argparse.Namespace) -> StatedMemory | None:
    if args.memory is None and args.bus_width is None:
        return None
    if args.memory is None or args.bus_width is None:
        raise InvalidParameters(
            "--memory and --bus-width go together; write --memory ddr5-4800 --bus-width 128"
        )
    return StatedMemory(args.memory, args.bus_width)

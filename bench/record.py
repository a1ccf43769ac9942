"""What a comparison measured, kept in full: every round of every contender, with the machine and the date."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gpubench import __version__
from gpubench.devices import host
from gpubench.measure.statistics import SampleSummary, summarize

BUILD = Path(__file__).parent / "build"


def keep(name: str, unit: str, rounds: object, **about: object) -> None:
    """Write ``bench/build/<name>.json``, and say so."""
    print(f"every round is in {write(name, unit, rounds, **about)}", file=sys.stderr)


def write(name: str, unit: str, rounds: object, folder: Path = BUILD, **about: object) -> Path:
    """Write ``<name>.json``; ``rounds`` are figures by what was measured and by contender."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    kept = {
        "comparison": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "program_version": __version__,
        "host": msgspec.to_builtins(host.describe_host()),
        **about,
        "unit": unit,
        "rounds": rounds,
    }
    path.write_text(json.dumps(kept, indent=1) + "\n")
    return path


def ratio_of(own: Sequence[float], other: Sequence[float]) -> str:
    """The ratio within a round, for a table."""
    ratios = summarize([mine / theirs for mine, theirs in zip(own, other, strict=True)])
    return f"**{ratios.median_seconds:.3f}** ({reach_of(ratios)})"


def reach_of(ratios: SampleSummary, digits: int = 3) -> str:
    """The 95 % interval, or the range, so called, where the rounds are too correlated for one."""
    reach = f"{ratios.low_seconds:.{digits}f} to {ratios.high_seconds:.{digits}f}"
    return reach if ratios.interval_holds else f"range {reach}"

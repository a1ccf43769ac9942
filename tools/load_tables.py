"""What ``make load``, ``make hostile`` and ``make fuzz`` measured, as Markdown, from what they record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from recordings import Kept, sections

from gpubench.measure.statistics import median
from gpubench.report.benchmarks import markdown_rows

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))

from record import ratio_of

KINDS = {
    "none": "nobody",
    "silent": "connect and stay silent",
    "drip": "send a byte a second",
    "handshake": "are silent in the handshake of TLS",
    "deaf": "ask for long answers and never read",
    "invalid": "flood with invalid lines",
    "oversized": "flood with lines over 64 KiB",
    "nested": "flood with JSON that nests 60,000 deep",
    "random": "flood with random bytes",
    "all": "all of these at once",
}
"""What the clients of each crowd do."""


def recorded_tables(folder: Path) -> str:
    """A section for each kind of recording, from the newest one in ``folder``."""
    tables = {
        "load": ("Under load", load_tables),
        "hostile": ("Among hostile clients", hostile_table),
        "fuzz": ("Under a fuzzer", fuzz_table),
    }
    return sections(folder, tables, lambda kept: "Every figure")


def load_tables(kept: Kept) -> str:
    """Pings under load, connections that do nothing, and memory over many requests."""
    rounds = kept["rounds"]
    names = [name for name in ("gpubench", "echo", "aiohttp") if name in _any(_any(rounds))]
    rows = [
        [transport, count, *(_cell(found[name]) for name in names), *_ratios(found)]
        for transport, by_count in rounds.items()
        for count, found in by_count.items()
    ]
    ratios = ["rate / echo", "the same by median latency", "99th percentile / aiohttp"]
    columns = ["transport", "connections", *names, *ratios[: len(names)]]
    count = len(_any(_any(_any(rounds))))
    intro = (
        f"{about(kept)}. Each server: pings per second, median and 99th percentile of the latency, each the "
        f"median of {count} rounds of {kept['seconds_a_round']:g} s. Ratios are within a round, with their "
        "95 % interval, or their range, marked as such, if rounds are too correlated for one. On a busy "
        "machine all of them depend on when other programs run, rates and 99th percentiles most."
    )
    return f"{intro}\n\n{markdown_rows(columns, rows)}\n\n{_resources(kept)}"


def _ratios(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """Of one row, as far as the servers were there."""
    of = {
        name: {key: [each[key] for each in rounds] for key in ("per_second", "p50_seconds", "p99_seconds")}
        for name, rounds in found.items()
    }
    own, echo = of["gpubench"], of["echo"]
    cells = [
        ratio_of(own["per_second"], echo["per_second"]),
        ratio_of(echo["p50_seconds"], own["p50_seconds"]),
    ]
    if "aiohttp" in of:
        cells.append(ratio_of(own["p99_seconds"], of["aiohttp"]["p99_seconds"]))
    return cells


def _resources(kept: Kept) -> str:
    """Memory, and connections that do nothing."""
    idle, memory = kept["idle"], kept["memory"]
    beside, sizes = idle["beside"], memory["resident_bytes"]
    return (
        f"- {idle['answered']} of {idle['asked']} connections that did nothing were held, and answered "
        f"afterwards; they took {_mb(idle['resident_bytes'])} of the server's memory. Beside them another "
        f"client's ping took {_time(beside['p50_seconds'])}, at the 99th percentile "
        f"{_time(beside['p99_seconds'])}.\n"
        f"- Resident memory of the server: {_mb(memory['at_rest_bytes'])} at rest, {_mb(sizes[0])} after "
        f"{memory['requests'] // 10:,} requests, {_mb(sizes[-1])} after {memory['requests']:,}.\n"
        f"- `gpubench --help` takes {_time(kept['help_seconds'])}."
    )


def hostile_table(kept: Kept) -> str:
    """An honest client's pings among each crowd."""
    times = ("p50_seconds", "p99_seconds", "longest_seconds", "new_p99_seconds")
    rows = [
        [
            f"{sum(found['kinds'].values()) or ''} {KINDS[name]}".strip(),
            f"{found['open_connections']:,}",
            *(_time(found[each]) for each in times),
            found["run"],
            _mb(sum(found["sent_bytes"].values())),
            _mb(found["resident_bytes"]),
        ]
        for name, found in kept["rounds"].items()
    ]
    pings = ["ping: median", "99th percentile", "longest", "new connection: 99th percentile"]
    columns = ["hostile clients", "held", *pings, "a run", "they sent", "server's memory"]
    return f"{about(kept)}.\n\n{markdown_rows(columns, rows)}"


def fuzz_table(kept: Kept) -> str:
    """Inputs by target."""
    rows = [
        [
            name,
            f"{found['inputs']:,}",
            "one" if found["failed"] else "none",
            f"{found['seconds']:.0f} s",
            f"{found['slowest_input_seconds']:g} s" if found["slowest_input_seconds"] else "under 1 s",
            f"{found['longest_answer_bytes']:,} B" if found["longest_answer_bytes"] else "",
            f"{found['peak_memory_mib']} MiB",
        ]
        for name, found in kept["rounds"].items()
    ]
    total = sum(found["inputs"] for found in kept["rounds"].values())
    columns = ["target", "inputs", "failures", "time", "slowest input", "longest answer", "peak memory"]
    return f"{about(kept)}; {total:,} inputs in all.\n\n{markdown_rows(columns, rows)}"


def about(kept: Kept) -> str:
    """The machine, the date, and how busy the machine was."""
    host, load = kept["host"], kept["load_average"]
    return (
        f"{host['processor']}, {host['cores']} cores, Python {host['python']}, {kept['at'][:16]} UTC; load "
        f"average {load['before'][0]:.1f} before and {load['after'][0]:.1f} after"
    )


def _cell(rounds: list[dict[str, float]]) -> str:
    rate, p50, p99 = (
        median([each[name] for each in rounds]) for name in ("per_second", "p50_seconds", "p99_seconds")
    )
    return f"{rate:,.0f}/s, {_time(p50)}, {_time(p99)}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _any(of: dict[str, Any]) -> Any:
    return next(iter(of.values()))

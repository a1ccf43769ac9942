"""What ``make load``, ``make hostile`` and ``make fuzz`` measured, as Markdown, from the JSON that they keep."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))

from record import ratio_of

from gpubench.measure.statistics import median
from gpubench.report.benchmarks import markdown_rows


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
    sections = {
        "load": ("Under load", load_tables),
        "hostile": ("Among hostile clients", hostile_table),
        "fuzz": ("Under a fuzzer", fuzz_table),
    }
    parts = []
    for name, (heading, table) in sections.items():
        path = max(folder.glob(f"{name}-*.json"))
        kept = json.loads(path.read_text(encoding="utf-8"))
        parts.append(f"## {heading}\n\n{table(kept)}\n\nEvery figure: [{path.name}](../results/{path.name}).")
    return "\n\n".join(parts)


def load_tables(kept: dict[str, Any]) -> str:
    """Pings under load, connections that do nothing, and memory over many requests."""
    names = [name for name in ("gpubench", "echo", "aiohttp") if name in _any(_any(kept["rounds"]))]
    rows = []
    for transport, by_count in kept["rounds"].items():
        for count, found in by_count.items():
            rates = {name: [each["per_second"] for each in found[name]] for name in names}
            p99 = {name: [each["p99_seconds"] for each in found[name]] for name in names}
            rows.append(
                [
                    transport,
                    count,
                    *(_cell(found[name]) for name in names),
                    ratio_of(rates["gpubench"], rates["echo"]),
                    ratio_of(p99["gpubench"], p99["aiohttp"]) if "aiohttp" in names else "",
                ]
            )
    columns = ["transport", "connections", *names, "rate / echo", "99th percentile / aiohttp"]
    idle, memory = kept["idle"], kept["memory"]
    first, last = memory["resident_bytes"][0], memory["resident_bytes"][-1]
    return "\n\n".join(
        [
            f"{about(kept)}. Each server: pings per second, median and 99th percentile of the latency, each the "
            f"median of {_count(kept)} rounds of {kept['seconds_a_round']:g} s. Ratios are within a round, with "
            "their 95 % interval, or the range, so called, where rounds are too correlated.",
            markdown_rows(columns, rows),
            f"- {idle['answered']} of {idle['asked']} connections that did nothing were held and answered "
            f"afterwards; they took {idle['resident_bytes'] / 1e6:.0f} MB of the server's memory. Beside them "
            f"another client's ping took {idle['beside']['p50_seconds'] * 1e6:.0f} us, at the 99th percentile "
            f"{idle['beside']['p99_seconds'] * 1e6:.0f} us.\n"
            f"- Resident memory of the server: {memory['at_rest_bytes'] / 1e6:.1f} MB at rest, {first / 1e6:.1f} MB "
            f"after {memory['requests'] // 10:,} requests, {last / 1e6:.1f} MB after {memory['requests']:,}.\n"
            f"- `gpubench --help` takes {kept['help_seconds'] * 1e3:.0f} ms.",
        ]
    )


def hostile_table(kept: dict[str, Any]) -> str:
    """An honest client's pings among each crowd."""
    rows = [
        [
            f"{sum(found['kinds'].values()) or ''} {KINDS[name]}".strip(),
            str(found["open_connections"]),
            *(
                _time(found[field])
                for field in ("p50_seconds", "p99_seconds", "longest_seconds", "new_p99_seconds")
            ),
            found["run"],
            f"{sum(found['sent_bytes'].values()) / 1e6:,.0f} MB",
            f"{found['resident_bytes'] / 1e6:.0f} MB",
        ]
        for name, found in kept["rounds"].items()
    ]
    columns = [
        "hostile clients", "held", "ping: median", "99th percentile", "longest", "new connection: 99th percentile",
        "a run", "they sent", "server's memory",
    ]  # fmt: skip
    return f"{about(kept)}.\n\n{markdown_rows(columns, rows)}"


def fuzz_table(kept: dict[str, Any]) -> str:
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


def about(kept: dict[str, Any]) -> str:
    """The machine, the date, and how busy the machine was."""
    host, load = kept["host"], kept["load_average"]
    return (
        f"{host['processor']}, {host['cores']} cores, Python {host['python']}, {kept['at'][:16]} UTC; load average "
        f"{load['before'][0]:.1f} before and {load['after'][0]:.1f} after"
    )


def _cell(rounds: list[dict[str, float]]) -> str:
    rate, p50, p99 = (
        median([each[name] for each in rounds]) for name in ("per_second", "p50_seconds", "p99_seconds")
    )
    return f"{rate:,.0f}/s, {_time(p50)}, {_time(p99)}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def _count(kept: dict[str, Any]) -> int:
    return len(_any(_any(_any(kept["rounds"]))))


def _any(of: dict[str, Any]) -> Any:
    return next(iter(of.values()))

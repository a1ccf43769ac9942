"""Runs to make reports of, and a reader of pages."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import msgspec

from gpubench.report.subject import Subject
from gpubench.results.document import ErrorInfo, Finding, RunDocument, Summary
from gpubench.results.kept import KeptDocument, read_kept
from gpubench.results.machine import DeviceInfo, Host, Telemetry, TelemetrySample
from tests.documents import document, measurement, rtx_5090

RESULTS = Path(__file__).parents[2] / "results"

HOSTILE = {
    "script": "<script>alert(1)</script>\"'&{{7*7}}{% raw %}]]> --> \x00\x1b[31m",
    "right to left": "\u202e\u2066\u200fgpu",
    "long": "x" * 10_240,
    "astral": "🦄" * 3000,
    "formula": "=cmd|calc",
    "empty": "",
}


def recorded(name: str = "full-2026-11-24") -> list[KeptDocument]:
    path = RESULTS / f"amd-epyc-2-cores-{name}.json"
    return read_kept(path.read_bytes(), path.name)


def rtx_4090() -> DeviceInfo:
    return msgspec.structs.replace(
        rtx_5090(), name="NVIDIA GeForce RTX 4090", bus_width_bits=384, memory_clock_hz=10_501_000_000
    )


def two_boards() -> list[RunDocument]:
    made = []
    for device, rate in ((rtx_5090(), 1700.0), (rtx_4090(), 950.0)):
        points = [
            measurement(
                rate * (1 if size > 24 else 5),
                "cache_sweep",
                axes={"footprint_bytes": 2**size, "kernel": "read"},
            )
            for size in range(20, 30)
        ]
        slices = [measurement(rate, "map", axes={"slice": place}) for place in range(32)]
        samples = [
            TelemetrySample(float(second), 14_001_000_000, 2_000_000_000, 300.0 + second, 50.0)
            for second in range(20)
        ]
        figures = [
            measurement(rate, name, samples_seconds=[0.01] * 30, bus_bytes=10**7)
            for name in ("copy", "triad")
        ]
        made.append(
            document(
                *figures,
                *points,
                *slices,
                device=device,
                run_id=device.name[-4:],
                telemetry=Telemetry(samples),
            )
        )
    return made


def hostile_run(name: str) -> RunDocument:
    """A document whose every text is ``name``."""
    latency = Summary(1e-7, 9e-8, 1.1e-7, 1e-7, 1e-7, 1e-7, 1e-7)
    run = document(
        measurement(1500.0, samples_seconds=[0.01] * 30, bus_bytes=15 * 10**6),
        measurement(1500.0, name, parameters={name: name}),
        *(
            measurement(10.0 * n + 1, "cache_sweep", axes={"footprint_bytes": 2**n, "kernel": name})
            for n in range(12, 16)
        ),
        *(measurement(10.0 * n + 1, f"{name}curve", axes={name: n}) for n in range(4)),
        *(
            measurement(10.0 * n + 1, "pattern", axes={"pattern": f"{name}{n}", "kernel": name})
            for n in range(3)
        ),
        measurement(
            1.0,
            "latency",
            quantity="latency",
            latency_seconds=latency,
            axes={"footprint_bytes": 4096, "order": name},
        ),
        device=msgspec.structs.replace(rtx_5090(), name=name, alias=name, runtime_version=name),
        run_id=name,
        outcome="failed",
        error=ErrorInfo("x", 1, name, False),
        explanations={name: name},
        findings=[
            Finding("cache_sweep", f"{name}_end", name, 65536.0, "byte"),
            Finding("latency", name, name),
        ],
        telemetry=Telemetry(absent=name),
    )
    assert run.environment is not None
    host = Host(name=name, processor=name)
    return msgspec.structs.replace(run, environment=msgspec.structs.replace(run.environment, host=host))


def subject_of(documents: list[RunDocument], *boards: str) -> Subject:
    return Subject.with_boards([KeptDocument.of(each) for each in documents], None, boards)


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

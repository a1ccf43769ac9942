"""What a run's last event adds to its document."""

from __future__ import annotations

from gpubench.executor.messages import Finished, Started
from gpubench.executor.recorder import Recorder
from gpubench.results.machine import Clocks, Environment, Telemetry, TelemetrySample, Theory
from tests.documents import rtx_5090


def test_the_document_says_that_memory_was_overclocked() -> None:
    recorder = Recorder("run-1", key=None, created_at="now", requested=[])
    nominal = Theory("device", 1792.128e9, 28.002e9, 512)
    recorder.take(Started(rtx_5090(), Environment("1", "hash"), nominal))
    looks = [
        TelemetrySample(0.1 * k, memory_clock_hz=mhz * 1_000_000) for k, mhz in enumerate((405, 15001, 15001))
    ]
    recorder.take(Finished(Clocks(), Telemetry(samples=looks)))
    theory = recorder.document.theory
    assert theory and theory.memory_clock_offset_hz == 1e9
    assert theory.notes[0].startswith("memory overclocked by 1000 MHz: it ran at 15001 MHz")

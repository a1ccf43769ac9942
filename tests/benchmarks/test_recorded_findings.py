"""Findings from the figures of a recorded run on a noisy machine: none claims what the noise hides.

Of these figures an earlier version said that a misaligned start "costs -1.1 % at most", that a mix reached
"120.2 % of" what was expected, that a pattern had "1.31 x the bandwidth of random data", that the slowest
slice reached "84.0 %" of the median one, that bandwidth went to "102.2 %" within 7 s, and latency under load
to "1.10x of idle".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from gpubench.benchmarks import memory_map, mix, occupancy, pattern, random_access, strided
from gpubench.benchmarks.loaded_latency import benchmark as loaded_latency
from gpubench.benchmarks.sustained import findings as sustained
from gpubench.benchmarks.transfer import findings as transfer
from gpubench.results.document import Finding, RunDocument, decode_document
from gpubench.results.machine import Telemetry
from tests.benchmarks.recorded import device, of

RECORDED = Path(__file__).parents[2] / "results" / "amd-epyc-2-cores-full-2026-11-24.json"
SLICE_BYTES = 8 << 20

SIGNED = re.compile(r"(?<![\w.])[-−]\d")


@pytest.fixture(scope="module")
def run() -> RunDocument:
    return decode_document(RECORDED.read_bytes())


def texts(found: Iterable[Finding]) -> dict[str, str]:
    return {each.name: each.text for each in found}


def test_a_start_that_noise_makes_faster_has_no_negative_cost(run: RunDocument) -> None:
    found = {each.name: each for each in strided.findings(of(run, "strided"))}
    assert found["misalignment_cost"].text == (
        "no measurable cost of a start off by 1 to 7 elements (at most 71.4 %)"
    )
    assert found["misalignment_cost"].value is None
    assert found["access_granularity"].text == (
        "no measurable access granularity: the noise hides whether the payload's bandwidth halves from a "
        "stride of 64 B to one of 128 B"
    )


def test_a_mix_that_noise_makes_faster_has_no_percentage(run: RunDocument) -> None:
    assert texts(mix.findings(of(run, "mix")))["worst_mix_to_expected"] == (
        "no measurable cost of turning the bus around (at most 52.0 %): 1:2 has 35.31 GB/s, and would have "
        "29.37 GB/s at the rates of reading alone and writing alone"
    )


@pytest.mark.parametrize(("kernel", "at_most"), [("write", "212.1 %"), ("copy", "93.3 %")])
def test_a_pattern_within_the_noise_has_no_gain(
    run: RunDocument, kernel: pattern.Kernel, at_most: str
) -> None:
    found = texts(pattern.findings(kernel, of(run, "pattern", kernel=kernel)))
    assert found[f"{kernel}_fastest_to_random"] == (
        f"{kernel}: no measurable gain over random data (at most {at_most})"
    )


def test_the_slowest_of_many_slices_is_not_called_slow(run: RunDocument) -> None:
    found = texts(memory_map.findings("map", of(run, "map"), SLICE_BYTES, device(run).memory_bytes))
    assert found["slowest_slice"] == (
        "no slice is measurably slower than the median one: each has a sample of 125.4 % of it or more"
    )


def test_a_last_window_within_the_noise_has_no_percentage(run: RunDocument) -> None:
    windows = [sustained.Window(m, 1.0, Telemetry()) for m in of(run, "sustained")]
    found = texts(sustained.findings("sustained", windows, None))
    assert found["last_to_first"].endswith(": no measurable change (at most 87.2 %)")


def test_a_latency_under_load_within_the_noise_has_no_ratio(run: RunDocument) -> None:
    found = texts(loaded_latency.findings("loaded_latency", of(run, "loaded_latency")))
    assert found["loaded_latency"] == (
        "at 17.24 GB/s: 196 ns, no measurable difference from idle (at most 2.14x)"
    )


def test_findings_name_groups_and_pieces_equal_within_noise(run: RunDocument) -> None:
    found = texts(occupancy.findings("occupancy", "copy", of(run, "occupancy", kernel="copy"), 2))
    assert "the fewest with no measurable loss against 95 % of the highest" in found["enough_groups_copy"]
    found = texts(random_access.findings(of(run, "gather")))
    assert found["half_bandwidth_piece"] == (
        "pieces of 64 B are the smallest that reach half of the highest payload bandwidth, though the noise "
        "does not rule out those of 32 B"
    )


def test_bandwidth_that_is_lost_beyond_the_noise_is_reported(run: RunDocument) -> None:
    found = texts(transfer.link_findings("transfer", of(run, "transfer"), device(run)))
    assert found["half_size_host_to_device_pinned"].endswith(
        "(interpolated between two sizes), and lost again at 16 MiB, 64 MiB"
    )


def test_no_finding_has_a_signed_percentage(run: RunDocument) -> None:
    windows = [sustained.Window(m, 1.0, Telemetry()) for m in of(run, "sustained")]
    found = [
        *strided.findings(of(run, "strided")),
        *mix.findings(of(run, "mix")),
        *(
            each
            for kernel in pattern.KERNELS
            for each in pattern.findings(kernel, of(run, "pattern", kernel=kernel))
        ),
        *memory_map.findings("map", of(run, "map"), SLICE_BYTES, device(run).memory_bytes),
        *sustained.findings("sustained", windows, None),
        *loaded_latency.findings("loaded_latency", of(run, "loaded_latency")),
        *(each for name in ("gather", "scatter", "update") for each in random_access.findings(of(run, name))),
        *transfer.link_findings("transfer", of(run, "transfer"), device(run)),
    ]
    assert len(found) > 20
    assert [each.text for each in found if SIGNED.search(each.text)] == []

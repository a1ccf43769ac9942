"""Devices that cannot do what others can, or lie about time: right figures, or none."""

from __future__ import annotations

from typing import Any

import pytest
from gpubench_client.local import LocalClient

from gpubench.errors import BenchmarkFailed, GpubenchError, NoSuchDevice, Unsupported
from gpubench.library import RunDocument
from tests.cli.command import QUICK, gpubench
from tests.devices.conftest import Falsify
from tests.devices.falsifier import CPU, GPU, hexadecimal
from tests.running import MIB, PINNED

GPU_SHAPE = {"vector_bytes": 16, "unroll": 4, "order": "grid", "streaming_stores": False, "groups": 64}


def measured(*names: str, **parameters: Any) -> RunDocument:
    given = {"footprint_bytes": 8 * MIB, "time_limit_seconds": 0.1, **parameters}
    return LocalClient("opencl").run([{"name": name, "parameters": given} for name in names])  # type: ignore[misc]


def failure(*names: str, **parameters: Any) -> GpubenchError:
    with pytest.raises(GpubenchError) as caught:
        measured(*names, **parameters)
    return caught.value


@pytest.mark.parametrize("clock", ["nanosecond", "0.024", "0.3", "2"])
def test_a_clock_that_does_not_keep_time_fails_the_run(falsify: Falsify, clock: str) -> None:
    falsify(alone=True, clock=clock)
    failed = failure("write", "integrity")
    assert isinstance(failed, BenchmarkFailed)
    assert "clock does not keep time" in failed.message
    assert failed.document is not None
    assert {each.status for each in failed.document.measurements} == {"failed"}


def test_a_coarse_tick_lengthens_samples(falsify: Falsify) -> None:
    """Of 1 ms, as long as a pass: without it they would be of one or two ticks."""
    falsify(alone=True, tick="1000000")
    [measurement] = measured("write", **PINNED).measurements
    assert measurement.status == "ok"
    assert min(measurement.samples_seconds) > 0.05


@pytest.mark.parametrize("most", [1, 128])
def test_groups_are_no_larger_than_the_device_takes(falsify: Falsify, most: int) -> None:
    falsify(alone=True, max_group=str(most), type=str(GPU))
    [measurement] = measured("copy", **GPU_SHAPE).measurements
    assert (measurement.status, measurement.shape.group_size) == ("ok", most)  # type: ignore[union-attr]


def test_a_larger_group_that_is_asked_for_is_refused(falsify: Falsify) -> None:
    falsify(alone=True, max_group="128")
    assert "allowed are 1 to 128" in failure("copy", **GPU_SHAPE, group_size=256).message


@pytest.mark.parametrize("fault", ["creation", "events"])
def test_without_event_profiling_every_benchmark_is_skipped(falsify: Falsify, fault: str) -> None:
    falsify(alone=True, no_profiling=fault)
    failed = failure("read", "copy")
    assert isinstance(failed, Unsupported)
    assert failed.document is not None
    assert [each.status for each in failed.document.measurements] == ["skipped", "skipped"]
    assert "keeps no time" in failed.message


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"no_profiling": "queue"}, "keeps no time"),
        ({"unavailable": "device"}, "not available"),
        ({"unavailable": "compiler"}, "no compiler"),
    ],
)
def test_a_device_that_cannot_is_listed_with_the_reason(
    falsify: Falsify, faults: dict[str, str], said: str
) -> None:
    """A device that says that it cannot is listed with the reason."""
    falsify(alone=True, **faults)
    [device] = LocalClient("opencl").devices().devices
    assert said in (device.unavailable or "")
    refused = failure("read")
    assert isinstance(refused, NoSuchDevice)
    assert said in refused.message


def test_host_pointers_that_are_refused_are_not_needed(falsify: Falsify) -> None:
    falsify(alone=True, no_host_pointers="1")
    document = measured("copy", **PINNED)
    assert document.measurements[0].status == "ok"
    assert document.device is not None
    assert "refuses the host's memory" in " ".join(document.device.notes)


def test_what_a_device_has_no_double_for_is_of_float(falsify: Falsify) -> None:
    falsify(alone=True, no_double="1")
    document = measured("triad", "read", **PINNED)
    assert [(m.status, m.parameters["dtype"]) for m in document.measurements] == [
        ("ok", "float"),
        ("ok", "double"),
    ]
    assert document.device is not None
    assert "dtype is float" in " ".join(document.device.notes)


def test_a_driver_that_is_not_known_is_given_no_prefetch(falsify: Falsify) -> None:
    """PoCL is given it: the same compiler under that name fails."""
    falsify(alone=True, no_prefetch="1")
    quick = {"patterns": ["address"], "footprint_bytes": MIB}
    assert {each.status for each in measured("integrity", **quick).measurements} == {"ok"}
    falsify(alone=True, no_prefetch="1", platform_name=hexadecimal("Portable Computing Language"))
    assert "no_prefetch" in failure("integrity", **quick).message


def test_a_small_largest_allocation_makes_several_arrays(falsify: Falsify) -> None:
    falsify(alone=True, max_allocation=str(MIB))
    [measurement] = measured("triad", **PINNED).measurements
    assert measurement.status == "ok"
    assert (measurement.footprint_bytes or 0) >= 8 * MIB


def test_an_address_of_nvidia_is_that_of_cuda(falsify: Falsify) -> None:
    """Driver 580 calls the device's number its slot: 6 for 00:06.0, not 0x30. By the address the two APIs'
    views of one GPU are known to be one."""
    falsify(alone=True, type=str(GPU), pci_slot="6")
    [device] = LocalClient("opencl").devices().devices
    assert device.pci_bus_id == device.hardware_id == "00000000:00:06.0"


def test_a_device_that_is_a_processor_and_a_gpu_is_a_processor(falsify: Falsify) -> None:
    """Such as a processor behind a driver that says everything: its memory is the host's."""
    falsify(alone=True, type=str(CPU | GPU))
    [device] = LocalClient("opencl").devices().devices
    assert (device.kind, device.hardware_id) == ("cpu", "host")


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        ({"error": "context"}, "device_lost"),
        ({"error": "queue"}, "device_lost"),
        ({"error": "launch"}, "device_lost"),
        ({"error": "build"}, "benchmark_failed"),
        ({"crash": "launch"}, "device_lost"),
        ({"crash": "build"}, "device_lost"),
        ({"crash": "times"}, "device_lost"),
    ],
)
def test_what_fails_while_it_runs_ends_the_run_with_an_error(
    falsify: Falsify, faults: dict[str, str], kind: str
) -> None:
    falsify(alone=True, **faults)
    assert failure("read", **PINNED).kind == kind


def test_the_exit_code_tells_that_nothing_was_measured(falsify: Falsify) -> None:
    falsify(alone=True, no_double="1")
    done = gpubench("run", "dot", "--runtime=opencl", *QUICK)
    assert done.returncode == 1
    assert "nothing was measured: dot skipped" in done.stderr

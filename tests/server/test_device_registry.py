"""What is known about the devices when a probe fails."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from gpubench_server import device_registry
from gpubench_server.device_registry import DeviceRegistry
from gpubench_server.vital import VitalThreads

from gpubench.errors import DeviceLost, InternalError, NoSuchDevice
from gpubench.executor.messages import Probed
from gpubench.executor.probe import devices_of, workers_for
from gpubench.results.machine import DriverStatus, RuntimeStatus
from tests.documents import processor, rtx_5090
from tests.running import PATIENCE_SECONDS, within

SEEN = Probed([processor()], [RuntimeStatus("opencl", True)])
KILLED = Probed([], [RuntimeStatus("opencl", False, "ended by SIGKILL")], ["opencl"])
NONE = Probed([], [RuntimeStatus("opencl", False, "no OpenCL library")])


def registry(monkeypatch: pytest.MonkeyPatch, *probes: Probed) -> DeviceRegistry:
    """A registry whose probes find these, one after the other."""
    coming = iter(probes)
    monkeypatch.setattr(device_registry, "probe", lambda runtimes, leave_out: next(coming))
    monkeypatch.setattr(device_registry, "RETRY_SECONDS", -1.0)
    found = DeviceRegistry(["opencl"], max_age_seconds=-1.0)
    found._probe_if_older_than(0.0)
    return found


def test_a_killed_worker_is_a_failed_probe() -> None:
    with workers_for(["cuda"]) as workers:
        os.kill(workers["cuda"].pid, signal.SIGKILL)
        probed = devices_of(workers)
    assert (probed.devices, probed.failed) == ([], ["cuda"])
    assert "SIGKILL" in (probed.runtimes[0].reason or "")


def test_after_a_killed_worker_each_opencl_driver_is_asked_alone() -> None:
    with workers_for(["opencl"]) as workers:
        os.kill(workers["opencl"].pid, signal.SIGKILL)
        probed = devices_of(workers)
        assert workers == {}
    assert ([device.id for device in probed.devices], probed.failed) == (["opencl:pocl:0"], [])
    assert [driver.state for driver in probed.runtimes[0].drivers] == ["ready"]


def test_lost_drivers_are_left_out_of_later_probes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Drivers that were lost beside others are left out of later probes."""
    lost = DriverStatus("bad.icd", "libbad.so", "lost", "it hung")
    left_out: list[list[DriverStatus]] = []

    def found(works: bool) -> Probed:
        return Probed([], [RuntimeStatus("opencl", works, drivers=[lost])], [] if works else ["opencl"])

    coming = iter([found(False), found(True), found(True)])

    def probe(runtimes: object, leave_out: list[DriverStatus]) -> Probed:
        left_out.append(leave_out)
        return next(coming)

    monkeypatch.setattr(device_registry, "probe", probe)
    devices = DeviceRegistry(["opencl"], max_age_seconds=-1.0)
    for _ in range(3):
        devices._probe_if_older_than(-1.0)
    assert left_out == [[], [], [lost]]


def test_a_device_in_doubt_is_probed_for_once_no_run_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else readiness would be of the past for as long as nobody asks for devices."""
    coming = iter([SEEN, NONE])
    monkeypatch.setattr(device_registry, "probe", lambda runtimes, leave_out: next(coming, NONE))
    found = DeviceRegistry(["opencl"], max_age_seconds=1e6)  # it sleeps for good in the end
    failures: list[InternalError] = []
    found.start(VitalThreads(failures.append))
    assert within(PATIENCE_SECONDS, lambda: found.known.usable == SEEN.devices)
    with found.in_use():
        found.doubt()
        assert found.known.usable == SEEN.devices  # a probe would disturb the run
    assert within(PATIENCE_SECONDS, lambda: found.known.problem == "opencl: no OpenCL library")
    assert not failures


def test_devices_survive_a_failed_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They go when a probe works and does not find them."""
    found = registry(monkeypatch, SEEN, KILLED, NONE)
    assert found.fresh().usable == SEEN.devices  # this probe failed
    assert found.known.runtimes == SEEN.runtimes
    assert found.resolve(None).name == processor().name
    assert found.fresh().usable == []
    with pytest.raises(NoSuchDevice):
        found.resolve(None)


def test_a_run_probes_again_after_a_failed_first_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    found = registry(monkeypatch, KILLED, KILLED, SEEN)
    with pytest.raises(DeviceLost) as caught:
        found.resolve(None)
    assert caught.value.retryable
    assert found.resolve(None).name == processor().name


def test_a_runtime_that_never_answered_is_probed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = RuntimeStatus("cuda", False, "ended by SIGKILL")
    half = Probed([processor()], [*SEEN.runtimes, silent], ["cuda"])
    both = Probed([processor(), rtx_5090()], [*SEEN.runtimes, RuntimeStatus("cuda", True)])
    found = registry(monkeypatch, half, half, both)
    with pytest.raises(DeviceLost, match="ended by SIGKILL"):
        found.resolve("cuda:0")
    assert found.resolve("cuda:0").name == rtx_5090().name


def test_a_probe_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one: there are no devices yet. A later one: those that are known are listed."""
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)
    outlasted: list[str] = []

    def probe(runtimes: object, leave_out: object) -> Probed:
        begun.release()
        if not go_on.acquire(timeout=PATIENCE_SECONDS):
            outlasted.append("a request waited for this probe")
        return SEEN

    monkeypatch.setattr(device_registry, "probe", probe)
    monkeypatch.setattr(device_registry, "FIRST_PROBE_SECONDS", 0.05)
    found = DeviceRegistry(["opencl"], max_age_seconds=-1.0)
    failures: list[InternalError] = []
    found.start(VitalThreads(failures.append))
    assert begun.acquire(timeout=PATIENCE_SECONDS)
    assert found.fresh().devices == []
    with pytest.raises(NoSuchDevice, match="longer than") as caught:
        found.resolve(None)
    assert caught.value.retryable
    go_on.release()
    assert within(PATIENCE_SECONDS, lambda: found.known.usable == SEEN.devices)
    found.doubt()
    assert begun.acquire(timeout=PATIENCE_SECONDS)
    assert found.fresh().devices == SEEN.devices
    assert found.resolve(None).name == processor().name
    go_on.release()
    assert (outlasted, failures) == ([], [])

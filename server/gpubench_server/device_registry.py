"""Which devices there are, as worker processes find them: the server itself loads no runtime."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gpubench.devices.selection import choose
from gpubench.errors import DeviceLost, GpubenchError, NoSuchDevice
from gpubench.executor.messages import Probed
from gpubench.executor.probe import probe
from gpubench.results.machine import DeviceInfo, DriverStatus, RuntimeStatus
from gpubench_server.vital import VitalThreads

log = logging.getLogger(__name__)

Runtime = Literal["cuda", "opencl"]

FIRST_PROBE_SECONDS = 50.0
"""How long a request waits for the first probe: on large machines, drivers take half a minute to load, and
clients wait for a minute for an answer."""

RETRY_SECONDS = 2.0
"""Between probes for a run, if the last one failed."""


@dataclass(frozen=True)
class KnownDevices:
    """The devices after a probe at ``at``, on the monotonic clock; None before the first.

    A runtime that ``failed`` to answer keeps the devices that it had before.
    """

    devices: list[DeviceInfo] = field(default_factory=list)
    runtimes: list[RuntimeStatus] = field(default_factory=list)
    at: float | None = None
    failed: list[str] = field(default_factory=list)

    @property
    def incomplete(self) -> bool:
        """Whether a runtime did not answer and never has: it may have devices."""
        return any(each.name in self.failed and not each.available for each in self.runtimes)

    @property
    def lost_drivers(self) -> list[DriverStatus]:
        """Those that crashed or hung beside others that work: runs would wait for each new look at them."""
        working = [each for each in self.runtimes if each.available]
        return [driver for each in working for driver in each.drivers if driver.state == "lost"]

    @property
    def problem(self) -> str | None:
        """Why no run can have a device; None if one is usable, and before the first probe."""
        if self.usable or self.at is None:
            return None
        reasons = [f"{each.id}: {each.unavailable}" for each in self.devices]
        reasons += [f"{each.name}: {each.reason}" for each in self.runtimes if each.reason]
        return "; ".join(reasons) or "no device was found"

    @property
    def usable(self) -> list[DeviceInfo]:
        return [device for device in self.devices if device.unavailable is None]


class DeviceRegistry:
    """The devices of this machine.

    A probe loads drivers and touches devices, which would disturb a measurement: devices are probed only
    while no run is active, and a run starts only when no probe is in progress.
    """

    def __init__(self, runtimes: Sequence[Runtime], max_age_seconds: float) -> None:
        self._runtimes = runtimes
        self._max_age_seconds = max_age_seconds
        self._probing = threading.Lock()
        self._active_runs = 0
        self._idle = threading.Event()
        self._idle.set()
        self._first = threading.Event()
        self._doubted = threading.Event()
        self._known = KnownDevices()

    def start(self, threads: VitalThreads) -> None:
        """Probe for the first time, in the background: the server can be reached meanwhile."""
        threads.start("probe", self._keep_probing)

    def doubt(self) -> None:
        """A device was lost: probe again once no run is active, so that readiness is not of the past."""
        self._doubted.set()

    @property
    def known(self) -> KnownDevices:
        """After the last probe, without waiting; empty before the first."""
        return self._known

    def fresh(self) -> KnownDevices:
        """The devices, probed again if the last probe is old and no run is active.

        Those that are known, if a driver that hangs keeps a probe from its end.
        """
        if self._first.wait(FIRST_PROBE_SECONDS):
            self._probe_if_older_than(self._max_age_seconds, FIRST_PROBE_SECONDS)
        return self._known

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While a run is active."""
        with self._probing:
            self._active_runs += 1
            self._idle.clear()
        try:
            yield
        finally:
            with self._probing:
                self._active_runs -= 1
                if not self._active_runs:
                    self._idle.set()

    def resolve(self, asked: str | None) -> DeviceInfo:
        """The device with this id or alias, or the default device for None.

        Raises ``NoSuchDevice``, which names the devices there are or why there are none, and
        ``DeviceLost`` if the next probe may find the device.
        """
        known = self._searched()
        if known.at is None:
            raise NoSuchDevice(
                f"the search for devices has taken longer than {FIRST_PROBE_SECONDS:g} s; try again later",
                retryable=True,
            )
        try:
            return choose(known.devices, asked, known.runtimes)
        except NoSuchDevice as missing:
            if not known.incomplete:
                raise
            raise DeviceLost(
                f"{missing.message}; the search for devices is incomplete ({_reasons(known)}): try again"
            ) from None

    def find_again(self, before: DeviceInfo) -> DeviceInfo:
        """The device that an earlier server knew as ``before``, whatever its number is now.

        Raises ``NoSuchDevice``, and ``DeviceLost`` if a later search may find it.
        """
        known = self._searched()
        same = [each for each in known.devices if _looks(each) == _looks(before)]
        device = next((each for each in same if each.id == before.id), same[0] if same else None)
        if device is None:
            if known.at is None or known.incomplete:
                raise DeviceLost(f"the search for devices is incomplete: {_reasons(known) or 'it goes on'}")
            raise NoSuchDevice(f"the devices are now: {_summary(known)}")
        if device.unavailable:
            self._probe_if_older_than(RETRY_SECONDS, FIRST_PROBE_SECONDS)
            raise DeviceLost(f"{device.id} cannot be opened: {device.unavailable}")
        return device

    def _searched(self) -> KnownDevices:
        """After the first search, and another if a runtime did not answer and may now."""
        self._first.wait(FIRST_PROBE_SECONDS)
        if self._known.incomplete:
            age_seconds = self._max_age_seconds if self._known.usable else RETRY_SECONDS
            self._probe_if_older_than(age_seconds, FIRST_PROBE_SECONDS)
        return self._known

    def _keep_probing(self) -> None:
        """While no device is usable, and when one is in doubt.

        Nobody else would: a client that only polls for readiness causes no probe.
        """
        self._probe_if_older_than(0.0)
        while True:
            if self._known.usable:
                self._doubted.wait()
                self._doubted.clear()
                self._idle.wait()
                self._probe_if_older_than(0.0)
            else:
                time.sleep(self._max_age_seconds)
                self._probe_if_older_than(self._max_age_seconds)

    def _probe_if_older_than(self, max_age_seconds: float, wait_seconds: float = -1.0) -> None:
        """Does nothing if another probe has not ended after ``wait_seconds``; negative: waits for ever."""
        if not self._probing.acquire(timeout=wait_seconds):
            return
        try:
            at = self._known.at
            old = at is None or time.monotonic() - at > max_age_seconds
            if self._active_runs or not old:
                return
            try:
                probed = probe(list(self._runtimes), leave_out=self._known.lost_drivers)
            except Exception as error:  # no process can be started: reported, and tried again later
                if not isinstance(error, GpubenchError):
                    log.exception("the search for devices failed")
                reason = f"no worker process could be started: {error}"
                statuses = [
                    RuntimeStatus(name=name, available=False, reason=reason) for name in self._runtimes
                ]
                probed = Probed([], statuses, list(self._runtimes))
            before, self._known = self._known, _merged(self._known, probed)
            self._first.set()
        finally:
            self._probing.release()
        if probed.failed:
            log.warning("the search for devices failed: %s", _reasons(probed))
        if _summary(self._known) != _summary(before):
            log.info("devices: %s", _summary(self._known))


def _looks(device: DeviceInfo) -> tuple[object, ...]:
    """What stays the same of a device when the machine is started again."""
    return device.runtime, device.hardware_id, device.name, device.platform


def _summary(known: KnownDevices) -> str:
    names = ", ".join(f"{device.id} ({device.name}, {device.driver_name})" for device in known.devices)
    return f"{names or 'none'}; {_reasons(known) or 'every runtime works'}"


def _reasons(found: KnownDevices | Probed) -> str:
    runtimes = [f"{each.name}: {each.reason}" for each in found.runtimes if each.reason]
    drivers = [
        f"{driver.source}: {driver.reason}"
        for each in found.runtimes
        for driver in each.drivers
        if driver.state in ("failed", "lost")
    ]
    return "; ".join([*runtimes, *drivers])


def _merged(before: KnownDevices, probed: Probed) -> KnownDevices:
    """What was found; a runtime that worked before and did not answer now keeps its devices."""
    worked = {each.name: each for each in before.runtimes if each.available}
    kept = worked.keys() & set(probed.failed)
    return KnownDevices(
        [*probed.devices, *(device for device in before.devices if device.runtime in kept)],
        [worked[each.name] if each.name in kept else each for each in probed.runtimes],
        time.monotonic(),
        probed.failed,
    )

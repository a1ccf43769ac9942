"""Which devices there are, as worker processes found them: the server itself loads no runtime."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gpubench.devices.selection import choose
from gpubench.errors import DeviceLost, NoSuchDevice
from gpubench.executor.messages import Probed
from gpubench.executor.probe import probe
from gpubench.results.machine import DeviceInfo, RuntimeStatus

log = logging.getLogger(__name__)

Runtime = Literal["cuda", "opencl"]

FIRST_PROBE_SECONDS = 60.0
"""How long a request waits for the first look: cold drivers on large machines take half a minute."""

RETRY_SECONDS = 2.0
"""Between looks for a run, where the last one failed."""


@dataclass(frozen=True)
class Found:
    """One look at the machine; ``at`` is on the monotonic clock.

    Of the runtimes that ``failed`` to answer it has what the look before had.
    """

    devices: list[DeviceInfo] = field(default_factory=list)
    runtimes: list[RuntimeStatus] = field(default_factory=list)
    at: float | None = None
    failed: list[str] = field(default_factory=list)

    @property
    def unseen(self) -> bool:
        """Whether a runtime gave no answer and never gave one before: it may have devices."""
        return any(each.name in self.failed and not each.available for each in self.runtimes)

    @property
    def usable(self) -> list[DeviceInfo]:
        return [device for device in self.devices if device.unavailable is None]


class DeviceRegistry:
    """The devices of this machine.

    A look loads drivers and touches devices, which would disturb a run's figures: it happens only
    while no run is live, and a run begins only when no look is under way.
    """

    def __init__(self, runtimes: Sequence[Runtime], max_age_seconds: float) -> None:
        self._runtimes = runtimes
        self._max_age_seconds = max_age_seconds
        self._looking = threading.Lock()
        self._in_use = 0
        self._first = threading.Event()
        self._found = Found()

    def start(self) -> None:
        """Look for the first time, in the background: the server is reachable meanwhile."""
        threading.Thread(target=self._look_until_usable, daemon=True, name="probe").start()

    @property
    def known(self) -> Found:
        """The last look, without waiting; before the first there is nothing in it."""
        return self._found

    def fresh(self) -> Found:
        """The devices, looked for again where the last look is old and nothing runs."""
        self._first.wait(FIRST_PROBE_SECONDS)
        self._look_if_old(self._max_age_seconds)
        return self._found

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While a run is live."""
        with self._looking:
            self._in_use += 1
        try:
            yield
        finally:
            with self._looking:
                self._in_use -= 1

    def resolve(self, asked: str | None) -> DeviceInfo:
        """The device that is meant, by id, by alias, or by leaving it out.

        Raises ``NoSuchDevice`` which names the devices there are, or why there are none, and ``DeviceLost``
        where the next look may find one.
        """
        self._first.wait(FIRST_PROBE_SECONDS)
        found = self._found
        if found.unseen:
            self._look_if_old(self._max_age_seconds if found.usable else RETRY_SECONDS)
            found = self._found
        if found.at is None:
            raise NoSuchDevice(
                f"looking for devices has taken longer than {FIRST_PROBE_SECONDS:g} s; try again later"
            )
        try:
            return choose(found.devices, asked, found.runtimes)
        except NoSuchDevice as missing:
            if not found.unseen:
                raise
            raise DeviceLost(
                f"{missing.message}; not every runtime answered the look for devices ({_reasons(found)}): "
                "try again"
            ) from None

    def _look_until_usable(self) -> None:
        """Who only asks whether the server is ready would never make it look again."""
        self._look_if_old(0.0)
        while not self._found.usable:
            time.sleep(self._max_age_seconds)
            self._look_if_old(self._max_age_seconds)

    def _look_if_old(self, max_age_seconds: float) -> None:
        with self._looking:
            at = self._found.at
            old = at is None or time.monotonic() - at > max_age_seconds
            if self._in_use or not old:
                return
            try:
                seen = probe(list(self._runtimes))
            except Exception as error:  # no process can be started: told, and tried again later
                log.exception("looking for devices failed")
                reason = f"no worker process could be started: {error}"
                statuses = [
                    RuntimeStatus(name=name, available=False, reason=reason) for name in self._runtimes
                ]
                seen = Probed([], statuses, list(self._runtimes))
            before, self._found = self._found, _beside(self._found, seen)
            self._first.set()
        if seen.failed:
            log.warning("looking for devices failed: %s", _reasons(seen))
        if _told(self._found) != _told(before):
            log.info("devices: %s", _told(self._found))


def _told(found: Found) -> str:
    names = ", ".join(f"{device.id} ({device.name})" for device in found.devices)
    return f"{names or 'none'}; {_reasons(found) or 'every runtime works'}"


def _reasons(found: Found | Probed) -> str:
    return "; ".join(f"{each.name}: {each.reason}" for each in found.runtimes if each.reason)


def _beside(before: Found, seen: Probed) -> Found:
    """What was seen; a runtime that worked before and gave no answer now keeps its devices."""
    worked = {each.name: each for each in before.runtimes if each.available}
    kept = worked.keys() & set(seen.failed)
    return Found(
        [*seen.devices, *(device for device in before.devices if device.runtime in kept)],
        [worked[each.name] if each.name in kept else each for each in seen.runtimes],
        time.monotonic(),
        seen.failed,
    )

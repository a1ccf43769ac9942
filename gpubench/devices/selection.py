"""Which device a request means: one rule for the server and for the command line."""

from __future__ import annotations

from collections.abc import Sequence

from gpubench.devices.profile import profile_of
from gpubench.errors import NoSuchDevice
from gpubench.results.machine import DeviceInfo, RuntimeStatus


def choose(
    devices: Sequence[DeviceInfo], wanted: str | None = None, runtimes: Sequence[RuntimeStatus] = ()
) -> DeviceInfo:
    """The device with the id or alias ``wanted``; else the only GPU, else the only device.

    Two runtimes' views of one piece of hardware count as one, and the first of them is taken.
    Raises ``NoSuchDevice``, which lists the devices, or the reasons why ``runtimes`` have none.
    """
    ids = [device.id for device in devices]
    if wanted is not None:
        # An id is unique; an alias is for people, and two devices may share one.
        named = [d for d in devices if d.id == wanted] or [d for d in devices if d.alias == wanted]
        if len(named) != 1:
            raise NoSuchDevice(f"no device {wanted!r}; {_listed(devices, runtimes)}", devices=ids)
        if named[0].unavailable:
            raise NoSuchDevice(f"device {wanted!r} cannot be opened: {named[0].unavailable}", devices=ids)
        return named[0]

    usable = one_for_each_hardware([device for device in devices if not device.unavailable])
    preferred = [device for device in usable if profile_of(device.kind).is_preferred]
    for candidates in (preferred, usable):
        if len(candidates) == 1:
            return candidates[0]
    if usable:
        raise NoSuchDevice(f"there are several devices, name one; {_listed(usable, runtimes)}", devices=ids)
    raise NoSuchDevice(f"there is no device to measure; {_listed(devices, runtimes)}", devices=ids)


def choose_all(devices: Sequence[DeviceInfo], runtimes: Sequence[RuntimeStatus] = ()) -> list[DeviceInfo]:
    """All GPUs, else all devices, each piece of hardware once; raises ``NoSuchDevice`` if there is none."""
    usable = one_for_each_hardware([device for device in devices if not device.unavailable])
    preferred = [device for device in usable if profile_of(device.kind).is_preferred]
    if not usable:
        ids = [device.id for device in devices]
        raise NoSuchDevice(f"there is no device to measure; {_listed(devices, runtimes)}", devices=ids)
    return preferred or usable


def one_for_each_hardware(devices: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    first: dict[str, DeviceInfo] = {}
    for device in devices:
        first.setdefault(device.hardware_id, device)
    return list(first.values())


def _listed(devices: Sequence[DeviceInfo], runtimes: Sequence[RuntimeStatus]) -> str:
    if devices:
        return "allowed: " + "; ".join(f"{d.id} ({d.alias}: {d.unavailable or d.name})" for d in devices)
    reasons = [f"{runtime.name}: {runtime.reason or 'no devices'}" for runtime in runtimes]
    return "; ".join(reasons) or "no runtime was checked"

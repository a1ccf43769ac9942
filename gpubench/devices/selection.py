"""Which device a request means: one rule for the server and for the command line."""

from __future__ import annotations

from collections.abc import Sequence

from gpubench.devices.opencl.platforms import PREFERENCE, rank, version_of
from gpubench.devices.profile import profile_of
from gpubench.errors import NoSuchDevice
from gpubench.results.machine import DeviceInfo, RuntimeStatus


def choose(
    devices: Sequence[DeviceInfo], wanted: str | None = None, runtimes: Sequence[RuntimeStatus] = ()
) -> DeviceInfo:
    """The device with the id or alias ``wanted``; else the only GPU, else the only device.

    Two drivers' views of one piece of hardware count as one, and the preferred of them is taken: an alias
    may be that of several. A simulator is taken only if it is named. Raises ``NoSuchDevice``, which lists the
    devices, or the reasons why ``runtimes`` have none.
    """
    ids = [device.id for device in devices]
    if wanted is not None:
        # An id is unique; an alias is for people, and two devices may share one.
        named = [d for d in devices if d.id == wanted] or _of_alias(devices, wanted)
        if len(named) != 1:
            raise NoSuchDevice(f"no device {wanted!r}; {_listed(devices, runtimes)}", devices=ids)
        if named[0].unavailable:
            raise NoSuchDevice(f"device {wanted!r} cannot be opened: {named[0].unavailable}", devices=ids)
        return named[0]

    usable = _usable(devices)
    preferred = [device for device in usable if profile_of(device.kind).is_preferred]
    for candidates in (preferred, usable):
        if len(candidates) == 1:
            return candidates[0]
    if usable:
        raise NoSuchDevice(f"there are several devices, name one; {_listed(usable, runtimes)}", devices=ids)
    raise _nothing(devices, runtimes)


def default_of(devices: Sequence[DeviceInfo]) -> DeviceInfo | None:
    """The device that a request means which names none; None if it has to name one."""
    try:
        return choose(devices)
    except NoSuchDevice:
        return None


def describe_default(devices: Sequence[DeviceInfo]) -> str:
    """In a sentence, with the rule."""
    default = default_of(devices)
    chosen = f"default device: {default.id}" if default else "there is no default device, name one"
    return f"{chosen} (the only GPU, else the only device; {PREFERENCE})"


def _of_alias(devices: Sequence[DeviceInfo], wanted: str) -> list[DeviceInfo]:
    named = [device for device in devices if device.alias == wanted]
    return one_for_each_hardware([d for d in named if not d.unavailable] or named)


def choose_all(devices: Sequence[DeviceInfo], runtimes: Sequence[RuntimeStatus] = ()) -> list[DeviceInfo]:
    """All GPUs, else all devices, each piece of hardware once; raises ``NoSuchDevice`` if there is none."""
    usable = _usable(devices)
    preferred = [device for device in usable if profile_of(device.kind).is_preferred]
    if not usable:
        raise _nothing(devices, runtimes)
    return preferred or usable


def _usable(devices: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    return one_for_each_hardware([each for each in devices if not each.unavailable and not each.simulated])


def _nothing(devices: Sequence[DeviceInfo], runtimes: Sequence[RuntimeStatus]) -> NoSuchDevice:
    ready = any(not device.unavailable for device in devices)
    what = "only simulators are here, name one to use it" if ready else "there is no device to measure"
    ids = [device.id for device in devices]
    return NoSuchDevice(f"{what}; {_listed(devices, runtimes)}", devices=ids)


def one_for_each_hardware(devices: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    """In the order of the devices, the most preferred of each."""
    best: dict[str, DeviceInfo] = {}
    for device in devices:
        other = best.setdefault(device.hardware_id, device)
        if _preference(device) < _preference(other):
            best[device.hardware_id] = device
    return list(best.values())


def _preference(device: DeviceInfo) -> tuple[object, ...]:
    """The lowest is taken; the id counts last, so that no folder's order matters."""
    newest_first = tuple(-part for part in version_of(device.driver))
    # A simulator shares its alias with devices.
    return (device.simulated, device.runtime != "cuda", rank(device.platform), newest_first, device.id)


def _listed(devices: Sequence[DeviceInfo], runtimes: Sequence[RuntimeStatus]) -> str:
    if devices:
        return "allowed: " + "; ".join(
            f"{d.id} ({d.alias}: {d.unavailable or f'{d.name}, {d.driver_name}'})" for d in devices
        )
    reasons = [f"{runtime.name}: {runtime.reason or 'no devices'}" for runtime in runtimes]
    return "; ".join(reasons) or "no runtime was checked"

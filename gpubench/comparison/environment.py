"""What a figure depends on besides its settings: the machine, its limits, drivers, compilers, versions.

Two sides may differ in all of it, which is then named. The runs of one side may not differ in what makes
another machine: their figures do not belong together. What a document does not hold is no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpubench import units
from gpubench.devices.profile import profile_of
from gpubench.results.document import Measurement, RunDocument
from gpubench.results.machine import Environment, Host

Value = str | float | bool

_SIZE_TOLERANCE_RATIO = 0.02
"""Firmware and kernels of equal machines take different amounts of the memory for themselves."""

HUGE_PAGES = "memory on huge pages"
"""The name of the only change that is one of the measurements, not of the runs."""

_HUGE_PAGES_TOLERANCE_RATIO = 0.1
"""Of the share of memory on huge pages: the first and last pages of arrays are never huge."""


@dataclass(frozen=True)
class Change:
    """A fact in which two sides differ; a side whose runs differ among themselves has several values."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class _Fact:
    """``of_machine``: runs that differ in it were made on unlike machines, ``of_host`` if the device is the
    host's own processor. Numbers within ``tolerance`` of each other are equal."""

    name: str
    of: Callable[[RunDocument], Value | None]
    of_machine: bool = False
    of_host: bool = False
    show: Callable[[float], str] = "{:g}".format
    tolerance: float = 0.0


def _device(name: str) -> Callable[[RunDocument], Value | None]:
    def read(document: RunDocument) -> Value | None:
        found: Value | None = getattr(document.device, name) if document.device else None
        return found

    return read


def _environment(read: Callable[[Environment], Value | None]) -> Callable[[RunDocument], Value | None]:
    return lambda document: read(document.environment) if document.environment else None


def _host(read: Callable[[Host], Value | None]) -> Callable[[RunDocument], Value | None]:
    return _environment(lambda environment: read(environment.host))


def _quota(host: Host) -> Value | None:
    """A host that is known and has no quota differs from one with a quota."""
    if host.quota_cores is None:
        return "none" if host.cores is not None else None
    return f"{host.quota_cores:g} cores"


def _nodes(host: Host) -> Value | None:
    if host.numa_nodes is None:
        return None
    return f"{', '.join(map(str, host.numa_nodes))} of {host.numa_nodes_online or 'unknown'}"


_FACTS = (
    _Fact("device", _device("name"), of_machine=True),
    _Fact("device memory", _device("memory_bytes"), True, False, units.format_bytes, _SIZE_TOLERANCE_RATIO),
    _Fact("bus width", _device("bus_width_bits"), True, False, "{:g} bit".format),
    _Fact("share of the board", _device("board_share_ratio"), of_machine=True),
    _Fact("nominal memory clock", _device("memory_clock_hz"), True, False, units.format_clock, 0.001),
    _Fact("last-level cache", _device("last_level_cache_bytes"), True, False, units.format_bytes),
    _Fact("compute units", _device("compute_units"), of_machine=True),
    _Fact("PCI device", _device("pci_device_id"), of_machine=True),
    _Fact("ECC", _device("ecc_enabled"), of_machine=True),
    _Fact("power limit", _device("power_limit_watts"), True, False, "{:g} W".format),
    _Fact("PCIe generation", _device("pcie_generation"), of_machine=True),
    _Fact("PCIe lanes", _device("pcie_lanes"), of_machine=True),
    _Fact("NUMA node of the device", _device("numa_node")),
    _Fact("processor", _host(lambda host: host.processor), of_host=True),
    _Fact("cores that may be used", _host(lambda host: host.cores), of_host=True),
    _Fact("cores online", _host(lambda host: host.cores_online)),
    _Fact("quota of processor time", _host(_quota), of_host=True),
    _Fact(
        "host memory",
        _host(lambda host: host.memory_bytes),
        of_host=True,
        show=units.format_bytes,
        tolerance=_SIZE_TOLERANCE_RATIO,
    ),
    _Fact("NUMA nodes that may be used", _host(_nodes), of_host=True),
    _Fact("page size", _host(lambda host: host.page_bytes), of_host=True, show=units.format_bytes),
    _Fact("setting of huge pages", _host(lambda host: host.huge_pages)),
    _Fact("host", _host(lambda host: host.name)),
    _Fact("system", _host(lambda host: host.os)),
    _Fact("kernel", _host(lambda host: host.kernel)),
    _Fact("platform", _device("platform")),
    _Fact("file of the driver", _device("library")),
    _Fact("simulated", _device("simulated"), of_machine=True),
    _Fact("largest group", _device("max_group_size")),
    _Fact("driver", lambda document: document.driver),
    _Fact("runtime", _environment(lambda environment: environment.runtime)),
    _Fact("compiler", _environment(lambda environment: environment.compiler)),
    _Fact("runtime version", _device("runtime_version")),
    _Fact("program", _environment(lambda environment: environment.program_version)),
    _Fact("kernels", _environment(lambda environment: environment.kernel_source_hash[:12])),
)


def changes(a: Sequence[RunDocument], b: Sequence[RunDocument]) -> tuple[Change, ...]:
    """What differs between two sides, or within one of them; labels too."""
    found = [(fact, _distinct(fact, a), _distinct(fact, b)) for fact in _facts((*a, *b))]
    return tuple(
        Change(fact.name, " or ".join(first), " or ".join(second))
        for fact, first, second in found
        if first and second and len(_distinct(fact, (*a, *b))) > 1
    )


def unlike(documents: Sequence[RunDocument]) -> dict[str, list[str]]:
    """In what the runs of one side show that they come from unlike machines; empty if they do not."""
    on_host = any(d.device is not None and profile_of(d.device.kind).is_host_processor for d in documents)
    facts = [fact for fact in _FACTS if fact.of_machine or (fact.of_host and on_host)]
    values = {fact.name: _distinct(fact, documents) for fact in facts}
    return {name: shown for name, shown in values.items() if len(shown) > 1}


class Environments:
    """``changes`` and ``unlike`` of the same runs again and again, as for each point of a curve."""

    def __init__(self) -> None:
        self._changes: dict[tuple[tuple[int, ...], ...], tuple[Change, ...]] = {}
        self._unlike: dict[tuple[int, ...], dict[str, list[str]]] = {}

    def changes(self, a: Sequence[RunDocument], b: Sequence[RunDocument]) -> tuple[Change, ...]:
        key = (tuple(map(id, a)), tuple(map(id, b)))
        if key not in self._changes:
            self._changes[key] = changes(a, b)
        return self._changes[key]

    def unlike(self, documents: Sequence[RunDocument]) -> dict[str, list[str]]:
        key = tuple(map(id, documents))
        if key not in self._unlike:
            self._unlike[key] = unlike(documents)
        return self._unlike[key]


def differing(sides: Sequence[Sequence[RunDocument]]) -> dict[str, tuple[str | None, ...]]:
    """What differs between any of these sides, or within one: by name, a text for each side.

    Null is the text of a side of which it is not known.
    """
    every = [document for side in sides for document in side]
    found: dict[str, tuple[str | None, ...]] = {}
    for fact in _facts(every):
        if len(_distinct(fact, every)) > 1:
            found[fact.name] = tuple(" or ".join(_distinct(fact, side)) or None for side in sides)
    return found


def huge_pages_change(a: Sequence[Measurement], b: Sequence[Measurement]) -> Change | None:
    """If the arrays lay on huge pages to unlike shares."""
    first, second = ([m.huge_page_ratio for m in side if m.huge_page_ratio is not None] for side in (a, b))
    if not first or not second:
        return None
    every = (*first, *second)
    if max(every) - min(every) <= _HUGE_PAGES_TOLERANCE_RATIO:
        return None
    return Change(HUGE_PAGES, percent_range(first), percent_range(second))


def percent_range(ratios: Sequence[float]) -> str:
    """From the lowest to the highest; one percentage if both are shown alike."""
    ends = dict.fromkeys(units.format_percent(ratio) for ratio in (min(ratios), max(ratios)))
    return " to ".join(ends)


def _facts(documents: Sequence[RunDocument]) -> list[_Fact]:
    labels = dict.fromkeys(name for document in documents for name in document.labels)
    return [*_FACTS, *map(_label, labels)]


def _label(name: str) -> _Fact:
    return _Fact(f"label {name}", lambda document: document.labels.get(name))


def _distinct(fact: _Fact, documents: Sequence[RunDocument]) -> list[str]:
    """The different values that are known, as text: numbers in rising order, texts in that of the runs."""
    found = [value for document in documents if (value := fact.of(document)) is not None]
    numbers = sorted(float(v) for v in found if isinstance(v, int | float) and not isinstance(v, bool))
    kept: list[float] = []
    for number in numbers:
        if not kept or number > kept[-1] * (1 + fact.tolerance):
            kept.append(number)
    texts = [_text(value) for value in found if isinstance(value, str | bool)]
    return list(dict.fromkeys([*map(fact.show, kept), *texts]))


def _text(value: str | bool) -> str:
    return value if isinstance(value, str) else ("on" if value else "off")

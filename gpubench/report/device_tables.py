"""Devices and environment of a run, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpubench import units
from gpubench.comparison.environment import percent_range
from gpubench.measure.idle import describe_usage
from gpubench.report.text_table import UNKNOWN, Table, bandwidth_cell, bits_cell, bytes_cell, clean
from gpubench.results.document import RunDocument
from gpubench.results.machine import Clocks, DeviceInfo, Host, IdleGate, Theory

FEW_HUGE_PAGES_RATIO = 0.5


def device_name(document: RunDocument) -> str:
    return clean(document.device.name) if document.device else "unknown device"


def devices(infos: Sequence[DeviceInfo]) -> Table:
    """A row for each; what is not known of any device is left out."""
    columns: dict[str, list[str]] = {
        "device": [clean(info.id) for info in infos],
        "alias": [clean(info.alias) for info in infos],
        "name": [clean(info.name) for info in infos],
        "driver": [clean(info.driver_name) for info in infos],
        "kind": [info.kind for info in infos],
        "memory": [bytes_cell(info.memory_bytes) for info in infos],
        "bus": [bits_cell(info.bus_width_bits) for info in infos],
        "memory clock": [
            units.format_clock(info.memory_clock_hz) if info.memory_clock_hz else UNKNOWN for info in infos
        ],
        "cache": [bytes_cell(info.last_level_cache_bytes) for info in infos],
        "state": [clean(info.unavailable or "ready" + ", a simulator" * info.simulated) for info in infos],
    }
    known = {name: cells for name, cells in columns.items() if set(cells) != {UNKNOWN}}
    return Table("Devices", tuple(known), tuple(zip(*known.values(), strict=True)), len(known))


def device_facts(document: RunDocument, theory: Theory | None) -> Table:
    info = document.device
    facts: list[tuple[str, object]] = []
    if info:
        facts += [
            ("Name", info.name),
            ("Driver", clean(info.driver_name)),
            ("Runtime", f"{info.runtime}, {info.runtime_version or 'version unknown'}"),
            ("Memory", bytes_cell(info.memory_bytes)),
            ("Last-level cache", bytes_cell(info.last_level_cache_bytes)),
            ("ECC", {True: "on", False: "off", None: UNKNOWN}[info.ecc_enabled]),
            ("Power limit", f"{info.power_limit_watts:g} W" if info.power_limit_watts else UNKNOWN),
            ("NUMA node", info.numa_node),
            *(("Note", clean(note)) for note in info.notes),
        ]
    if theory:
        facts += [
            ("Memory technology", theory.technology or theory.family or UNKNOWN),
            ("Data rate", f"{units.format_data_rate(theory.data_rate_bits_per_second)} per pin"),
            ("Bus width", bits_cell(theory.bus_width_bits)),
            (
                "Theoretical peak",
                f"{units.format_bandwidth(theory.peak_bytes_per_second)} ({_source(theory)})",
            ),
            ("Peak at the live clock", bandwidth_cell(theory.live_clock_peak_bytes_per_second)),
            ("Catalogue's peak", bandwidth_cell(theory.catalog_peak_bytes_per_second)),
            ("Data sheet", bandwidth_cell(theory.published_bytes_per_second)),
        ]
    return _facts("Device", facts)


def environment_facts(document: RunDocument) -> Table:
    env, telemetry = document.environment, document.telemetry
    facts: list[tuple[str, object]] = [
        ("Run", document.run_id),
        ("Started", document.started_at or document.created_at),
        ("Outcome", f"{document.outcome}{f' ({document.error.message})' if document.error else ''}"),
    ]
    facts += [(f"Label {name}", value) for name, value in document.labels.items()]
    if env:
        host = env.host
        facts += [
            ("Program", f"gpubench {env.program_version}, kernels {env.kernel_source_hash[:12]}"),
            ("Driver", env.driver or UNKNOWN),
            ("Runtime", env.runtime or UNKNOWN),
            ("Compiler", env.compiler or UNKNOWN),
            ("Host", ", ".join(filter(None, (host.name, host.processor))) or UNKNOWN),
            ("Host's cores", _cores(host)),
            ("Host's memory", bytes_cell(host.memory_bytes)),
            ("NUMA nodes", _numa_nodes(host)),
            ("Pages", _pages(document)),
            ("System", " ".join(part for part in (host.os, host.kernel) if part) or UNKNOWN),
            ("Python", host.python or UNKNOWN),
        ]
    if telemetry.absent:
        facts.append(("Not watched", telemetry.absent))
    if telemetry.others_busy_ratio is not None:
        share = units.format_percent(telemetry.others_busy_ratio)
        facts.append(("Processor time used by others", f"{share}, in the busiest benchmark or part of one"))
    if telemetry.before is not None:
        facts.append(("Before the run", _idle(telemetry.before)))
    return _facts("Environment", facts)


def bus_facts(document: RunDocument) -> Table:
    """How the device is attached, and its clocks around the run."""
    info, env = document.device, document.environment
    facts: list[tuple[str, object]] = []
    if info:
        generation, lanes = info.pcie_generation, info.pcie_lanes
        facts += [
            ("Device id", info.id),
            ("PCI address", info.pci_bus_id),
            ("PCI vendor and device", info.pci_device_id),
            ("PCIe link", f"generation {generation} x {lanes} lanes" if generation and lanes else None),
        ]
    if env:
        facts += [
            ("Kernels, SHA-256", env.kernel_source_hash),
            ("Clocks before the run", _clocks(env.clocks_before)),
            ("Clocks after the run", _clocks(env.clocks_after)),
        ]
    return _facts("Bus and clocks", facts)


def _clocks(clocks: Clocks) -> str | None:
    named = (("memory", clocks.memory_hz), ("compute", clocks.compute_hz))
    return ", ".join(f"{name} {units.format_clock(hertz)}" for name, hertz in named if hertz) or None


def _cores(host: Host) -> str | None:
    if host.cores is None:
        return None
    of = f" of {host.cores_online}" if host.cores_online and host.cores_online != host.cores else ""
    quota = f", with a quota of {host.quota_cores:g}" if host.quota_cores else ""
    return f"{host.cores}{of}{quota}"


def _numa_nodes(host: Host) -> str | None:
    if host.numa_nodes is None or host.numa_nodes_online == 1:
        return None
    return f"{', '.join(map(str, host.numa_nodes))} may be used, of {host.numa_nodes_online or UNKNOWN}"


def _pages(document: RunDocument) -> str | None:
    """How much of the memory truly was on huge pages; the system's setting only permits them."""
    shares = _huge_page_ratios(document)
    if not shares:
        return None
    setting = document.environment.host.huge_pages if document.environment else None
    return f"{percent_range(shares)} of the memory on huge pages (setting: {setting or UNKNOWN})"


def _huge_page_ratios(document: RunDocument) -> list[float]:
    return [m.huge_page_ratio for m in document.measurements if m.huge_page_ratio is not None]


def small_pages_note(document: RunDocument) -> str | None:
    """That most of the memory was on small pages, if it was; null on devices with memory of their own."""
    shares = _huge_page_ratios(document)
    if not shares or min(shares) >= FEW_HUGE_PAGES_RATIO:
        return None
    setting = document.environment.host.huge_pages if document.environment else None
    return (
        f"Only {units.format_percent(min(shares))} of the memory was on huge pages (the system's setting is "
        f"{clean(setting or 'unknown')}): latencies are longer for that, and bandwidths may be lower."
    )


def _idle(before: IdleGate) -> str:
    state = "the device was idle" if before.idle else f"the device was busy: {describe_usage(before.usage)}"
    return f"{state}, after a wait of {units.format_seconds(before.waited_seconds)}"


def _facts(title: str, facts: Iterable[tuple[str, object]]) -> Table:
    rows = tuple((name, clean(value)) for name, value in facts if value not in (None, UNKNOWN))
    return Table(title, ("", ""), rows, 2)


def _source(theory: Theory) -> str:
    return {
        "device": "from the device's clock and bus width",
        "catalog": "from the catalogue",
        "stated": "stated by the user",
    }[theory.source]

"""What decides a figure besides its settings: named if two sides differ in it, refused if one does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gpubench.comparison.compare import compare_runs
from gpubench.comparison.environment import Change, changes, differing, unlike
from gpubench.comparison.verdicts import Verdict
from gpubench.results.document import RunDocument
from gpubench.results.machine import DeviceInfo, Environment, Host
from tests.documents import GIB, document, measurement, processor, rtx_5090

HOST = Host(
    processor="Some Processor",
    cores=8,
    memory_bytes=64 * GIB,
    name="node1",
    kernel="Linux 6.1",
    huge_pages="madvise",
    page_bytes=4096,
    numa_nodes=[0, 1],
    numa_nodes_online=2,
)


def run(
    gb_per_second: float = 100.0,
    *,
    device: DeviceInfo | None = None,
    host: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    pages: float | None = None,
    run_id: str = "r",
    **environment: Any,
) -> RunDocument:
    made = Environment("0.1.0", "a1b2c3", "3.0", "OpenCL 3.0 PoCL 3.0", "PoCL 3.0", host=HOST)
    made = msgspec.structs.replace(made, host=msgspec.structs.replace(HOST, **(host or {})), **environment)
    return document(
        measurement(gb_per_second, huge_page_ratio=pages),
        device=device or processor(),
        environment=made,
        labels=labels or {},
        run_id=run_id,
    )


def side(*gb_per_second: float, **fields: Any) -> list[RunDocument]:
    return [run(gb, run_id=f"r{number}", **fields) for number, gb in enumerate(gb_per_second)]


def verdict(a: list[RunDocument], b: list[RunDocument]) -> Verdict:
    [found] = compare_runs(a, b)
    return found


POCL_7 = "OpenCL 3.0 PoCL 7.1"

UNLIKE: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    ({"host": {"processor": "Another"}}, ("processor", "Some Processor", "Another")),
    ({"host": {"cores": 4}}, ("cores that may be used", "8", "4")),
    ({"host": {"quota_cores": 0.5}}, ("quota of processor time", "none", "0.5 cores")),
    ({"host": {"memory_bytes": 32 * GIB}}, ("host memory", "64 GiB", "32 GiB")),
    ({"host": {"numa_nodes": [0]}}, ("NUMA nodes that may be used", "0, 1 of 2", "0 of 2")),
    ({"host": {"page_bytes": 65536}}, ("page size", "4 KiB", "64 KiB")),
    ({"device": msgspec.structs.replace(processor(), ecc_enabled=True)}, ("ECC", "off", "on")),
]
NAMED: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    ({"host": {"name": "node2"}}, ("host", "node1", "node2")),
    ({"host": {"huge_pages": "never"}}, ("setting of huge pages", "madvise", "never")),
    ({"host": {"kernel": "Linux 6.2"}}, ("kernel", "Linux 6.1", "Linux 6.2")),
    ({"driver": "7.1"}, ("driver", "3.0", "7.1")),
    ({"runtime": POCL_7}, ("runtime", "OpenCL 3.0 PoCL 3.0", POCL_7)),
    ({"compiler": "PoCL 7.1"}, ("compiler", "PoCL 3.0", "PoCL 7.1")),
    ({"program_version": "0.2.0"}, ("program", "0.1.0", "0.2.0")),
    ({"labels": {"rack": "b"}}, ("label rack", "a", "b")),
    ({"pages": 0.0}, ("memory on huge pages", "100.0 %", "0.0 %")),
]


def base(*gb_per_second: float) -> list[RunDocument]:
    off = msgspec.structs.replace(processor(), ecc_enabled=False)
    return side(*gb_per_second, labels={"rack": "a"}, pages=1.0, device=off)


def changed(*gb_per_second: float, **fields: Any) -> list[RunDocument]:
    off = msgspec.structs.replace(processor(), ecc_enabled=False)
    return side(*gb_per_second, **{"labels": {"rack": "a"}, "pages": 1.0, "device": off, **fields})


@pytest.mark.parametrize(("fields", "change"), [*UNLIKE, *NAMED])
def test_what_differs_between_two_sides_is_named(
    fields: dict[str, Any], change: tuple[str, str, str]
) -> None:
    """And does not prevent a verdict: two machines may be compared."""
    found = verdict(base(*[100] * 5), changed(*[90] * 5, **fields))
    assert found.verdict == "SLOWER"
    assert found.changes == (Change(*change),)


@pytest.mark.parametrize(("fields", "change"), UNLIKE)
def test_a_side_of_unlike_machines_gets_no_verdict(
    fields: dict[str, Any], change: tuple[str, str, str]
) -> None:
    name, first, second = change
    mixed = [*base(*[100] * 5), *changed(100, **fields)]
    for found in (verdict(mixed, base(*[90] * 5)), verdict(base(*[90] * 5), mixed)):
        assert (found.verdict, found.reason_code, found.ratio) == ("NOT COMPARABLE", "machines_differ", None)
        values = sorted([first, second]) if name == "host memory" else [first, second]
        assert name in found.reason
        assert all(value in found.reason for value in values)


@pytest.mark.parametrize(("fields", "change"), NAMED)
def test_a_side_of_one_machine_may_have_changed(fields: dict[str, Any], change: tuple[str, str, str]) -> None:
    name, first, second = change
    mixed = [*base(*[100] * 5), *changed(100, **fields)]
    found = verdict(mixed, base(*[90] * 5))
    assert found.verdict == "SLOWER"
    [one] = found.changes
    assert (one.name, one.second) == (name, first)
    assert first in one.first
    assert second in one.first


NOT_COMPARED = {
    "DeviceInfo": {
        "id": "names the device",
        "alias": "names the device",
        "hardware_id": "names the device",
        "pci_bus_id": "names the device",
        "unavailable": "such a device measures nothing",
        "runtime": "a setting, which must be equal",
        "kind": "follows from the name",
        "vendor": "follows from the name",
        "compute_capability": "follows from the name",
        "integrated": "follows from the name",
        "has_double": "follows from the name",
        "memory_used_bytes": "differs from minute to minute",
        "max_allocation_bytes": "follows from what is free",
        "driver": "taken from the environment",
        "notes": "sentences on other facts",
    },
    "Environment": {
        "clocks_before": "differ from run to run; flags say if they were low",
        "clocks_after": "differ from run to run; flags say if they were low",
        "host": "its own fields are compared",
        "notes": "they say how the run went, which decides no figure",
    },
    "Host": {
        "python": "no kernel runs in it",
        "memory_limit_bytes": "part of memory_bytes",
        "numa_nodes_online": "shown with the usable nodes",
    },
}
"""Why a field of the machine is not compared: every other one is."""


@pytest.mark.parametrize(
    ("struct", "name"),
    [
        (struct, field.name)
        for struct in (DeviceInfo, Environment, Host)
        for field in msgspec.structs.fields(struct)
    ],
)
def test_every_recorded_fact_is_compared_or_has_a_reason_not_to(
    struct: type[msgspec.Struct], name: str
) -> None:
    """A field that is added to the document and forgotten here would change figures without a word."""
    if name in NOT_COMPARED[struct.__name__]:
        return
    first, second = (_with(struct, {name: _value(struct, name, number)}) for number in (1, 2))
    assert changes([first], [second]), f"{struct.__name__}.{name} is neither compared nor in NOT_COMPARED"


def _value(struct: type[msgspec.Struct], name: str, number: int) -> Any:
    if name in ("numa_nodes", "ecc_enabled"):
        return {"numa_nodes": [number], "ecc_enabled": number == 1}[name]
    [annotation] = [field.type for field in msgspec.structs.fields(struct) if field.name == name]
    return f"text {number}" if "str" in str(annotation) else number << 30


def _with(struct: type[msgspec.Struct], values: dict[str, Any]) -> RunDocument:
    if struct is DeviceInfo:
        return run(device=msgspec.structs.replace(processor(), **values))
    return run(host=values) if struct is Host else run(**values)


def test_reasons_are_of_fields_that_there_are() -> None:
    for struct in (DeviceInfo, Environment, Host):
        names = {field.name for field in msgspec.structs.fields(struct)}
        assert set(NOT_COMPARED[struct.__name__]) <= names


def test_a_gpu_does_not_depend_on_the_hosts_cores() -> None:
    """Twins in unlike hosts are one kind of device; the hosts are still named."""
    gpus = [*side(1500, 1500, device=rtx_5090()), *side(1500, device=rtx_5090(), host={"cores": 4})]
    assert unlike(gpus) == {}
    assert changes(gpus[:2], gpus[2:]) == (Change("cores that may be used", "8", "4"),)


def test_equal_machines_differ_a_little_in_memory() -> None:
    twins = side(100) + side(100, host={"memory_bytes": 64 * GIB - (100 << 20)})
    assert unlike(twins) == {}
    assert changes(twins[:1], twins[1:]) == ()
    assert differing([twins[:1], twins[1:]]) == {}


def test_what_is_not_recorded_is_no_difference() -> None:
    older = side(100, host=dict.fromkeys(HOST.__struct_fields__), runtime=None, compiler=None, driver=None)
    assert changes(side(100), older) == ()
    mixed = [*side(100), *side(100, driver="7.1")]
    assert changes(mixed, older) == ()
    bare = RunDocument(run_id="r", outcome="failed", created_at="")
    assert changes([bare], side(100)) == ()
    assert unlike([bare, *side(100)]) == {}


def test_all_sides_are_shown_where_any_differ() -> None:
    sides = [side(100), side(100, host={"name": "node2"}), [], side(100, 100)]
    assert differing(sides) == {"host": ("node1", "node2", None, "node1")}


def test_a_few_small_pages_are_no_difference() -> None:
    assert verdict(side(100, pages=1.0), side(100, pages=0.93)).changes == ()
    assert verdict(side(100, pages=1.0), side(100, pages=None)).changes == ()

"""Drivers that crash, hang, answer nonsense or are not there take no other driver with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpubench_client.local import LocalClient

from gpubench.devices.selection import choose
from gpubench.errors import NoSuchDevice
from gpubench.executor.messages import Probed
from gpubench.executor.probe import devices_of, probe, workers_for
from gpubench.results.machine import DriverStatus
from tests.cli.command import QUICK, gpubench
from tests.devices.conftest import Falsify
from tests.devices.falsifier import CPU, GPU, STAGES, hexadecimal
from tests.running import RunningServer, quick

POCL = "opencl:pocl:0"


def state_of(probed: Probed, name: str) -> DriverStatus:
    [found] = [
        driver for each in probed.runtimes for driver in each.drivers if Path(driver.source).name == name
    ]
    return found


def ids(probed: Probed) -> list[str]:
    return sorted(device.id for device in probed.devices)


@pytest.mark.parametrize("stage", STAGES)
def test_a_driver_that_crashes_is_named_and_the_others_are_kept(falsify: Falsify, stage: str) -> None:
    falsify(crash=stage)
    probed = probe(["opencl"])
    assert ids(probed) == [POCL]
    assert probed.failed == []
    culprit = state_of(probed, "false.icd")
    assert (culprit.state, "SIGSEGV" in (culprit.reason or "")) == ("lost", True)
    assert state_of(probed, "pocl.icd").state == "ready"


@pytest.mark.timing
@pytest.mark.parametrize("stage", ["load", "device_info"])
def test_a_driver_that_hangs_is_named_and_the_others_are_kept(falsify: Falsify, stage: str) -> None:
    falsify(hang=stage)
    probed = probe(["opencl"], 6)
    assert ids(probed) == [POCL]
    culprit = state_of(probed, "false.icd")
    assert (culprit.state, "longer than 6 s" in (culprit.reason or "")) == ("lost", True)


def test_a_driver_that_was_lost_is_not_waited_for_again(falsify: Falsify, false_driver: Path) -> None:
    falsify(hang="load")
    known = DriverStatus("false.icd", str(false_driver), "lost", "it hung")
    with workers_for(["opencl"]) as workers:
        probed = devices_of(workers, 20, [known])
        assert list(workers) == ["opencl"]  # its first answer came in time
    assert ids(probed) == [POCL]
    assert state_of(probed, "false.icd") == known


@pytest.mark.parametrize("stage", STAGES[1:])
def test_an_error_is_the_reason_why_a_driver_is_not_ready(falsify: Falsify, stage: str) -> None:
    falsify(error=stage)
    probed = probe(["opencl"])
    assert ids(probed) == [POCL]
    culprit = state_of(probed, "false.icd")
    assert culprit.state == "failed"
    assert "-6" in (culprit.reason or "") or "OUT_OF_HOST_MEMORY" in (culprit.reason or "")


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"platform_name": hexadecimal(b"\xc3(")}, "not UTF-8"),
        ({"platform_version": hexadecimal(b"\xff")}, "not UTF-8"),
        ({"extensions": "0"}, "loader does not list"),
    ],
)
def test_nonsense_is_the_reason_why_a_driver_is_not_ready(
    falsify: Falsify, faults: dict[str, str], said: str
) -> None:
    falsify(**faults)
    probed = probe(["opencl"])
    assert ids(probed) == [POCL]
    assert state_of(probed, "false.icd").state == "failed"
    assert said in (state_of(probed, "false.icd").reason or "")


def test_a_hostile_name_is_a_name_on_one_line(falsify: Falsify) -> None:
    falsify(
        device_name=hexadecimal("\x1b[2J\n" + "x" * 4000), platform_name=hexadecimal("\x1b]0;a\n"), type="4"
    )
    probed = probe(["opencl"])
    [device] = [device for device in probed.devices if device.id != POCL]
    assert device.name.isprintable()
    assert len(device.name) <= 200
    assert (device.platform or "").isprintable()
    assert device.id == "opencl:false:0"


def test_drivers_that_do_not_load_are_listed_with_their_reason(falsify: Falsify) -> None:
    falsify(
        files={
            "gone.icd": "/nonexistent/libgone.so\n",
            "empty.icd": "",
            "math.icd": "libm.so.6\n",
            "blob.icd": "\x00\x01\n",
        }
    )
    done = gpubench("devices", "--runtime=opencl")
    assert done.returncode == 1
    assert POCL in done.stdout
    for name, reason in {
        "gone.icd": "No such file or directory",
        "empty.icd": "names no library",
        "math.icd": "no OpenCL driver",
        "blob.icd": "names no library",
    }.items():
        [line] = [line for line in done.stderr.splitlines() if line.startswith("opencl") and name in line]
        assert reason in line
    assert "false.icd" not in done.stderr


@pytest.mark.parametrize("fault", ["devices", "platforms"])
def test_a_driver_without_devices_is_listed_and_is_no_fault(falsify: Falsify, fault: str) -> None:
    falsify(**{fault: "0"})
    done = gpubench("devices", "--runtime=opencl")
    assert done.returncode == 0
    [line] = [line for line in done.stderr.splitlines() if "false.icd" in line]
    assert "finds no device" in line


def test_nothing_to_measure_is_a_failure(falsify: Falsify) -> None:
    falsify(alone=True, devices="0")
    done = gpubench("devices", "--runtime=opencl")
    assert done.returncode == 1
    assert "no OpenCL driver here has a device (1 installed)" in done.stderr
    assert "no device can be measured" in done.stderr


def test_a_run_goes_on_without_the_driver_that_crashes(falsify: Falsify) -> None:
    falsify(crash="platforms")
    done = gpubench("run", "read", "--runtime=opencl", *QUICK)
    assert done.returncode == 0, done.stderr
    assert f"{POCL}, " in done.stdout


def test_a_server_runs_without_the_driver_that_crashes(falsify: Falsify, tmp_path: Path) -> None:
    """Its workers, which look for nothing, load the driver of their device alone."""
    falsify(crash="platforms")
    with RunningServer(tmp_path / "data") as server:
        assert server.run_ok(quick("read"))["device"]["id"] == POCL
        assert any("false.icd" in line and "SIGSEGV" in line for line in server.log)


def test_an_id_belongs_to_its_driver_whatever_else_is_installed(
    falsify: Falsify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here to one that has the same name as PoCL's, and comes before it."""
    falsify(platform_name=hexadecimal("Portable Computing Language"))
    libraries = {device.id: device.library for device in probe(["opencl"]).devices}
    monkeypatch.delenv("OCL_ICD_VENDORS")
    without = {device.id: device.library for device in probe(["opencl"]).devices}
    assert libraries.items() > without.items()
    assert set(libraries) == {POCL, "opencl:false-system:0"}


def test_an_id_means_the_same_to_a_worker_that_loads_one_driver(falsify: Falsify) -> None:
    falsify()
    document = LocalClient("opencl").run(
        [{"name": "read", "parameters": {"footprint_bytes": 1 << 20, "time_limit_seconds": 0.05}}],  # type: ignore[list-item]
        device="opencl:false:0",
    )
    assert document.device.platform == "Falsifier"


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (
            {
                "platform_name": hexadecimal("Portable Computing Language"),
                "driver_version": hexadecimal("7.1"),
            },
            True,
        ),
        (
            {
                "platform_name": hexadecimal("Portable Computing Language"),
                "driver_version": hexadecimal("2.0"),
            },
            False,
        ),
        ({"platform_name": hexadecimal("Intel(R) OpenCL")}, False),
        ({}, False),
        ({"platform_name": hexadecimal("Oclgrind"), "type": str(CPU | GPU)}, False),
        ({"platform_name": hexadecimal("Oclgrind"), "type": str(GPU)}, False),
    ],
    ids=["a newer PoCL", "an older PoCL", "Intel's", "an unknown one", "a simulator", "a simulator of a GPU"],
)
def test_of_several_views_of_a_processor_one_is_preferred(
    falsify: Falsify, faults: dict[str, str], expected: bool
) -> None:
    """Its file's name comes before PoCL's."""
    falsify(**faults)
    probed = probe(["opencl"])
    assert len(probed.devices) == 2
    assert (choose(probed.devices).id != POCL) == expected


def test_a_simulator_is_taken_only_by_its_name(falsify: Falsify) -> None:
    falsify(alone=True, platform_name=hexadecimal("Oclgrind"))
    [device] = probe(["opencl"]).devices
    with pytest.raises(NoSuchDevice, match="only simulators"):
        choose([device])
    assert choose([device], device.id) == device
    assert choose([device], device.alias) == device


def test_the_preference_and_the_drivers_are_printed(falsify: Falsify) -> None:
    """The preference is printed and rows show whose driver it is."""
    falsify()
    done = gpubench("devices", "--runtime=opencl")
    assert f"default device: {POCL}" in done.stderr
    assert "of two versions the newer" in done.stderr
    assert "PoCL 3.0" in done.stdout
    assert "Falsifier" in done.stdout

"""Telemetry on an NVML that answers as cards do: all of it, some of it, or nothing."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from gpubench.devices import host
from gpubench.devices.telemetry import Nvml, NvmlWatch
from gpubench.results.machine import Clocks, Telemetry, TelemetrySample, Usage
from tests.running import PATIENCE_SECONDS

IDLE, POWER, SLOWDOWN, THERMAL = 0x1, 0x4, 0x8, 0x40


class NotSupported(Exception):
    """As NVML's errors: no class that a module without NVML could name."""


class FakeNvml(SimpleNamespace):
    """The calls that are in ``answers``; everything else is not supported. Constants are nvml.h's."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0
    nvmlClocksEventReasonGpuIdle = IDLE  # noqa: N815
    nvmlClocksEventReasonSwPowerCap = POWER  # noqa: N815
    nvmlClocksThrottleReasonHwSlowdown = SLOWDOWN  # noqa: N815
    nvmlClocksThrottleReasonHwThermalSlowdown = THERMAL  # noqa: N815

    def __init__(self, **answers: Any) -> None:
        super().__init__(answers={"Init": None, "DeviceGetHandleByPciBusId": "handle", **answers})

    def __getattr__(self, name: str) -> Any:
        if not name.startswith(("nvmlInit", "nvmlDevice", "nvmlSystem")):
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            answer = self.answers.get(name.removeprefix("nvml"), NotSupported("Not Supported"))
            if isinstance(answer, Exception):
                raise answer
            return answer(*arguments) if callable(answer) else answer

        return call


class Asked(Nvml):
    """Keeps the names of what it is asked for, of which it has nothing."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self._part = False

    def _ask(self, function: str, *arguments: int, of_device: bool = True) -> None:
        self.functions.append(function)

    def _constant(self, name: str) -> int:
        return 0


def look_at_all(nvml: Nvml) -> None:
    """All that is asked anywhere."""
    for name, method in vars(Nvml).items():
        if not name.startswith("_") and name not in ("sample", "others_busy_ratio"):
            method(nvml)
    nvml.sample(0.0)
    nvml.others_busy_ratio(0)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answering(**answers: Any) -> Looked:
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(**answers))
        return Looked("00000000:3b:00.0")

    return answering


class Looked(Nvml):
    """Knows how often it was looked at."""

    def __init__(self, pci_bus_id: str) -> None:
        super().__init__(pci_bus_id)
        self.looks = threading.Semaphore(0)

    def sample(self, seconds: float) -> TelemetrySample | None:
        try:
            return super().sample(seconds)
        finally:
            self.looks.release()


def watch(nvml: Looked) -> Telemetry:
    """From before the first look until after the second one."""
    watching = NvmlWatch(nvml)
    for _ in range(0 if nvml.absent else 2):
        assert nvml.looks.acquire(timeout=PATIENCE_SECONDS)
    return watching.stop()


def test_all_that_a_card_tells(nvml: Any) -> None:
    telemetry = watch(
        nvml(
            DeviceGetClockInfo=lambda handle, domain: {1: 1980, 2: 3201}[domain],
            DeviceGetPowerUsage=412_500,
            DeviceGetTemperatureV=41,
            DeviceGetCurrentClocksEventReasons=POWER | THERMAL | SLOWDOWN,
            DeviceGetComputeRunningProcesses=[SimpleNamespace(pid=7), SimpleNamespace(pid=8)],
            DeviceGetTotalEccErrors=lambda handle, kind, since: 3,
        )
    )
    look = telemetry.samples[0]
    assert len(telemetry.samples) >= 2
    assert (look.memory_clock_hz, look.compute_clock_hz) == (3_201_000_000, 1_980_000_000)
    assert (look.power_watts, look.temperature_celsius) == (412.5, 41)
    assert look.limits == ["hardware_slowdown", "power", "thermal"]
    assert telemetry.other_processes == 1
    assert telemetry.ecc_errors_uncorrected == 3
    assert telemetry.energy_joules is None
    assert telemetry.absent is None


def test_what_a_card_does_not_tell_is_null(nvml: Any) -> None:
    silent = nvml()
    assert silent.clocks() == Clocks()
    telemetry = watch(silent)
    assert all(look.power_watts is None and look.memory_clock_hz is None for look in telemetry.samples)
    assert (telemetry.other_processes, telemetry.ecc_errors_uncorrected, telemetry.absent) == (
        None,
        None,
        None,
    )
    assert (silent.driver(), silent.memory_used_bytes(), silent.bus_width_bits()) == (None, None, None)


def test_the_power_limit_is_the_enforced_one(nvml: Any) -> None:
    assert nvml(DeviceGetEnforcedPowerLimit=575_000).power_limit_watts() == 575.0
    assert nvml().power_limit_watts() is None


def test_names_of_older_drivers(nvml: Any) -> None:
    look = nvml(DeviceGetCurrentClocksThrottleReasons=POWER, DeviceGetTemperature=50).sample(0.0)
    assert look.limits == ["power"]
    assert look.temperature_celsius == 50


def test_a_clock_of_0_is_not_known(nvml: Any) -> None:
    assert nvml(DeviceGetClockInfo=0).clocks() == Clocks()


def test_confidential_computing_is_seen(nvml: Any) -> None:
    assert nvml(SystemGetConfComputeState=SimpleNamespace(ccFeature=1)).is_confidential()
    assert not nvml(SystemGetConfComputeState=SimpleNamespace(ccFeature=0)).is_confidential()
    assert not nvml().is_confidential()


def test_an_idle_gpu_says_nothing_of_a_measurement(nvml: Any) -> None:
    assert watch(nvml(DeviceGetCurrentClocksEventReasons=IDLE)).samples == []


def test_a_list_without_us_says_nothing_of_others(nvml: Any) -> None:
    assert nvml(DeviceGetComputeRunningProcesses=[]).other_processes() is None
    assert nvml(DeviceGetComputeRunningProcesses=[SimpleNamespace(pid=1)]).other_processes() == 0


def test_who_else_uses_a_gpu(nvml: Any) -> None:
    asked = nvml(
        DeviceGetUtilizationRates=SimpleNamespace(gpu=37, memory=5),
        DeviceGetComputeRunningProcesses=[SimpleNamespace(pid=1), SimpleNamespace(pid=2)],
    )
    assert asked.usage() == Usage(kernels_busy_ratio=0.37, other_processes=1, memory_busy_ratio=0.05)
    assert nvml().usage() == Usage()
    # Its utilisation is of a second in which we worked ourselves.
    assert asked.usage(idle_seconds=0.9) == Usage(kernels_busy_ratio=None, other_processes=1)
    assert asked.usage(idle_seconds=1.0).kernels_busy_ratio == 0.37


def test_other_programs_are_named_by_their_file_alone(nvml: Any) -> None:
    names = {7: b"/usr/bin/gnome-shell --wayland", 8: "/opt/some game/game", 9: b"[Not Found]"}

    def programs(*pids: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in pids]

    found = nvml(
        DeviceGetComputeRunningProcesses=programs(os.getpid(), 8),
        DeviceGetGraphicsRunningProcesses=programs(7, 8, 9, 10),
        SystemGetProcessName=lambda pid: names[pid],
    )
    assert found.processes() == [
        "gnome-shell (process 7)",
        "game (process 8)",
        "[Not Found] (process 9)",
        "unknown (process 10)",
    ]
    assert found.other_processes() == 1  # those that draw do not compute
    # In a container with process ids of its own we cannot tell which one is this program.
    assert nvml(DeviceGetComputeRunningProcesses=programs(1, 8)).processes() == []


def test_what_others_used_meanwhile_is_the_busiest_one(nvml: Any) -> None:
    def rate(pid: int, sm: int, memory: int) -> SimpleNamespace:
        return SimpleNamespace(pid=pid, smUtil=sm, memUtil=memory)

    since: list[int] = []
    rates = [rate(os.getpid(), 97, 80), rate(7, 3, 12), rate(8, 5, 1)]
    found = nvml(DeviceGetProcessUtilization=lambda handle, begin: since.append(begin) or rates)
    assert watch(found).others_device_busy_ratio == 0.12
    assert 0 <= time.time() - since[0] / 1e6 < PATIENCE_SECONDS
    assert nvml(DeviceGetProcessUtilization=[rate(7, 3, 12)]).others_busy_ratio(0) is None
    assert nvml().others_busy_ratio(0) is None


def test_without_nvml_the_reason_is_told(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch(nvml(Init=NotSupported("Driver Not Loaded"))).absent == "NVML: Driver Not Loaded"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py is not installed" in (watch(Looked("00000000:3b:00.0")).absent or "")


def test_the_names_are_those_of_the_real_module() -> None:
    pynvml = importlib.import_module("pynvml")
    for name in vars(FakeNvml):
        if name.startswith(("nvmlClocks", "NVML_")):
            assert getattr(pynvml, name) == getattr(FakeNvml, name)
    asked = Asked()
    look_at_all(asked)
    assert len(asked.functions) > 15
    assert [name for name in asked.functions if not hasattr(pynvml, name)] == []


def test_the_link_is_what_card_and_slot_allow(nvml: Any) -> None:
    assert nvml(DeviceGetMaxPcieLinkGeneration=5, DeviceGetMaxPcieLinkWidth=16).pcie_link() == (5, 16)
    assert nvml().pcie_link() == (None, None)
    assert nvml(DeviceGetMaxPcieLinkGeneration=0, DeviceGetMaxPcieLinkWidth=8).pcie_link() == (None, 8)


@pytest.mark.parametrize(
    ("current", "link"), [(1, (4, 16)), (5, (5, 16))], ids=["idle", "in a virtual machine's slot"]
)
def test_a_link_that_runs_faster_than_its_slot_is_believed(
    nvml: Any, current: int, link: tuple[int, int]
) -> None:
    told = {"DeviceGetMaxPcieLinkGeneration": 4, "DeviceGetCurrPcieLinkGeneration": current}
    assert nvml(**told, DeviceGetMaxPcieLinkWidth=16, DeviceGetCurrPcieLinkWidth=8).pcie_link() == link


@pytest.mark.parametrize(("enabled", "link"), [(1, (None, None)), (0, (5, 16))])
def test_the_way_to_the_host_may_be_no_pcie_link(
    nvml: Any, enabled: int, link: tuple[int | None, int | None]
) -> None:
    told = nvml(
        DeviceGetC2cModeInfoV=SimpleNamespace(isC2cEnabled=enabled),
        DeviceGetMaxPcieLinkGeneration=5,
        DeviceGetMaxPcieLinkWidth=16,
    )
    assert told.pcie_link() == link


def test_the_pci_id_is_vendor_and_device(nvml: Any) -> None:
    told = nvml(DeviceGetPciInfo=SimpleNamespace(pciDeviceId=0x2B8510DE))
    assert told.pci_device_id() == "10de:2b85"
    assert nvml().pci_device_id() is None


WHOLE = {
    "DeviceGetPowerUsage": 300_000,
    "DeviceGetTotalEnergyConsumption": 1_000,
    "DeviceGetUtilizationRates": SimpleNamespace(gpu=90, memory=50),
    "DeviceGetComputeRunningProcesses": [SimpleNamespace(pid=7), SimpleNamespace(pid=8)],
    "DeviceGetMemoryInfo": SimpleNamespace(used=70 << 30, total=80 << 30),
    "DeviceGetTotalEccErrors": lambda handle, kind, since: 3,
    "DeviceGetClockInfo": 2619,
    "DeviceGetTemperatureV": 41,
}


def test_a_part_of_a_gpu_is_not_told_what_the_whole_board_does(nvml: Any) -> None:
    """Power, energy, use and programs are those of its neighbours as well; the memory clock is theirs too."""
    nvml(**WHOLE)
    board, part = (Nvml("00000000:3b:00.0", part=each) for each in (False, True))
    assert (board.memory_used_bytes(), board.energy_joules(), board.other_processes()) == (70 << 30, 1.0, 1)
    assert (part.memory_used_bytes(), part.energy_joules(), part.other_processes()) == (None, None, None)
    assert part.ecc_errors_uncorrected() is None
    assert part.usage() == Usage()
    look = part.sample(0.0)
    assert look and (look.power_watts, look.memory_clock_hz, look.temperature_celsius) == (
        None,
        2_619_000_000,
        41,
    )
    assert part.board_memory_bytes() == board.board_memory_bytes() == 80 << 30


def test_under_mps_its_server_is_no_other_program(nvml: Any) -> None:
    names = {1: b"nvidia-cuda-mps-server", 7: b"python3", 8: b"trainer"}

    def programs(*pids: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in pids]

    merged = nvml(
        DeviceGetComputeRunningProcesses=programs(1),
        DeviceGetMPSComputeRunningProcesses=programs(os.getpid(), 8),
        SystemGetProcessName=lambda pid: names.get(pid, b"python3"),
    )
    assert merged.uses_mps()
    assert merged.other_processes() == 1
    assert merged.processes() == ["trainer (process 8)"]
    assert not nvml(DeviceGetComputeRunningProcesses=programs(7), SystemGetProcessName=b"python3").uses_mps()


def test_a_jetson_without_nvml_is_told_from_a_broken_driver(
    nvml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "is_jetson", lambda: True)
    assert "JetPack 7" in (nvml(Init=NotSupported("NVML Shared Library Not Found")).absent or "")
    monkeypatch.setattr(host, "is_jetson", lambda: False)
    assert nvml(Init=NotSupported("Not Found")).absent == "NVML: Not Found"

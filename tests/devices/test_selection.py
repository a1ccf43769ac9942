import msgspec
import pytest

from gpubench.devices.selection import choose
from gpubench.errors import NoSuchDevice
from gpubench.results.machine import DeviceInfo, RuntimeStatus

CPU = DeviceInfo(
    "opencl:pocl:0", "opencl-cpu0", "opencl", "cpu", "EPYC", "host", driver="3.0", platform="PoCL"
)
OTHER_CPU_VIEW = msgspec.structs.replace(CPU, id="opencl:intel-cpu:0", platform="Intel")
NEWER_POCL = msgspec.structs.replace(CPU, id="opencl:pocl-system:0", driver="7.1")
SIMULATOR = msgspec.structs.replace(CPU, id="opencl:oclgrind:0", platform="Oclgrind", simulated=True)
GPU = DeviceInfo("cuda:GPU-1", "gpu0", "cuda", "gpu", "H200", "0000:01:00.0")
GPU_BY_OPENCL = DeviceInfo("opencl:nvidia:0", "opencl-gpu0", "opencl", "gpu", "H200", "0000:01:00.0")
SECOND_GPU = DeviceInfo("cuda:GPU-2", "gpu1", "cuda", "gpu", "H200", "0000:02:00.0")
BROKEN_GPU = msgspec.structs.replace(SECOND_GPU, unavailable="fell off the bus")


@pytest.mark.parametrize(
    ("devices", "wanted", "expected"),
    [
        ([CPU], None, CPU),
        ([CPU, OTHER_CPU_VIEW], None, CPU),
        ([OTHER_CPU_VIEW, CPU], None, CPU),
        ([CPU, OTHER_CPU_VIEW], "opencl-cpu0", CPU),
        ([CPU, OTHER_CPU_VIEW], OTHER_CPU_VIEW.id, OTHER_CPU_VIEW),
        ([CPU, NEWER_POCL], None, NEWER_POCL),
        ([SIMULATOR, CPU], None, CPU),
        ([SIMULATOR, CPU], "opencl-cpu0", CPU),
        (
            [msgspec.structs.replace(CPU, unavailable="no linker"), OTHER_CPU_VIEW],
            "opencl-cpu0",
            OTHER_CPU_VIEW,
        ),
        ([CPU, GPU], None, GPU),
        ([GPU, CPU, GPU_BY_OPENCL], None, GPU),
        ([BROKEN_GPU, GPU], None, GPU),
        ([BROKEN_GPU, CPU], None, CPU),
        ([GPU, GPU_BY_OPENCL], "opencl:nvidia:0", GPU_BY_OPENCL),
        ([GPU, SECOND_GPU], "gpu1", SECOND_GPU),
        ([GPU, msgspec.structs.replace(CPU, alias="cuda:GPU-1")], "cuda:GPU-1", GPU),
    ],
)
def test_the_device_that_is_meant(
    devices: list[DeviceInfo], wanted: str | None, expected: DeviceInfo
) -> None:
    assert choose(devices, wanted) == expected


@pytest.mark.parametrize(
    ("devices", "wanted", "said"),
    [
        ([GPU, SECOND_GPU, CPU], None, "several devices, name one; allowed: cuda:GPU-1 .*cuda:GPU-2"),
        (
            [GPU, CPU],
            "nope",
            r"no device 'nope'; allowed: cuda:GPU-1 \(gpu0: H200, NVIDIA\); opencl:pocl:0 .*PoCL 3.0",
        ),
        ([BROKEN_GPU], "gpu1", "fell off the bus"),
        ([BROKEN_GPU], None, "no device to measure.*fell off the bus"),
        ([GPU, msgspec.structs.replace(SECOND_GPU, alias="gpu0")], "gpu0", "allowed: cuda:GPU-1"),
        ([SIMULATOR], None, "only simulators are here, name one"),
        ([], None, "opencl: no platform"),
        ([], "gpu0", "opencl: no platform"),
    ],
)
def test_who_means_no_device_is_told_which_there_are(
    devices: list[DeviceInfo], wanted: str | None, said: str
) -> None:
    runtimes = [RuntimeStatus("opencl", available=False, reason="no platform")]
    with pytest.raises(NoSuchDevice, match=said) as caught:
        choose(devices, wanted, runtimes)
    assert caught.value.details["devices"] == [device.id for device in devices]

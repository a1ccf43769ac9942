"""What depends on the kind of a device is decided in one place."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

import gpubench
from gpubench.devices.profile import PROFILES, Kind, profile_for, profile_of
from gpubench.results.machine import DeviceInfo

SETS_THE_KIND = {
    "devices/profile.py",
    "devices/cuda/info.py",
    "devices/opencl/info.py",
    "results/machine.py",
    "catalog/theory.py",  # below the devices; no board of the catalogue is a processor
}
OTHER_MEANINGS = {
    "catalog/lookup.py",  # a word of board names
    "devices/control_group.py",  # a controller of control groups
    "devices/host.py",  # a line of /proc/stat
}


def test_every_kind_has_a_profile() -> None:
    assert get_args(Kind) == get_args(get_type_hints(DeviceInfo)["kind"])
    assert set(PROFILES) == set(get_args(Kind))


def test_no_other_module_decides_by_kind() -> None:
    """A module that names a kind compares with it, or has a table of its own."""
    root = Path(gpubench.__file__).parent
    naming = set()
    for path in root.rglob("*.py"):
        words = [
            node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
        ]
        if set(get_args(Kind)) & {word for word in words if isinstance(word, str)}:
            naming.add(str(path.relative_to(root)))
    assert naming - OTHER_MEANINGS == SETS_THE_KIND


def test_an_integrated_gpu_uses_memory_as_a_processor_does() -> None:
    """An integrated gpu uses as much of the hosts memory as a processor."""
    gpu = DeviceInfo("cuda:0", "gpu0", "cuda", "gpu", "NVIDIA GB10", "0000:01:00.0", integrated=True)
    own, processor = profile_for(gpu), profile_of("cpu")
    assert own.memory_share_ratio == processor.memory_share_ratio
    assert own.max_default_memory_bytes == processor.max_default_memory_bytes
    discrete = msgspec.structs.replace(gpu, integrated=False)
    assert profile_for(discrete) == profile_of("gpu")


def test_in_wsl_windows_keeps_a_part_of_a_gpus_memory() -> None:
    gpu = DeviceInfo("cuda:0", "gpu0", "cuda", "gpu", "NVIDIA GeForce RTX 4090", "0000:01:00.0")
    profile = profile_for(gpu, under_windows=True)
    assert (profile.memory_share_ratio, profile.max_memory_share_ratio) == (0.75, 0.75)
    host = msgspec.structs.replace(gpu, kind="cpu")
    assert profile_for(host, under_windows=True) == profile_of("cpu")

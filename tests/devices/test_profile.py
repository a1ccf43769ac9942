"""What depends on the kind of a device is decided in one place."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args, get_type_hints

import gpubench
from gpubench.devices.profile import PROFILES, Kind
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

"""Access shapes: which ones are tried on a device, and the geometry of one over an array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from gpubench.devices.profile import MAX_GROUPS, UntunedShape, profile_of
from gpubench.errors import InvalidParameters
from gpubench.kernels.programs import ELEMENT_BYTES
from gpubench.results.document import Shape
from gpubench.results.machine import DeviceInfo

Access = Literal["read", "write", "copy", "mix"]

MAX_LANES = 16
"""OpenCL has vectors of up to 16 elements."""

_TILES_PER_UNIT = 8
"""Groups for each compute unit in an order in which each group has a tile: enough to end together."""

# (vector_bytes, unroll, group_size, order, streaming_stores, groups for each compute unit or None)
_Row = tuple[int, int, int, Literal["tile", "halves", "grid"], bool, int | None]
_Table = dict[Access, tuple[_Row, ...]]

# On a processor a group is one item, which goes through a tile of its own.
_STORING: tuple[_Row, ...] = (
    (32, 8, 1, "tile", True, _TILES_PER_UNIT),
    (64, 4, 1, "tile", True, _TILES_PER_UNIT),
    (64, 4, 1, "tile", False, _TILES_PER_UNIT),
    (32, 8, 1, "halves", True, _TILES_PER_UNIT),
    (32, 16, 1, "halves", True, _TILES_PER_UNIT),
    (64, 8, 1, "halves", True, _TILES_PER_UNIT),
)
_PROCESSOR: _Table = {
    "read": (
        (32, 8, 1, "tile", False, _TILES_PER_UNIT),
        (64, 8, 1, "tile", False, _TILES_PER_UNIT),
        (32, 8, 1, "halves", False, _TILES_PER_UNIT),
        (32, 16, 1, "halves", False, _TILES_PER_UNIT),
        (64, 8, 1, "halves", False, _TILES_PER_UNIT),
        (128, 4, 1, "halves", False, _TILES_PER_UNIT),
    ),
    "write": _STORING,
    "copy": _STORING,
    "mix": (
        (32, 2, 1, "tile", True, _TILES_PER_UNIT),
        (32, 4, 1, "tile", True, _TILES_PER_UNIT),
        (32, 8, 1, "tile", True, _TILES_PER_UNIT),
        (64, 2, 1, "tile", True, _TILES_PER_UNIT),
        (64, 4, 1, "tile", True, _TILES_PER_UNIT),
        (64, 2, 1, "tile", False, _TILES_PER_UNIT),
    ),
}

# A GPU wants many loads of 16 bytes in flight: a few for each thread, or many threads with one each (GH200:
# one load of 8 bytes reads at 69 % of peak). Of 510 and 1020 shapes, groups that end after one chunk are best
# on an H100, for `read` by 1.9 %, and for `copy` by 2 % with one access for each thread: in groups of 1024
# threads there, and of 128 on an H200 (results/h100*/shapes.md, results/h200*/first-card/shapes.md). Groups
# that stay for the whole pass are kept for GPUs on which new groups cost more.
_GPU: _Table = {
    "read": (
        (16, 4, 512, "grid", False, None),
        (16, 8, 512, "grid", False, None),
        (32, 4, 512, "grid", False, None),
        (16, 4, 512, "grid", False, 3),
        (16, 8, 256, "grid", False, 4),
        (32, 4, 512, "grid", False, 4),
    ),
    "write": (
        (16, 4, 256, "grid", False, None),
        (16, 4, 256, "grid", True, None),
        (16, 1, 512, "grid", True, None),
        (16, 8, 512, "grid", True, None),
        (32, 4, 256, "grid", False, None),
        (16, 4, 512, "grid", True, 4),
    ),
    "copy": (
        (16, 4, 256, "grid", True, None),
        (16, 4, 512, "grid", True, 4),
        (16, 1, 128, "grid", False, None),
        (16, 1, 256, "grid", True, None),
        (16, 1, 1024, "grid", True, None),
        (16, 1, 1024, "grid", False, None),
    ),
    "mix": (
        (16, 1, 512, "grid", True, None),
        (16, 2, 256, "grid", True, None),
        (16, 4, 256, "grid", False, None),
        (16, 4, 256, "grid", True, 8),
        (16, 4, 512, "grid", True, 4),
        (16, 4, 256, "grid", True, 32),
    ),
}

_TABLES = {"cores": _PROCESSOR, "multiprocessors": _GPU}


@dataclass(frozen=True)
class HelperGrid:
    """How kernels are launched that fill and verify, and take any number of groups."""

    groups: int
    group_size: int


def helper_grid(info: DeviceInfo) -> HelperGrid:
    profile = profile_of(info.kind)
    size = possible_group_size(info, profile.helper_group_size)
    return HelperGrid((info.compute_units or 1) * profile.helper_groups_per_unit, size)


def possible_group_size(info: DeviceInfo, wanted: int) -> int:
    """``wanted``, or the largest power of two that the device takes, if that is less."""
    most = info.max_group_size or wanted
    return wanted if wanted <= most else 1 << (most.bit_length() - 1)


def untuned_shape(info: DeviceInfo, fixed: UntunedShape) -> Shape:
    """The shape on this device, without streaming stores."""
    groups = (info.compute_units or 1) * fixed.groups_per_unit
    size = possible_group_size(info, fixed.group_size)
    return Shape(fixed.vector_bytes, fixed.unroll, size, fixed.order, False, groups)


@dataclass(frozen=True)
class Geometry:
    """A shape over an array of ``vectors`` in all: ``rounds`` chunks for each of ``groups``."""

    vectors: int
    groups: int
    rounds: int
    chunk_elements: int


def chunk_bytes(shape: Shape) -> int:
    return shape.vector_bytes * shape.unroll * shape.group_size


def geometry(shape: Shape, elements: int, element_bytes: int) -> Geometry:
    """``elements`` must be a multiple of a chunk's."""
    chunk_elements = chunk_bytes(shape) // element_bytes
    chunks = elements // chunk_elements
    groups = min(chunks, shape.groups or MAX_GROUPS)
    return Geometry(
        vectors=elements * element_bytes // shape.vector_bytes,
        groups=groups,
        rounds=-(-chunks // groups),
        chunk_elements=chunk_elements,
    )


def candidates(info: DeviceInfo, access: Access, dtype: str, pins: Mapping[str, Any]) -> list[Shape]:
    """The shapes to try, with what the user pinned; a single one if all that differs is pinned.

    Raises ``InvalidParameters`` if no such shape can exist.
    """
    pinned = {name: pins[name] for name in Shape.__struct_fields__ if pins.get(name) is not None}
    _refuse_large_group(info, pinned.get("group_size", 1))
    tiles = (info.compute_units or 1) * _TILES_PER_UNIT
    shapes = dict.fromkeys(_pinned(shape, pinned, tiles) for shape in _usual(info, access))
    element_bytes = ELEMENT_BYTES[dtype]
    possible = [s for s in shapes if element_bytes <= s.vector_bytes <= element_bytes * MAX_LANES]
    if not possible:
        raise InvalidParameters(
            f"vector_bytes {pinned['vector_bytes']} cannot hold {dtype}: allowed are "
            f"{element_bytes} to {element_bytes * MAX_LANES}"
        )
    possible = [s for s in possible if s.order != "halves" or s.unroll % 2 == 0]
    if not possible:
        raise InvalidParameters(
            "order halves needs an unroll of 2 or more: a half of each chunk for either side"
        )
    return possible


def _refuse_large_group(info: DeviceInfo, size: int) -> None:
    if info.max_group_size and size > info.max_group_size:
        raise InvalidParameters(
            f"group_size {size} is more than this device takes: allowed are 1 to {info.max_group_size}"
        )


def _pinned(shape: Shape, pinned: Mapping[str, Any], tiles: int) -> Shape:
    """``tiles`` are the groups of an order with tiles, if none are stated: a tile has several chunks."""
    made = msgspec.structs.replace(shape, **pinned)
    return msgspec.structs.replace(made, groups=tiles) if made.order != "grid" and not made.groups else made


def _usual(info: DeviceInfo, access: Access) -> list[Shape]:
    units = info.compute_units or 1
    return [
        Shape(
            vector,
            unroll,
            possible_group_size(info, size),
            order,
            streaming,
            units * per_unit if per_unit else None,
        )
        for vector, unroll, size, order, streaming, per_unit in _TABLES[profile_of(info.kind).shape_table][
            access
        ]
    ]

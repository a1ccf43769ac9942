"""The parameters of each benchmark, typed and bounded; the JSON Schema of the wire is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MIB = 1 << 20

Dtype = Literal["float", "double"]
Order = Literal["tile", "halves", "grid"]
Stop = Literal["median", "count", "time", "stdev"]


MemoryShare = Annotated[
    Annotated[float, Meta(gt=0, le=0.95)] | None,
    Meta(description="of free memory; null: 0.9, on a processor 0.25, 2 GiB at most, more for large caches"),
]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of every benchmark; null: the program chooses, and the document says what."""

    footprint_bytes: Annotated[
        Annotated[int, Meta(ge=MIB, le=1 << 46)] | None,
        Meta(description="bytes touched in all, from 1 MiB; null: as much as keeps caches out"),
    ] = None
    time_limit_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=600)] | None,
        Meta(description="of sampling, for each point of a curve; null: what suits benchmark and device"),
    ] = None
    target_ratio: Annotated[
        float,
        Meta(
            ge=0.0001,
            le=0.5,
            description="stop when the median's interval is within +- this share; with stop=stdev the "
            "standard deviation",
        ),
    ] = 0.005
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="of the pseudo-random data")] = 1
    stop: Annotated[
        Stop,
        Meta(
            description="when a series of samples ends: at a precise median, after a count of samples, at "
            "the time limit alone, or at a small standard deviation as in nvbench; map, sustained and "
            "integrity end as their own parameters say"
        ),
    ] = "median"
    samples: Annotated[
        Annotated[int, Meta(ge=2, le=10_000)] | None, Meta(description="of stop=count; null: 100")
    ] = None

    def __post_init__(self) -> None:
        """Raises ValueError, which msgspec turns into its own, for fields that exclude each other."""
        if self.samples is not None and self.stop != "count":
            raise ValueError("samples is for stop=count alone")


class StreamParameters(Parameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of the stream family."""

    dtype: Annotated[Dtype, Meta(description="element type; its width alone for read and write")] = "double"
    vector_bytes: Annotated[Literal[8, 16, 32, 64, 128] | None, Meta(description="pins the access shape")] = (
        None
    )
    unroll: Annotated[Literal[1, 2, 4, 8, 16, 32] | None, Meta(description="pins the access shape")] = None
    group_size: Annotated[
        Literal[1, 32, 64, 128, 256, 512, 1024] | None, Meta(description="pins the access shape")
    ] = None
    order: Annotated[
        Order | None,
        Meta(
            description="pins the access shape: a tile for each group, both halves of one side by side, or "
            "a grid of all groups that stride together"
        ),
    ] = None
    streaming_stores: Annotated[bool | None, Meta(description="pins the access shape")] = None
    groups: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 20)] | None, Meta(description="pins the access shape")
    ] = None


class OccupancyParameters(StreamParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``occupancy``; ``groups`` is the end of the curve."""

    kernel: Annotated[
        Literal["read", "write", "copy", "triad"] | None,
        Meta(description="what goes through the memory; null: read, then copy"),
    ] = None


class TransferParameters(Parameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``transfer``; the footprint is that of the device's own copies."""

    max_transfer_bytes: Annotated[
        int, Meta(ge=4096, le=1 << 30, description="the largest transfer, if the memories hold it")
    ] = 256 * MIB


class MapParameters(StreamParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``map``; a ``footprint_bytes`` takes the place of ``memory_share_ratio``."""

    memory_share_ratio: MemoryShare = None
    slices: Annotated[
        int, Meta(ge=4, le=256, description="at most, of equal size, each with a figure of its own")
    ] = 256
    rounds: Annotated[int, Meta(ge=3, le=100, description="through all slices, and so samples of each")] = 9
    kernel: Annotated[Literal["read", "write", "copy", "triad"], Meta(description="what goes through")] = (
        "read"
    )


class SustainedParameters(StreamParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``sustained``."""

    duration_seconds: Annotated[
        Annotated[float, Meta(ge=0.1, le=600)] | None,
        Meta(description="of all windows; null: 10 windows, on a processor 8"),
    ] = None
    window_seconds: Annotated[
        Annotated[float, Meta(ge=0.01, le=10)] | None,
        Meta(description="of each figure; null: time_limit_seconds, else 1"),
    ] = None


class CacheSweepParameters(StreamParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``cache_sweep``; ``footprint_bytes`` is the largest footprint of the curves."""

    kernel: Annotated[Literal["read", "copy"] | None, Meta(description="of one curve; null: both")] = None


class ChaseParameters(Parameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of what follows pointers."""

    line_bytes: Annotated[
        Literal[32, 64, 128, 256, 512, 1024, 4096] | None,
        Meta(description="from one node to the next; null: a line, 64 on a processor and 128 elsewhere"),
    ] = None


class LoadedLatencyParameters(ChaseParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``loaded_latency``; the walk and the readers have half of ``footprint_bytes`` each."""

    loads: Annotated[
        Annotated[int, Meta(ge=2, le=41)],
        Meta(description="points of the curve, from 0 to 100 % of what the readers can"),
    ] = 11


class LatencyParameters(ChaseParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``latency``; ``footprint_bytes`` is the largest footprint of the curve."""

    order: Annotated[
        Literal["random", "paged"] | None,
        Meta(description="of the walk: random over all, or page after page; null: both"),
    ] = None
    page_bytes: Annotated[
        Literal[4096, 16384, 65536, 2097152],
        Meta(description="what the order `paged` goes through before it takes the next"),
    ] = 2097152


IntegrityPattern = Literal["address", "walking_ones", "moving_inversions", "random", "retention"]


class IntegrityParameters(Parameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``integrity``; a ``footprint_bytes`` takes the place of ``memory_share_ratio``."""

    memory_share_ratio: MemoryShare = None
    patterns: Annotated[
        tuple[IntegrityPattern, ...], Meta(min_length=1, max_length=5, description="in this order")
    ] = ("address", "walking_ones", "moving_inversions", "random", "retention")
    passes: Annotated[
        int, Meta(ge=1, le=1000, description="times through each pattern, with other values each time")
    ] = 1
    pause_seconds: Annotated[
        float, Meta(ge=0, le=60, description="in which `retention` leaves memory alone")
    ] = 1.0


LABEL_FIELDS = ("dtype",)
"""Fields whose values label figures, also in metrics: a figure with any of them is a default one."""


def is_default(parameters: msgspec.Struct) -> bool:
    """Whether a figure with these parameters represents the device."""
    given: dict[str, Any] = msgspec.structs.asdict(parameters)
    defaults: dict[str, Any] = msgspec.structs.asdict(type(parameters)())
    return all(given[name] == defaults[name] for name in defaults if name not in LABEL_FIELDS)

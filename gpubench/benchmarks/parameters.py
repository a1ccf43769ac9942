"""The parameters of each benchmark, typed and bounded; the JSON Schema of the wire is made from them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from gpubench.devices.profile import MAX_GROUPS, MAX_MEMORY_SHARE_RATIO

MIB = 1 << 20

MAX_FOOTPRINT_BYTES = 1 << 46
MAX_TIME_LIMIT_SECONDS = 600
MAX_COUNTED_SAMPLES = 10_000

Dtype = Literal["float", "double"]
Order = Literal["tile", "halves", "grid"]
Stop = Literal["median", "count", "time", "stdev"]

_Footprint = Annotated[int, Meta(ge=MIB, le=MAX_FOOTPRINT_BYTES)] | None
_Seconds = Annotated[float, Meta(gt=0, le=MAX_TIME_LIMIT_SECONDS)] | None

_ENOUGH = "null: enough to keep the caches out, on a GPU 4 GiB or more, but at most a quarter of free memory"

MemoryShare = Annotated[
    Annotated[float, Meta(gt=0, le=MAX_MEMORY_SHARE_RATIO)] | None,
    Meta(
        description="share of free memory to use; null: 0.9, on a processor 0.25 but at most 2 GiB, or more "
        "if its caches are large"
    ),
]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of every benchmark; null: the program chooses, and the document says what.

    ``takes_more_samples``: with more ``time_limit_seconds`` a series has more samples. ``keeps_footprint``:
    no figure has a smaller footprint than was asked for.
    """

    takes_more_samples: ClassVar[bool] = True
    keeps_footprint: ClassVar[bool] = True

    footprint_bytes: Annotated[
        _Footprint, Meta(description=f"memory used, all arrays together; {_ENOUGH}")
    ] = None
    time_limit_seconds: Annotated[
        _Seconds,
        Meta(
            description="sampling time of each figure, so of each point of a curve; null: set by benchmark "
            "and device"
        ),
    ] = None
    target_ratio: Annotated[
        float,
        Meta(
            ge=0.0001,
            le=0.5,
            description="with stop=median, stop when the 95 % interval of the median is within +- this share "
            "of it; with stop=stdev, when the standard deviation is below this share of the mean",
        ),
    ] = 0.005
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="seed of the pseudo-random data")] = 1
    stop: Annotated[
        Stop,
        Meta(
            description="what ends a series of samples: a precise median, a count of samples, the time limit "
            "alone, or a small standard deviation as in nvbench; map, sustained and integrity ignore it"
        ),
    ] = "median"
    samples: Annotated[
        Annotated[int, Meta(ge=2, le=MAX_COUNTED_SAMPLES)] | None,
        Meta(description="samples of each figure with stop=count; null: 100"),
    ] = None

    def __post_init__(self) -> None:
        """Raises ValueError, which msgspec turns into its own, for fields that exclude each other."""
        if self.samples is not None and self.stop != "count":
            raise ValueError("samples is only for stop=count")


class StreamParameters(Parameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of the stream family."""

    dtype: Annotated[Dtype, Meta(description="element type; for read and write only its width matters")] = (
        "double"
    )
    vector_bytes: Annotated[
        Literal[8, 16, 32, 64, 128] | None, Meta(description="bytes of each load and store; null: tuned")
    ] = None
    unroll: Annotated[
        Literal[1, 2, 4, 8, 16, 32] | None,
        Meta(description="loads that a thread starts before it uses the first; null: tuned"),
    ] = None
    group_size: Annotated[
        Literal[1, 32, 64, 128, 256, 512, 1024] | None,
        Meta(description="threads of a group; null: tuned"),
    ] = None
    order: Annotated[
        Order | None,
        Meta(
            description="how groups share the memory: a tile for each, both halves of a tile side by side, "
            "or a grid in which all stride together; null: tuned"
        ),
    ] = None
    streaming_stores: Annotated[
        bool | None, Meta(description="whether stores bypass the caches; null: tuned")
    ] = None
    groups: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_GROUPS)] | None, Meta(description="groups launched; null: tuned")
    ] = None


class OccupancyParameters(StreamParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``occupancy``."""

    keeps_footprint: ClassVar[bool] = False

    footprint_bytes: Annotated[
        _Footprint,
        Meta(
            description="memory used, all arrays together, less if one group alone would need more than "
            f"0.25 s for it; {_ENOUGH}"
        ),
    ] = None
    groups: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_GROUPS)] | None,
        Meta(description="the most groups of the curve; null: tuned"),
    ] = None
    kernel: Annotated[
        Literal["read", "write", "copy", "triad"] | None,
        Meta(description="the kernel to run; null: read, then copy"),
    ] = None


class TransferParameters(Parameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``transfer``."""

    footprint_bytes: Annotated[
        _Footprint,
        Meta(description=f"memory used for copies within the device; {_ENOUGH}"),
    ] = None
    max_transfer_bytes: Annotated[
        int,
        Meta(
            ge=4096,
            le=1 << 30,
            description="the largest transfer, in steps of four from 4 KiB; less if half of the footprint, "
            "or a sixteenth of the host's free memory, is less",
        ),
    ] = 256 * MIB
    host_nodes: Annotated[
        Literal["near", "all"],
        Meta(
            description="NUMA nodes of the host's memory: near, the one of the device, or all, "
            "each a curve of its own"
        ),
    ] = "near"


class MapParameters(StreamParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``map``."""

    takes_more_samples: ClassVar[bool] = False

    footprint_bytes: Annotated[
        _Footprint, Meta(description="memory used, all slices together; null: memory_share_ratio")
    ] = None
    time_limit_seconds: Annotated[
        _Seconds,
        Meta(
            description="sampling time of each slice, which may end it before its last round; null: set by "
            "device"
        ),
    ] = None
    memory_share_ratio: MemoryShare = None
    slices: Annotated[
        int, Meta(ge=4, le=256, description="the most slices, of equal size, each with a figure of its own")
    ] = 256
    rounds: Annotated[
        int, Meta(ge=3, le=100, description="times through all slices, with one sample of each")
    ] = 9
    kernel: Annotated[
        Literal["read", "write", "copy", "triad"], Meta(description="the kernel to run on each slice")
    ] = "read"


class SustainedParameters(StreamParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``sustained``."""

    takes_more_samples: ClassVar[bool] = False

    time_limit_seconds: Annotated[
        _Seconds, Meta(description="length of a window, unless window_seconds is given")
    ] = None
    duration_seconds: Annotated[
        Annotated[float, Meta(ge=0.1, le=600)] | None,
        Meta(description="length of all windows together; null: 10 windows, on a processor 8"),
    ] = None
    window_seconds: Annotated[
        Annotated[float, Meta(ge=0.01, le=10)] | None,
        Meta(description="length of a window, and so of each figure; null: time_limit_seconds, else 1"),
    ] = None


class CacheSweepParameters(StreamParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``cache_sweep``."""

    footprint_bytes: Annotated[
        _Footprint, Meta(description=f"the largest footprint of the curves; {_ENOUGH}")
    ] = None
    kernel: Annotated[
        Literal["read", "copy"] | None, Meta(description="the kernel of the only curve; null: both")
    ] = None


class ChaseParameters(Parameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of what follows pointers."""

    line_bytes: Annotated[
        Literal[32, 64, 128, 256, 512, 1024, 4096] | None,
        Meta(description="from one node to the next; null: a line, 64 on a processor and 128 elsewhere"),
    ] = None


class LoadedLatencyParameters(ChaseParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``loaded_latency``."""

    keeps_footprint: ClassVar[bool] = False

    footprint_bytes: Annotated[
        _Footprint,
        Meta(
            description="memory used, half for the walk and half for the readers, in one allocation, so no "
            f"more than the runtime allows for one; {_ENOUGH}"
        ),
    ] = None
    loads: Annotated[
        int,
        Meta(
            ge=2,
            le=41,
            description="points of the curve, from 0 to 100 % of the bandwidth that the readers reach",
        ),
    ] = 11


class LatencyParameters(ChaseParameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``latency``."""

    footprint_bytes: Annotated[
        _Footprint,
        Meta(
            description="the largest footprint of the curve, in one allocation, so no more than the runtime "
            "allows for one; null: a quarter of free memory, on a processor at most 4 times its last-level "
            "cache, or 256 MiB if that is more"
        ),
    ] = None
    order: Annotated[
        Literal["random", "paged"] | None,
        Meta(description="of the walk: random over all memory, or page after page; null: both"),
    ] = None
    page_bytes: Annotated[
        Literal[4096, 16384, 65536, 2097152],
        Meta(description="size of the pages of order=paged"),
    ] = 2097152


IntegrityPattern = Literal["address", "walking_ones", "moving_inversions", "random", "retention"]


class IntegrityParameters(Parameters, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``integrity``."""

    takes_more_samples: ClassVar[bool] = False

    footprint_bytes: Annotated[_Footprint, Meta(description="memory tested; null: memory_share_ratio")] = None
    time_limit_seconds: Annotated[
        _Seconds, Meta(description="not used: passes says how long each pattern takes")
    ] = None
    memory_share_ratio: MemoryShare = None
    patterns: Annotated[
        tuple[IntegrityPattern, ...], Meta(min_length=1, max_length=5, description="patterns, in this order")
    ] = ("address", "walking_ones", "moving_inversions", "random", "retention")
    passes: Annotated[
        int, Meta(ge=1, le=1000, description="times through each pattern, each time with other values")
    ] = 1
    pause_seconds: Annotated[
        float, Meta(ge=0, le=60, description="how long `retention` waits before it reads memory again")
    ] = 1.0


LABEL_FIELDS = ("dtype",)
"""Fields whose values label figures, also in metrics: a figure with any of them is a default one."""


def is_default(parameters: msgspec.Struct) -> bool:
    """Whether a figure with these parameters represents the device."""
    given: dict[str, Any] = msgspec.structs.asdict(parameters)
    defaults: dict[str, Any] = msgspec.structs.asdict(type(parameters)())
    return all(given[name] == defaults[name] for name in defaults if name not in LABEL_FIELDS)

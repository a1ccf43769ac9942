"""What depends on the kind of a device: one ``DeviceProfile`` for each kind.

Elsewhere the kind of a device is only shown or labelled. A GPU's values hold for an accelerator unless they
are stated for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from gpubench.results.machine import DeviceInfo

Kind = Literal["gpu", "cpu", "accelerator"]

MAX_GROUPS = 2**31 - 1
"""Of CUDA's grids. No more are launched than there are chunks."""

MAX_MEMORY_SHARE_RATIO = 0.9
"""Of free memory: other programs may fail if a device is filled to the last byte."""

MAX_SHARE_UNDER_WINDOWS_RATIO = 0.75
"""Windows keeps a GPU's memory for others too: in WSL2 a program that was to use 88 % of it was reported to
fail, and to work with 80 % (https://github.com/microsoft/WSL/issues/41176)."""

_MIB, _GIB = 1 << 20, 1 << 30


@dataclass(frozen=True, kw_only=True)
class UntunedShape:
    """The access shape of a kernel that is not tuned, in ``groups_per_unit`` groups for each compute unit."""

    vector_bytes: int
    unroll: int
    group_size: int
    order: Literal["tile", "grid"]
    groups_per_unit: int


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """What depends on the kind of a device. Time limits apply unless the user sets another one."""

    is_host_processor: bool
    """Its memory, caches and load are the host's, which the system reports better than OpenCL."""

    is_preferred: bool
    """Chosen if no device is named and there is only one of its kind: most machines have a single GPU."""

    compared_with_boards: bool
    """Graphics boards and GDDR memories stand beside its figures without being asked for."""

    enqueueing_may_copy: bool
    """A GPU's driver may copy pageable memory during the call that enqueues the copy: in a queue that is held
    until everything is enqueued, the call would wait for itself."""

    reports_power: bool
    """NVML reports a GPU's power, so the idle device is worth watching; nothing reports a processor's."""

    other_programs_contend: bool
    """Any other program that computes on it makes a figure contended. A processor always runs others: there
    their share of its time decides. OpenCL does not report the programs on an accelerator."""

    events_include_launch: bool
    """The events on a GPU's stream add some microseconds to the kernel between them: a tenth of a pass of
    40 us."""

    private_caches: bool
    """A group runs on one core, whose caches no other group uses at that time."""

    sector_bytes: int
    """The bytes that cross the bus for a single element: a processor's line, a sector of a GPU's line."""

    line_bytes: int
    """The distance between two nodes of a pointer chase: a cache line."""

    # Waiting for an idle device.

    max_idle_wait_seconds: float
    """A program that still runs after that is expected to run for much longer."""

    min_idle_wait_seconds: float
    """NVML's utilization of a GPU covers the last second: only then does it show that a program has ended."""

    # Memory.

    footprint_cache_multiple: int
    """The smallest footprint that measures memory, in multiples of the last-level cache. On a processor with
    260 MiB of cache, STREAM's triad falls from 27 to 15 GB/s between 256 MiB and 1.1 GB."""

    preferred_footprint_bytes: int
    """Used if the caches would allow a smaller one, so that a pass over a GPU's memory is long."""

    min_pass_seconds: float = 0.0
    """At the theoretical peak, if there is memory enough: 4 GiB are 0.6 ms on a B200, whose groups begin and
    end within some microseconds of each other."""

    unknown_cache_footprint_bytes: int
    """The smallest footprint that measures memory if the size of the cache is not known."""

    memory_share_ratio: float
    """The share of free memory that whole-memory benchmarks use by default: other programs need a processor's
    memory too."""

    max_memory_share_ratio: float = MAX_MEMORY_SHARE_RATIO
    """The share of free memory that a run may ask for."""

    max_default_memory_bytes: int | None
    """The most that whole-memory benchmarks use by default, if that is large enough for the caches. The first
    touch of memory runs at 0.5 GB/s on some virtual machines: all memory of a server would take minutes."""

    keeps_whole_memory: bool
    """Memory of a whole-memory benchmark stays allocated for the next one, since the first touch is slow. A
    GPU's is freed for other programs."""

    untimed_launch_bytes: int
    """The most for one launch that is not timed, so that a run can be cancelled between two. A processor's
    memory may be touched for the first time here, at 0.5 GB/s."""

    # Sampling and tuning.

    time_limit_seconds: float
    """For a single figure. Series on a shared processor are noisier, and correlated."""

    point_time_limit_seconds: float
    """For each point of a curve."""

    min_sample_seconds: float
    """Passes are joined until a sample lasts this long, if ``passes_for`` allows it. On a GPU long enough to
    hide the microseconds of ``events_include_launch``."""

    warm_window_seconds: float
    """One window of a warm-up after another benchmark; passes on a GPU last about a millisecond."""

    warms_up_before_trials: bool
    """A processor's trials of shapes last longer than its clock needs to rise; a GPU's do not."""

    tuning_budget_seconds: float
    """For the trials of one kernel's shapes."""

    # Launches.

    shape_table: Literal["cores", "multiprocessors"]
    """Which table of ``measure/shapes.py`` lists the access shapes to try."""

    helper_group_size: int
    helper_groups_per_unit: int
    """For kernels that fill and verify: they are never timed, so never tuned."""

    strided_shape: UntunedShape
    """Elements of 4 bytes are loaded one by one, many of them at once."""

    random_shape: UntunedShape
    """The vector is the largest access of one item; neighbouring items of a GPU share a larger piece. A GPU
    gets so many groups that the last ones add little time. A processor computes a row of addresses and then
    makes a row of accesses: the more of them a core has in flight, the better."""

    reader_shape: UntunedShape
    """Groups that read while another one chases pointers. On a processor one for each core: more would have
    to wait for the chasing group. On a GPU as many as run at the same time."""

    reader_rounds: int
    """Rounds of its unrolled loop in a chunk of a reader."""

    sweep_shape: UntunedShape | None
    """Groups that pass over a cache many times in one launch: 2048 threads on each multiprocessor of a GPU,
    in groups small enough for small footprints to have whole chunks. None: the tuned
    shape, one group a core."""

    integrity_pins: Mapping[str, int | str]
    """The fixed parts of the memory test's copy shape; whole lines on a processor."""

    threads_per_unit: int
    """The most threads that run at once on a compute unit: a processor's core has one group of one."""

    latency_point_limit_seconds: float
    loaded_latency_point_limit_seconds: float
    sweep_point_limit_seconds: float
    """On a GPU the 20 samples of a sweep before the stopping rule is first applied take 0.1 s."""

    sweep_launch_seconds: float
    """Long enough that the cost of the launch is small in comparison."""

    latency_cache_multiple: int | None
    """The curve ends at this multiple of the last-level cache, since memory is slow to allocate; None: at a
    share of free memory."""

    loaded_latency_pass_seconds: float
    """Duration of an idle chase: long enough that groups which start late do not matter."""

    min_sectors_per_piece: int
    """Sectors of memory for each piece of a pass of random accesses: one for each would take a processor too
    long for more than a few samples."""

    max_pieces_per_unit: int | None
    """The most random accesses in one pass, so that a run can be cancelled soon."""

    sustained_windows: int
    """Their default number, of one second each."""

    integrity_part_bytes: int
    """The most for one launch of the memory test. Large: a processor is slower in short launches."""

    transfer_budget_seconds: float
    """For all transfers together, untimed passes included."""


_PROCESSOR = DeviceProfile(
    is_host_processor=True,
    is_preferred=False,
    compared_with_boards=False,
    enqueueing_may_copy=False,
    reports_power=False,
    other_programs_contend=False,
    events_include_launch=False,
    private_caches=True,
    sector_bytes=64,
    line_bytes=64,
    max_idle_wait_seconds=2.0,
    min_idle_wait_seconds=0.0,
    footprint_cache_multiple=10,
    preferred_footprint_bytes=0,
    unknown_cache_footprint_bytes=_GIB,
    memory_share_ratio=0.25,
    max_default_memory_bytes=2 * _GIB,
    keeps_whole_memory=True,
    untimed_launch_bytes=64 * _MIB,
    time_limit_seconds=2.0,
    point_time_limit_seconds=0.5,
    min_sample_seconds=1e-3,
    warm_window_seconds=0.1,
    warms_up_before_trials=False,
    tuning_budget_seconds=1.0,
    shape_table="cores",
    helper_group_size=1,
    helper_groups_per_unit=8,
    strided_shape=UntunedShape(vector_bytes=4, unroll=64, group_size=1, order="tile", groups_per_unit=8),
    random_shape=UntunedShape(vector_bytes=64, unroll=32, group_size=1, order="tile", groups_per_unit=8),
    reader_shape=UntunedShape(vector_bytes=64, unroll=8, group_size=1, order="tile", groups_per_unit=1),
    reader_rounds=32,
    sweep_shape=None,
    integrity_pins={"vector_bytes": 64, "unroll": 8, "order": "halves"},
    threads_per_unit=1,
    latency_point_limit_seconds=0.15,
    loaded_latency_point_limit_seconds=0.5,
    sweep_point_limit_seconds=0.05,
    sweep_launch_seconds=2e-3,
    latency_cache_multiple=4,
    loaded_latency_pass_seconds=5e-3,
    min_sectors_per_piece=4,
    max_pieces_per_unit=1 << 20,
    sustained_windows=8,
    integrity_part_bytes=256 * _MIB,
    transfer_budget_seconds=6.0,
)

_GPU = DeviceProfile(
    is_host_processor=False,
    is_preferred=True,
    compared_with_boards=True,
    enqueueing_may_copy=True,
    reports_power=True,
    other_programs_contend=True,
    events_include_launch=True,
    private_caches=False,
    sector_bytes=32,
    line_bytes=128,
    max_idle_wait_seconds=5.0,
    min_idle_wait_seconds=1.2,
    footprint_cache_multiple=32,
    preferred_footprint_bytes=4 * _GIB,
    min_pass_seconds=2e-3,
    unknown_cache_footprint_bytes=4 * _GIB,
    memory_share_ratio=0.9,
    max_default_memory_bytes=None,
    keeps_whole_memory=False,
    untimed_launch_bytes=_GIB,
    time_limit_seconds=1.0,
    point_time_limit_seconds=0.15,
    min_sample_seconds=5e-3,
    warm_window_seconds=0.04,
    warms_up_before_trials=True,
    tuning_budget_seconds=0.1,
    shape_table="multiprocessors",
    helper_group_size=256,
    helper_groups_per_unit=32,
    strided_shape=UntunedShape(vector_bytes=4, unroll=16, group_size=256, order="grid", groups_per_unit=8),
    random_shape=UntunedShape(vector_bytes=16, unroll=4, group_size=256, order="grid", groups_per_unit=64),
    reader_shape=UntunedShape(vector_bytes=16, unroll=8, group_size=256, order="tile", groups_per_unit=4),
    reader_rounds=4,
    sweep_shape=UntunedShape(vector_bytes=16, unroll=4, group_size=256, order="grid", groups_per_unit=8),
    integrity_pins={},
    threads_per_unit=2048,
    latency_point_limit_seconds=0.06,
    loaded_latency_point_limit_seconds=0.2,
    sweep_point_limit_seconds=0.12,
    sweep_launch_seconds=1e-3,
    latency_cache_multiple=None,
    loaded_latency_pass_seconds=4e-3,
    min_sectors_per_piece=1,
    max_pieces_per_unit=None,
    sustained_windows=10,
    integrity_part_bytes=_GIB,
    transfer_budget_seconds=5.0,
)

PROFILES: Mapping[Kind, DeviceProfile] = {
    "cpu": _PROCESSOR,
    "gpu": _GPU,
    "accelerator": replace(
        _GPU,
        is_preferred=False,
        other_programs_contend=False,
        sector_bytes=64,
        min_idle_wait_seconds=0.0,
        untimed_launch_bytes=64 * _MIB,
        integrity_part_bytes=256 * _MIB,
    ),
}


def profile_of(kind: Kind) -> DeviceProfile:
    return PROFILES[kind]


def profile_for(info: DeviceInfo, *, under_windows: bool = False) -> DeviceProfile:
    """The profile of its kind, with the share of memory that this device can give, in WSL too."""
    profile = profile_of(info.kind)
    if info.integrated:
        profile = replace(
            profile,
            memory_share_ratio=_PROCESSOR.memory_share_ratio,
            max_default_memory_bytes=_PROCESSOR.max_default_memory_bytes,
        )
    if under_windows and not profile.is_host_processor:
        most = min(profile.max_memory_share_ratio, MAX_SHARE_UNDER_WINDOWS_RATIO)
        share = min(profile.memory_share_ratio, most)
        profile = replace(profile, memory_share_ratio=share, max_memory_share_ratio=most)
    return profile

"""Limits around the process, on copies of the trees that systems have, and on this system's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpubench.devices import host
from gpubench.devices.control_group import ControlGroup

GIB = 1 << 30
MIB = 1 << 20

V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
V1_MOUNTS = """\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"""


def system(root: Path, groups: str, mounts: str, **files: str) -> ControlGroup:
    """``files`` are named by their path below ``/sys/fs/cgroup``, with ``__`` for ``/``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups + "\n")
    (root / "proc/self/mountinfo").write_text(mounts + "\n")
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return ControlGroup(root)


def test_version_2_takes_the_least_limit_of_all_ancestors(tmp_path: Path) -> None:
    group = system(
        tmp_path,
        "0::/slice/job",
        V2_MOUNT,
        slice__job__memory_dot_max="max",
        slice__job__memory_dot_current=str(GIB),
        slice__memory_dot_max=str(4 * GIB),
        slice__memory_dot_current=str(3 * GIB),
        slice__memory_dot_stat=f"anon 1\ninactive_file {2 * GIB}",
        slice__cpu_dot_max="150000 100000",
        slice__job__cpu_dot_max="50000 100000",
        slice__job__cpu_dot_stat="nr_throttled 3\nthrottled_usec 2500000",
        slice__memory_dot_events="oom 2\noom_kill 2",
        slice__pids_dot_max="64",
        slice__pids_dot_events="max 7",
        slice__job__pids_dot_max="max",
    )
    assert group.process_limit == 64
    assert group.refused_processes == 7
    assert group.memory_limit_bytes == 4 * GIB
    assert group.memory_left_bytes == 3 * GIB
    assert group.quota_cores == 0.5
    assert group.throttled_seconds == {tmp_path / "sys/fs/cgroup/slice/job": 2.5}
    assert group.out_of_memory_kills == 2


def test_version_1_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    group = system(
        tmp_path,
        "4:memory:/jobs/7\n1:cpu,cpuacct:/jobs",
        V1_MOUNTS,
        memory__jobs__7__memory_dot_limit_in_bytes="9223372036854771712",
        memory__jobs__7__memory_dot_usage_in_bytes=str(MIB),
        memory__jobs__memory_dot_limit_in_bytes=str(2 * GIB),
        memory__jobs__memory_dot_usage_in_bytes=str(GIB),
        memory__jobs__memory_dot_stat=f"inactive_file 5\ntotal_inactive_file {512 * MIB}",
        memory__jobs__memory_dot_oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 1",
        **{"cpu,cpuacct__jobs__cpu_dot_cfs_quota_us": "-1", "cpu,cpuacct__cpu_dot_cfs_quota_us": "200000"},
        **{"cpu,cpuacct__cpu_dot_cfs_period_us": "100000"},
        **{"cpu,cpuacct__jobs__cpu_dot_stat": "nr_periods 9\nthrottled_time 1500000000"},
    )
    assert group.memory_limit_bytes == 2 * GIB
    assert group.memory_left_bytes == GIB + 512 * MIB
    assert group.quota_cores == 2.0
    assert list(group.throttled_seconds.values()) == [1.5]
    assert group.out_of_memory_kills == 1


def test_a_container_sees_a_part_of_the_tree(tmp_path: Path) -> None:
    group = system(
        tmp_path,
        "4:memory:/docker/abc",
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
        memory__memory_dot_limit_in_bytes=str(GIB),
        memory__memory_dot_usage_in_bytes="0",
    )
    assert group.memory_limit_bytes == GIB


@pytest.mark.parametrize("text", ["", "nonsense", "-5", "max max", "0 0", "99999999999999999999999"])
def test_what_cannot_be_read_is_no_limit(tmp_path: Path, text: str) -> None:
    group = system(
        tmp_path,
        "0::/",
        V2_MOUNT,
        memory_dot_max=text,
        memory_dot_stat=text,
        cpu_dot_max=text,
        cpu_dot_stat=text,
    )
    assert (group.memory_limit_bytes, group.memory_left_bytes, group.quota_cores) == (None, None, None)
    assert (group.throttled_seconds, group.out_of_memory_kills) == ({}, None)


def test_a_process_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert ControlGroup(tmp_path).memory_limit_bytes is None
    assert ControlGroup(tmp_path).quota_cores is None


def test_a_core_fewer_is_a_compute_unit_fewer() -> None:
    """PoCL counts the machine's cores; those that this process may not use are none."""
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from gpubench.devices.opencl.runtime import OpenClRuntime\n"
        "print(*{device.compute_units for device in OpenClRuntime().devices()})"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "1\n"


def test_others_count_by_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four busy cores of eight are half of the machine, and all of what these four may be used for."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    ticks = iter([0, 1000])

    def stat(path: Path) -> str:
        now = next(ticks)
        cores = [f"cpu{k} {now if k < 4 else 0} 0 0 {0 if k < 4 else now} 0 0 0 0" for k in range(8)]
        return "\n".join([f"cpu {4 * now} 0 0 {4 * now} 0 0 0 0", *cores])

    monkeypatch.setattr(host, "_read", stat)
    busy = host.HostWatch().stop().others_busy_ratio
    assert busy is not None
    assert busy > 0.9


def test_throttling_is_seen_below_a_throttled_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Throttling is seen below a group that was throttled before."""
    group = system(
        tmp_path,
        "0::/slice/job",
        V2_MOUNT,
        slice__cpu_dot_stat="throttled_usec 100000000",
        slice__job__cpu_dot_stat="throttled_usec 0",
        slice__job__cpu_dot_max="50000 100000",
    )
    monkeypatch.setattr(host, "_GROUP", group)
    watch = host.HostWatch()
    (tmp_path / "sys/fs/cgroup/slice/job/cpu.stat").write_text("throttled_usec 5000000\n")
    assert watch.stop().throttled_seconds == 5.0

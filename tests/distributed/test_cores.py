"""Which cores a process may use: affinity, the quota of its container, OMP_NUM_THREADS, other processes of the run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dpdrun.distributed import cores
from dpdrun.distributed.cores import available_threads, usable_cores


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight cores, and no launcher; a folder that stands for /sys/fs/cgroup, with nothing in it yet."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "membership")
    for name in (cores.LIMIT_VARIABLE, cores.LOCAL_PROCESSES_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_all_cores_of_the_affinity_without_a_quota(machine: Path) -> None:
    assert usable_cores() == 8
    put(machine / "membership", "0::/\n")  # a cgroup without limits
    assert usable_cores() == 8


@pytest.mark.parametrize(
    ("own", "above", "wanted"),
    [
        ("250000 100000", "max 100000", 2),  # 2.5 cores
        ("max 100000", "400000 100000", 4),  # the limit of a level above holds as well
        ("400000 100000", "100000 100000", 1),
        ("50000 100000", "max 100000", 1),  # half a core still runs one thread
        ("max 100000", "max 100000", 8),
        ("1600000 100000", "max 100000", 8),  # more time than there are cores
        ("damaged", "300000 100000", 3),
    ],
)
def test_the_quota_of_cgroup_v2(machine: Path, own: str, above: str, wanted: int) -> None:
    put(machine / "membership", "0::/pod/container\n")
    put(machine / "cgroup" / "pod" / "container" / "cpu.max", own)
    put(machine / "cgroup" / "pod" / "cpu.max", above)
    assert usable_cores() == wanted


def test_a_container_sees_its_own_cgroup_as_the_root(machine: Path) -> None:
    put(machine / "membership", "0::/docker/0123abcd\n")  # a path of the host
    put(machine / "cgroup" / "cpu.max", "200000 100000")
    assert usable_cores() == 2


def test_the_quota_of_cgroup_v1(machine: Path) -> None:
    put(machine / "membership", "5:memory:/a\n4:cpu,cpuacct:/a\n1:name=systemd:/\n")
    folder = machine / "cgroup" / "cpu,cpuacct" / "a"
    put(folder / "cpu.cfs_quota_us", "300000\n")
    put(folder / "cpu.cfs_period_us", "100000\n")
    assert usable_cores() == 3
    put(folder / "cpu.cfs_quota_us", "-1\n")  # none
    assert usable_cores() == 8


def test_the_controllers_of_v1_may_be_mounted_under_the_name_of_one(machine: Path) -> None:
    put(machine / "membership", "4:cpuacct,cpu:/\n")
    put(machine / "cgroup" / "cpu" / "cpu.cfs_quota_us", "100000\n")
    put(machine / "cgroup" / "cpu" / "cpu.cfs_period_us", "50000\n")
    assert usable_cores() == 2


@pytest.mark.parametrize(
    ("environment", "processes", "wanted"),
    [
        ({}, 1, 8),
        ({"OMP_NUM_THREADS": "3"}, 1, 3),
        ({"OMP_NUM_THREADS": "16"}, 1, 8),  # a limit, not a wish
        ({"OMP_NUM_THREADS": "4,2"}, 1, 4),  # a list has a number for each nesting level
        ({"OMP_NUM_THREADS": "all"}, 1, 8),
        ({"OMP_NUM_THREADS": "0"}, 1, 8),
        ({}, 3, 2),  # before the launcher has started them
        ({"LOCAL_WORLD_SIZE": "4"}, 1, 2),
        ({"LOCAL_WORLD_SIZE": "4", "OMP_NUM_THREADS": "1"}, 1, 1),
        ({"LOCAL_WORLD_SIZE": "2"}, 16, 4),  # 16 processes, two of them here
        ({"LOCAL_WORLD_SIZE": "32"}, 1, 1),
    ],
)
def test_threads_of_one_process(
    machine: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], processes: int, wanted: int
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert available_threads(processes) == wanted


def test_without_affinity_all_cores(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6

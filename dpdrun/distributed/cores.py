"""CPU cores that a process may use (its affinity, the quota of its container, the user's own limit), and the memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
LIMIT_VARIABLE = "OMP_NUM_THREADS"  # what users, torchrun and batch systems set; torch and BLAS read it too
LOCAL_PROCESSES_VARIABLE = "LOCAL_WORLD_SIZE"


def usable_cores() -> int:
    """Return the cores that this process may run on: its affinity, or fewer if a CPU quota allows less time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, _quota())))


def available_threads(processes: int = 1) -> int:
    """Return the most threads that are worth starting in this process.

    The cores are divided by the processes of this host, and OMP_NUM_THREADS is a limit.

    Args:
        processes: on this host, if no launcher has set LOCAL_WORLD_SIZE.
    """
    local = os.environ.get(LOCAL_PROCESSES_VARIABLE, "")
    share = usable_cores() // (int(local) if local.isdecimal() and int(local) else processes)
    limit = os.environ.get(LIMIT_VARIABLE, "").partition(",")[0].strip()  # a list has a number for each nesting level
    return max(1, min(share, int(limit)) if limit.isdecimal() and int(limit) else share)


def physical_memory() -> int | None:
    """Return the memory of this machine [bytes]; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf; others may not know the name
        return None


def _quota() -> float:
    """Return the smallest CPU quota of this process's cgroup and those above it, in cores; inf if there is none.

    Sources: docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), docs.kernel.org/scheduler/sched-bwc.html (v1).
    """
    found = float("inf")
    for folder in _cgroup_folders():
        try:
            if (folder / "cpu.max").is_file():
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in QUOTA_V1)
            if int(quota) > 0 and int(period) > 0:
                found = min(found, int(quota) / int(period))
        except (OSError, ValueError):  # not there, or "max": no limit at this level
            continue
    return found


QUOTA_V1 = ("quota", "period")


def _cgroup_folders() -> Iterator[Path]:
    """Yield the folders that may limit this process's CPU time: of its cgroup, and of all above it.

    In a container the path in /proc may be that of the host, while its own cgroup is mounted as the root: the root is
    read in any case.
    """
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / controllers if controllers else CGROUPS  # v1 mounts each set of controllers, v2 has one tree
        if controllers and not root.is_dir():
            root = CGROUPS / "cpu"
        folder = root / path.lstrip("/")
        while folder != root and root in folder.parents:
            yield folder
            folder = folder.parent
        yield root

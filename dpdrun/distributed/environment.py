"""Settings of other launchers (torchrun, accelerate, mpirun), read from the environment.

torchrun, `accelerate launch` on GPUs and dpdrun's own launcher set the variables that `launcher.rank_and_world_size`
reads. Accelerate on CPUs does not: of a multi-CPU config it starts one process, or as many as mpirun starts of it,
without their number. The network interface is chosen here too: gloo would resolve the host name, which on many
clusters belongs to another network, or to none.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from dpdrun.distributed.launcher import LAUNCHER_VARIABLE, Hosts, is_distributed, rank_and_world_size
from dpdrun.distributed.signal_handlers import RANK_VARIABLE
from dpdrun.errors import RunError

MPI = {  # what Open MPI, Intel MPI and MPICH, and MVAPICH call the variables of torchrun
    "RANK": ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"),
    "WORLD_SIZE": ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"),
    "LOCAL_RANK": ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK"),
    "LOCAL_WORLD_SIZE": ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE"),
}
FROM_ACCELERATE = "ACCELERATE_MIXED_PRECISION"  # `accelerate launch` sets it in every process that it starts
FAR_AWAY = "192.0.2.1"  # reserved for documentation (RFC 5737): reached by the default route


def resolve_hosts(where: Hosts) -> Hosts:
    """Return the processes of a run: those of the flags, else those of the launcher that started this process.

    Raises:
        RunError: flags and launcher disagree, the environment is incomplete, or `accelerate launch` was asked for
            several processes on CPUs, of which it starts one.
    """
    where.check()
    if where.size == 1:
        _adopt_mpi()
        _require_started_by_accelerate()
    elif is_distributed() and LAUNCHER_VARIABLE not in os.environ:
        raise RunError(
            f"--processes {where.processes} --hosts {where.hosts} inside a launcher that has already started "
            f"{rank_and_world_size()[1]} processes: remove these flags, or the launcher"
        )
    rank_and_world_size()
    return where


def _adopt_mpi() -> None:
    """Translate the variables of mpirun to torchrun's, where Accelerate has added the rendezvous.

    Without a rendezvous they may come from a batch system alone: Slurm sets PMI_SIZE for everything that `srun` starts.
    """
    if RANK_VARIABLE in os.environ or "MASTER_ADDR" not in os.environ:
        return
    for name, theirs in MPI.items():
        if found := next((os.environ[each] for each in theirs if each in os.environ), None):
            os.environ.setdefault(name, found)


def _require_started_by_accelerate() -> None:
    """Raise RunError where `accelerate launch` announces several processes and has started one, as it does on CPUs."""
    environ = os.environ
    if FROM_ACCELERATE in environ and RANK_VARIABLE not in environ and {"MASTER_ADDR", "MASTER_PORT"} <= environ.keys():
        raise RunError(
            "accelerate launch starts one process on CPUs, whatever its num_processes: use `dpdrun train RECIPE "
            "--processes N`, or torchrun"
        )


def interface_to(host: str, *, alone: bool) -> str | None:
    """Return the network interface by which this machine reaches another, such as "eth0"; None if it is unknown.

    Args:
        host: name or address where the processes meet.
        alone: all processes are on this machine. Otherwise a loopback address (many machines resolve their own name to
            127.0.1.1) is replaced by the interface of the default route.
    """
    address = _own_address(host)
    if address is not None and not alone and ipaddress.ip_address(address).is_loopback:
        address = _own_address(FAR_AWAY)
    for name, addresses in psutil.net_if_addrs().items():
        if address in (each.address.partition("%")[0] for each in addresses):
            return str(name)
    return None


def _own_address(host: str) -> str | None:
    """Return our address towards a host. Connecting a UDP socket sends nothing: the kernel looks up the route."""
    with suppress(OSError):
        for family, kind, protocol, _, target in socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM):
            with suppress(OSError), socket.socket(family, kind, protocol) as towards:
                towards.connect(target)
                return str(towards.getsockname()[0]).partition("%")[0]
    return None


@contextmanager
def environment_restored(*names: str, **defaults: str) -> Iterator[None]:
    """Set the `defaults` that the environment lacks; restore them, and the variables `names`, at the end of a block."""
    before = {name: os.environ.get(name) for name in (*names, *defaults)}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, earlier in before.items():
            if earlier is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = earlier

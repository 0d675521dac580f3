"""What another launcher (torchrun, accelerate, mpirun) wants of this process, read from its environment.

torchrun, `accelerate launch` on GPUs and dpdrun's own launcher set the variables that `launcher.rank_and_world_size`
reads. Accelerate on CPUs does not: of a multi-CPU config it starts one process, or as many as mpirun starts of it,
without their number. The network interface is chosen here too: gloo would resolve the host name, which on many
clusters belongs to another network, or to none.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import yaml

from dpdrun.distributed.launcher import LAUNCHER_VARIABLE, RANK_VARIABLE, Hosts, is_distributed, rank_and_world_size
from dpdrun.errors import RunError

MPI = {  # as Open MPI, Intel MPI and MPICH, and MVAPICH call what torchrun calls
    "RANK": ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"),
    "WORLD_SIZE": ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"),
    "LOCAL_RANK": ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK"),
    "LOCAL_WORLD_SIZE": ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE"),
}
OF_ACCELERATE = "ACCELERATE_MIXED_PRECISION"  # it sets this for whatever it starts
FAR_AWAY = "192.0.2.1"  # nobody's address (RFC 5737), and so beyond the default route


def resolve_hosts(where: Hosts) -> Hosts:
    """Where the processes of a run are to be, by the flags or else by the launcher around this process.

    Raises:
        RunError: both say something, the environment is incomplete, or Accelerate cannot be understood.
    """
    where.check()
    if where.size == 1:
        _adopt_mpi()
        where = _asked_of_accelerate() or where
    elif is_distributed() and LAUNCHER_VARIABLE not in os.environ:
        raise RunError(
            f"--processes {where.processes} --hosts {where.hosts} inside a launcher that has started "
            f"{rank_and_world_size()[1]} processes already: leave these flags out, or that launcher"
        )
    rank_and_world_size()
    return where


def _adopt_mpi() -> None:
    """Say in torchrun's words what mpirun says, where Accelerate has added where to meet.

    Without that a batch system may just be there: Slurm sets PMI_SIZE for whatever `srun` starts.
    """
    if RANK_VARIABLE in os.environ or "MASTER_ADDR" not in os.environ:
        return
    for name, theirs in MPI.items():
        if found := next((os.environ[each] for each in theirs if each in os.environ), None):
            os.environ.setdefault(name, found)


def _asked_of_accelerate() -> Hosts | None:
    """What `accelerate launch` was asked for, where it started one process for several; else None.

    It gives away that it knows of several by saying where they meet. How many is in its command line, which is that of
    our parent, and in its config file.
    """
    environ = os.environ
    if RANK_VARIABLE in environ or OF_ACCELERATE not in environ or not {"MASTER_ADDR", "MASTER_PORT"} <= environ.keys():
        return None
    try:
        asked = _accelerate_options(psutil.Process(os.getppid()).cmdline())
        processes, hosts = int(asked["num_processes"]), int(asked.get("num_machines") or 1)
        rank = int(asked.get("machine_rank") or 0)
    except (KeyError, ValueError, OSError, psutil.Error, yaml.YAMLError) as error:
        raise RunError(
            "accelerate launch was asked for several processes, but on CPUs it starts only one, and how many is not to "
            "be seen: say it with --processes N, or start several with torchrun"
        ) from error
    if processes % hosts:
        raise RunError(f"accelerate launch was asked for {processes} processes on {hosts} hosts: not equally many each")
    meeting = f"{environ['MASTER_ADDR']}:{environ['MASTER_PORT']}" if hosts > 1 else ""
    where = Hosts(processes // hosts, hosts, rank, meeting)
    where.check()
    return where


def _accelerate_options(arguments: list[str]) -> dict[str, str]:
    """The options of an `accelerate launch` command, those of its config file among them.

    Raises:
        ValueError: it is another command.
    """
    own = arguments[arguments.index("launch") + 1 :]
    own = own[: own.index(sys.argv[0])]  # what comes then are ours
    options = {}
    for word, following in pairwise([*own, ""]):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            options[name[2:].replace("-", "_")] = value if equals else following
    # as Accelerate: --cpu means without the default config
    files = [options["config_file"]] if "config_file" in options else [] if "--cpu" in own else _default_configs()
    for path in map(Path, files):
        if path.is_file():
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
            return {name: str(value) for name, value in found.items() if value is not None} | options
    return options


def _default_configs() -> list[str]:
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    folder = Path(os.environ.get("HF_HOME", cache / "huggingface")).expanduser() / "accelerate"
    return [str(folder / f"default_config.{kind}") for kind in ("yaml", "json")]


def interface_to(host: str, *, alone: bool) -> str | None:
    """The network interface by which this machine reaches another, such as "eth0"; None where that cannot be told.

    Args:
        host: name or address where the processes meet.
        alone: all processes are on this machine. Else the loopback is not meant: many machines give their own name an
            address of it (127.0.1.1), and the interface of the default route is taken.
    """
    address = _own_address(host)
    if address is not None and not alone and ipaddress.ip_address(address).is_loopback:
        address = _own_address(FAR_AWAY)
    for name, addresses in psutil.net_if_addrs().items():
        if address in (each.address.partition("%")[0] for each in addresses):
            return str(name)
    return None


def _own_address(host: str) -> str | None:
    """Our address towards a host. Connecting a UDP socket sends nothing: the kernel looks up the route."""
    with suppress(OSError):
        for family, kind, protocol, _, target in socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM):
            with suppress(OSError), socket.socket(family, kind, protocol) as towards:
                towards.connect(target)
                return str(towards.getsockname()[0]).partition("%")[0]
    return None

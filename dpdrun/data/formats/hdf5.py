"""HDF5 files, and MATLAB v7.3, which is HDF5: datasets by path; complex as a compound of two numbers.

The HDF5 library reads them in a process of its own (`hdf5_process`); what that replies is checked here like a file.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats._reading import require_memory
from dpdrun.data.signals import Contents, Variable, contents_of
from dpdrun.errors import DataError, reading

COMMAND = (sys.executable, "-P", "-m", "dpdrun.data.formats.hdf5_process")  # -P: ignore modules in the working folder
WITH_LIST = 64 << 20  # bytes of samples that come with the list of a file: a process for each dataset would cost more
MOST_LISTED = 16 << 20  # bytes of the line that lists a file
NUMBERS = re.compile(r"[<>|][fciu]\d{1,2}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset as the process replies it; `array` is None where its samples did not come with the list."""

    name: str
    key: str
    shape: tuple[int, ...]
    kind: str
    nbytes: int
    array: NDArray[Any] | None


def read_hdf5(path: Path, where: str) -> Contents:
    """List the datasets of an HDF5 file; groups are read as structs, their names joined by points.

    Raises:
        DataError: h5py is missing, or the file is damaged.
    """

    def load(each: Dataset) -> NDArray[Any]:
        nbytes = max(32 * math.prod(each.shape), each.nbytes)
        require_memory(nbytes, f"{where}, {each.name}")
        array = each.array if each.array is not None else ask(path, where, each.key, nbytes)[2][0].array
        if array is None or array.shape != each.shape:
            raise DataError(f"{where}, {each.name}: it was replaced while it was read; give the command again")
        return array

    format_, others, datasets = ask(path, where, None, WITH_LIST)
    variables = (Variable(each.name, each.shape, each.kind, partial(load, each)) for each in datasets)
    return contents_of(format_, variables, where, others=others)


def ask(path: Path, where: str, key: str | None, budget: int) -> tuple[str, tuple[str, ...], list[Dataset]]:
    """Return what a process that reads the file replies, parsed. Raises DataError, also where that process dies."""
    request = json.dumps({"path": str(path), "where": where, "key": key, "budget": budget}).encode()
    found = None
    with (
        reading(where, "HDF5"),
        subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # threads take address space, and nothing is computed
            start_new_session=True,  # Ctrl-C at the terminal is for this process
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with process.stdin:
                process.stdin.write(request)
            found = parse(process.stdout, budget)
        except (EOFError, BrokenPipeError):
            pass
        except BaseException:
            process.kill()
            raise
    if found is not None and not process.returncode:
        return found
    if process.returncode > 0:  # of Python, not of the library, which ends by a signal
        raise DataError(
            f"{where}: the process that reads HDF5 files failed (exit code {process.returncode}): a new process of "
            f"{sys.executable} must be able to import dpdrun within 1 GiB; if it can, the file is damaged"
        )
    late = hasattr(signal, "SIGALRM") and process.returncode == -signal.SIGALRM
    how = "did not finish reading it in time" if late else "crashed on it"
    raise DataError(f"{where}: the HDF5 library {how}; the file is damaged")


def parse(stream: IO[bytes], budget: int) -> tuple[str, tuple[str, ...], list[Dataset]]:
    """Parse a reply: format, what cannot be a signal, datasets.

    Raises:
        DataError: the reply says so.
        EOFError: it ends early.
        ValueError, TypeError, KeyError: it is no such reply, or has more than `budget` bytes of samples.
    """
    line = stream.readline(MOST_LISTED)
    if not line.endswith(b"\n"):
        raise EOFError
    reply = json.loads(line)
    if "error" in reply:
        raise DataError(str(reply["error"]))
    datasets = []
    for entry in reply["variables"]:
        shape, array = tuple(int(length) for length in entry["shape"]), None
        if "here" in entry:
            if not NUMBERS.fullmatch(entry["here"]):
                raise ValueError("samples that are no numbers")
            dtype = np.dtype(entry["here"])
            budget -= math.prod(shape) * dtype.itemsize
            if budget < 0 or min(shape, default=0) < 0:
                raise ValueError("more samples than declared")
            array = np.empty(shape, dtype)
            if array.nbytes and stream.readinto(array.reshape(-1).view(np.uint8)) < array.nbytes:  # type: ignore[attr-defined]
                raise EOFError
        name, key, kind = (str(entry[field]) for field in ("name", "key", "kind"))
        datasets.append(Dataset(name, key, shape, kind, int(entry["bytes"]), array))
    return str(reply["format"]), tuple(str(each) for each in reply["others"]), datasets

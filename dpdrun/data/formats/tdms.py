"""NI TDMS (LabVIEW, PXI instruments): channels by name, complex or I and Q in a channel each."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats._reading import library, require_declared, require_memory
from dpdrun.data.signals import Contents, Variable, contents_of
from dpdrun.errors import reading

PERIODS = ("wf_increment", "dt")  # [s]
RATES = ("IQ rate", "IQRate", "sample_rate", "Sample Rate", "SampleRate", "fs")


def read_tdms(path: Path, where: str) -> Contents:
    """List the channels of a TDMS file.

    Raises:
        DataError: npTDMS is missing, or the file is damaged.
    """
    nptdms: Any = library("nptdms", "npTDMS", where, "NI TDMS")
    library("nptdms.log", "npTDMS", where, "NI TDMS").log_manager.set_level(logging.CRITICAL)  # it is refused below
    variables: list[Variable] = []
    others: list[str] = []
    rates: list[float] = []
    with reading(where, "NI TDMS"):
        size = path.stat().st_size
        # an open file: npTDMS leaves one open that it opened and found damaged, and reads an index file next to it
        with path.open("rb") as raw, nptdms.TdmsFile.open(raw) as file:
            if file.file_status.incomplete_final_segment:
                raise ValueError("its last segment is incomplete")
            groups = file.groups()
            for channel in (each for group in groups for each in group.channels()):
                name = f"{channel.group_name}/{channel.name}" if len(groups) > 1 else str(channel.name)
                kind = np.dtype(channel.dtype)
                if kind.kind not in "fciu":
                    others.append(f"{name}: of type {kind}")
                    continue
                require_declared(len(channel) * _stored_bytes(channel, kind), size, f"{where}, {name}")
                load = partial(_load, nptdms, path, where, channel.group_name, channel.name, len(channel))
                variables.append(Variable(name, (len(channel),), str(kind), load))
                rates += _rates(channel.properties)
            rates += _rates(file.properties) + [rate for group in groups for rate in _rates(group.properties)]
    return contents_of(
        "NI TDMS", variables, where, others=tuple(others), sample_rate_hz=rates[0] if len(set(rates)) == 1 else None
    )


def _load(nptdms: Any, path: Path, where: str, group: str, name: str, count: int) -> NDArray[Any]:
    require_memory(32 * count, f"{where}, {name}")
    with reading(where, "NI TDMS"), path.open("rb") as raw, nptdms.TdmsFile.open(raw) as file:
        return np.asarray(file[group][name][:])


def _stored_bytes(channel: Any, kind: np.dtype[Any]) -> int:
    """Return the bytes of a sample in the file: one at least where raw integers are scaled."""
    scaled = any(key.startswith("NI_Scale") or key.startswith("NI_Number_Of_Scales") for key in channel.properties)
    return 1 if scaled else kind.itemsize


def _rates(properties: Any) -> list[float]:
    """Return the sample rates that properties state [Hz]."""
    found = []
    for names, invert in ((PERIODS, True), (RATES, False)):
        for name in names:
            value = properties.get(name)
            if isinstance(value, int | float | np.number) and 0 < float(value) < 1e15:
                found.append(1.0 / float(value) if invert else float(value))
    return found

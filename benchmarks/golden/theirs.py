"""OpenDPD's scores of a case, by its own functions: its wheel is unpacked to a temporary folder, not installed.

Its metrics need numpy, scipy and pydantic, which dpdrun has too; none of its other requirements is imported.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.golden.ours import ARENA, GENERAL, LEGACY, SPECTRAL
from benchmarks.golden.signals import Case
from dpdrun.data.formats.opendpd_wheel import fetch_wheel
from dpdrun.rf.metrics import Signal


@contextmanager
def unpacked() -> Iterator[Path]:
    """The code of the wheel and the files of its Arena, on the module path while this lasts."""
    path = fetch_wheel()  # verifies its sha256
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if name.endswith(".py") or "/arena_assets/" in name]
            wheel.extractall(folder, names)
        sys.path.insert(0, folder)
        try:
            yield Path(folder)
        finally:
            sys.path.remove(folder)


def scores(case: Case) -> dict[str, float]:
    """By `profile/metric` [dB]; without those that OpenDPD declines for this case. Call it within `unpacked`."""
    evaluate = import_module("opendpd.core.metrics").evaluate
    signal = import_module("opendpd.schemas.dataset").SignalSpec(
        sample_rate_hz=case.sample_rate_hz,
        bandwidth_hz=case.bandwidth_hz,
        n_sub_ch=case.carriers,
        nperseg=case.nperseg,
    )
    reference, y = _pairs(case.reference), _pairs(case.y)
    scored = slice(case.first, case.last)
    values: dict[str, Any] = {}
    for profile in (GENERAL, SPECTRAL, LEGACY):
        found = evaluate(profile, y[scored], reference[scored], signal)
        values |= {f"{profile}/{metric.name}": metric.value for metric in found}
    if case.arena_grid is not None:
        compute = import_module("opendpd.core.arena_metrics").compute
        window = (case.first, len(y) if case.last is None else case.last)
        found = compute(y, reference, signal, case.arena_grid, case.start, window)
        values |= {f"{ARENA}/{name}": value for name, value in found.items() if not name.startswith(("aer", "ref"))}
    return {name: float(value) for name, value in values.items() if value is not None}


def _pairs(x: Signal) -> Any:
    return np.stack([x.real, x.imag], axis=1)

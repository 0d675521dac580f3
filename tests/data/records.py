"""One small record for the tests of readers, and the way a user opens a source."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Part, SourceRecord
from dpdrun.data.formats import hdf5, hdf5_process
from dpdrun.data.sources import read_source
from dpdrun.recipe.loader import source_of
from dpdrun.recipe.schema import DataSection

OCTAVE = Path(__file__).parent / "formats" / "octave"  # how they were made: make.m there
RATE = 15.36e6

RNG = np.random.default_rng(7)


def oversampled(samples: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    white = rng.standard_normal(samples + 7) + 1j * rng.standard_normal(samples + 7)
    smooth = np.convolve(white, np.hanning(8), mode="valid")
    return np.asarray(np.round(smooth / np.abs(smooth).max() * 2000) / 4096, np.complex128)  # exact in every type


X = oversampled(1600, RNG)
Y = X[::-1].copy()  # as long, and not the same


def read(source: str, **fields: Any) -> SourceRecord:
    return read_source(DataSection.model_validate({"source": source_of(source)} | fields))


def part_of(source: str, **fields: Any) -> Part:
    (part,) = read(source, **fields).records
    return part


def ask_here(path: Path, where: str, key: str | None, budget: int) -> Any:
    """Return what the process that reads HDF5 files would, from this one."""
    return hdf5.parse(io.BytesIO(b"".join(hdf5_process.answer(str(path), where, key, budget))), budget)

"""A capture: input and output of a power amplifier, split into training, validation and test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpdrun.errors import DataError
from dpdrun.rf.metrics import rms
from dpdrun.rf.ofdm_grid import OfdmGrid
from dpdrun.rf.spectrum import channel_bandwidth_hz

if TYPE_CHECKING:
    from dpdrun.data.align.record import Alignment
    from dpdrun.data.resampling import Resampling
    from dpdrun.recipe.schema import DataSection

PART_NAMES = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Part:
    """One contiguous part of the record.

    Attributes:
        x: PA input (complex envelope) as given in the source, (N,) complex128.
        y: PA output, (N,) complex128.
        past, future: what the same record holds before and after it, guard samples included, where that is known. A
            score starts from this past (`evaluation.prediction.predict_split`); training never reads it.
    """

    x: NDArray[np.complex128]
    y: NDArray[np.complex128]
    past: Part | None = None
    future: Part | None = None

    def __post_init__(self) -> None:
        for name, array in (("x", self.x), ("y", self.y)):
            if array.ndim != 1 or array.dtype != np.complex128:
                raise DataError(f"{name} must be (N,) complex128, not {array.shape} {array.dtype}")
        if len(self.x) != len(self.y):
            raise DataError(
                f"input has {len(self.x):,} samples and output {len(self.y):,}; sample both at the same instants"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def around(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """The input before and after it, as far as it is known."""
        before, after = (self.x[:0] if each is None else each.x for each in (self.past, self.future))
        return before, after

    def map(self, change: Callable[[Part], Part]) -> Part:
        """Return the part with its samples changed, and those of its past and future alike.

        Args:
            change: from a part to one of the same length, sample by sample; what it sets as past and future is dropped.
        """
        around = (each if each is None else each.map(change) for each in (self.past, self.future))
        changed = change(self)
        return Part(changed.x, changed.y, *around)


@dataclass(frozen=True, eq=False)
class UnequalPart(Part):
    """Input and output of unequal lengths, before alignment cuts both to what they share.

    Attributes:
        message: the error for all other uses.
    """

    message: str = ""

    def __post_init__(self) -> None:
        """Allow what `Part` refuses."""


@dataclass(frozen=True, eq=False)
class Capture:
    """The measured (or synthetic) pair of one amplifier, split, with its known properties.

    Attributes:
        name: of the source, e.g. `opendpd/APA_200MHz`.
        sample_rate_hz: [Hz].
        bandwidth_hz: occupied bandwidth of the input over all carriers [Hz], or None if no source states it.
        subchannels: number of carriers of equal width within `bandwidth_hz`, or None.
        channel_spacing_hz: between the centres of adjacent channels [Hz], or None if they border on each other.
        licence: of the data, or "yours" for a file of the user.
        note: one line on origin and split.
        train, val, test: contiguous parts; only `test` is scored at the end, only `train` sets scales.
        nperseg: segment length of OpenDPD's legacy metrics [samples], where the source states one.
        loop_samples: length of a frame, where each part is a row of frames that were measured in a loop each (see
            `data.continuity`): what comes before a frame's first sample is its own end. None for one long record.
        noise_floor_db: true noise power relative to the output power [dB] where it is known (synthetic), else None.
        warnings: what the loader noticed and did not refuse.
        grid: numerology of its OFDM symbols, where the source states it: what an EVM needs.
        alignment: what was corrected between input and output, None if nothing was looked for.
        resampling: how it was brought to another sample rate than the source's, None if it was not.
        section: the `data` section of a recipe that gives this capture; None if it was assembled by hand.
        record: input and output as they were given, of a capture made from arrays; None of one that was read.
    """

    name: str
    sample_rate_hz: float
    bandwidth_hz: float | None
    subchannels: int | None
    licence: str
    note: str
    train: Part
    val: Part
    test: Part
    nperseg: int | None = None
    noise_floor_db: float | None = None
    channel_spacing_hz: float | None = None
    warnings: tuple[str, ...] = field(default=())
    loop_samples: int | None = None
    grid: OfdmGrid | None = None
    alignment: Alignment | None = None
    resampling: Resampling | None = None
    section: DataSection | None = None
    record: Part | None = None

    @classmethod
    def from_arrays(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        *,
        sample_rate_hz: float,
        bandwidth_hz: float | Literal["auto"] = "auto",
        channel_spacing_hz: float | Literal["auto"] = "auto",
        split: Mapping[str, Any] | Literal["auto"] = "auto",
        align: Mapping[str, Any] | Literal["auto", "off"] = "off",
        resample_to_hz: float | Literal["off"] = "off",
        cyclic: Literal["auto", "off"] = "auto",
        check_rates: Literal["on", "off"] = "on",
    ) -> Capture:
        """Make a capture of arrays.

        A run that is trained on it keeps the samples in its folder (capture.npz), so that the commands find them.

        Args:
            x: input of the amplifier: (N,) complex, or (N, 2) real = I, Q; any floating-point or integer type. It is
                held in double precision; models compute in single precision.
            y: its output at the same instants, likewise.
            sample_rate_hz: [Hz].
            bandwidth_hz, channel_spacing_hz, split, align, resample_to_hz, cyclic, check_rates: as in the `data`
                section of a recipe (docs/recipe.md), for example `split={"train": "70%", "val": "15%", "test": "15%"}`.

        Raises:
            DataError: of another shape or type, NaN or Inf (the message names the sample), unequal lengths, too short,
                all zero, or a rate that looks wrong.
            RecipeError: a setting is wrong.
        """
        from dpdrun.data.arrays import capture_of_arrays

        settings = {
            "sample_rate_hz": sample_rate_hz, "bandwidth_hz": bandwidth_hz, "channel_spacing_hz": channel_spacing_hz,
            "split": split, "align": align,
            "resample_to_hz": resample_to_hz, "cyclic": cyclic, "check_rates": check_rates,
        }  # fmt: skip
        return capture_of_arrays(x, y, settings)

    @classmethod
    def load(cls, source: str | os.PathLike[str] | Mapping[str, Any], **settings: Any) -> Capture:
        """Load a capture by its name or from a file, in any format that a recipe takes.

        Args:
            source: as `data.source` of a recipe: `synthetic/mild`, `opendpd/APA_200MHz` (fetched on first use), a file
                or folder, or a dict of two files, `{"input": FILE, "output": FILE}`.
            settings: further fields of the `data` section of a recipe (docs/recipe.md), such as `sample_rate_hz`.

        Raises:
            DataError: it cannot be read; the message names file, row and column where they are known.
            RecipeError: a setting is wrong.
        """
        from dpdrun.data.arrays import load_with

        return load_with(source, settings)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(part):,}" for name, part in self.parts.items())
        band = "" if self.bandwidth_hz is None else f", {self.bandwidth_hz / 1e6:.6g} MHz wide"
        return f"Capture({self.name!r}: {self.sample_rate_hz / 1e6:.6g} MS/s{band}, samples: {parts})"

    @property
    def parts(self) -> dict[str, Part]:
        """The three parts by name, in the order of time."""
        return {name: getattr(self, name) for name in PART_NAMES}

    @cached_property
    def scale_x(self) -> float:
        """Root mean square of the training input: what one unit means to a model."""
        return rms(self.train.x)

    @cached_property
    def scale_y(self) -> float:
        """Root mean square of the training output."""
        return rms(self.train.y)

    @cached_property
    def channel_bandwidth_hz(self) -> float | None:
        """The band that leakage is measured beyond [Hz]: `bandwidth_hz`, or more where that cuts the input."""
        if self.bandwidth_hz is None:
            return None
        return min(channel_bandwidth_hz(self.train.x, self.sample_rate_hz, self.bandwidth_hz), self.sample_rate_hz)

    @property
    def channels(self) -> dict[str, Any]:
        """Where the adjacent channels of an ACLR are, as keyword arguments of `rf.linearity` and `dpd.objective`."""
        return {
            "bandwidth_hz": self.channel_bandwidth_hz,
            "carriers": self.subchannels,
            "spacing_hz": self.channel_spacing_hz,
        }

    @cached_property
    def sha256(self) -> str:
        """Hash of all samples, the split, and the sample rate: equal hash, equal training job.

        Of an aligned or resampled capture, the samples are those of the source, and the values of what was done: the
        last digits of an interpolated sample differ between machines.
        """
        computed = self.resampling or (self.alignment if self.alignment and self.alignment.changes else None)
        digest = hashlib.sha256(f"{self.sample_rate_hz!r}".encode())
        for name, part in self.parts.items():
            digest.update(f"|{name}:{len(part)}|".encode())
            if computed is None:
                update_with(digest, part)
        if computed is not None:
            digest.update(computed.identity.encode())
        return digest.hexdigest()


def update_with(digest: hashlib._Hash, part: Part) -> None:
    """Add the samples of a part to a hash."""
    for array in (part.x, part.y):
        digest.update(np.ascontiguousarray(array).astype("<c16", copy=False).tobytes())


@dataclass(frozen=True, eq=False)
class SourceRecord:
    """The content of a source. None: the source does not state it.

    Attributes:
        name: of the source, as the user wrote it.
        records: one contiguous record, or the (train, val, test) parts that the source gives.
        cuts: first sample of val and of test in a single record, where the source fixes them [samples].
        ratios: shares (train, val, test) of a single record.
        sample_rate_hz, bandwidth_hz: [Hz].
        grid: numerology of the OFDM symbols.
        rate_tolerance: relative difference up to which a rate that the user gives is the stated one, but more exact.
    """

    name: str
    records: tuple[Part] | tuple[Part, Part, Part]
    sample_rate_hz: float | None = None
    bandwidth_hz: float | None = None
    subchannels: int | None = None
    nperseg: int | None = None
    grid: OfdmGrid | None = None
    cuts: tuple[int, int] | None = None
    ratios: tuple[float, float, float] | None = None
    noise_floor_db: float | None = None
    licence: str = "yours"
    note: str = ""
    warnings: tuple[str, ...] = ()
    rate_tolerance: float = 1e-6

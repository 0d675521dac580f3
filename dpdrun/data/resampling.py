"""Resample a capture to the sample rate that `data.resample_to_hz` asks for: input and output alike, by one filter.

A model then works at the new rate; `dpdrun apply` takes a waveform to it and its output back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.assemble import joined, loop_of, required_rates
from dpdrun.data.capture import Part, SourceRecord, update_with
from dpdrun.data.checks import require_equal_lengths
from dpdrun.errors import DataError
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.metrics import Signal, to_db
from dpdrun.rf.ofdm_grid import OfdmGrid
from dpdrun.rf.resampling import PASS, inside, resample, resample_loops
from dpdrun.rf.spectrum import band_power, psd

LARGEST_FACTOR = 10_000
EXACT = 1e-9  # of a rate: a waveform that comes back is at its own instants, not at nearly those
CUT_DB = -30.0  # of the input's power: more beyond the pass band is the signal itself
LOST_DB = -60.0  # of the output's power: more is worth a message
FLAG = "--resample-to-hz (data.resample_to_hz)"


@dataclass(frozen=True)
class Resampling:
    """What was resampled.

    Attributes:
        ratio: new rate over old.
        from_hz, to_hz: sample rates of the source and of the capture [Hz].
        first_instant: of the first sample, counted in samples of the record that was resampled.
        identity: hash of the source's samples and of the ratio.
        messages: what the user should know.
    """

    ratio: Fraction
    from_hz: float
    to_hz: float
    first_instant: float
    identity: str
    messages: tuple[str, ...]

    @property
    def pass_band_hz(self) -> float:
        """Frequencies up to here are unchanged [Hz]."""
        return PASS * min(self.from_hz, self.to_hz)

    @property
    def description(self) -> str:
        """One sentence."""
        return (
            f"Resampled by {as_text(self.ratio)} to {self.to_hz / 1e6:.6g} MS/s, unchanged up to "
            f"+-{self.pass_band_hz / 1e6:.4g} MHz."
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "ratio": as_text(self.ratio),
            "from_hz": self.from_hz,
            "to_hz": self.to_hz,
            "pass_band_hz": self.pass_band_hz,
            "first_instant": self.first_instant,
        }


def as_text(ratio: Fraction) -> str:
    """Return p/q, for whole numbers too."""
    return f"{ratio.numerator}/{ratio.denominator}"


def rate_ratio(new: float, old: float, flag: str) -> Fraction:
    """Return one sample rate over another as a fraction. Raises DataError, with the flag, where that is implausible."""
    ratio = Fraction(new / old).limit_denominator(LARGEST_FACTOR)
    if not 1 / 64 < ratio < 64:
        raise DataError(f"{flag} {new:g}: {new / old:.3g} times the other sample rate, which is not plausible; in Hz?")
    return ratio


def exact_ratio(new: float, old: float) -> Fraction:
    """Return `rate_ratio`. Raises DataError also where the fraction is not the ratio of both rates."""
    ratio = rate_ratio(new, old, FLAG)
    if abs(float(ratio) * old / new - 1.0) > EXACT:
        raise DataError(
            f"{FLAG} {new:.12g}: no fraction of whole numbers up to {LARGEST_FACTOR:,} of the source's {old:.12g} Hz; "
            f"the nearest rate is {float(ratio) * old:.12g} ({as_text(ratio)})"
        )
    return ratio


def resampled(
    reading: SourceRecord, section: DataSection, identity: str | None = None
) -> tuple[SourceRecord, DataSection, Resampling | None]:
    """Return a source's record at the sample rate of `data.resample_to_hz`, and the section that describes it.

    Samples that depend on what was before or after the record are dropped.

    Args:
        reading: of a source, aligned or not.
        section: `data` of a recipe.
        identity: of the record, where it was aligned: the last digits of interpolated samples differ between machines.

    Returns:
        Record and section as given, and None, where the recipe asks for no other rate.

    Raises:
        DataError: no fraction of the source's rate, or the new rate cannot hold the input's band.
    """
    to_hz = section.resample_to_hz
    if to_hz == OFF:
        return reading, section, None
    from_hz, bandwidth_hz = required_rates(section, reading)
    ratio = exact_ratio(to_hz, from_hz)
    if ratio == 1:
        return reading, section, None
    require_equal_lengths(reading.records)
    loop = loop_of(reading.records, reading.nperseg) if section.cyclic == AUTO else None
    messages = _lost(reading, from_hz, to_hz, bandwidth_hz, loop)
    digest = hashlib.sha256(f"{ratio}|{identity or ''}".encode())
    for part in reading.records if identity is None else ():
        update_with(digest, part)
    records, cuts, first = _records(reading, ratio, loop)
    done = Resampling(ratio, from_hz, to_hz, float(first / ratio), digest.hexdigest(), messages)
    floor_db = reading.noise_floor_db
    new = replace(
        reading, records=records, cuts=cuts, sample_rate_hz=to_hz, bandwidth_hz=bandwidth_hz,
        nperseg=None if reading.nperseg is None else _whole(reading.nperseg, ratio), grid=_grid(reading.grid, ratio),
        noise_floor_db=None if floor_db is None else floor_db + min(0.0, to_db(float(ratio))),
        note=f"{reading.note} {done.description}".lstrip(), warnings=(*reading.warnings, *messages),
    )  # fmt: skip
    return new, section.model_copy(update={"sample_rate_hz": AUTO, "bandwidth_hz": AUTO}), done


def _records(
    reading: SourceRecord, ratio: Fraction, loop: int | None
) -> tuple[tuple[Part] | tuple[Part, Part, Part], tuple[int, int] | None, int]:
    """Return the parts at the new rate, the cuts of a single one, and which new sample is the first of them."""
    parts = reading.records
    if loop is not None:
        if (loop * ratio).denominator != 1:
            raise DataError(
                f"{reading.name}: its loops of {loop:,} samples would have {float(loop * ratio):,.2f}: choose a rate "
                f"with a whole number of them for {FLAG}, or data.cyclic: off"
            )
        cuts = None if reading.cuts is None else (int(reading.cuts[0] * ratio), int(reading.cuts[1] * ratio))
        looped = [Part(resample_loops(each.x, loop, ratio), resample_loops(each.y, loop, ratio)) for each in parts]
        return _one_or_three(looped), cuts, 0
    if len(parts) == 1:
        part, first = _inside(parts[0], ratio)
        return (part,), None if reading.cuts is None else _moved(reading.cuts, ratio, first), first
    try:
        record = joined(reading)
    except DataError:
        pieces = [_inside(part, ratio) for part in parts]
        return _one_or_three([piece for piece, _ in pieces]), None, pieces[0][1]
    part, first = _inside(record, ratio)
    at = _moved((len(parts[0]), len(parts[0]) + len(parts[1])), ratio, first)
    x, y = (np.split(signal, at) for signal in (part.x, part.y))
    return _one_or_three([Part(a, b) for a, b in zip(x, y, strict=True)]), None, first


def _inside(part: Part, ratio: Fraction) -> tuple[Part, int]:
    """Return what of a part depends on its own samples alone, and with which new sample that begins."""
    first, end = inside(len(part), ratio)
    return Part(resample(part.x, ratio)[first:end], resample(part.y, ratio)[first:end]), first


def _moved(cuts: tuple[int, int], ratio: Fraction, first: int) -> tuple[int, int]:
    """Return the first new samples at or after the cuts."""
    before, after = (max(0, -int(-cut * ratio // 1) - first) for cut in cuts)
    return before, after


def _one_or_three(parts: list[Part]) -> tuple[Part] | tuple[Part, Part, Part]:
    return (parts[0],) if len(parts) == 1 else (parts[0], parts[1], parts[2])


def _whole(samples: int, ratio: Fraction) -> int | None:
    """Return a length at the new rate; None where that is no whole number of samples."""
    return int(samples * ratio) if (samples * ratio).denominator == 1 else None


def _grid(grid: OfdmGrid | None, ratio: Fraction) -> OfdmGrid | None:
    """Return a numerology at the new rate; None where its symbols are no whole numbers of samples."""
    if grid is None:
        return None
    fft, prefix = _whole(grid.fft, ratio), _whole(grid.prefix, ratio)
    return None if fft is None or prefix is None else replace(grid, fft=fft, prefix=prefix)


def _lost(
    reading: SourceRecord, from_hz: float, to_hz: float, bandwidth_hz: float | None, loop: int | None
) -> tuple[str, ...]:
    """Say what of the output the new rate does not hold. Raises DataError where it cuts the input's band."""
    part, edge = reading.records[0], PASS * to_hz
    require_band(part.x, from_hz, to_hz, reading.name, bandwidth_hz=bandwidth_hz, loop=loop)
    frequency, density = _density(part.y, from_hz, loop)
    kept, total = (band_power(frequency, density, -limit, limit) for limit in (edge, from_hz))
    lost_db = to_db(1.0 - kept / total)
    if to_hz > from_hz or lost_db <= LOST_DB:
        return ()
    return (
        f"{lost_db:.1f} dB of the output's power are beyond +-{edge / 1e6:.4g} MHz and are lost at the new rate: "
        "spectral regrowth that a predistorter has to see",
    )


def require_band(
    x: Signal, from_hz: float, to_hz: float, name: str, *, bandwidth_hz: float | None = None, loop: int | None = None
) -> None:
    """Raise DataError where resampling would cut the band of a signal.

    Args:
        x: at `from_hz`, (N,) complex.
        from_hz, to_hz: old and new sample rate [Hz].
        name: of the signal, for the message.
        bandwidth_hz: as stated [Hz].
        loop: x is a row of loops of this many samples.
    """
    frequency, density = _density(x, from_hz, loop)
    outermost = np.argsort(-np.abs(frequency), kind="stable")
    beyond = np.cumsum(density[outermost]) / np.sum(density)
    reach = max(float(np.abs(frequency[outermost][np.argmax(beyond > 10 ** (CUT_DB / 10))])), (bandwidth_hz or 0.0) / 2)
    if reach > PASS * to_hz and to_hz < from_hz:
        raise DataError(
            f"{name}: a sample rate of {to_hz:g} Hz (data.resample_to_hz) keeps frequencies up to +-"
            f"{PASS * to_hz / 1e6:.4g} MHz, but the input reaches +-{reach / 1e6:.4g} MHz; it takes {reach / PASS:.4g} "
            "Hz or more"
        )


def _density(x: Signal, sample_rate_hz: float, loop: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequency [Hz] and power density in rising frequency; of loops without the jumps between them."""
    if loop is None:
        return psd(x, sample_rate_hz)
    power = np.mean(np.abs(np.fft.fft(x.reshape(-1, loop), axis=1)) ** 2, axis=0)
    return np.fft.fftshift(np.fft.fftfreq(loop, 1.0 / sample_rate_hz)), np.fft.fftshift(power)

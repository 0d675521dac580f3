"""Records of the five captures as a receiver with flaws would have made them, drawn at random from a seed.

The receiver is simulated by another method than dpdrun's: the spectrum of the output is padded to 8 times the sample
rate, then interpolated by 8-point Lagrange polynomials.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Part, UnequalPart
from dpdrun.data.sources import load_capture
from dpdrun.recipe.schema import DataSection

CAPTURES = (
    "synthetic/hard", "opendpd/APA_200MHz", "opendpd/APA_200MHz_b", "opendpd/DPA_160MHz", "opendpd/DPA_200MHz",
)  # fmt: skip
DRAWS = 40  # of each capture
LONGEST = 60_000  # samples of a capture that are used
SHIFT = 5_000
OVERSAMPLED = 8
POINTS = range(-3, 5)
PRESENT = 0.75  # probability of each flaw

Signal = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Draw:
    """A flawed record.

    Attributes:
        flaws: what was done, as plain values.
        pair: what the receiver recorded: x is a stretch of the capture's input.
        truth: the capture's output at the instants of x.
    """

    flaws: dict[str, Any]
    pair: Part
    truth: Signal


@cache
def capture(name: str) -> tuple[Signal, Signal]:
    """Return input and output of a capture, its splits joined, at most LONGEST samples."""
    parts = load_capture(DataSection.model_validate({"source": name, "split": "auto"})).parts.values()
    if name.startswith("synthetic/"):
        from dpdrun.data.synthetic import PRESETS, generate

        x, y = generate(PRESETS[name.partition("/")[2]])
        return x[:LONGEST], y[:LONGEST]
    x, y = (np.concatenate([getattr(part, side) for part in parts])[:LONGEST] for side in ("x", "y"))
    return x, y


@cache
def _oversampled(name: str) -> Signal:
    spectrum = np.fft.fft(capture(name)[1])
    half = len(spectrum) // 2
    padded = np.zeros(OVERSAMPLED * len(spectrum), complex)
    padded[:half], padded[-half:] = spectrum[:half], spectrum[-half:]
    return np.asarray(np.fft.ifft(padded) * OVERSAMPLED, np.complex128)


def between(name: str, instants: NDArray[np.float64]) -> Signal:
    """Return the output of a capture at instants between its samples, (M,)."""
    y, fine = _oversampled(name), instants * OVERSAMPLED
    whole = np.floor(fine).astype(int)
    out = np.zeros(len(instants), complex)
    for point in POINTS:
        others = [other for other in POINTS if other != point]
        weight = np.prod([(fine - whole - other) / (point - other) for other in others], axis=0)
        out += weight * y[(whole + point) % len(y)]
    return out


def draw(name: str, seed: int) -> Draw:
    """Return a record of a capture with random flaws.

    Each is there with a probability of three quarters: a delay of up to 5,000 samples and a fraction, a frequency
    offset of up to 0.45 of the sample rate, a clock offset of up to 200 ppm, DC of -60 to -10 dB, a gain of 1e-4 to
    1e4 with any phase, cuts of up to a tenth at both ends of both records, and with a probability of a third each, a
    conjugate or a swap of I and Q; where there is a frequency offset, an image of the receiver of -60 to -20 dBc, which
    without one is no other than that of the transmitter.
    """
    rng = np.random.default_rng([CAPTURES.index(name), seed])
    x, y = capture(name)
    total = len(x)

    def maybe(value: float) -> float:
        return value if rng.random() < PRESENT else 0.0

    shift = maybe(rng.uniform(-SHIFT, SHIFT))
    offset = maybe(rng.uniform(-0.45, 0.45))
    ppm = maybe(rng.uniform(-200, 200))
    dc_db = maybe(rng.uniform(-60, -10))
    gain_db = maybe(rng.uniform(-80, 80))
    phase, dc_phase = rng.uniform(-np.pi, np.pi, 2)
    mirror = str(rng.choice(["", "conjugate", "swap"]))
    cuts = [int(maybe(rng.uniform(0, total / 10))) for _ in range(4)]
    image_db = maybe(rng.uniform(-60, -20)) if offset else 0.0
    image = 10 ** (image_db / 20) * np.exp(1j * rng.uniform(-np.pi, np.pi)) if image_db else 0.0
    first, end = SHIFT + cuts[0], total - SHIFT - cuts[1]  # of the input
    begin = SHIFT - shift + min(cuts[2], total // 20)  # of the output: an instant of the capture, not a whole one
    count = int(min(total - SHIFT - begin, total - 2 * SHIFT) - cuts[3])
    n = np.arange(count)
    seen = between(name, begin + n / (1 + ppm * 1e-6)) * np.exp(2j * np.pi * offset * n)
    seen *= 10 ** (gain_db / 20) * np.exp(1j * phase)
    if mirror:
        seen = np.conj(seen) if mirror == "conjugate" else seen.imag + 1j * seen.real
    seen = seen + image * np.conj(seen)
    if dc_db:
        seen = seen + np.sqrt(np.mean(np.abs(seen) ** 2)) * 10 ** (dc_db / 20) * np.exp(1j * dc_phase)
    seen = np.asarray(seen, np.complex128)
    flaws = {
        "delay": round((first - begin) * (1 + ppm * 1e-6), 4), "offset": offset, "ppm": ppm, "dc_db": dc_db or None,
        "image_db": image_db or None, "gain_db": gain_db, "mirror": mirror, "samples": [end - first, count],
    }  # fmt: skip
    pair = (Part if count == end - first else UnequalPart)(x[first:end], seen)
    return Draw(flaws, pair, y[first:end])

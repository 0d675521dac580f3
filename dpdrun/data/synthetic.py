"""Embedded captures, `synthetic/<preset>`: an OFDM waveform through a virtual amplifier, plus noise at a known floor.

They are the same on every machine: the random numbers come from numpy's PCG64, and input and output are rounded to
the grid of a 16-bit converter, which swallows the last-digit differences between FFT and libm versions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Part, SourceRecord
from dpdrun.data.checks import suggestion
from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.data.virtual_pa import VirtualPA
from dpdrun.errors import DataError

LICENCE = "CC0-1.0"
CONVERTER_STEP = 2.0**-15  # a 16-bit converter whose full scale is 1
PEAK = 0.98  # of the input, relative to full scale


@dataclass(frozen=True)
class Preset:
    """A waveform, an amplifier and a noise floor.

    Attributes:
        summary: one line for listings.
        pa: the amplifier.
        noise_floor_db: noise power relative to the output power [dB].
        seed: of symbols and noise.
        ofdm: the waveform.
    """

    summary: str
    pa: VirtualPA
    noise_floor_db: float
    seed: int
    ofdm: OfdmSettings = field(default_factory=OfdmSettings)


_MILD = VirtualPA(
    fir_in=(1.0, 0.05 - 0.03j, -0.02 + 0.01j),
    fir_out=(1.02, -0.04 + 0.02j, 0.015j),
    main_limit=0.6,
    main_sharpness=1.5,
    main_phase_rad=0.3,
    aux_threshold=0.5,
    aux_knee=0.06,
    aux_gain=0.35,
    aux_phase_rad=0.3,
    aux_late=0.12,
    bias_samples=10.0,
    bias_threshold=0.03,
    bias_gain=0.006,
    trap_capture_samples=200.0,
    trap_release_samples=6000.0,
    trap_droop=0.012,
)
_HARD = VirtualPA(
    fir_in=(1.0, 0.08 - 0.05j, -0.03 + 0.02j, 0.01),
    fir_out=(1.03, -0.06 + 0.03j, 0.02j, -0.008),
    main_limit=0.45,
    main_sharpness=2.0,
    main_phase_rad=0.6,
    aux_threshold=0.35,
    aux_knee=0.04,
    aux_gain=0.75,
    aux_phase_rad=0.6,
    aux_late=0.15,
    bias_samples=12.0,
    bias_threshold=0.10,
    bias_gain=0.02,
    trap_capture_samples=200.0,
    trap_release_samples=8000.0,
    trap_droop=0.024,
)

PRESETS: dict[str, Preset] = {
    "mild": Preset("5 x 40 MHz 256-QAM at 983.04 MS/s, gentle Doherty, floor -42 dB", _MILD, -42.0, 2026_11_01),
    "hard": Preset("the same signal, sharp knee and strong memory, floor -45 dB", _HARD, -45.0, 2026_11_02),
}


def read(name: str, source: str) -> SourceRecord:
    """Generate the preset as a record.

    Raises:
        DataError: no such preset.
    """
    if name not in PRESETS:
        raise DataError(f"{source}: no such preset{suggestion(name, PRESETS)}; there are: {', '.join(PRESETS)}")
    preset = PRESETS[name]
    x, y = generate(preset)
    return SourceRecord(
        name=source,
        records=(Part(x, y),),
        sample_rate_hz=preset.ofdm.sample_rate_hz,
        bandwidth_hz=preset.ofdm.bandwidth_hz,
        subchannels=preset.ofdm.carriers,
        grid=preset.ofdm.grid,
        noise_floor_db=preset.noise_floor_db,
        licence=LICENCE,
        note=f"Synthetic: {preset.summary}.",
    )


def generate(preset: Preset, *, noise: bool = True) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Generate input and output of one period of the waveform.

    Args:
        noise: False gives the same amplifier without measurement noise.

    Returns:
        x, y: (N,) complex128 each. The noise is complex, white over the whole sample rate, and scaled so that its
        power over this record is exactly `noise_floor_db` relative to the noise-free output.
    """
    rng = np.random.Generator(np.random.PCG64(preset.seed))
    x = ofdm_waveform(preset.ofdm, rng)
    x = _converter(x * (PEAK / np.max(np.abs(x))))
    y = preset.pa(x)
    if noise:
        white = rng.standard_normal(len(y)) + 1j * rng.standard_normal(len(y))
        wanted = np.sum(np.abs(y) ** 2) * 10 ** (preset.noise_floor_db / 10)
        y = y + white * np.sqrt(wanted / np.sum(np.abs(white) ** 2))
    return x, _converter(y)


def _converter(samples: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return np.asarray(np.round(samples / CONVERTER_STEP) * CONVERTER_STEP, np.complex128)

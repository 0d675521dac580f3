"""What to know about a capture before a model is trained on it: facts, and warnings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from dpdrun.data.capture import Capture, Part
from dpdrun.data.changes import aligned_part, changes_inside
from dpdrun.data.signal_path import SignalPath, do_not_line_up, signal_path
from dpdrun.rf import impairments, metrics, spectrum
from dpdrun.rf.aclr import aclr
from dpdrun.rf.alignment import repeated_share
from dpdrun.rf.floor import Floor, quiet_band_floor
from dpdrun.rf.stationarity import unexplained_db
from dpdrun.rf.synchronization import envelope_variance

SCHEMA_VERSION = 1
# Limits of the warnings. Each is well above what the four measured OpenDPD captures show by chance.
DC_DB = -25.0
OFFSET_DB = -45.0
IMAGE_DBC = -40.0
GAIN_STEP_DB = 0.25
PHASE_STEP_DEG = 2.0
DRIVE_STEP_DB = 0.5
PEAK_EXCESS_DB = 0.3
ALIGNED_DEG = 1e-6
OUT_OF_BAND_DB = -45.0
EXCHANGED_DB = 6.0  # a predistorted input leaks more than the output, too, but has the higher peaks
NOISE_MARGIN_DB = 3.0  # half of what a linear gain leaves is noise


@dataclass(frozen=True)
class PartFacts:
    """One part of the capture. Powers are relative to 1, as the source scales them.

    Attributes:
        samples: N.
        duration_s: [s].
        rms_x, rms_y, peak_x, peak_y: magnitudes.
        papr_x_db, papr_y_db: [dB].
        gain_db, gain_deg: the best single complex gain of this part, aligned [dB], [deg]; None if it is not known.
        one_tap_nmse_db: what that gain of the training part leaves [dB]: the score of a model that learnt nothing.
    """

    samples: int
    duration_s: float
    rms_x: float
    rms_y: float
    peak_x: float
    peak_y: float
    papr_x_db: float
    papr_y_db: float
    gain_db: float | None
    gain_deg: float | None
    one_tap_nmse_db: float


@dataclass(frozen=True)
class Inspection:
    """Facts of a complete capture; those of the signal path are measured on the training split.

    Attributes:
        delay_samples, delay_ns: how much later the output comes; None if it is not known, as all that depends on it.
        correlation: |correlation coefficient| of input and output, aligned as well as can be. Below 0.7 nothing of the
            path is known.
        frequency_offset_hz, clock_ppm: of the output [Hz], [ppm], where they matter, else 0.
        envelope_variance: var(|x|^2) / mean(|x|^2)^2 of the input: 0 for a constant envelope, about 1 for OFDM.
        dc_x_db: DC of the input over its power [dB].
        offset_y_db: DC that the output has beyond the input's, over the output power [dB].
        image_dbc: conj(x) in the output over x [dB].
        unexplained_db: power of the output that a memory polynomial of the input leaves where the output is strong
            [dB]; None if it explains it.
        occupied_hz: lower and upper edge of 99 % of the input power [Hz].
        aclr_x_dbc, aclr_y_dbc: (left, right) adjacent channel leakage [dBc]; None where the bandwidth is not known or
            the neighbours are outside the capture.
        floor: noise-floor estimate from the record.
        known_floor_db: the true floor, where the capture is synthetic [dB].
        warnings: most serious first.
        obstacles: those of the warnings, and the noise, with which no model of the amplifier can be trained.
    """

    schema_version: int
    name: str
    note: str
    licence: str
    sha256: str
    sample_rate_hz: float
    bandwidth_hz: float | None
    subchannels: int | None
    nperseg: int | None
    loop_samples: int | None
    parts: dict[str, PartFacts]
    delay_samples: float | None
    delay_ns: float | None
    correlation: float
    dc_x_db: float
    offset_y_db: float | None
    image_dbc: float | None
    occupied_hz: tuple[float, float]
    aclr_x_dbc: tuple[float, float] | None
    aclr_y_dbc: tuple[float, float] | None
    floor: Floor
    known_floor_db: float | None
    warnings: tuple[str, ...]
    frequency_offset_hz: float | None = None
    clock_ppm: float | None = None
    envelope_variance: float = 1.0
    unexplained_db: float | None = None
    obstacles: tuple[str, ...] = ()
    channel_spacing_hz: float | None = None


def inspect_capture(capture: Capture) -> Inspection:
    """Measure a capture."""
    x, y, rate = capture.train.x, capture.train.y, capture.sample_rate_hz
    gain = metrics.one_tap_gain(x, y)
    path = signal_path(x, y)
    linear, found = path.linear, path.found
    facts = Inspection(
        schema_version=SCHEMA_VERSION,
        name=capture.name,
        note=capture.note,
        licence=capture.licence,
        sha256=capture.sha256,
        sample_rate_hz=rate,
        bandwidth_hz=capture.bandwidth_hz,
        subchannels=capture.subchannels,
        nperseg=capture.nperseg,
        loop_samples=capture.loop_samples,
        parts={name: _part_facts(name, part, rate, gain, path) for name, part in capture.parts.items()},
        delay_samples=None if found is None else found.position,
        delay_ns=None if found is None else found.position / rate * 1e9,
        correlation=path.correlation,
        dc_x_db=impairments.dc_db(x),
        offset_y_db=None if linear is None else linear.offset_db,
        image_dbc=None if linear is None else linear.image_dbc,
        occupied_hz=spectrum.occupied_band(x, rate),
        aclr_x_dbc=_aclr(x, capture),
        aclr_y_dbc=_aclr(y, capture),
        floor=noise_floor(capture),
        known_floor_db=capture.noise_floor_db,
        warnings=(),
        frequency_offset_hz=None if found is None else found.frequency * rate * ("frequency offset" in path.needed),
        clock_ppm=None if found is None else found.clock * 1e6 * ("sample clock" in path.needed),
        envelope_variance=envelope_variance(x),
        unexplained_db=None if found is None else unexplained_db(path.x, path.y),
        channel_spacing_hz=capture.channel_spacing_hz,
    )
    changes = changes_inside(capture, path)
    warnings = (
        *exchanged(facts),
        *_signal_path(facts, capture, path),
        *changes,
        *_parts_differ(facts, capture),
        *_band(facts, x),
        *capture.warnings,
    )
    unrelated = [] if found is not None else do_not_line_up(path, rate)
    obstacles = (*unrelated, *_constant_envelope(facts, path), *_unexplained(facts), *changes, *_noise(facts))
    return replace(facts, warnings=warnings, obstacles=obstacles)


@lru_cache(maxsize=1)  # an evaluation asks several times
def noise_floor(capture: Capture) -> Floor:
    """Estimate the noise floor of a capture from the quiet band of its training split."""
    x, y, loop = capture.train.x, capture.train.y, capture.loop_samples
    return quiet_band_floor(x, y, capture.sample_rate_hz, bandwidth_hz=capture.bandwidth_hz, loop_samples=loop)


def _part_facts(name: str, part: Part, sample_rate_hz: float, train_gain: complex, path: SignalPath) -> PartFacts:
    gain = _gain(name, part, path)
    return PartFacts(
        samples=len(part),
        duration_s=len(part) / sample_rate_hz,
        rms_x=metrics.rms(part.x),
        rms_y=metrics.rms(part.y),
        peak_x=float(np.max(np.abs(part.x))),
        peak_y=float(np.max(np.abs(part.y))),
        papr_x_db=metrics.papr_db(part.x),
        papr_y_db=metrics.papr_db(part.y),
        gain_db=None if gain is None else metrics.to_db(abs(gain) ** 2),
        gain_deg=None if gain is None else float(np.degrees(np.angle(gain))),
        one_tap_nmse_db=metrics.one_tap_nmse_db(part.x, part.y, train_gain),
    )


def _gain(name: str, part: Part, path: SignalPath) -> complex | None:
    """Return the gain of an aligned part; of other splits only where that does not depend on when they begin."""
    aligned = aligned_part(part, path)
    if aligned is not None:
        return metrics.one_tap_gain(*aligned)
    return metrics.one_tap_gain(path.x, path.y) if name == "train" and path.found is not None else None


def _aclr(x: metrics.Signal, capture: Capture) -> tuple[float, float] | None:
    if capture.channel_bandwidth_hz is None:
        return None
    try:
        found = aclr(
            x,
            capture.sample_rate_hz,
            capture.channel_bandwidth_hz,
            carriers=capture.subchannels or 1,
            spacing_hz=capture.channel_spacing_hz,
            nperseg=capture.nperseg or spectrum.SEGMENT,  # as an evaluation takes it
        )
    except ValueError:  # the neighbours are not in the capture
        return None
    return found.left_dbc, found.right_dbc


def _signal_path(facts: Inspection, capture: Capture, path: SignalPath) -> list[str]:
    x, y = capture.train.x, capture.train.y
    found = do_not_line_up(path, facts.sample_rate_hz)
    found += _constant_envelope(facts, path)
    for name, samples in (("input", x), ("output", y)):
        stuck = 0 if path.constant_envelope else impairments.railed_samples(samples)
        if stuck:
            found.append(
                f"{stuck:,} training samples of the {name} are at the extreme of I or Q: a converter saturates"
            )
    found += _unexplained(facts)
    if facts.dc_x_db > DC_DB and impairments.dc_stands_out(x):
        found.append(f"the input has DC of {facts.dc_x_db:.1f} dB of its power")
    if path.linear is None or facts.offset_y_db is None or facts.image_dbc is None:
        return found
    rest = path.y - path.linear.gain * path.x
    if facts.offset_y_db > OFFSET_DB and impairments.dc_stands_out(rest):
        found.append(
            f"the output has a DC offset of {facts.offset_y_db:.1f} dB of its power that the input does not have (LO "
            "leakage?); subtract it"
        )
    if facts.image_dbc > IMAGE_DBC and not path.constant_envelope:
        found.append(
            f"the output contains an image (conjugate) of the input at {facts.image_dbc:.1f} dBc: I/Q imbalance"
        )
    return found


def exchanged(facts: Inspection) -> list[str]:
    """Return a warning where the input looks like the output of an amplifier: it has more leakage and smaller peaks."""
    if facts.aclr_x_dbc is None or facts.aclr_y_dbc is None:
        return []
    leakage_db, train = max(facts.aclr_x_dbc) - max(facts.aclr_y_dbc), facts.parts["train"]
    if leakage_db < EXCHANGED_DB or train.papr_x_db > train.papr_y_db:
        return []
    return [
        f"input and output look exchanged: the input leaks {leakage_db:.0f} dB more into the adjacent channels and its "
        f"peaks are lower (PAPR {train.papr_x_db:.1f} dB, output {train.papr_y_db:.1f} dB), as after an amplifier; "
        "exchange them by --input-signal and --output-signal, --columns, or the order of two files"
    ]


def _constant_envelope(facts: Inspection, path: SignalPath) -> list[str]:
    if not path.constant_envelope:
        return []
    return [
        "the input has a constant envelope (variance of its power: "
        f"{facts.envelope_variance:.2g} of the mean squared): this record cannot show AM/AM or AM/PM; is it the "
        "whole input? A tone, a phase modulation, or one branch of an outphasing transmitter is not; record the "
        "drive signal of the amplifier as it is modulated"
    ]


def _unexplained(facts: Inspection) -> list[str]:
    if facts.unexplained_db is None:
        return []
    return [
        f"the output is not explained by this input: {facts.unexplained_db:.1f} dB of its power stand where it is "
        "strong and a memory polynomial of the input does not reach (a second band or carrier, crosstalk from "
        "another transmitter?); record every input of the amplifier, or filter the output to the band of this one"
    ]


def _noise(facts: Inspection) -> list[str]:
    floor_db, linear_db = facts.floor.nmse_db, facts.parts["train"].one_tap_nmse_db
    if floor_db is None or floor_db < linear_db - NOISE_MARGIN_DB:
        return []
    return [
        f"the noise floor of the output, {floor_db:.1f} dB, is as high as all that a linear gain leaves "
        f"({linear_db:.1f} dB): there is no distortion to learn above it; average several records, or raise the drive"
    ]


def _parts_differ(facts: Inspection, capture: Capture) -> list[str]:
    found = []
    train = facts.parts["train"]
    if facts.loop_samples is not None:
        found.append(
            f"the record is a sequence of frames of {facts.loop_samples:,} samples, each measured in a loop: the past "
            "of a frame is its own end, not the frame before it"
        )
    for name in ("val", "test"):
        part = facts.parts[name]
        share = repeated_share(capture.train.x, capture.parts[name].x)
        if share > 0:
            found.append(
                f"about {share:.0%} of the {name} input also occurs in the training split (a looping record?); "
                f"the {name} score then rewards memorization; use one period only"
            )
        found += _gain_step(name, part, train)
        drive_db = metrics.to_db((part.rms_x / train.rms_x) ** 2)
        if abs(drive_db) > DRIVE_STEP_DB:
            found.append(f"the {name} input level is {drive_db:+.2f} dB relative to the training input")
        excess_db = metrics.to_db((part.peak_x / train.peak_x) ** 2)
        if excess_db > PEAK_EXCESS_DB:
            found.append(
                f"the {name} input peaks {excess_db:.2f} dB above the training input: models extrapolate there"
            )
    if all(part.gain_deg is not None and abs(part.gain_deg) < ALIGNED_DEG for part in facts.parts.values()):
        found.append(
            "the phase between input and output is exactly zero in each split: the splits were aligned separately, "
            "which hides any drift between them"
        )
    return found


def _gain_step(name: str, part: PartFacts, train: PartFacts) -> list[str]:
    if part.gain_db is None or part.gain_deg is None or train.gain_db is None or train.gain_deg is None:
        return []
    step_db, step_deg = part.gain_db - train.gain_db, _turn(part.gain_deg - train.gain_deg)
    if abs(step_db) <= GAIN_STEP_DB and abs(step_deg) <= PHASE_STEP_DEG:
        return []
    return [
        f"the gain of the {name} split differs from the training split by {step_db:+.2f} dB, {step_deg:+.1f} "
        "deg: the gain drifts, or the drive level changes"
    ]


def _band(facts: Inspection, x: metrics.Signal) -> list[str]:
    low, high = facts.occupied_hz
    found = []
    if facts.bandwidth_hz is None:
        return []
    width = high - low
    if not 0.5 * facts.bandwidth_hz < width < 1.1 * facts.bandwidth_hz:
        found.append(
            f"99 % of the input lies within {width / 1e6:.4g} MHz, but {facts.bandwidth_hz / 1e6:.4g} MHz are stated: "
            "is the sample rate right?"
        )
    channel_hz = spectrum.channel_bandwidth_hz(x, facts.sample_rate_hz, facts.bandwidth_hz)
    if channel_hz > facts.bandwidth_hz:
        found.append(
            f"the stated bandwidth of {facts.bandwidth_hz / 1e6:.4g} MHz cuts the input, which reaches +-"
            f"{channel_hz / 2e6:.4g} MHz; ACLR is measured beyond that: correct the bandwidth (--bandwidth-hz, "
            "data.bandwidth_hz)"
        )
    outside_db = spectrum.out_of_band_db(x, facts.sample_rate_hz, facts.bandwidth_hz)
    if outside_db > OUT_OF_BAND_DB:
        image_hz = spectrum.image_frequency(x, facts.sample_rate_hz, facts.bandwidth_hz)
        found.append(
            f"the input itself has {outside_db:.1f} dB of its power outside the stated band"
            + ("" if image_hz is None else f", and rises again at {image_hz / 1e6:.0f} MHz (images of resampling?)")
            + ": the ACLR of the output is not caused by the amplifier alone"
        )
    if facts.sample_rate_hz < 3 * facts.bandwidth_hz:
        found.append(
            f"the sample rate is {facts.sample_rate_hz / facts.bandwidth_hz:.1f} times the bandwidth: third-order "
            "regrowth (3 times the bandwidth) aliases"
        )
    return found


def _turn(degrees: float) -> float:
    """Return an angle difference in [-180, 180) [deg]."""
    return (degrees + 180.0) % 360.0 - 180.0

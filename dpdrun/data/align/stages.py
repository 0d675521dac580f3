"""Decide which corrections a record needs: each has to help on samples to which it was not fitted.

An unnecessary correction does harm: on good captures an estimated frequency offset is the slow phase drift of the
amplifier (trapping, heating), and removing it costs up to 0.8 dB on later samples. So every correction is compared with
its absence: a small memory polynomial is fitted to the first three quarters of the training split and scored on the
rest, with all other corrections applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dpdrun.rf.floor import MAX_SAMPLES, quiet_band_floor
from dpdrun.rf.interpolation import REACH
from dpdrun.rf.memory_polynomial import Explained, explained
from dpdrun.rf.metrics import Signal, rms, to_db
from dpdrun.rf.receiver_image import Images, with_image
from dpdrun.rf.synchronization import Synchronization, synchronize
from dpdrun.rf.synchronization_error import StandardErrors, standard_errors

HELPS_DB = 0.3
HELPS_SHORT_DB = 1.0  # with fewer than SHORT samples, where chance gains more
SHORT = 10_000
ONE_TAP_HELPS_DB = 0.5  # a polynomial with future taps does not see a sample or two of delay; shorter models do
# what that may cost the polynomial, whose window of taps may suit a late output better; whole samples cost nothing else
COSTS_DB = {"coarse delay": float("inf"), "fractional delay": 0.3}
LEAKAGE_HELPS_DB = 0.1  # of DC and image, which have to be certain, too
SIGMAS = 5.0
PHASE_RUN_DEG = 1.0  # over the training split; the amplifiers of the measured captures here turn by 0.3
EVEN = 0.25  # of that run: a drift leaves more than an offset of frequency
SLIP_SAMPLES = 0.02
LEAST = 1_000  # samples that two records have to share

Name = Literal[
    "conjugation", "coarse delay", "frequency offset", "fractional delay", "sample clock", "DC",
    "receiver image", "gain",
]  # fmt: skip
ORDER: tuple[Name, ...] = (
    "conjugation", "coarse delay", "frequency offset", "fractional delay", "sample clock", "DC",
    "receiver image", "gain",
)  # fmt: skip
TRIED: tuple[Name, ...] = (
    "sample clock", "frequency offset", "fractional delay", "DC", "receiver image", "conjugation",
    "coarse delay",
)  # fmt: skip
Pair = tuple[float | None, float | None]
Score = Callable[[Synchronization], Explained]


@dataclass(frozen=True)
class Stage:
    """One correction.

    Attributes:
        name: of the correction.
        estimate: value, uncertainty (one standard error) and unit, as text.
        applied: whether it is.
        why: why it is not.
        without, with_it: scores without and with it, all other corrections that help being applied; None if there is
            nothing to correct.
        floor_at_most_db: upper bound of the white noise (`bound_db` of `rf.floor`), without and with it [dB]; None
            where that is unknown or was not estimated.
    """

    name: Name
    estimate: str
    applied: bool
    why: str
    without: Explained | None = None
    with_it: Explained | None = None
    floor_at_most_db: Pair = (None, None)


@dataclass(frozen=True)
class Decision:
    """What to correct.

    Attributes:
        estimate: all corrections, as estimated.
        found: the corrections that help, as they are applied.
        without: by name of an applied correction, all others.
        stages: every correction, in the order of ORDER.
        before, after: scores without any and with those that help.
        errors: of the estimates.
        floor_at_most_db: as of a stage, before and after.
    """

    estimate: Synchronization
    found: Synchronization
    without: dict[Name, Synchronization]
    stages: tuple[Stage, ...]
    before: Explained
    after: Explained
    errors: StandardErrors
    floor_at_most_db: Pair = (None, None)


def decide(x: Signal, y: Signal) -> Decision | None:
    """Estimate all corrections, and keep those that help.

    Args:
        x: input of the training split, (N,) complex.
        y: output, (M,) complex, of which only what belongs to x is used.

    Returns:
        None where the output does not belong to the input, or they share too few samples.
    """
    estimate = synchronize(x, y)
    if estimate is None:
        return None
    first, end = estimate.overlap(len(x), len(y))
    if end - first < LEAST:
        return None
    estimate, seen = with_image(x, y, estimate)
    errors = standard_errors(x, y, estimate)
    score = _scorer(x, y, first + 2 * REACH, end - 2 * REACH)
    middle = (first + end - 1) / 2
    found, best = estimate, score(estimate)
    trials: dict[Name, tuple[str, Explained | None, Explained | None]] = {}
    for name in TRIED:
        other = _without(name, found, middle)
        if other == found:
            included = name == "fractional delay" and found.clock
            trials[name] = ("part of the resampling" if included else "nothing to correct", None, None)
            continue
        absent = score(other)
        why = _too_small(name, found, errors, seen, end - first)
        if not why and not _helps(name, absent, best, end - first):
            why = "does not help"
        trials[name] = (why, absent, best)
        if why:
            found, best = other, absent
    if not seen.apart:
        trials["receiver image"] = ("without a frequency offset, it may be the transmitter's", None, None)
    trials["gain"] = ("left to the model, which scales its data", None, None)
    found = _rounded(found, rms(y))
    late = estimate.position + (0.0 if found.clock else estimate.clock * middle)  # of the first sample
    texts = _texts(estimate, errors, seen, late, rms(y))
    stages = tuple(Stage(name, texts[name], not trials[name][0], *trials[name]) for name in ORDER)
    without = {stage.name: _without(stage.name, found, middle) for stage in stages if stage.applied}
    return Decision(estimate, found, without, stages, score(Synchronization()), best, errors)


def with_floors(decision: Decision, x: Signal, y: Signal) -> Decision:
    """Return a decision with the noise floor of the training split without and with each correction.

    Args:
        decision: from `decide`.
        x, y: the records that it was made from.
    """

    def floor(found: Synchronization) -> float | None:
        first, end = found.overlap(len(x), len(y))
        if end - first < LEAST:
            return None
        last = min(end, first + MAX_SAMPLES)  # more are not used
        return quiet_band_floor(x[first:last], found.restore(y, first, last), 1.0).bound_db

    after = floor(decision.found)
    stages = tuple(
        replace(stage, floor_at_most_db=(floor(decision.without[stage.name]), after)) if stage.applied else stage
        for stage in decision.stages
    )
    return replace(decision, stages=stages, floor_at_most_db=(floor(Synchronization()), after))


def _scorer(x: Signal, y: Signal, first: int, end: int) -> Score:
    """Return the score of a synchronization on the same instants for all, as far as they are in the record."""

    def score(found: Synchronization) -> Explained:
        low, high = found.overlap(len(x), len(y))
        low, high = max(low, first), min(high, end)
        if high - low < LEAST:
            return Explained(0.0, 0.0)
        return explained(x[low:high], found.restore(y, low, high))

    return score


def _without(name: Name, found: Synchronization, middle: float) -> Synchronization:
    """Return the other corrections; `middle` is the instant at which the delay is taken where the clock is right."""
    whole = float(np.rint(found.position))
    match name:
        case "sample clock":
            return replace(found, clock=0.0, position=found.position + found.clock * middle)
        case "frequency offset":
            return replace(found, frequency=0.0, image=0j)  # an image that does not turn is left to the model
        case "fractional delay":
            return found if found.clock else replace(found, position=whole)
        case "coarse delay":
            return replace(found, position=found.position - whole)
        case "DC":
            return replace(found, dc=0j)
        case "receiver image":
            return replace(found, image=0j)
        case "conjugation":
            return replace(found, mirrored=False)
    return found


def _too_small(name: Name, found: Synchronization, errors: StandardErrors, seen: Images, samples: int) -> str:
    """Return why a correction is negligible or too uncertain to be applied, else an empty text."""
    if name == "sample clock":
        if abs(found.clock) * samples < SLIP_SAMPLES:
            return f"slips by {abs(found.clock) * samples:.3f} samples over the training split"
        if abs(found.clock) < SIGMAS * errors.clock:
            return "within its uncertainty"
    if name == "frequency offset":
        run = 360 * abs(found.frequency) * samples
        if run < PHASE_RUN_DEG:
            return f"turns the phase by {run:.2f} deg over the training split, as trapping and heating do"
        if errors.phase_left_deg > EVEN * run:
            return f"the phase does not rotate uniformly ({errors.phase_left_deg:.1f} deg remain): a drift"
        if abs(found.frequency) < SIGMAS * errors.frequency:
            return "within its uncertainty"
    if name == "DC" and abs(found.dc) < SIGMAS * errors.dc:
        return "within its uncertainty"
    if name == "receiver image" and abs(found.image) < SIGMAS * seen.error:
        return "within its uncertainty"
    return ""


def _helps(name: Name, absent: Explained, present: Explained, samples: int) -> bool:
    gain = absent.polynomial_db - present.polynomial_db
    least = HELPS_DB if samples >= SHORT else HELPS_SHORT_DB
    if gain >= (LEAKAGE_HELPS_DB if name in ("DC", "receiver image") else least):
        return True
    return name in COSTS_DB and gain >= -COSTS_DB[name] and absent.one_tap_db - present.one_tap_db >= ONE_TAP_HELPS_DB


def _rounded(found: Synchronization, level: float) -> Synchronization:
    """Return the values without the digits that differ between machines, far below their errors."""
    step = 10.0 ** (np.floor(np.log10(level)) - 9)
    dc = complex(round(found.dc.real / step) * step, round(found.dc.imag / step) * step)
    return replace(
        found, position=round(found.position, 6), clock=round(found.clock, 13), frequency=round(found.frequency, 14),
        dc=dc, image=complex(round(found.image.real, 9), round(found.image.imag, 9)),
    )  # fmt: skip


def _texts(found: Synchronization, errors: StandardErrors, seen: Images, late: float, level: float) -> dict[Name, str]:
    error_db = 20 * np.log10(seen.error)
    receiver = f"{to_db(abs(seen.receiver) ** 2):.1f} dBc (known to {error_db:.0f} dBc); " if seen.apart else ""
    other = "the transmitter's, left to the model" if seen.apart else "receiver and transmitter together"
    whole = int(np.rint(late))
    gain_db = 20 * np.log10(abs(errors.gain))
    return {
        "conjugation": "I and Q are swapped, or one is negated" if found.mirrored else "none",
        "coarse delay": f"{whole:+,} samples",
        "frequency offset": f"{found.frequency:+.4g} +- {errors.frequency:.1g} of the sample rate",
        "fractional delay": f"{late - whole:+.4f} +- {errors.delay:.1g} samples",
        "sample clock": f"{found.clock * 1e6:+.3f} +- {errors.clock * 1e6:.1g} ppm",
        "DC": f"{to_db((abs(found.dc) / level) ** 2):.1f} dB of the output's power (known to "
        f"{to_db((errors.dc / level) ** 2):.0f} dB)",
        "receiver image": f"{receiver}{other}: {to_db(abs(seen.transmitter) ** 2):.1f} dBc",
        "gain": f"{gain_db:.3f} +- {errors.gain_db:.1g} dB, {np.degrees(np.angle(errors.gain)):.2f} "
        f"+- {errors.gain_deg:.1g} deg",
    }

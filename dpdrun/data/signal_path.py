"""What lies between input and output of a capture, as far as it is known: delay, frequency, clock, image, DC."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dpdrun.data.align.stages import Name, decide
from dpdrun.rf import impairments
from dpdrun.rf.alignment import delay
from dpdrun.rf.impairments import LinearPath
from dpdrun.rf.metrics import Signal, to_db
from dpdrun.rf.synchronization import CONSTANT_ENVELOPE, Synchronization, envelope_variance

EXAMINED = 131_072  # samples
LEAST = 2_000  # samples; fewer cannot tell a frequency offset from the phase of the amplifier
CORRELATION = 0.7  # once aligned; amplifiers in deep compression have 0.9, what does not belong together 0.3
DELAY_SAMPLES = 0.5
REMEDY = "data.align: auto in the recipe, or `dpdrun data align`, removes it"


@dataclass(frozen=True, eq=False)
class SignalPath:
    """The path from input to output.

    Attributes:
        correlation: |correlation coefficient| of input and output, aligned as well as can be.
        found: what the receiver did to the output; None if that is not known: then no number of it is.
        needed: what has to be corrected.
        x, y: input and output, aligned; as they were, if it is not known how.
        linear: gain, image and offset of the aligned pair; None if not known.
        constant_envelope: the input has one.
    """

    correlation: float
    found: Synchronization | None
    needed: frozenset[Name]
    x: Signal
    y: Signal
    linear: LinearPath | None
    constant_envelope: bool

    @property
    def static(self) -> Synchronization | None:
        """What to correct in a record of unknown start; None where that is not known, or depends on the start."""
        if self.found is None or {"frequency offset", "sample clock"} & self.needed:
            return None
        delayed = {"coarse delay", "fractional delay"} & self.needed
        return Synchronization(
            position=self.found.position if delayed else 0.0, mirrored="conjugation" in self.needed
        )  # fmt: skip


def signal_path(x: Signal, y: Signal) -> SignalPath:
    """Measure the path from input to output; nothing is said of it where the two are not alike once aligned.

    Args:
        x, y: (N,) complex128 each.
    """
    x, y = x[:EXAMINED], y[:EXAMINED]
    constant = envelope_variance(x) < CONSTANT_ENVELOPE
    found, needed, applied = _synchronized(x, y, constant)
    if applied is not None:
        first, end = applied.overlap(len(x), len(y))
        near, restored = x[first:end], replace(applied, dc=0j).restore(y, first, end)  # DC is a fact, to be shown
        correlation = _correlation(near, restored)
        if correlation >= CORRELATION:
            linear = impairments.linear_path(near, restored)
            return SignalPath(correlation, found, needed, near, restored, linear, constant)
    return SignalPath(delay(x, y).correlation, None, frozenset(), x, y, None, constant)


def do_not_line_up(path: SignalPath, sample_rate_hz: float) -> list[str]:
    """Return why no model can follow the output as it is.

    Args:
        path: from `signal_path`.
        sample_rate_hz: [Hz].
    """
    found = path.found
    if found is None:
        if path.constant_envelope:
            return []
        return [
            f"input and output are hardly correlated (correlation {path.correlation:.2f}), whatever the delay and the "
            "frequency between them; do they belong together, or does the output hold a second band that the input "
            "does not? Delay, gain and image are not known"
        ]
    warnings = []
    if found.mirrored:
        warnings.append(
            "the output follows the conjugate of the input: I and Q are swapped, or one of them is negated, in one of "
            f"the two; {REMEDY}"
        )
    if "frequency offset" in path.needed:
        warnings.append(
            f"the output has a frequency offset of {found.frequency * sample_rate_hz:+,.6g} Hz ({found.frequency:+.4g} "
            f"of the sample rate): transmitter and receiver do not share their local oscillator; {REMEDY}"
        )
    if "sample clock" in path.needed:
        warnings.append(
            f"the sample clock of the output is {found.clock * 1e6:+.2f} ppm off: the delay grows by "
            f"{found.clock * len(path.x):+.2f} samples over {len(path.x):,}; {REMEDY}"
        )
    if "receiver image" in path.needed:
        warnings.append(
            f"the I/Q imbalance of the receiver adds an image of {to_db(abs(found.image) ** 2):.1f} dBc, which is no "
            f"property of the amplifier; {REMEDY}"
        )
    late = found.position
    if abs(late) > DELAY_SAMPLES:
        direction = "late" if late > 0 else "early (non-causal)"
        warnings.append(
            f"the output comes {abs(late):.2f} samples ({abs(late) / sample_rate_hz * 1e9:.2f} ns) {direction}; shift "
            f"one record so that both line up, or the model wastes its memory on the delay ({REMEDY})"
        )
    return warnings


def _synchronized(
    x: Signal, y: Signal, constant: bool
) -> tuple[Synchronization | None, frozenset[Name], Synchronization | None]:
    """Return what the receiver did, what of it matters, and what to apply to compare both."""
    if len(x) >= LEAST:
        decision = decide(x, y)
        if decision is None:
            return None, frozenset(), None
        return decision.estimate, frozenset(stage.name for stage in decision.stages if stage.applied), decision.found
    if constant:
        return None, frozenset(), None
    mirrored = impairments.conjugated(x, y)
    late = delay(np.conj(x) if mirrored else x, y)
    found = Synchronization(position=late.samples, mirrored=mirrored)
    whole = replace(found, position=float(late.whole))
    needed: frozenset[Name] = frozenset({"coarse delay"} if late.whole else set[Name]())
    return found, needed | frozenset({"conjugation"} if mirrored else set[Name]()), whole


def _correlation(x: Signal, y: Signal) -> float:
    energy = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(abs(np.vdot(x, y))) / energy if energy > 0 else 0.0

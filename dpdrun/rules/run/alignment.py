"""SG: whether a prediction only lacks a delay, a conjugate or a factor, against its target and its input."""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.rules.conditions import Found, Otherwise
from dpdrun.rules.declare import Family, error, finding, known, warning
from dpdrun.rules.engine import Severity, Skipped, Verdict
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.rules.text import pluralize

HALF_DB = 3.0  # a fault that alone is more than half of the error's power
MOST_DB = 10.0  # nine tenths of it: an error rather than a warning
LEAST_LAG = 0.02  # samples: at four samples a period this alone is -30 dB
WHOLE_LAG = 0.5  # samples
GAIN_DB = 0.25  # of the wanted gain; as data.inspection warns of a step between parts

TOO_SHORT = Otherwise("the record is too short for a delay like that")
NO_GAIN = Otherwise("needs the gain of the prediction over the target")
NO_WANTED_GAIN = Otherwise(
    "the target is no scaled copy of the input (only a predistorter's is), or no --input is given"
)

prediction = Family(where=known("signal"))
straight = Family(where=known("signal"), requires=("SG204", "SG205", "SG212"))  # aligned, and not mirrored


def grade(gain_db: float) -> Severity:
    """Return how bad it is that a repair takes so many dB away."""
    return "error" if gain_db >= MOST_DB else "warning"


@prediction.diagnose(
    "SG204", evidence="assumed", requires=("SG205", "SG212"),
    source="cross-correlation and phase slope of the prediction and the target",
    fires=dict(signal=dict(lag_samples=1.0, lag_nmse_db=-30.0, unshifted_nmse_db=-8.8)),
    silent=dict(signal=dict(lag_samples=0.004, lag_nmse_db=-38.1, unshifted_nmse_db=-38.0)),
)  # fmt: skip
def prediction_is_shifted(
    lag_samples: Annotated[float, TOO_SHORT],
    lag_nmse_db: Annotated[float, TOO_SHORT],
    unshifted_nmse_db: Annotated[float, TOO_SHORT],
) -> Verdict:
    """The prediction is early or late by some samples, or a fraction of one, which costs 3 dB or more.

    ## Why
    A delay is not distortion. The usual causes are a model with look-ahead whose output was not shifted back, files
    that were cut at different positions, or a filter in only one of the two paths. From 3 dB on, more than half of the
    error is caused by the delay.

    ## Known limits
    One delay for the complete record; SG202 reports a drifting clock.
    """
    cost = unshifted_nmse_db - lag_nmse_db
    if cost < HALF_DB or abs(lag_samples) < LEAST_LAG:
        return None
    late, back = ("late", "earlier") if lag_samples > 0 else ("early", "later")
    return finding(
        "error" if abs(lag_samples) >= WHOLE_LAG else "warning",
        f"the prediction is {abs(lag_samples):.2f} samples {late}: NMSE {unshifted_nmse_db:.2f} dB, "
        f"{lag_nmse_db:.2f} dB after a shift",
        value=cost, threshold=HALF_DB, lag_samples=lag_samples,
        advice=f"shift the prediction {abs(lag_samples):.2f} samples {back}, or find the filter or the cut that "
        "only one of the two files has; for a run check the alignment of its capture (`dpdrun data inspect`)",
    )  # fmt: skip


@prediction.diagnose(
    "SG212", fix="unsafe", evidence="assumed", requires=("SG205",),
    source="cross-correlation of the target with the input; one complex gain on the input at that lag",
    fires=dict(
        kind="transformer", signal=dict(nmse_db=-5.7, lead_samples=6, present_nmse_db=-0.1, ahead_nmse_db=-19.0)
    ),
    silent=dict(signal={}),
)  # fmt: skip
def noncausal_target(
    lead_samples: Found[int],
    present_nmse_db: Found[float],
    ahead_nmse_db: Found[float],
    judged_nmse_db: Found[float],
    lookahead: int = 0,
    kind: str | None = None,
    full_attention: bool = False,
) -> Verdict:
    """The target leads the input by some samples: only a noncausal model could predict it.

    ## Why
    No amplifier responds before its input: the record was cut or aligned incorrectly. The waveform is band-limited, so
    it can be extrapolated by a few samples, and a network uses all its capacity for that. With a lead of six samples a
    small Transformer reached -6 dB instead of -38 dB. Shifting its prediction does not help. Reported from one sample
    on, beyond model.lookahead, if one complex gain does 3 dB better with that lag than without. This is an error if the
    prediction is no better than that gain; else info, because the model compensates for it.

    ## Known limits
    Needs the input. Fractions of a sample are ignored; `dpdrun data inspect` measures them.
    """
    if lead_samples <= lookahead or present_nmse_db - ahead_nmse_db < HALF_DB:
        return None
    samples = pluralize(lead_samples, "sample")
    return finding(
        "error" if judged_nmse_db >= ahead_nmse_db else "info",
        f"the target leads the input by {samples}: NMSE {judged_nmse_db:.2f} dB, where one complex gain "
        f"reaches {present_nmse_db:.2f} dB, and {ahead_nmse_db:.2f} dB with the input {samples} later",
        value=judged_nmse_db, threshold=ahead_nmse_db, lead_samples=lead_samples,
        patch={"model.lookahead": lead_samples} if kind == "transformer" and not full_attention else {},
        advice=f"remove {samples} from the start of the input and from the end of the target, in every split; only if "
        f"the target leads intentionally, give the model look-ahead (of a transformer: model.lookahead {lead_samples})",
    )  # fmt: skip


@prediction.diagnose(
    "SG205", evidence="assumed", source="correlation of the prediction with the target and with its conjugate",
    fires=dict(signal=dict(nmse_db=3.0, mirrored=True, mirror_nmse_db=-30.0, mirror_deg=90.0, gain_nmse_db=0.0)),
    silent=dict(signal={}),
)  # fmt: skip
def prediction_is_mirrored(
    mirrored: Found[bool], mirror_nmse_db: Found[float], mirror_deg: float | None = None, gain_nmse_db: float = 0.0
) -> Verdict:
    """The prediction follows the conjugate of the target: I and Q are swapped, or one of them is negated.

    ## Why
    Both are file-format mistakes; the spectrum looks correct except that its sides are exchanged. Reported if the
    prediction correlates with conj(target) 1.5 times as well as with the target, and the best gain on it scores 3 dB
    better. The angle distinguishes the cases: 0 degrees means Q negated, 180 I negated, 90 or -90 swapped.

    ## Known limits
    Does not apply to signals that are their own conjugate, such as real ones.
    """
    if not mirrored or gain_nmse_db - mirror_nmse_db < HALF_DB:
        return None
    turned = abs(mirror_deg or 0.0)
    what = "Q is negated" if turned < 45 else "I is negated" if turned > 135 else "I and Q are swapped"
    return error(
        f"the prediction follows the conjugate of the target: {what} (NMSE {mirror_nmse_db:.2f} dB once undone)",
        value=gain_nmse_db - mirror_nmse_db, threshold=HALF_DB, angle_deg=mirror_deg,
        advice="exchange the columns I and Q, or change the sign of one, where the file is written",
    )  # fmt: skip


@straight.diagnose(
    "SG206", evidence="assumed", source="one complex least-squares factor on the prediction",
    fires=dict(signal=dict(nmse_db=-19.6, judged_nmse_db=-19.6, gain_nmse_db=-30.8, gain_db=0.8)),
    silent=dict(signal=dict(nmse_db=0.0, judged_nmse_db=0.0, gain_nmse_db=-3.0, gain_db=0.01)),
)  # fmt: skip
def prediction_is_off_scale(
    gain_nmse_db: Annotated[float, NO_GAIN],
    gain_db: Annotated[float, NO_GAIN],
    gain_deg: Annotated[float, NO_GAIN],
    judged_nmse_db: Annotated[float, NO_GAIN],
    wanted_gain_db: float | None = None,
) -> Verdict:
    """A complex factor reduces the error by 3 dB or more: the scale or the phase of the prediction is wrong.

    ## Why
    Any model learns a factor first, so it was lost later: a normalisation was not undone, a gain was set to 1, or the
    phase is that of another capture. Shrinking a prediction also reduces uncorrelated noise: with A the error power
    after the factor, an error that is uncorrelated with the target is reduced by 1/(1 - A) (3 dB at 0 dB, 0.04 dB at
    -20 dB). This amount is subtracted.

    ## Known limits
    If the target is a scaled copy of the input, SG211 checks the gain.
    """
    if wanted_gain_db is not None:
        return Skipped("the target is a scaled copy of the input; SG211 checks the gain")
    gained = _off_scale_db(judged_nmse_db, gain_nmse_db)
    if gained < HALF_DB:
        return None
    return finding(
        grade(gained),
        f"NMSE {judged_nmse_db:.2f} dB, {gain_nmse_db:.2f} dB after one complex factor: the prediction is "
        f"{abs(gain_db):.2f} dB {'above' if gain_db > 0 else 'below'} the target and rotated by {gain_deg:.1f} degrees",
        value=gained, threshold=HALF_DB, gain_db=gain_db, gain_deg=gain_deg,
        advice=f"undo the scaling of the prediction ({-gain_db:+.2f} dB, {-gain_deg:+.1f} degrees); look for a "
        "normalisation by rms or peak that was done on one side only",
    )  # fmt: skip


def off_scale_db(this: SignalFacts) -> float:
    """Return what one complex factor takes from the error, beyond what shrinking noise does [dB]; -inf if unknown."""
    return _off_scale_db(this.judged_nmse_db, this.gain_nmse_db)


def _off_scale_db(judged_nmse_db: float | None, gain_nmse_db: float | None) -> float:
    if gain_nmse_db is None or judged_nmse_db is None:
        return -math.inf
    left = min(10 ** (gain_nmse_db / 10), 1 - 1e-12)
    return judged_nmse_db - gain_nmse_db + 10 * math.log10(1 - left)


@straight.diagnose(
    "SG211", evidence="assumed",
    source="least-squares gain of the output over a target that is a scaled copy of the input",
    fires=dict(signal=dict(wanted_gain_db=12.0, gain_db=-0.6, judged_nmse_db=-23.0, gain_nmse_db=-30.0)),
    silent=dict(signal=dict(wanted_gain_db=12.0, gain_db=0.02)),
)  # fmt: skip
def target_gain_is_missed(
    wanted_gain_db: Annotated[float, NO_WANTED_GAIN],
    gain_db: Annotated[float, NO_WANTED_GAIN],
    gain_deg: float | None = None,
    judged_nmse_db: float | None = None,
    gain_nmse_db: float | None = None,
) -> Verdict:
    """A predistorted amplifier does not have the target gain.

    ## Why
    A predistorter with a lower gain looks linear but delivers less power; one with a higher gain drives the peaks into
    saturation. An NMSE after the best gain hides both. If the target is the input times a number (to -60 dB, which no
    amplifier achieves), the pair is assumed to be that of a predistorter; reported if the gain is off by 0.25 dB, or if
    a factor reduces the error by 3 dB.

    ## Known limits
    Needs the input, and the output before any scaling: the gain of a normalised measurement is lost.
    """
    gained = _off_scale_db(judged_nmse_db, gain_nmse_db)
    if abs(gain_db) < GAIN_DB and gained < HALF_DB:
        return None
    return warning(
        f"the output has {wanted_gain_db + gain_db:.2f} dB of gain instead of {wanted_gain_db:.2f} dB; "
        f"{max(0.0, gained):.1f} dB of the NMSE are due to this factor",
        value=gain_db, threshold=GAIN_DB, gain_deg=gain_deg,
        advice=f"set the target gain to the gain of the amplifier at its peaks, or change the drive by "
        f"{-gain_db:+.2f} dB; compare predistorters at equal output power only",
    )  # fmt: skip

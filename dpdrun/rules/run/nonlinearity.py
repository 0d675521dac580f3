"""SG: whether a prediction has the amplifier's nonlinearity: peaks, gain by level, memory."""

from __future__ import annotations

from typing import Annotated

from dpdrun.rules.conditions import Found, Otherwise
from dpdrun.rules.declare import Family, error, finding, known, warning
from dpdrun.rules.engine import Patch, Skipped, Verdict
from dpdrun.rules.run.alignment import HALF_DB, straight

RESEMBLES_DB = -3.0  # a prediction that is not even half right has no gain to speak of
HALF, MOST = 0.5, 0.9  # shares of the error power
LINEAR_DB = 1.0  # a network that learned to be linear is as good as a filter of its length, not exactly this one
ROOM_DB = 1.0  # what a polynomial must gain over a filter, so that there is something to miss
MEMORY_DB = 3.0
SHORT_DB = 0.1

NO_INPUT = Otherwise("needs the input (--input)")
NO_LONG_INPUT = Otherwise("needs the input (--input) and about 1000 samples")
_FALLING = tuple(1.4 - 0.2 * k for k in range(10))
_FLAT = (0.0,) * 10

whole_peaks = Family(where=known("signal"), requires=(*straight.requires[:2], "SG206", "SG207", "SG212"))


@straight.diagnose(
    "SG207", evidence="assumed",
    source="samples of the prediction at its largest value of I, Q or magnitude, compared with the target",
    fires=dict(signal=dict(clipped_samples=267, clip_level=1.53, clip_short_db=0.85)),
    silent=dict(signal=dict(clipped_samples=9, clip_level=3.1, clip_short_db=-0.02)),
)  # fmt: skip
def prediction_is_clipped(
    clipped_samples: Found[int], clip_level: Found[float], clip_short_db: Found[float]
) -> Verdict:
    """The peaks of the prediction are clipped: they all have the same value, while those of the target are higher.

    ## Why
    A continuous signal reaches its extreme value once. With a clamp, an integer format that is too small, or a
    saturating output activation, it is reached many times. Peaks are distorted most by an amplifier. Reported if 8 or
    more samples are within one millionth of the largest value of I, of Q or of the magnitude, and the target is 0.1 dB
    above it on average.

    ## Known limits
    A soft limit has no exact maximum; SG208 detects it. A prediction that was clipped in I and Q and then rotated is
    not detected.
    """
    if not clipped_samples or clip_short_db < SHORT_DB:
        return None
    return warning(
        f"{clipped_samples:,} samples of the prediction are at its largest value ({clip_level:.2f} times its rms), "
        f"where the target is {clip_short_db:.2f} dB higher",
        value=clip_short_db, threshold=SHORT_DB, samples=clipped_samples,
        advice=f"write the prediction in a format with {clip_short_db + 1:.1f} dB more headroom (float instead of "
        "int16, or a smaller scale), and look for a clamp after the model",
    )  # fmt: skip


@whole_peaks.diagnose(
    "SG208", fix="unsafe", evidence="assumed",
    source="least-squares gain of target and prediction relative to the input, in ten bins of |x|",
    fires=dict(signal=dict(
        gain_nmse_db=-19.0, target_gain_db=_FALLING, model_gain_db=_FLAT, level_share=0.8, features="iq"
    )),
    silent=dict(signal=dict(target_gain_db=_FALLING, model_gain_db=_FALLING, level_share=0.01)),
)  # fmt: skip
def gain_by_level_is_missed(
    level_share: Annotated[float, NO_INPUT],
    gain_nmse_db: Annotated[float, NO_INPUT],
    target_gain_db: tuple[float, ...] = (),
    model_gain_db: tuple[float, ...] = (),
    target_gain_deg: tuple[float, ...] = (),
    model_gain_deg: tuple[float, ...] = (),
    features: str | None = None,
    embedding: str | None = None,
) -> Verdict:
    """The gain of the prediction does not depend on the input level as that of the target does: the envelope is lost.

    ## Why
    Gain against level (AM/AM and AM/PM) is the basic characteristic of an amplifier, and a network learns it quickly if
    it sees |x|. If it does not, the envelope is missing from its input: the features are only I and Q in a small
    network, or a normalisation removes the envelope (LayerNorm on I and Q: the gain then falls as 1 / |x|). Reported if
    the difference of the gains, in ten bins of |x|, accounts for half of the error, and the prediction resembles the
    target at least roughly (-3 dB).

    ## Known limits
    Needs the input. Also reported for a linear model of a compressing amplifier, because its gain is constant. Early in
    training the dependence may not have been learned yet.
    """
    if gain_nmse_db > RESEMBLES_DB:
        return Skipped(f"the prediction hardly resembles the target (NMSE {gain_nmse_db:.1f} dB at best)")
    if level_share < HALF:
        return None
    wanted, got = (max(gains) - min(gains) for gains in (target_gain_db, model_gain_db))
    turned = [max(angles) - min(angles) for angles in (target_gain_deg, model_gain_deg) if angles]
    return finding(
        "error" if level_share >= MOST else "warning",
        f"over ten levels of |x| the gain varies by {_moves(wanted, turned[:1])} in the target and by "
        f"{_moves(got, turned[1:])} in the prediction ({model_gain_db[0]:+.2f} dB at the smallest, "
        f"{model_gain_db[-1]:+.2f} dB at the largest); the difference is {level_share:.0%} of the error",
        value=level_share, threshold=HALF, target_range_db=wanted, model_range_db=got,
        patch=_see_the_envelope(features, embedding),
        advice="give the network the envelope: features: envelope, embedding: linear (no LayerNorm on I and Q), "
        "skip: on; if it already has it, train longer",
    )  # fmt: skip


def _moves(db: float, degrees: list[float]) -> str:
    return f"{db:.2f} dB" + "".join(f" and {each:.1f} degrees" for each in degrees)


def _see_the_envelope(features: str | None, embedding: str | None) -> Patch:
    """Return what a recipe lacks for its network to see |x|; nothing where that is not known or not lacking."""
    patch: Patch = {"model.features": "envelope"} if features == "iq" else {}
    return patch | ({"model.embedding": "linear"} if embedding == "layernorm_mlp" else {})


@whole_peaks.diagnose(
    "SG209", fix="unsafe", evidence="assumed", requires=("SG208",),
    source="least-squares FIR filter of 32 taps and memory polynomial, fitted to the same record",
    fires=dict(signal=dict(
        judged_nmse_db=-22.5, linear_nmse_db=-22.6, polynomial_nmse_db=-41.4, nonlinear_share=0.0, features="iq"
    )),
    silent=dict(signal=dict(linear_nmse_db=-22.6, polynomial_nmse_db=-41.4, nonlinear_share=1.0)),
)  # fmt: skip
def no_better_than_a_linear_filter(
    linear_nmse_db: Annotated[float, NO_LONG_INPUT],
    polynomial_nmse_db: Annotated[float, NO_LONG_INPUT],
    judged_nmse_db: Annotated[float, NO_LONG_INPUT],
    nonlinear_share: float | None = None,
    features: str | None = None,
    embedding: str | None = None,
) -> Verdict:
    """The prediction is no better than a linear filter of the input: it lacks the nonlinearity.

    ## Why
    A filter is fitted in a millisecond. Reported if the NMSE is not 1 dB better than that of the filter, a memory
    polynomial is better by that much, and the prediction contains less than half of what the polynomial adds to the
    filter. This share is insensitive to noise: it stays 1 for an error that is uncorrelated with the input, so a noisy
    prediction of a weakly nonlinear amplifier is not taken for linear. The share is ignored if it is uncertain by more
    than 0.1.

    ## Known limits
    Needs the input. The polynomial has 10 nonlinear taps; longer memory is ignored.
    """
    if nonlinear_share is None or polynomial_nmse_db > linear_nmse_db - ROOM_DB:
        return Skipped(
            f"the target is too linear or the prediction too noisy to tell (a filter: {linear_nmse_db:.2f} dB)"
        )
    if judged_nmse_db < linear_nmse_db - LINEAR_DB or nonlinear_share >= HALF:
        return None
    return error(
        f"NMSE {judged_nmse_db:.2f} dB; a FIR filter of the input reaches {linear_nmse_db:.2f} dB and a memory "
        f"polynomial {polynomial_nmse_db:.2f} dB; the prediction contains {max(0.0, nonlinear_share):.0%} of what the "
        "polynomial adds",
        value=judged_nmse_db, threshold=linear_nmse_db - LINEAR_DB, nonlinear_share=nonlinear_share,
        patch=_see_the_envelope(features, embedding),
        advice="the network has not learned yet: a higher optim.lr or more steps (`dpdrun recommend`), the envelope "
        "among its features, and enough past samples, of a transformer model.window (`dpdrun recommend --data`)",
    )  # fmt: skip


@whole_peaks.diagnose(
    "SG210", evidence="assumed", requires=("SG208", "SG209"),
    source="residual of target and prediction after the best curve of gain over |x| (AM/AM and AM/PM spread)",
    fires=dict(signal=dict(
        judged_nmse_db=-29.5, polynomial_nmse_db=-41.4, target_spread_db=-30.0, model_spread_db=-50.0
    )),
    silent=dict(signal=dict(polynomial_nmse_db=-41.4, target_spread_db=-30.0, model_spread_db=-30.0)),
)  # fmt: skip
def memory_is_missing(
    target_spread_db: Annotated[float, NO_LONG_INPUT],
    model_spread_db: Annotated[float, NO_LONG_INPUT],
    polynomial_nmse_db: Annotated[float, NO_LONG_INPUT],
    judged_nmse_db: Annotated[float, NO_LONG_INPUT],
) -> Verdict:
    """The target depends on past samples, the prediction only on the current one.

    ## Why
    The spread of an AM/AM and AM/PM plot, which is the residual after the best curve of complex gain over |x|, is
    caused by memory and noise of the target; the memory polynomial distinguishes the two. A prediction without spread
    is memoryless: its window is one sample, or past samples do not affect it. Reported if it has half the spread of the
    target or less (6 dB), is no better than such a curve (1 dB), and a memory polynomial is 3 dB better.

    ## Known limits
    Needs the input. Early in training a prediction may be memoryless because it has not learned more yet.
    """
    if polynomial_nmse_db > target_spread_db - MEMORY_DB:
        return Skipped(f"the target has little memory to miss (the best curve of gain: {target_spread_db:.2f} dB)")
    if model_spread_db > target_spread_db - 2 * HALF_DB or judged_nmse_db < target_spread_db - LINEAR_DB:
        return None
    return warning(
        f"the residual after the best curve of gain over |x| is {target_spread_db:.2f} dB for the target and "
        f"{model_spread_db:.2f} dB for the prediction, which is no better than such a curve (NMSE "
        f"{judged_nmse_db:.2f} dB); a memory polynomial reaches {polynomial_nmse_db:.2f} dB",
        value=model_spread_db, threshold=target_spread_db - 2 * HALF_DB,
        advice="give the network enough past samples, a transformer by model.window and model.conv; `dpdrun recommend "
        "--data` measures how many",
    )  # fmt: skip

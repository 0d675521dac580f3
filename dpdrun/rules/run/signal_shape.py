"""SG: whether a prediction has the amplifier's nonlinearity: its peaks, its gain by level, what no filter can do."""

from __future__ import annotations

from dpdrun.rules.engine import Finding, Patch, Skipped, Verdict, rule
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.rules.run.signal import HALF_DB, SHORT_DB, example_signal, off_scale_db, seen

RESEMBLES_DB = -3.0  # a prediction that is not even half right has no gain to speak of
HALF, MOST = 0.5, 0.9  # shares of the error power
LINEAR_DB = 1.0  # a network that learned to be linear is as good as a filter of its length, not exactly this one
ROOM_DB = 1.0  # what a polynomial must gain over a filter, so that there is something to miss
MEMORY_DB = 3.0
GAIN_DB = 0.25  # of the wanted gain; as data.inspection warns of a step between parts

_FALLING = tuple(1.4 - 0.2 * k for k in range(10))
_FLAT = (0.0,) * 10


@rule(
    "SG207",
    purpose="diagnose",
    source="samples of the prediction at its largest value of I, Q or magnitude, against the target there",
    evidence="assumed",
    needs=("signal",),
    requires=("SG204", "SG205", "SG212"),
    fires=lambda: example_signal(clipped_samples=267, clip_level=1.53, clip_short_db=0.85),
    silent=lambda: example_signal(clipped_samples=9, clip_level=3.1, clip_short_db=-0.02),
)
def prediction_is_clipped(run: RunFacts) -> Verdict:
    """The prediction stays at one largest value where the target goes on: its peaks are cut off.

    ## What it does
    Counts samples within one millionth of the largest value of I, of Q or of the magnitude. Fires from 8 of them, where
    the target lies 0.1 dB above that value in their mean.

    ## Why
    A continuous signal meets its extreme once. A clamp, an integer format that is too small, an output activation that
    saturates meet it again and again. Peaks are what an amplifier distorts most.

    ## Known limits
    A soft limit has no exact top; that is SG208's. A prediction that was clipped in I and Q and then turned is missed.

    ## Example
    Fires for 267 samples 0.85 dB short of the target. Silent for 9 that the target does not exceed.
    """
    this = seen(run)
    if not this.clipped_samples or this.clip_level is None or this.clip_short_db is None:
        return None
    if this.clip_short_db < SHORT_DB:
        return None
    return Finding(
        f"{this.clipped_samples:,} samples of the prediction sit at its largest value ({this.clip_level:.2f} times its "
        f"rms), where the target is {this.clip_short_db:.2f} dB higher",
        severity="warning",
        evidence={"value": this.clip_short_db, "threshold": SHORT_DB, "samples": this.clipped_samples},
        advice=f"write the prediction in a format with room for {this.clip_short_db + 1:.1f} dB more (float instead of "
        "int16, or a smaller scale), and look for a clamp behind the model",
    )


@rule(
    "SG208",
    purpose="diagnose",
    source="least-squares gain of target and prediction over the input, in ten groups of |x|",
    evidence="assumed",
    fix="unsafe",
    needs=("signal",),
    requires=("SG204", "SG205", "SG206", "SG207", "SG212"),
    fires=lambda: example_signal(
        gain_nmse_db=-19.0, target_gain_db=_FALLING, model_gain_db=_FLAT, level_share=0.8, features="iq"
    ),
    silent=lambda: example_signal(target_gain_db=_FALLING, model_gain_db=_FALLING, level_share=0.01),
)
def gain_by_level_is_missed(run: RunFacts) -> Verdict:
    """The gain of the prediction does not follow the input level as the gain of the target does: the envelope is lost.

    ## What it does
    Sorts the samples by |x| into ten groups and fits one gain to each, of the target and of the prediction. Fires where
    the difference of the gains alone is half of the error, and the prediction resembles the target at all (-3 dB).

    ## Why
    Gain against level (AM/AM and AM/PM) is the first thing to know of an amplifier, and a network has it as soon as it
    sees |x|. One that does not was fed without it: I and Q alone in a small network, or a normalisation that divides it
    out (LayerNorm on I and Q: the gain then falls as 1 / |x|).

    ## Known limits
    Needs the input. A linear model of an amplifier that compresses fires too: the gain is constant then. Early in a
    training everything may be missing.

    ## Example
    Fires for a constant gain where the target's falls by 1.8 dB. Silent where both fall alike.
    """
    this = seen(run)
    if this.level_share is None or this.gain_nmse_db is None:
        return Skipped("needs the input (--input)")
    if this.gain_nmse_db > RESEMBLES_DB:
        return Skipped(f"the prediction hardly resembles the target (NMSE {this.gain_nmse_db:.1f} dB at best)")
    if this.level_share < HALF:
        return None
    wanted, got = (max(gains) - min(gains) for gains in (this.target_gain_db, this.model_gain_db))
    turned = [max(angles) - min(angles) for angles in (this.target_gain_deg, this.model_gain_deg) if angles]
    return Finding(
        f"over ten levels of |x| the gain moves by {_moves(wanted, turned[:1])} in the target and by "
        f"{_moves(got, turned[1:])} in the prediction ({this.model_gain_db[0]:+.2f} dB at the smallest, "
        f"{this.model_gain_db[-1]:+.2f} dB at the largest); the difference is {this.level_share:.0%} of the error",
        _see_the_envelope(this),
        "error" if this.level_share >= MOST else "warning",
        evidence={"value": this.level_share, "threshold": HALF, "target_range_db": wanted, "model_range_db": got},
        advice="let the envelope reach the network: features: envelope, embedding: linear (no LayerNorm on I and Q), "
        "skip: on; where it does, train longer",
    )


def _moves(db: float, degrees: list[float]) -> str:
    return f"{db:.2f} dB" + "".join(f" and {each:.1f} degrees" for each in degrees)


def _see_the_envelope(this: SignalFacts) -> Patch:
    """What a recipe lacks for its network to see |x|; nothing where that is not known or not lacking."""
    patch: Patch = {"model.features": "envelope"} if this.features == "iq" else {}
    return patch | ({"model.embedding": "linear"} if this.embedding == "layernorm_mlp" else {})


@rule(
    "SG209",
    purpose="diagnose",
    source="least-squares FIR filter of 32 taps and memory polynomial, fitted to the same record",
    evidence="assumed",
    fix="unsafe",
    needs=("signal",),
    requires=("SG204", "SG205", "SG206", "SG207", "SG208", "SG212"),
    fires=lambda: example_signal(
        judged_nmse_db=-22.5, linear_nmse_db=-22.6, polynomial_nmse_db=-41.4, nonlinear_share=0.0, features="iq"
    ),
    silent=lambda: example_signal(linear_nmse_db=-22.6, polynomial_nmse_db=-41.4, nonlinear_share=1.0),
)
def no_better_than_a_linear_filter(run: RunFacts) -> Verdict:
    """The prediction is no better than a linear filter of the input: the nonlinearity is not in it.

    ## What it does
    Fits a FIR filter and a memory polynomial to this record. Fires where the NMSE is not 1 dB better than that of the
    filter, the polynomial is, and less than half of what the polynomial adds to the filter is in the prediction.

    ## Why
    A filter takes a millisecond. The share does not mind noise: an error that does not know the input leaves it at 1,
    so a noisy prediction of a mild amplifier is not called linear. A share that is uncertain by more than 0.1 is none.

    ## Known limits
    Needs the input. The polynomial knows 10 taps of the nonlinearity; what lies behind them does not count.

    ## Example
    Fires at -22.5 dB where a filter reaches -22.6 dB. Silent at -38 dB.
    """
    this = seen(run)
    linear, polynomial, now = this.linear_nmse_db, this.polynomial_nmse_db, this.judged_nmse_db
    if linear is None or polynomial is None or now is None:
        return Skipped("needs the input (--input) and about 1000 samples")
    if this.nonlinear_share is None or polynomial > linear - ROOM_DB:
        return Skipped(f"the target is too linear or the prediction too noisy to tell (a filter: {linear:.2f} dB)")
    if now < linear - LINEAR_DB or this.nonlinear_share >= HALF:
        return None
    return Finding(
        f"NMSE {now:.2f} dB; a FIR filter of the input reaches {linear:.2f} dB and a memory polynomial "
        f"{polynomial:.2f} dB; {max(0.0, this.nonlinear_share):.0%} of what the polynomial adds is in the prediction",
        _see_the_envelope(this),
        "error",
        evidence={"value": now, "threshold": linear - LINEAR_DB, "nonlinear_share": this.nonlinear_share},
        advice="the network has not learned yet: a higher optim.lr or more steps (`dpdrun recommend`), features: "
        "envelope, model.window long enough for the memory (`dpdrun recommend --data`)",
    )


@rule(
    "SG210",
    purpose="diagnose",
    source="what the best curve of gain over |x| leaves of target and prediction (AM/AM and AM/PM spread)",
    evidence="assumed",
    needs=("signal",),
    requires=("SG204", "SG205", "SG206", "SG207", "SG208", "SG209", "SG212"),
    fires=lambda: example_signal(
        judged_nmse_db=-29.5, polynomial_nmse_db=-41.4, target_spread_db=-30.0, model_spread_db=-50.0
    ),
    silent=lambda: example_signal(polynomial_nmse_db=-41.4, target_spread_db=-30.0, model_spread_db=-30.0),
)
def memory_is_missing(run: RunFacts) -> Verdict:
    """The target depends on the past, the prediction on the current sample alone.

    ## What it does
    Looks at what the best curve of complex gain over |x| leaves: the spread of an AM/AM and AM/PM plot. Fires where the
    prediction has half the spread of the target or less (6 dB), is no better than such a curve (1 dB), and a memory
    polynomial is 3 dB better.

    ## Why
    The spread of the target is memory and noise; the polynomial tells them apart. A prediction without spread is a
    curve drawn through the cloud: its window is one sample, or its past does not reach it.

    ## Known limits
    Needs the input. A prediction that is not trained yet may be a curve for that reason alone.

    ## Example
    Fires for spreads of -30 dB and -50 dB at NMSE -29.5 dB. Silent for equal spreads.
    """
    this = seen(run)
    target, model, polynomial = this.target_spread_db, this.model_spread_db, this.polynomial_nmse_db
    if target is None or model is None or polynomial is None or this.judged_nmse_db is None:
        return Skipped("needs the input (--input) and about 1000 samples")
    if polynomial > target - MEMORY_DB:
        return Skipped(f"the target has little memory to miss (the best curve of gain: {target:.2f} dB)")
    if model > target - 2 * HALF_DB or this.judged_nmse_db < target - LINEAR_DB:
        return None
    return Finding(
        f"the best curve of gain over |x| leaves {target:.2f} dB of the target and {model:.2f} dB of the prediction, "
        f"which is no better than that (NMSE {this.judged_nmse_db:.2f} dB); with memory a polynomial reaches "
        f"{polynomial:.2f} dB",
        severity="warning",
        evidence={"value": model, "threshold": target - 2 * HALF_DB},
        advice="let the past reach the network by model.window and model.conv; `dpdrun recommend --data` measures how "
        "much of it",
    )


@rule(
    "SG211",
    purpose="diagnose",
    source="least-squares gain of the output over a target that is a scaled copy of the input",
    evidence="assumed",
    needs=("signal",),
    requires=("SG204", "SG205", "SG212"),
    fires=lambda: example_signal(wanted_gain_db=12.0, gain_db=-0.6, judged_nmse_db=-23.0, gain_nmse_db=-30.0),
    silent=lambda: example_signal(wanted_gain_db=12.0, gain_db=0.02),
)
def wanted_gain_is_missed(run: RunFacts) -> Verdict:
    """A predistorted amplifier does not have the wanted gain: its output is a scaled copy of the input, of other scale.

    ## What it does
    Where the target is the input times one number (to -60 dB, which no amplifier does), the pair is taken for a
    predistorter's. Fires where the gain is 0.25 dB off, or one factor takes 3 dB from the error.

    ## Why
    Predistortion that asks for less gain looks linear and delivers less power; one that asks for more drives the peaks
    into saturation. An NMSE after one best gain hides both.

    ## Known limits
    Needs the input, and the output before any scaling: a measurement that was normalised has no gain.

    ## Example
    Fires 0.6 dB below the wanted gain. Silent for 0.02 dB.
    """
    this = seen(run)
    if this.wanted_gain_db is None or this.gain_db is None:
        return Skipped("the target is no scaled copy of the input (only a predistorter's is), or no --input is given")
    gained = off_scale_db(this)
    if abs(this.gain_db) < GAIN_DB and gained < HALF_DB:
        return None
    return Finding(
        f"the output has {this.wanted_gain_db + this.gain_db:.2f} dB of gain instead of {this.wanted_gain_db:.2f} dB; "
        f"{max(0.0, gained):.1f} dB of the NMSE are that factor",
        severity="warning",
        evidence={"value": this.gain_db, "threshold": GAIN_DB, "gain_deg": this.gain_deg},
        advice=f"ask for the gain that the amplifier has at its peaks, or change the drive by {-this.gain_db:+.2f} dB; "
        "compare predistorters at equal output power only",
    )

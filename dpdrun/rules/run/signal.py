"""SG: what a prediction looks like beside its target: where the error is, and which simple repair it lacks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from dpdrun.rules.engine import Finding, Severity, Skipped, Verdict, rule
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.rules.text import pluralize

HALF_DB = 3.0  # a fault that alone is more than half of the error's power
MOST_DB = 10.0  # nine tenths of it: an error rather than a warning
# By how much a record may be worse than its pieces. Of 150 healthy runs one in 20 was worse by 1 dB, all GRUs, and two
# by 3.2 and 5.3 dB, which is a true loss; the attention of models that were scored on ten times the length of their
# frames cost 9 to 18 dB.
PIECES_DB = 2.0
PIECES_ERROR_DB = 6.0
STEP_DB = 6.0  # four times the error power
EDGE_COST_DB = 1.0  # a fifth of it
SURE = 6.0  # standard errors; a few thousand places are tried, which chance passes by 1e-5
LEAST_LAG = 0.02  # samples: at four samples a period this alone is -30 dB
SHORT_DB = 0.1
WHOLE_LAG = 0.5  # samples


def example_signal(nmse_db: float = -38.0, **other: Any) -> RunFacts:
    """Facts of a sound prediction, but for what is given: what examples and tests are built from."""
    judged = other.get("judged_nmse_db", nmse_db)
    facts = {"judged_nmse_db": judged, "gain_nmse_db": judged, "gain_db": 0.0, "gain_deg": 0.0, **other}
    return RunFacts(signal=SignalFacts(samples=19_662, nmse_db=nmse_db, **facts))


def seen(run: RunFacts) -> SignalFacts:
    """The facts of the signal; the engine has made sure that there are some."""
    if run.signal is None:
        raise ValueError("a signal rule without a signal: needs=('signal',) is missing")
    return run.signal


def grade(gain_db: float) -> Severity:
    """How bad is what a repair of so many dB takes away?"""
    return "error" if gain_db >= MOST_DB else "warning"


@rule(
    "SG201",
    purpose="diagnose",
    source="our case study: the same network on pieces of the length it was trained on, and on the whole record",
    evidence="measured",
    results="docs/results.md#case-study",
    fix="unsafe",
    needs=("signal",),
    fires=lambda: example_signal(nmse_db=-1.9, pieces_nmse_db=-14.4, frame=200),
    silent=lambda: example_signal(nmse_db=-38.0, pieces_nmse_db=-36.5, frame=256),
)
def record_is_worse_than_its_pieces(run: RunFacts) -> Verdict:
    """The model is better on pieces of the length that it was trained on than on the record that they are cut from.

    ## What it does
    Compares two scores of the validation part: in one pass, and cut into pieces of `train.frame` samples. Fires where
    the pieces are better by two decibels, as an error where by six. The fix scores pieces; a window cures the model.

    ## Why
    A piece begins without its past, so a sound model does worse on pieces, if by little. One that does better on them
    has learned their length: attention that meets a hundred times more keys and positions that were never trained, or a
    state that drifts. In our case study that was the largest fault: -1.90 dB on the record, -14.41 dB on pieces.

    ## Known limits
    Only for runs of dpdrun that score records (report.json holds both scores); for two files SG202 looks at the record.

    ## Example
    Fires at -1.9 dB on the record and -14.4 dB on pieces of 200. Silent at -38 dB and -36.5 dB.
    """
    this = seen(run)
    if this.pieces_nmse_db is None:
        return Skipped("needs the score in pieces of the training frame (a run that scores records)")
    better = this.nmse_db - this.pieces_nmse_db
    if better < PIECES_DB:
        return None
    cause = "attends to the whole record" if this.full_attention else "meets lengths that it was not trained on"
    return Finding(
        f"NMSE {this.nmse_db:.2f} dB on the record of {this.samples:,} samples, {this.pieces_nmse_db:.2f} dB on pieces "
        f"of {this.frame} as trained: the model {cause}",
        {"train.eval_on": "frame"},
        "error" if better >= PIECES_ERROR_DB else "warning",
        evidence={"value": this.nmse_db, "threshold": this.pieces_nmse_db + PIECES_DB},
        advice="set model.window to a number of samples (32) with positions: relative, which makes every length the "
        "same problem; or set train.eval_on to frame, and use the model on pieces of that length only",
    )


@rule(
    "SG202",
    purpose="diagnose",
    source="medians of 32-sample blocks of |error|^2 over what is usual at the level of the target",
    evidence="assumed",
    needs=("signal",),
    requires=("SG201",),
    fires=lambda: example_signal(start_samples=192, rise_db=25.0, rise_z=100.0),
    silent=lambda: example_signal(start_samples=192, rise_db=0.5, rise_z=1.1),
)
def error_rises_behind_the_start(run: RunFacts) -> Verdict:
    """The prediction is good at the beginning of the record and much worse behind it.

    ## What it does
    Looks for the beginning (128 samples to half the record) that is best against the rest. Fires where the median error
    behind it is 6 dB above that before, at equal level of the target, and 6 standard errors of that difference.

    ## Why
    In use every stretch of a record is alike. A model that is only good near the start counts samples: absolute
    positions, attention over everything so far, or a state that drifts from where training left it. Medians at equal
    level do not see peaks; 6 dB is four times the power, which a drift of the amplifier over a capture is far from.

    ## Known limits
    Also fires where the two files run apart (a sample rate that differs by parts per million, a dropped sample) or the
    target itself changes; the table of NMSE by position shows which. On a run SG201 says more, and goes before.

    ## Example
    Fires for 25 dB more error behind sample 192. Silent for 0.5 dB.
    """
    this = seen(run)
    if this.rise_db is None or this.rise_z is None or this.rise_db < STEP_DB or this.rise_z < SURE:
        return None
    return Finding(
        f"behind sample {this.start_samples} the error is {this.rise_db:.1f} dB higher than before it, at equal level "
        f"of the target",
        severity=grade(this.rise_db),
        evidence={"value": this.rise_db, "threshold": STEP_DB, "z": this.rise_z, "start": this.start_samples},
        advice="use a model that any length is the same to (model.window with positions: relative); until then cut the "
        f"record into pieces of about {this.start_samples} samples; for two files check that no sample is missing",
    )


@rule(
    "SG203",
    purpose="diagnose",
    source="autocorrelation of log |error|^2 over what is usual at the level of the target, folded at its period",
    evidence="assumed",
    fix="unsafe",
    needs=("signal",),
    fires=lambda: example_signal(
        period=256, period_edge=16, period_at=0, period_db=19.6, period_cost_db=8.2, period_z=145.0, piece=256
    ),
    silent=lambda: example_signal(
        period=583, period_edge=1, period_at=389, period_db=2.2, period_cost_db=0.01, period_z=1.5
    ),
)
def error_repeats(run: RunFacts) -> Verdict:
    """The error comes back in step: a short stretch of it is high, again and again after the same number of samples.

    ## What it does
    Finds the period (32 samples to an eighth of the record) and the stretch of it that stands out. Fires where that is
    6 dB above the rest, by 6 standard errors over the periods, and costs at least 1 dB of NMSE.

    ## Why
    A record that was cut into pieces and predicted piece by piece is worst where each piece begins without its past:
    the period is the length of a piece. A period of the target itself does not count: the same waveform played twice
    has the same error twice.

    ## Known limits
    Periods of pieces that overlap, or that differ in length, are not found.

    ## Example
    Fires for 16 samples of every 256 that cost 8.2 dB. Silent for 0.01 dB.
    """
    this = seen(run)
    if this.period is None or this.period_db is None or this.period_cost_db is None or this.period_z is None:
        return None
    if this.period_db < STEP_DB or this.period_cost_db < EDGE_COST_DB or this.period_z < SURE:
        return None
    in_pieces = this.piece is not None and this.piece == this.period
    carried = in_pieces and not this.full_attention
    return Finding(
        f"{this.period_edge} samples of every {this.period} (from sample {this.period_at}) have {this.period_db:.1f} "
        f"dB more error than the rest and cost {this.period_cost_db:.1f} dB of NMSE"
        + ("; the record was scored in pieces of that length" if in_pieces else ""),
        {"train.eval_on": "record"} if carried else {},
        grade(this.period_cost_db),
        evidence={"value": this.period_cost_db, "threshold": EDGE_COST_DB, "period": this.period, "z": this.period_z},
        advice="predict the record in one pass, with the past carried through it (train.eval_on: record)"
        if carried
        else f"give each piece of {this.period} samples its past: predict overlapping pieces and drop their first "
        f"{this.period_edge} samples, or use a model that runs through the record (model.window)",
    )


@rule(
    "SG204",
    purpose="diagnose",
    source="cross-correlation and phase slope of the prediction against the target",
    evidence="assumed",
    needs=("signal",),
    requires=("SG205", "SG212"),
    fires=lambda: example_signal(lag_samples=1.0, lag_nmse_db=-30.0, unshifted_nmse_db=-8.8),
    silent=lambda: example_signal(lag_samples=0.004, lag_nmse_db=-38.1, unshifted_nmse_db=-38.0),
)
def prediction_is_shifted(run: RunFacts) -> Verdict:
    """The prediction comes some samples, or a fraction of one, too late or too early.

    ## What it does
    Measures the delay, takes it out and compares the NMSE of the best gain before and after, without the record's ends.
    Fires from 3 dB: more than half of the error is the delay.

    ## Why
    A delay is no distortion. The usual reasons: a model that looks ahead and whose stream was not shifted back, files
    that were cut at different places, a filter in only one of the two paths.

    ## Known limits
    One delay for the whole record; a drifting clock shows as SG202.

    ## Example
    Fires for 1 sample that costs 21 dB. Silent for 0.004 samples that cost 0.1 dB.
    """
    this = seen(run)
    if this.lag_samples is None or this.lag_nmse_db is None or this.unshifted_nmse_db is None:
        return Skipped("the record is too short for a delay like that")
    cost = this.unshifted_nmse_db - this.lag_nmse_db
    if cost < HALF_DB or abs(this.lag_samples) < LEAST_LAG:
        return None
    late, back = ("late", "earlier") if this.lag_samples > 0 else ("early", "later")
    return Finding(
        f"the prediction comes {abs(this.lag_samples):.2f} samples {late}: NMSE {this.unshifted_nmse_db:.2f} dB, "
        f"{this.lag_nmse_db:.2f} dB after a shift",
        severity="error" if abs(this.lag_samples) >= WHOLE_LAG else "warning",
        evidence={"value": cost, "threshold": HALF_DB, "lag_samples": this.lag_samples},
        advice=f"shift the prediction {abs(this.lag_samples):.2f} samples {back}, or find the filter or the cut that "
        "only one of the two files has; of a run look at the alignment of its capture (`dpdrun data inspect`)",
    )


@rule(
    "SG212",
    purpose="diagnose",
    source="cross-correlation of the target with the input; one complex gain on the input at that lag",
    evidence="assumed",
    fix="unsafe",
    needs=("signal",),
    requires=("SG205",),
    fires=lambda: replace(
        example_signal(nmse_db=-5.7, lead_samples=6, present_nmse_db=-0.1, ahead_nmse_db=-19.0), kind="transformer"
    ),
    silent=lambda: example_signal(),
)
def target_precedes_its_input(run: RunFacts) -> Verdict:
    """The target comes some samples before the input: a causal model would have to know the input of tomorrow.

    ## What it does
    Looks for the lag at which target and input correlate most. Fires where the target is a sample or more ahead, by
    more than the model looks ahead (model.lookahead), and one complex gain does 3 dB better with that lag than without.
    An error where the prediction is no better than that gain, else info: then the model found a way around it.

    ## Why
    No amplifier answers before it is asked: the record was cut, or aligned, wrongly. The waveform is band-limited, so
    what comes can be guessed for a few samples, and a network spends all it has on guessing. Six samples ahead a small
    Transformer ended at -6 dB instead of -38 dB. Shifting its prediction repairs nothing.

    ## Known limits
    Needs the input. A fraction of a sample is not looked for; `dpdrun data inspect` measures it.

    ## Example
    Fires for 6 samples: -5.7 dB where one gain on the shifted input reaches -19 dB. Silent without a lead.
    """
    this = seen(run)
    lead, present, ahead = this.lead_samples, this.present_nmse_db, this.ahead_nmse_db
    if lead is None or present is None or ahead is None or this.judged_nmse_db is None:
        return None
    if lead <= (this.lookahead or 0) or present - ahead < HALF_DB:
        return None
    samples = pluralize(lead, "sample")
    return Finding(
        f"the target comes {samples} before the input: NMSE {this.judged_nmse_db:.2f} dB, where one complex gain "
        f"reaches {present:.2f} dB, and {ahead:.2f} dB with the input {samples} later",
        {"model.lookahead": lead} if run.kind == "transformer" and not this.full_attention else {},
        "error" if this.judged_nmse_db >= ahead else "info",
        evidence={"value": this.judged_nmse_db, "threshold": ahead, "lead_samples": lead},
        advice=f"take {samples} off the beginning of the input and off the end of the target, in every part of the "
        f"data; only where the target is early on purpose let the model look ahead (model.lookahead {lead})",
    )


@rule(
    "SG205",
    purpose="diagnose",
    source="correlation of the prediction with the target and with its conjugate",
    evidence="assumed",
    needs=("signal",),
    fires=lambda: example_signal(nmse_db=3.0, mirrored=True, mirror_nmse_db=-30.0, mirror_deg=90.0, gain_nmse_db=0.0),
    silent=lambda: example_signal(),
)
def prediction_is_mirrored(run: RunFacts) -> Verdict:
    """The prediction follows the conjugate of the target: I and Q are swapped, or one of them is negated.

    ## What it does
    Fires where the prediction correlates with conj(target) 1.5 times as well as with the target and the best gain on it
    scores 3 dB better. The angle tells which: 0 degrees Q negated, 180 I negated, 90 or -90 swapped.

    ## Why
    Both are slips of a file format; the spectrum looks right but for its sides being exchanged.

    ## Known limits
    Silent for signals that are their own conjugate, such as a real one.

    ## Example
    Fires at 3 dB as it is and -30 dB conjugated. Silent where the prediction follows the target.
    """
    this = seen(run)
    straight = 0.0 if this.gain_nmse_db is None else this.gain_nmse_db
    if not this.mirrored or this.mirror_nmse_db is None or straight - this.mirror_nmse_db < HALF_DB:
        return None
    turned = abs(this.mirror_deg or 0.0)
    what = "Q is negated" if turned < 45 else "I is negated" if turned > 135 else "I and Q are swapped"
    return Finding(
        f"the prediction follows the conjugate of the target: {what} (NMSE {this.mirror_nmse_db:.2f} dB once undone)",
        severity="error",
        evidence={"value": straight - this.mirror_nmse_db, "threshold": HALF_DB, "angle_deg": this.mirror_deg},
        advice="exchange the columns I and Q, or change the sign of one, where the file is written",
    )


@rule(
    "SG206",
    purpose="diagnose",
    source="one complex least-squares factor on the prediction",
    evidence="assumed",
    needs=("signal",),
    requires=("SG204", "SG205", "SG212"),
    fires=lambda: example_signal(nmse_db=-19.6, judged_nmse_db=-19.6, gain_nmse_db=-30.8, gain_db=0.8),
    silent=lambda: example_signal(nmse_db=0.0, judged_nmse_db=0.0, gain_nmse_db=-3.0, gain_db=0.01),
)
def prediction_is_off_scale(run: RunFacts) -> Verdict:
    """One complex factor makes the prediction much better: its scale or its phase is wrong.

    ## What it does
    Compares the NMSE before and after the best factor. Fires from 3 dB: more than half of the error is one number.

    ## Why
    A factor is the first thing that any model learns, so it was lost on the way: a normalisation that was not undone, a
    gain that was set to 1, the phase of another capture.
    Shrinking a prediction also hides noise: with A the error power after the factor, an error that does not know the
    target gains 1/(1 - A) that way (3 dB at 0 dB, 0.04 dB at -20 dB). That much is not counted.

    ## Known limits
    Where the target is a scaled copy of the input, SG211 judges the gain.

    ## Example
    Fires at -19.6 dB, -30.8 dB after a factor. Silent at 0 dB and -3 dB: that is noise, shrunk.
    """
    this = seen(run)
    if this.gain_nmse_db is None or this.gain_db is None or this.gain_deg is None or this.judged_nmse_db is None:
        return Skipped("needs the gain of the prediction over the target")
    if this.wanted_gain_db is not None:
        return Skipped("the target is a scaled copy of the input; SG211 judges the gain")
    gained = off_scale_db(this)
    if gained < HALF_DB:
        return None
    return Finding(
        f"NMSE {this.judged_nmse_db:.2f} dB, {this.gain_nmse_db:.2f} dB after one complex factor: the prediction is "
        f"{abs(this.gain_db):.2f} dB {'above' if this.gain_db > 0 else 'below'} the target and turned by "
        f"{this.gain_deg:.1f} degrees",
        severity=grade(gained),
        evidence={"value": gained, "threshold": HALF_DB, "gain_db": this.gain_db, "gain_deg": this.gain_deg},
        advice=f"undo the scaling of the prediction ({-this.gain_db:+.2f} dB, {-this.gain_deg:+.1f} degrees); look for "
        "a normalisation by rms or peak that was done on one side only",
    )


def off_scale_db(this: SignalFacts) -> float:
    """What one complex factor takes from the error, beyond what shrinking noise does [dB]; -inf where unknown."""
    if this.gain_nmse_db is None or this.judged_nmse_db is None:
        return -math.inf
    left = min(10 ** (this.gain_nmse_db / 10), 1 - 1e-12)
    return this.judged_nmse_db - this.gain_nmse_db + 10 * math.log10(1 - left)

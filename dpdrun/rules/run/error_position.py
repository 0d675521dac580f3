"""SG: where in the record the error of a prediction is: on other lengths, after the start, at the edges of chunks."""

from __future__ import annotations

from typing import Annotated

from dpdrun.rules.conditions import Found, Otherwise
from dpdrun.rules.declare import Family, finding, known
from dpdrun.rules.engine import Verdict
from dpdrun.rules.run.alignment import grade

# By how much a record may be worse than its frames. Of 150 healthy runs one in 20 was worse by 1 dB, all GRUs, and two
# by 3.2 and 5.3 dB, which is a true loss; the attention of models that were scored on ten times the length of their
# frames cost 9 to 18 dB.
PIECES_DB = 2.0
PIECES_ERROR_DB = 6.0
STEP_DB = 6.0  # four times the error power
EDGE_COST_DB = 1.0  # a fifth of it
SURE = 6.0  # standard errors; a few thousand places are tried, which chance passes by 1e-5
NO_PIECES = Otherwise("needs the score on frames of the training length (a run that scores records)")

prediction = Family(where=known("signal"))


@prediction.diagnose(
    "SG201", fix="unsafe", evidence="measured", results="docs/results.md#case-study",
    source="our case study: the same network on frames of the training length and on the complete record",
    fires=dict(signal=dict(nmse_db=-1.9, pieces_nmse_db=-14.4, frame=200)),
    silent=dict(signal=dict(nmse_db=-38.0, pieces_nmse_db=-36.5, frame=256)),
)  # fmt: skip
def length_generalization_gap(
    nmse_db: Found[float],
    samples: Found[int],
    pieces_nmse_db: Annotated[float, NO_PIECES],
    frame: int | None = None,
    full_attention: bool = False,
) -> Verdict:
    """The model is clearly better on frames of the training length than on the complete record.

    ## Why
    A frame starts without its past, so a correct model does slightly worse on frames. A model that does better on
    frames depends on their length: its attention sees a hundred times more keys and untrained positions on the record,
    or its state drifts. In our case study this was the largest fault: -1.90 dB on the record, -14.41 dB on frames. The
    fix scores frames; a window corrects the model itself.

    ## Known limits
    Only for runs of dpdrun that score records (report.json holds both scores); for two files SG202 checks the record.
    """
    better = nmse_db - pieces_nmse_db
    if better < PIECES_DB:
        return None
    cause = "attends to the complete record" if full_attention else "was not trained on records of this length"
    return finding(
        "error" if better >= PIECES_ERROR_DB else "warning",
        f"NMSE {nmse_db:.2f} dB on the record of {samples:,} samples, {pieces_nmse_db:.2f} dB on frames of {frame}: "
        f"the model {cause}",
        value=nmse_db, threshold=pieces_nmse_db + PIECES_DB, patch={"train.eval_on": "frame"},
        advice=("set model.window to a number of samples (32) with positions: relative, so that the record length is "
                "irrelevant" if full_attention else f"train on frames longer than {frame} samples (train.frame)")
        + "; or set train.eval_on to frame, and use the model on frames of that length only",
    )  # fmt: skip


@prediction.diagnose(
    "SG202", evidence="assumed", requires=("SG201",),
    source="medians of 32-sample blocks of |error|^2, normalised by the level of the target",
    fires=dict(signal=dict(start_samples=192, rise_db=25.0, rise_z=100.0)),
    silent=dict(signal=dict(start_samples=192, rise_db=0.5, rise_z=1.1)),
)  # fmt: skip
def error_grows_with_position(rise_db: Found[float], rise_z: Found[float], start_samples: int | None = None) -> Verdict:
    """The prediction is good at the start of the record and at least 6 dB worse after it.

    ## Why
    In use all sections of a record are equivalent. A model that is only good near the start depends on the position:
    through absolute positions, attention over all previous samples, or a state that drifts away from the states of
    training. The start is the section (128 samples to half the record) with the largest difference from the rest.
    Medians at equal level of the target are insensitive to peaks; 6 dB, by 6 standard errors, is four times the error
    power, far more than the drift of an amplifier during a capture.

    ## Known limits
    Also reported if the two files drift apart (a sample rate that differs by parts per million, a dropped sample) or
    the target itself changes; the table of NMSE by position shows which. For runs SG201 is more specific and takes
    precedence.
    """
    if rise_db < STEP_DB or rise_z < SURE:
        return None
    return finding(
        grade(rise_db),
        f"after sample {start_samples} the error is {rise_db:.1f} dB higher than before it, at equal level of the "
        "target",
        value=rise_db, threshold=STEP_DB, z=rise_z, start=start_samples,
        advice="use a model that does not depend on position (of a transformer: model.window with positions: "
        "relative); until then split "
        f"the record into chunks of about {start_samples} samples; for two files check that no sample is missing",
    )  # fmt: skip


@prediction.diagnose(
    "SG203", fix="unsafe", evidence="assumed",
    source="autocorrelation of log |error|^2, normalised by the level of the target and folded at its period",
    fires=dict(signal=dict(
        period=256, period_edge=16, period_at=0, period_db=19.6, period_cost_db=8.2, period_z=145.0, piece=256
    )),
    silent=dict(signal=dict(
        period=583, period_edge=1, period_at=389, period_db=2.2, period_cost_db=0.01, period_z=1.5
    )),
)  # fmt: skip
def error_repeats(
    period: Found[int],
    period_db: Found[float],
    period_cost_db: Found[float],
    period_z: Found[float],
    period_edge: int | None = None,
    period_at: int | None = None,
    piece: int | None = None,
    full_attention: bool = False,
) -> Verdict:
    """The error is periodic: a short section with a high error repeats after a fixed number of samples.

    ## Why
    If a record was split into chunks that were predicted separately, the error is largest at the start of each chunk,
    which has no past: the period (32 samples to an eighth of the record) is the length of a chunk. The section is 6 dB
    above the rest, by 6 standard errors over the periods, and costs at least 1 dB of NMSE. Periods of the target itself
    are excluded: a waveform that is played twice has the same error twice.

    ## Known limits
    Chunks that overlap or differ in length are not detected.
    """
    if period_db < STEP_DB or period_cost_db < EDGE_COST_DB or period_z < SURE:
        return None
    in_pieces = piece == period
    carried = in_pieces and not full_attention
    return finding(
        grade(period_cost_db),
        f"{period_edge} samples of every {period} (from sample {period_at}) have {period_db:.1f} dB more error than "
        f"the rest and cost {period_cost_db:.1f} dB of NMSE"
        + ("; the record was scored in chunks of that length" if in_pieces else ""),
        value=period_cost_db, threshold=EDGE_COST_DB, period=period, z=period_z,
        patch={"train.eval_on": "record"} if carried else {},
        advice="predict the record in one pass, so that the past is carried through it (train.eval_on: record)"
        if carried
        else f"give each chunk of {period} samples its past: predict overlapping chunks and drop their first "
        f"{period_edge} samples, or use a streaming model (of a transformer: model.window)",
    )  # fmt: skip

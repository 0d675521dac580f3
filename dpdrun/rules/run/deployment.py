"""DP: a model in use: input in another scale, a higher drive, another rate, a lost state, a weak judge."""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.rules.conditions import Otherwise
from dpdrun.rules.declare import Family, finding, info, known, warning
from dpdrun.rules.engine import Verdict

OTHER_SCALE_DB = 20.0
LEVEL_DB = 1.0  # at this much more power than the training input, a waveform has peaks that the model never saw
PEAK_DB = 1.0
RATE_TOLERANCE = 1e-6
COST_DB = 0.1  # of the NMSE, by a reset of the state in each block
JUDGE_DB = 10.0  # the judge's own error then adds 0.4 dB

NOT_MEASURED = Otherwise()
in_use = Family(where=known("deployment"))


@in_use.diagnose(
    "DP201", source="power of the waveform over that of the training input", evidence="assumed",
    fires=dict(deployment=dict(level_db=90.3)), silent=dict(deployment=dict(level_db=-3.0)),
)  # fmt: skip
def input_scaled_otherwise(level_db: Annotated[float, NOT_MEASURED]) -> Verdict:
    """The waveform has 20 dB more or less power than the training input: it is probably in other units.

    ## Why
    A nonlinear model is valid at the drive level that it was trained at, and takes samples in the units of its capture.
    Usual causes are integers instead of fractions of full scale (90.3 dB for 16 bits), and a normalization to a peak or
    an rms of 1.

    ## Known limits
    A waveform that is meant to be 20 dB lower is reported as well; a scale that is less than 20 dB off is not.
    """
    if abs(level_db) < OTHER_SCALE_DB:
        return None
    return warning(
        f"the waveform has {abs(level_db):.1f} dB {'more' if level_db > 0 else 'less'} power than the training input: "
        "it seems to be in other units",
        value=level_db, threshold=OTHER_SCALE_DB,
        advice=f"multiply the waveform by {10 ** (-level_db / 20):.4g} to have the level of the training input",
    )  # fmt: skip


@in_use.diagnose(
    "DP202", source="power and peaks of the waveform over those of the training input", evidence="assumed",
    requires=("DP201",),
    fires=dict(deployment=dict(level_db=6.0, beyond_db=5.8, beyond_share=0.021)),
    silent=dict(deployment=dict(level_db=0.2, beyond_db=0.4, beyond_share=1e-5)),
)  # fmt: skip
def drive_above_training(
    level_db: Annotated[float, NOT_MEASURED], beyond_db: float | None = None, beyond_share: float = 0.0
) -> Verdict:
    """The waveform is above the level that the model was trained at, in power or at its peaks.

    ## Why
    The model extrapolates where the input is larger than anything it has seen, and an amplifier compresses there.
    Reported from 1 dB on, of power or of the largest magnitude.

    ## Known limits
    The peaks are known only if the capture of the run is found.
    """
    parts = []
    if level_db > LEVEL_DB:
        parts.append(f"has {level_db:.1f} dB more power than the training input")
    if beyond_db is not None and beyond_db > PEAK_DB:
        parts.append(f"peaks {beyond_db:.1f} dB above the training input ({beyond_share:.2g} of its samples are above)")
    if not parts:
        return None
    return warning(
        f"the waveform {' and '.join(parts)}: the model was not trained at this level",
        value=level_db, threshold=LEVEL_DB,
        advice="lower the level of the waveform, or train on a capture at its drive",
    )  # fmt: skip


@in_use.diagnose(
    "DP203", source="sample rates as stated by the waveform and by the capture", evidence="assumed",
    fires=dict(deployment=dict(rate_hz=2e6, trained_rate_hz=1e6)),
    silent=dict(deployment=dict(rate_hz=1e6, trained_rate_hz=1e6)),
)  # fmt: skip
def sample_rate_of_another_capture(
    rate_hz: Annotated[float, NOT_MEASURED], trained_rate_hz: Annotated[float, NOT_MEASURED]
) -> Verdict:
    """The waveform has another sample rate than the capture of the run.

    ## Why
    The memory of a model is in samples: at another rate its delays are other times.

    ## Known limits
    Rates are compared as they are stated.
    """
    if abs(rate_hz / trained_rate_hz - 1) <= RATE_TOLERANCE:
        return None
    return warning(
        f"the waveform states a sample rate of {rate_hz:g} Hz, but the model was trained at {trained_rate_hz:g} Hz, "
        "and its memory is in samples",
        value=rate_hz, threshold=trained_rate_hz, advice="resample the waveform (or train with data.resample_to_hz)",
    )  # fmt: skip


@in_use.diagnose(
    "DP204", source="output of the run on its validation split, as a stream and in blocks", evidence="assumed",
    fires=dict(deployment=dict(reset_change_db={512: -34.0, 4096: -43.0}, error_db=-38.0)),
    silent=dict(deployment=dict(reset_change_db={512: -61.0, 4096: -70.0}, error_db=-38.0)),
)  # fmt: skip
def state_reset_costs(
    reset_change_db: Annotated[dict[int, float], NOT_MEASURED], error_db: Annotated[float, NOT_MEASURED]
) -> Verdict:
    """A reset of the state at the beginning of each block costs 0.1 dB of NMSE or more.

    ## Why
    Programs that process blocks often start each from an empty state; the first outputs of a block then lack their
    past. Blocks of 512 to 4,096 samples are compared with the stream. The cost is that of a change that is uncorrelated
    with the error of the run: 10 log10(1 + 10^((change - error) / 10)).

    ## Known limits
    That no state is kept is an assumption about the program that uses the model; the exported files keep it. Of a
    predistorter, the change of its output is compared with the error of the amplifier's.
    """
    cost = {length: 10 * math.log10(1 + 10 ** ((db - error_db) / 10)) for length, db in reset_change_db.items()}
    if max(cost.values()) < COST_DB:
        return None
    costs = ", ".join(f"{cost[length]:.2f} dB in blocks of {length:,}" for length in sorted(cost))
    return info(
        f"a reset of the state at the beginning of each block costs {costs}",
        value=max(cost.values()), threshold=COST_DB,
        advice="carry the state from block to block, and reset it only where a new record begins",
    )  # fmt: skip


@in_use.diagnose(
    "DP205", source="NMSE of the PA model and of what is scored through it", evidence="assumed",
    fires=dict(deployment=dict(judge="runs/pa", judge_error_db=-38.0, error_db=-36.0)),
    silent=dict(deployment=dict(judge="runs/pa", judge_error_db=-52.0, error_db=-36.0)),
)  # fmt: skip
def judge_too_weak(
    judge_error_db: Annotated[float, NOT_MEASURED], error_db: Annotated[float, NOT_MEASURED], judge: str = ""
) -> Verdict:
    """A predistorter is scored through a PA model that is less than 10 dB better than the score.

    ## Why
    The error of the PA model is part of every score: 10 dB below the score it adds 0.4 dB, at equal level 3 dB, and
    above it says nothing of the amplifier itself: the predistorter fits the model. A warning where the PA model is
    worse than the score, info where it is less than 10 dB better.

    ## Known limits
    The NMSE of a PA model contains the noise of the measurement, which does not count here.
    """
    margin = error_db - judge_error_db
    if margin >= JUDGE_DB:
        return None
    relation = f"{margin:.1f} dB better than" if margin >= 0 else f"{-margin:.1f} dB worse than"
    return finding(
        "info" if margin >= 0 else "warning",
        f"the PA model {judge} (NMSE {judge_error_db:.2f} dB) is {relation} what it scores ({error_db:.2f} dB)",
        value=margin, threshold=JUDGE_DB,
        advice="measure the predistorted amplifier, or score through a better PA model (`dpdrun evaluate --through`)",
    )  # fmt: skip

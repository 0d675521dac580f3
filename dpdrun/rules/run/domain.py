"""DM: the validation NMSE compared with trivial models and with the noise floor."""

from __future__ import annotations

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, diagnose, error, info, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts

FAIR_CHANCE = 0.1  # of the run: before, any network is worse than one gain
FINISHED = 0.999
GMP_MARGIN_DB = 0.1
FLOOR_MARGIN_DB = 1.5  # then 70 % of the error power is noise

ADVICE = (
    "check that validation gives the network the context it was trained with (model.window instead of full, "
    "positions: relative), that the envelope reaches it (features: envelope, embedding: linear, skip: on), and "
    "the alignment of the capture (`dpdrun data inspect`); then the learning rate (SC201)"
)
ADVICE_FOR_A_GMP = (
    "check the alignment of the capture (`dpdrun data inspect`) first; then the sizes: fewer delays or a lower order "
    "where the training part is short (model.delays, model.order)"
)


@diagnose(
    "DM201", source="the least-squares complex gain of the training split, y = g x", evidence="measured",
    results="docs/results.md#case-study", where={"progress": Within(0.0, 1.0)},
    fires=dict(one_tap_db=-19.6, eval_step=[200, 400], eval_nmse_db=[1.5, -7.1]),
    silent=dict(one_tap_db=-19.6, eval_step=[200, 400], eval_nmse_db=[-30.0, -38.0]),
)  # fmt: skip
def worse_than_one_complex_gain(run: RunFacts, one_tap_db: float, best_nmse_db: float) -> Verdict:
    """The network is worse than multiplying the input by one complex number.

    ## Why
    One number cannot model a nonlinearity, so a network that is worse has learned nothing about the amplifier:
    predicting zero scores 0 dB, and an output of the right power that is unrelated to the target scores +3 dB. The
    Transformer of the founding Transformer note (docs/note.md), rebuilt for our case study, reached 5.85 dB as it was
    run and -1.90 dB with its warmup corrected: it attended to 98 times more samples in validation than in training
    (-14.41 dB when scored on the training length), and its embedding erased the envelope (-19.32 dB with a linear one).

    ## Known limits
    Checked once a tenth of the run is complete. Finding the cause takes experiments; the advice lists the causes in the
    order of their frequency.
    """
    progress = run.progress or 0.0
    if progress < FAIR_CHANCE:
        return Skipped(f"the run is {progress:.0%} done; checked from {FAIR_CHANCE:.0%} on")
    if best_nmse_db < one_tap_db:
        return None
    return error(
        f"best validation NMSE {best_nmse_db:.2f} dB, one complex gain reaches {one_tap_db:.2f} dB",
        value=best_nmse_db, threshold=one_tap_db, step=_first_step(run),
        advice=ADVICE_FOR_A_GMP if run.kind == "gmp" else ADVICE,
    )  # fmt: skip


def _first_step(run: RunFacts) -> int | None:
    """Return where the scores begin; None for a least-squares fit, which has no steps."""
    return run.eval_step[0] if run.eval_step and run.kind != "gmp" else None


trained = Family(requires=("DM201",))


@trained.diagnose(
    "DM202", source="Morgan et al. 2006, generalized memory polynomial, fitted by least squares to the same data",
    evidence="cited",
    fires=dict(gmp_db=-38.5, eval_step=[200, 400], eval_nmse_db=[-30.0, -36.0]),
    silent=dict(gmp_db=-38.5, eval_step=[200, 400], eval_nmse_db=[-30.0, -39.0]),
)  # fmt: skip
def worse_than_gmp(run: RunFacts, gmp_db: float, best_nmse_db: float, progress: float) -> Verdict:
    """The finished network is worse than a generalized memory polynomial fitted in seconds.

    ## Why
    A network costs more to train and to run, so it should be better. It is compared with the GMP of default size on the
    same data; differences up to 0.1 dB are noise.

    ## Known limits
    Only for finished runs, and not for runs of a GMP. A GMP of other orders and delays may be better or worse.
    """
    if run.kind == "gmp":
        return Skipped("the model of this run is a GMP")
    if progress < FINISHED:
        return Skipped(f"the run is {progress:.0%} done; checked when it is finished")
    if best_nmse_db <= gmp_db + GMP_MARGIN_DB:
        return None
    return warning(
        f"best validation NMSE {best_nmse_db:.2f} dB, a GMP fitted by least squares reaches {gmp_db:.2f} dB",
        value=best_nmse_db, threshold=gmp_db + GMP_MARGIN_DB,
        advice="train longer (train.epochs) or with the learning rate of `dpdrun recommend`, or use model.kind gmp",
    )  # fmt: skip


@trained.diagnose(
    "DM203", source="the noise floor of the capture, known (synthetic) or estimated", evidence="assumed",
    fires=dict(floor_db=-40.0, eval_step=[200, 400], eval_nmse_db=[-30.0, -39.7]),
    silent=dict(floor_db=-45.0, eval_step=[200, 400], eval_nmse_db=[-30.0, -38.0]),
)  # fmt: skip
def at_the_noise_floor(run: RunFacts, floor_db: float, best_nmse_db: float) -> Verdict:
    """The validation NMSE is within 1.5 dB of the noise floor: most of the remaining error is noise.

    ## Why
    The remaining error is measurement noise, which no model can predict. More steps can only overfit it.

    ## Known limits
    Only as reliable as the noise floor; report.json states how it was determined, and its caveats.
    """
    limit = floor_db + FLOOR_MARGIN_DB
    if best_nmse_db > limit:
        return None
    noise = min(1.0, 10 ** ((floor_db - best_nmse_db) / 10))
    scores = zip(run.eval_step, run.eval_nmse_db, strict=True)
    step = next((step for step, db in scores if db <= limit), None)  # None: by optim.refine
    at = "" if run.kind == "gmp" else "; reached by optim.refine" if step is None else f"; reached at step {step}"
    return info(
        f"best validation NMSE {best_nmse_db:.2f} dB, noise floor {floor_db:.2f} dB: {noise:.0%} of the error is "
        f"noise{at}",
        value=best_nmse_db, threshold=limit, step=None if run.kind == "gmp" else step,
        advice="stop training: a smaller model or a better capture is a better use of effort",
    )  # fmt: skip

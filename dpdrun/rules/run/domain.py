"""DM: what the validation NMSE means for a power amplifier: against trivial models and against the noise."""

from __future__ import annotations

from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.examples import example_run
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


@rule(
    "DM201",
    purpose="diagnose",
    source="the least-squares complex gain of the training part, y = g x",
    evidence="measured",
    results="docs/results.md#case-study",
    box={"progress": (0.0, 1.0)},
    needs=("one_tap_db", "best_nmse_db"),
    fires=lambda: example_run(one_tap_db=-19.6, eval_step=[200, 400], eval_nmse_db=[1.5, -7.1]),
    silent=lambda: example_run(one_tap_db=-19.6, eval_step=[200, 400], eval_nmse_db=[-30.0, -38.0]),
)
def worse_than_one_complex_gain(run: RunFacts) -> Verdict:
    """The network is worse than multiplying the input by one complex number.

    ## What it does
    Compares the best validation NMSE with that of y = g x, g by least squares, once a tenth of the run is over.

    ## Why
    One number cannot model a nonlinearity, so a network that loses to it has learned nothing about the amplifier: 0 dB
    is what predicting zero gives, +3 dB an output of the right power that has nothing to do with the target. The
    founding note's Transformer, rebuilt for our case study, ends at 5.85 dB as it ran and at -1.90 dB with its warmup
    repaired: it attended to 98 times more samples in validation than in training (scored on the length it was trained
    on it is at -14.41 dB), and its embedding had erased the envelope (-19.32 dB with a plain one).

    ## Known limits
    Which of the causes it is has to be tried out; the advice lists them in the order of how often they were met.

    ## Example
    Fires at -7.1 dB where one gain reaches -19.6 dB. Silent at -38 dB.
    """
    best, gain = run.best_nmse_db, run.one_tap_db
    if best is None or gain is None:
        return Skipped("needs a finite validation NMSE")
    if (run.progress or 0.0) < FAIR_CHANCE:
        return Skipped(f"the run is {run.progress:.0%} done; judged from {FAIR_CHANCE:.0%} on")
    if best < gain:
        return None
    return Finding(
        f"best validation NMSE {best:.2f} dB, one complex gain reaches {gain:.2f} dB",
        severity="error",
        step=_first_step(run),
        evidence={"value": best, "threshold": gain},
        advice=ADVICE_FOR_A_GMP if run.kind == "gmp" else ADVICE,
    )


def _first_step(run: RunFacts) -> int | None:
    """Where the scorings begin; None for a least-squares fit, which has no steps."""
    return run.eval_step[0] if run.eval_step and run.kind != "gmp" else None


@rule(
    "DM202",
    purpose="diagnose",
    source="Morgan et al. 2006, generalized memory polynomial, fitted by least squares to the same data",
    evidence="cited",
    needs=("gmp_db", "best_nmse_db", "progress"),
    requires=("DM201",),
    fires=lambda: example_run(gmp_db=-38.5, eval_step=[200, 400], eval_nmse_db=[-30.0, -36.0]),
    silent=lambda: example_run(gmp_db=-38.5, eval_step=[200, 400], eval_nmse_db=[-30.0, -39.0]),
)
def worse_than_gmp(run: RunFacts) -> Verdict:
    """The finished network is worse than a generalized memory polynomial fitted in seconds.

    ## What it does
    Compares the best validation NMSE of a finished run with the GMP of default size on the same part; 0.1 dB is noise.

    ## Why
    A network costs more to train and to run; it has to earn that.

    ## Known limits
    Only for finished runs, and not for a run that is a GMP itself. A GMP of other orders and delays may be better or
    worse.

    ## Example
    Fires at -36 dB where the GMP reaches -38.5 dB. Silent at -39 dB.
    """
    best, gmp = run.best_nmse_db, run.gmp_db
    if best is None or gmp is None:
        return Skipped("needs a finite validation NMSE")
    if run.kind == "gmp":
        return Skipped("this run is a gmp itself")
    if (run.progress or 0.0) < FINISHED:
        return Skipped(f"the run is {run.progress:.0%} done; judged when it is finished")
    if best <= gmp + GMP_MARGIN_DB:
        return None
    return Finding(
        f"best validation NMSE {best:.2f} dB, a GMP fitted by least squares reaches {gmp:.2f} dB",
        severity="warning",
        evidence={"value": best, "threshold": gmp + GMP_MARGIN_DB},
        advice="train longer (train.epochs) or with the learning rate of `dpdrun recommend`, or use model.kind gmp",
    )


@rule(
    "DM203",
    purpose="diagnose",
    source="the noise floor of the capture, known (synthetic) or estimated",
    evidence="assumed",
    needs=("floor_db", "best_nmse_db"),
    requires=("DM201",),
    fires=lambda: example_run(floor_db=-40.0, eval_step=[200, 400], eval_nmse_db=[-30.0, -39.7]),
    silent=lambda: example_run(floor_db=-45.0, eval_step=[200, 400], eval_nmse_db=[-30.0, -38.0]),
)
def at_the_noise_floor(run: RunFacts) -> Verdict:
    """The validation NMSE is within 1.5 dB of the noise floor: most of what is left is noise.

    ## What it does
    Says at which scoring the floor was reached.

    ## Why
    What is left is noise of the measurement, which no model predicts. More steps can only fit it.

    ## Known limits
    As good as the floor; report.json says how it is known and what to doubt about it.

    ## Example
    Fires at -39.7 dB over a floor of -40 dB. Silent at -38 dB over a floor of -45 dB.
    """
    floor = run.floor_db
    if floor is None:
        return Skipped("the noise floor is not known")
    best = run.best_nmse_db
    if best is None or best > floor + FLOOR_MARGIN_DB:
        return None
    noise = min(1.0, 10 ** ((floor - best) / 10))
    scores = zip(run.eval_step, run.eval_nmse_db, strict=True)
    step = next((step for step, db in scores if db <= floor + FLOOR_MARGIN_DB), None)  # None: by optim.refine
    at = "" if run.kind == "gmp" else "; reached by optim.refine" if step is None else f"; reached at step {step}"
    return Finding(
        f"best validation NMSE {best:.2f} dB, noise floor {floor:.2f} dB: {noise:.0%} of the error is noise{at}",
        severity="info",
        step=None if run.kind == "gmp" else step,
        evidence={"value": best, "threshold": floor + FLOOR_MARGIN_DB},
        advice="stop here: spend effort on a smaller model or a better capture, not on more training",
    )

"""DM: the validation NMSE compared with trivial models and with the noise floor."""

from __future__ import annotations

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, diagnose, error, info, known, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.facts.words import PLUG_IN

FAIR_CHANCE = 0.1  # of the run: before, any network is worse than one gain
FINISHED = 0.999
GMP_MARGIN_DB = 0.1
FLOOR_MARGIN_DB = 1.5  # then 70 % of the error power is noise

# What a network needs to see what it was trained on, and the envelope; of a Transformer, or of any kind.
OF_A_TRANSFORMER = {"model.positions": "relative", "model.embedding": "linear"}
OF_A_NETWORK = {"model.features": "envelope", "model.skip": "on"}
NOTHING_DB = -3.0  # half of the output's power is not explained
THE_DATA = (
    "the data, not the model: nothing explains this output by this input. Align them (`dpdrun data align SOURCE -o "
    "aligned.npz`) and look at `dpdrun data inspect SOURCE`: another record, a frequency offset, a delay of thousands "
    "of samples, I and Q swapped"
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
    predicting zero scores 0 dB, and an output of the right power that is unrelated to the target scores +3 dB. If one
    gain, a GMP and the network all leave half of the power or more, the data are the cause. The Transformer of the
    founding Transformer note (docs/note.md), rebuilt for our case study, reached 5.85 dB as it was run and -1.90 dB
    with its warmup corrected: it attended to 98 times more samples in validation than in training (-14.41 dB when
    scored on the training length), and its embedding erased the envelope (-19.32 dB with a linear one).

    ## Known limits
    Checked once a tenth of the run is complete. Finding the cause takes experiments; the advice lists the causes in the
    order of their frequency.
    """
    progress = run.progress or 0.0
    if progress < FAIR_CHANCE:
        return Skipped(f"the run is {progress:.0%} done; checked from {FAIR_CHANCE:.0%} on")
    if _unexplained(run, one_tap_db) and best_nmse_db > NOTHING_DB:
        gmp = "" if run.gmp_db is None else f", a GMP {run.gmp_db:.2f} dB"
        return error(
            f"nothing explains the output: one complex gain reaches {one_tap_db:.2f} dB{gmp}, this model "
            f"{best_nmse_db:.2f} dB",
            value=best_nmse_db, threshold=NOTHING_DB, step=_first_step(run), advice=THE_DATA,
        )  # fmt: skip
    if best_nmse_db < one_tap_db:
        return None
    return error(
        f"best validation NMSE {best_nmse_db:.2f} dB, one complex gain reaches {one_tap_db:.2f} dB",
        value=best_nmse_db, threshold=one_tap_db, step=_first_step(run),
        advice=ADVICE_FOR_A_GMP if run.kind == "gmp" else _advice(run),
    )  # fmt: skip


def _unexplained(run: RunFacts, one_tap_db: float) -> bool:
    """Return whether a gain, a filter and a polynomial explain less than half of the output's power."""
    others = [one_tap_db, run.gmp_db, run.get("linear_nmse_db"), run.get("polynomial_nmse_db")]
    return run.gmp_db is not None and all(db > NOTHING_DB for db in others if db is not None)


def _advice(run: RunFacts) -> str:
    """Return what may be wrong with a network, without what the recipe has already."""
    is_transformer = run.kind == "transformer"
    wanted = [] if run.kind == PLUG_IN else run.still_open((OF_A_TRANSFORMER if is_transformer else {}) | OF_A_NETWORK)
    if is_transformer and run.settings.get("model.window", "full") == "full":
        wanted.insert(0, "model.window: 32 instead of full")
    checks = [*([f"set {', '.join(wanted)}"] if wanted else []), "check the alignment of the capture (`dpdrun data "
              "inspect`, `dpdrun data align`)", "then the learning rate (SC201)"]  # fmt: skip
    return "; ".join(checks)


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
    rate = "`dpdrun probe`" if run.kind == PLUG_IN else "`dpdrun recommend`"  # no rule has a rate for a plug-in's kind
    return warning(
        f"best validation NMSE {best_nmse_db:.2f} dB, a GMP fitted by least squares reaches {gmp_db:.2f} dB",
        value=best_nmse_db, threshold=gmp_db + GMP_MARGIN_DB,
        advice=f"train longer (train.epochs) or with the learning rate of {rate}, or use model.kind gmp",
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


@diagnose(
    "DM204", source="the same PA model without predistortion, at the same output power", evidence="assumed",
    where=known("linearized"),
    fires=dict(linearized={"NMSE": (-20.0, -38.0), "ACLR left": (-31.9, -31.7)}),
    silent=dict(linearized={"NMSE": (-20.0, -38.0), "ACLR left": (-31.9, -48.0)}),
)  # fmt: skip
def no_better_than_no_predistortion(run: RunFacts) -> Verdict:
    """By at least one reported score, the amplifier is no more linear with the predistorter than without it.

    ## Why
    A predistorter is meant to reduce the distortion of the amplifier, so every score should improve. If the NMSE
    improves and a leakage does not, either the score does not measure the amplifier (the wanted signal itself leaks as
    much, or the stated bandwidth cuts it: `dpdrun evaluate` says so), or the predistorter moved distortion out of the
    band. Compared on the validation split, at equal output power, simulated through the PA model of the run.

    ## Known limits
    One split, one PA model. Even a difference of a few hundredths of a decibel counts.
    """
    worse = {name: pair for name, pair in run.linearized.items() if pair[1] >= pair[0]}
    if not worse:
        return None
    parts = ", ".join(f"{name} {with_it:.2f} against {without:.2f}" for name, (without, with_it) in worse.items())
    name, (without, with_it) = max(worse.items(), key=lambda item: item[1][1] - item[1][0])
    return warning(
        f"no better than without predistortion [dB]: {parts}",
        value=with_it, threshold=without, score=name,
        advice="look at the spectra (`dpdrun evaluate RUN --output DIR`) and at the ACLR of the wanted signal next to "
        "them; check data.bandwidth_hz; if the leakage is the amplifier's, train longer or through a better PA model",
    )  # fmt: skip


@diagnose(
    "DM205", source="the output of the PA model with the ideal input that a predistorter learns from",
    evidence="measured", results="docs/results.md#pa-models-that-judge",
    fires=dict(ilc_db=-33.4, pa_db=-39.7), silent=dict(ilc_db=-80.0, pa_db=-39.0),
)  # fmt: skip
def ideal_input_is_not_ideal(ilc_db: float, pa_db: float) -> Verdict:
    """Iterative learning control ends above the error of its PA model: the predistorter learns from a poor input.

    ## Why
    With `dpd.learning: ilc` the predistorter can only become as good as the input that it learns. Iterative learning
    control usually makes the PA model far more linear than the PA model is accurate: through networks with an NMSE of
    -36.40 to -43.08 dB it ended at -80.20 dB or lower on synthetic/hard. Where it does not, the PA model has no input
    for the wanted output: beyond the peaks that it was fitted to, a polynomial grows without bound or folds back, or
    the wanted peaks are above what `dpd.peak_limit` allows. Through a gmp of -39.72 dB it stopped at -33.40 dB, and the
    predistorter was 4.5 dB worse on the amplifier than one that was trained through a less accurate GRU.

    ## Known limits
    Needs report.json: the finding comes at the end of the run. The error is that of the worse of training and
    validation split, at the frequencies up to the far end of the adjacent channels; reports of earlier versions do not
    have it. A validation split with peaks above `dpd.peak_limit` is reported as well.
    """
    if ilc_db <= pa_db:
        return None
    return warning(
        f"with the ideal input that it learns from, the PA model is {ilc_db:.2f} dB from the wanted output, more than "
        f"its own error ({pa_db:.2f} dB)",
        value=ilc_db, threshold=pa_db,
        advice="train through a network if the PA model is a gmp; otherwise aim lower: dpd.gain: peak, or a higher "
        "dpd.peak_limit if the amplifier stands it; dpd.learning: indirect needs no ideal input",
    )  # fmt: skip

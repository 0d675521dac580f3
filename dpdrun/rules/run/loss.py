"""LS: the loss of the training steps."""

from __future__ import annotations

import math
from statistics import median

from dpdrun.rules.conditions import Found
from dpdrun.rules.declare import diagnose, error, info, known, used, warning
from dpdrun.rules.engine import Finding, Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.text import pluralize, two_digits

LR_FACTOR = 0.3
BEFORE = 50  # steps whose losses show whether there was a warning
LEAST_BEFORE = 20
LAST = 5
NEGATIVE = -1.0
ZEROS = 5
ZEROS_OF_FEW, HIGH = 2, 0.5  # at the end of the log, after such a loss or from the first line on
VERY_HIGH = 2.0  # one zero, if it is the last line: no step brings such a loss to exactly 0
SUDDEN = 0.01  # the last loss before the zeros: a loss that is rounded to 0 passes through such values first
ROUNDED = 1e-3
CALM_DB = 3.0  # above their median: our runs that diverged had risen by 15 dB and more


@diagnose(
    "LS201", fix="unsafe", evidence="cited", where=used("step", "loss", "grad_norm", "signed_loss"),
    source="IEEE 754: every sum with a nan is nan; pytorch issue 46849 on clipping an infinite norm",
    fires=dict(steps=100, loss=lambda t: math.inf if t > 0.8 else 0.1 * 10 ** (6 * t)), silent=dict(steps=100),
)  # fmt: skip
def loss_or_norm_not_finite(run: RunFacts) -> Verdict:
    """The loss or the gradient norm is nan or infinite.

    ## Why
    One such step makes every parameter nan. Clipping does not help: it multiplies by clip / inf = 0, and 0 x inf is
    nan. All other rules about loss and gradients are then skipped. If the five losses before the step are within 3 dB
    of the median of the fifty before, the step came without warning: the cause is a sample, and no learning rate is
    recommended.

    ## Known limits
    Uses only what was logged. `dpdrun train` stops before such a step changes the parameters.
    """
    columns = {name: values for name, values in (("loss", run.loss), ("gradient norm", run.grad_norm)) if values}
    if (signed := _signed(run)) is not None:
        return signed
    if not columns:
        return None if run.signed_loss else Skipped("needs loss or grad_norm")
    bad = sorted({i for values in columns.values() for i, value in enumerate(values) if not math.isfinite(value)})
    if not bad:
        return None
    first = bad[0]
    patch, advice = _cure(run, first)
    return error(
        f"{' and '.join(f'{name} {values[first]:g}' for name, values in columns.items())} at step {run.step[first]} "
        f"({len(bad)} of {len(run.step)} steps are not finite)",
        value=len(bad), threshold=0, n=len(run.step), **{"lr": run.lr[first]} if run.lr else {}, step=run.step[first],
        patch=patch, advice=advice,
    )  # fmt: skip


def _signed(run: RunFacts) -> Finding | None:
    """Return the verdict on a loss that may be negative."""
    bad = [step for step, value in zip(run.signed_step, run.signed_loss, strict=True) if not math.isfinite(value)]
    if not bad:
        return None
    return error(
        f"the loss is not finite at step {bad[0]} ({len(bad)} of {len(run.signed_loss)} lines)", value=len(bad),
        threshold=0, n=len(run.signed_loss), step=bad[0],
        advice="check the data and the logarithms and divisions of the loss; then lower the learning rate",
    )  # fmt: skip


def _cure(run: RunFacts, first: int) -> tuple[dict[str, float], str]:
    """Return patch and advice for values that are not finite from a position on."""
    before = run.loss_db[max(0, first - BEFORE) : first]
    if len(before) >= LEAST_BEFORE and max(before[-LAST:]) <= median(before) + CALM_DB:
        return {}, (
            f"the loss was stable until then, so inspect the samples of step {run.step[first]} (`dpdrun data inspect`: "
            "nan, zeros, outliers), and divisions or logarithms in the code; a lower lr does not help"
        )
    lr = run.top_lr
    if not 0.0 < lr < math.inf:
        lower, patch = "the learning rate", {}
    else:
        patch = {"optim.lr": two_digits(LR_FACTOR * lr)}
        lower = f"optim.lr from {lr:g} to {patch['optim.lr']:g}"
    return patch, (
        f"check the data first (`dpdrun data inspect`: outliers, zeros); else lower {lower}, lengthen optim.warmup, "
        "and use train.precision fp32"
    )


@diagnose(
    "LS211", evidence="cited", requires=("LS201",), where=known("step"),
    source="messages of programs, such as `NaN or Inf found in input tensor`, `Loss is nan, stopping training`",
    fires=dict(reports_nan=[12, 15]), silent=dict(reports_nan=[]),
)  # fmt: skip
def program_reports_nan(reports_nan: Found[list[int]]) -> Verdict:
    """The program that wrote the log says that something is nan or infinite, in words.

    ## Why
    The numbers of a log are means, or left out where they are not finite, so the first sign is often a message between
    them. Of 1226 public logs six have one, all of them of runs that were sick.

    ## Known limits
    Messages in other words are not recognised. LS201 reports numbers.
    """
    return warning(
        f"the program reports nan or infinite values in {pluralize(len(reports_nan), 'line')}, first in line "
        f"{reports_nan[0]}",
        value=len(reports_nan), threshold=0, n=len(reports_nan),
        advice="find the first batch or tensor that is not finite (labels longer than their inputs, empty samples, "
        "logarithms, float16), before you trust the rest of the run",
    )  # fmt: skip


@diagnose(
    "LS209", evidence="cited", where={**known("loss", "step"), **used("grad_norm")},
    source="transformers, TrainingArguments.logging_nan_inf_filter: a nan loss is logged as 0, the mean of no values",
    fires=dict(loss=lambda t: 9.0 if t < 0.1 else 0.0), silent={},
)  # fmt: skip
def loss_exactly_zero(run: RunFacts) -> Verdict:
    """The loss is exactly 0 in many lines: a filter hides nan, or nothing is trained.

    ## Why
    A floating-point loss is never exactly 0 without a cause. Programs that replace nan by 0 in their log (Hugging Face:
    logging_nan_inf_filter) make a failed run look perfect; the other cause is a loss over no labels. Reported from five
    such lines on, if the last loss before them is above 0.01 or there is none; from two on at the end of a log if it
    was above 0.5, and from one on if it was above 2.

    ## Known limits
    A loss that had fallen below 0.001 before is rounded (four decimals): info. The loss of a policy may be 0 by design
    (reinforcement learning): skipped.
    """
    if run.loss_unit == "objective":
        return Skipped("the level of this loss says nothing about progress")
    zeros = [i for i, value in enumerate(run.loss) if value == 0.0]
    if len(zeros) < ZEROS and not _drops_to_zero(run.loss, zeros):
        return None
    others = [value for value in run.loss if value > 0.0]
    before = [value for value in run.loss[: zeros[0]] if value > 0.0]
    last = before[-1] if before else max(others, default=1.0)
    step = run.step[zeros[0]]
    message = f"the loss is exactly 0 in {len(zeros)} of {len(run.loss)} lines, from step {step} on"
    if last <= SUDDEN and others:
        if last > ROUNDED:
            return None
        return info(
            f"{message}: it is rounded (it was {last:.2g} before)", value=len(zeros), threshold=ZEROS,
            n=len(run.loss), step=step,
            advice="the training set has been memorised: only a validation loss can show more",
        )  # fmt: skip
    was = f", after {before[-1]:.4g}" if before else ""
    return error(
        f"{message}{was}: the log replaces nan by 0, or the loss is over no labels", value=len(zeros), threshold=ZEROS,
        n=len(run.loss), step=step,
        advice="log every step without the nan filter (Hugging Face: logging_nan_inf_filter false, logging_steps "
        "1); check the labels (all masked gives 0), then float16 overflow and the learning rate",
    )  # fmt: skip


def _drops_to_zero(losses: list[float], zeros: list[int]) -> bool:
    """Return whether a short log drops to zero abruptly and stays there."""
    to_the_end = zeros == list(range(len(losses) - len(zeros), len(losses)))
    if not zeros or not to_the_end:
        return False
    if zeros[0] == 0:
        return len(zeros) >= ZEROS_OF_FEW
    return losses[zeros[0] - 1] > (HIGH if len(zeros) >= ZEROS_OF_FEW else VERY_HIGH)


@diagnose(
    "LS210", evidence="cited",
    source="a cross-entropy is -log of a probability, below 0 only for labels above 1 (Keras, binary_crossentropy)",
    fires=dict(steps=0, signed_step=[1, 2, 3], signed_loss=[-3.0, -40.0, -55.0], loss_unit="nats"),
    silent=dict(steps=0, signed_step=[1, 2, 3], signed_loss=[0.5, -0.4, -0.9], loss_unit="nats"),
)  # fmt: skip
def cross_entropy_below_zero(signed_step: list[int], signed_loss: list[float], loss_unit: str) -> Verdict:
    """The loss of a classifier is below -1, which no cross-entropy can be: its labels are out of range.

    ## Why
    A cross-entropy is minus the logarithm of a probability, so it is never negative. With labels above 1 (class indices
    passed to a binary cross-entropy) it falls without bound, and the network learns one class for all inputs.

    ## Known limits
    A similarity between -1 and 0 is not a cross-entropy and not reported. Neither is the likelihood of a density, which
    the log does not identify as that of a classifier.
    """
    if loss_unit not in ("nats", "bits"):
        return Skipped("the loss is not known to be a cross-entropy")
    below = [i for i, value in enumerate(signed_loss) if value < NEGATIVE]
    if not below:
        return None
    return error(
        f"the loss is {min(signed_loss):.4g}, but a cross-entropy is never negative", value=min(signed_loss),
        threshold=NEGATIVE, n=len(signed_loss), step=signed_step[below[0]],
        advice="check the labels: a binary cross-entropy takes 0 and 1; class indices need the categorical one",
    )  # fmt: skip

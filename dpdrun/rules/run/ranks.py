"""RK: whether the processes of a run still train one model on one batch, from what each logged at every step.

In a healthy run, processes are exchangeable: each draws its frames from the same shuffled stream, so each is equally
likely to have the largest loss of a step, whatever the distribution of the losses. The result of all-reduce is not
random: the mean gradient is the same everywhere, and its norm is at most the mean of the norms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import diagnose, error, known, warning
from dpdrun.rules.engine import Verdict
from dpdrun.rules.facts.run import RunFacts

RESULTS = "docs/results.md#processes-that-disagree"

ROUNDING = 1e-3  # norms are sums in float32, of GPUs of more than one kind
ALIKE = 1e-6  # of the same frames through the same weights
ALONE = 1e-4  # the mean of several gradients is not as close to the length of one of them by chance
MOSTLY = 0.9  # of the steps
LEAST_STEPS = 10
LEAST_DRAWS = 100  # steps; of them, every second pair makes a draw about jitter
UNFAIR_Z = 5.0  # p 6e-7: three columns, in about ten independent evaluations, leave a false positive in 50,000 runs
MOST_DRAWS = 4000

Rows = Sequence[Sequence[float]]


def _unshared(run: RunFacts) -> tuple[int, str] | None:
    """Return the first step whose gradient was not the mean over the processes, and what it was."""
    alone = [0] * len(run.rank_norm[0])
    known = 0
    for step, own, reduced in zip(run.rank_step, run.rank_norm, run.rank_reduced, strict=True):
        if not all(map(math.isfinite, (*own, *reduced))) or max(reduced) == 0.0:
            continue
        low, high, mean = min(reduced), max(reduced), fmean(own)
        if high > low * (1.0 + ROUNDING):
            return step, f"its norm was {low:.4g} in one process and {high:.4g} in another"
        if mean == 0.0:
            return step, "no gradient was exchanged"
        if high > mean * (1.0 + ROUNDING):
            return step, f"its norm, {high:.4g}, is larger than the mean of the single norms, {mean:.4g}"
        known += 1
        if max(own) > min(own) * (1.0 + 10 * ROUNDING):
            for process, norm in enumerate(own):
                alone[process] += abs(high - norm) <= ALONE * norm
    process = max(range(len(alone)), key=alone.__getitem__)
    if known >= LEAST_STEPS and alone[process] >= MOSTLY * known:
        return run.rank_step[0], f"it equals that of process {process}, in {alone[process]} of {known} steps"
    return None


@diagnose(
    "RK201", evidence="measured", results=RESULTS, where=known("rank_step"),
    source="triangle inequality; averaging of gradients: Li et al. 2020, PyTorch Distributed, VLDB 13(12)",
    fires=dict(ranks=dict(reduced="own")), silent=dict(ranks={}),
)  # fmt: skip
def gradients_are_not_averaged(run: RunFacts) -> Verdict:
    """The gradient of the optimizer step is not the mean over the processes.

    ## Why
    Without all-reduce each process trains a separate model on its share of the frames; only that of rank 0 is kept, and
    it has seen a fraction of the data. Gradients that are summed instead of averaged are clipped more, or act like a
    higher rate. Reported if the norm after averaging differs between processes (by more than 0.1 %), is larger than the
    mean of the single norms (impossible for a mean of vectors), is nonzero although all single norms are zero (nothing
    was exchanged), or equals that of one process in nine of ten steps (within 0.01 %) while the others differ.

    ## Known limits
    Compares norms, not gradients: two wrong gradients of equal norm are not detected. The last of these tests needs ten
    steps.
    """
    if (unshared := _unshared(run)) is None:
        return None
    step, what = unshared
    return error(
        f"the gradient of step {step} is not the mean over {len(run.rank_norm[0])} processes: {what}", value=step,
        threshold=ROUNDING, n=len(run.rank_step), step=step,
        advice="do not use this model; train through DistributedDataParallel's forward, never the bare module, and run "
        "again with --processes 1 to compare",
    )  # fmt: skip


@diagnose(
    "RK202", evidence="measured", results=RESULTS, where=known("checksum_step"), requires=("RK201",),
    source="the log itself: a CRC-32 over all parameters of each process, every 25 steps",
    fires=dict(ranks=dict(differ_from=126)), silent=dict(ranks={}),
)  # fmt: skip
def parameters_differ_between_processes(run: RunFacts) -> Verdict:
    """The processes no longer have the same parameters.

    ## Why
    All processes start with the same weights and take bit-identical steps. Once their weights differ, gradients are
    means over different models, and the model that is kept fits none of them. The rule compares checksums of the
    parameters before every 25th step.

    ## Known limits
    Reports between which checksums the processes diverged, not why: possible causes are a different optimizer state
    after a resume, a different learning rate, or faulty memory. If gradients are not averaged, RK201 is reported
    instead.
    """
    parted = next((at for at, sums in enumerate(run.rank_checksum) if len(set(sums)) > 1), None)
    if parted is None:
        return None
    step = run.checksum_step[parted]
    since = f"after step {run.checksum_step[parted - 1]}, before step {step}" if parted else f"before step {step}"
    return error(
        f"the processes have different parameters: they diverged {since}", value=len(set(run.rank_checksum[parted])),
        threshold=1, n=len(run.checksum_step), step=step,
        advice="do not use this model; resume all processes from a checkpoint before that step",
    )  # fmt: skip


@diagnose(
    "RK203", evidence="measured", results=RESULTS, where=known("rank_step"), requires=("RK201", "RK202"),
    source="the same frames through the same weights give the same loss",
    fires=dict(ranks=dict(copied=True)), silent=dict(ranks={}),
)  # fmt: skip
def processes_train_on_the_same_frames(run: RunFacts) -> Verdict:
    """Two processes see the same frames in nine of ten steps or more: the same loss and gradient norm.

    ## Why
    The batch is effectively smaller than in the recipe, because frames are used twice: gradients are noisier at the
    same learning rate, and some frames are never used.

    ## Known limits
    With dropout, the losses of two processes differ even on the same frames: then only `frames_crc` in audit.json shows
    this.
    """
    size = len(run.rank_loss[0])
    same = {(a, b): 0 for a in range(size) for b in range(a + 1, size)}
    for loss, norm in zip(run.rank_loss, run.rank_norm, strict=True):
        for a, b in same:
            one_loss = abs(loss[a] - loss[b]) <= ALIKE * loss[a]
            same[a, b] += loss[a] > 0.0 and one_loss and abs(norm[a] - norm[b]) <= ALIKE * norm[a]
    (a, b), count = max(same.items(), key=lambda pair: pair[1])
    steps = len(run.rank_step)
    if steps < LEAST_STEPS or count < MOSTLY * steps:
        return None
    return error(
        f"processes {a} and {b} saw the same frames in {count} of {steps} steps", value=count / steps, threshold=MOSTLY,
        n=steps, step=run.rank_step[0],
        advice="give each process its own share of the frames (`FrameSampler.shares` with its rank); audit.json has "
        "the planned frames",
    )  # fmt: skip


@dataclass(frozen=True)
class Lean:
    """By how many standard deviations one process is above (or below) the others, and the number of draws."""

    process: int
    z: float
    draws: int


def lean(rows: Rows) -> Lean:
    """Return the process that is most often the largest (or the smallest), by its mean rank within the rows.

    Ranks of exchangeable numbers are uniform on 1 to P, with variance (P^2 - 1) / 12, whatever the numbers
    (Friedman 1937); ties share theirs.
    """
    size, sums = len(rows[0]), [0.0] * len(rows[0])
    for row in rows:
        for process, value in enumerate(row):
            below = sum(other < value for other in row)
            sums[process] += below + (sum(other == value for other in row) - 1) / 2.0 - (size - 1) / 2.0
    spread = math.sqrt(len(rows) * (size * size - 1) / 12.0)
    process = max(range(size), key=lambda each: (abs(sums[each]), sums[each]))
    return Lean(process, sums[process] / spread, len(rows))


def leans(run: RunFacts) -> dict[str, Lean]:
    """How far the processes of a run are from exchangeable, by their losses, gradient norms and jitter of the loss.

    A jitter is the change of log loss from one step to the next, of pairs of steps that do not overlap.
    """
    sound = [
        all(math.isfinite(value) and value > 0.0 for value in (*loss, *norm))
        for loss, norm in zip(run.rank_loss, run.rank_norm, strict=True)
    ]
    every = max(1, len(sound) // MOST_DRAWS)
    at = [index for index in range(0, len(sound), every) if sound[index]]
    pairs = [index for index in range(0, len(sound) - 1, max(2, every)) if sound[index] and sound[index + 1]]
    jitter = [
        [abs(math.log(b / a)) for a, b in zip(run.rank_loss[index], run.rank_loss[index + 1], strict=True)]
        for index in pairs
    ]
    columns = {
        "loss": [run.rank_loss[index] for index in at],
        "gradient norm": [run.rank_norm[index] for index in at],
        "change of the loss from step to step": jitter,
    }
    return {name: lean(rows) for name, rows in columns.items() if rows}


@diagnose(
    "RK204", evidence="measured", results=RESULTS, requires=("RK201", "RK202", "RK203"),
    source="Friedman 1937, 'The use of ranks to avoid the assumption of normality', JASA 32",
    where={"rank_steps": Within(LEAST_DRAWS)},
    fires=dict(ranks=dict(skew=1.3)), silent=dict(ranks={}),
)  # fmt: skip
def one_process_differs_from_the_others(run: RunFacts) -> Verdict:
    """One process differs from the others: its loss, norm or jitter is consistently larger (or smaller).

    ## Why
    Frames are distributed at random, so no process should have consistently higher or lower values. If one does, it
    reads another capture, is stuck on a few frames (its loss hardly changes), or computes incorrectly. The processes
    are ranked within each step by loss, by gradient norm and by the change of the loss since the previous step. A mean
    rank that is five standard deviations from that of a random order (p below 6e-7) cannot be explained by noise or a
    trend of the run.

    ## Known limits
    Needs 100 steps. With two processes it cannot determine which is correct. A difference that is small compared with
    the noise between frames takes longer to detect: half the difference needs four times the steps. Runs of dpdrun
    compare the hash of their data before they start, so only faults of code and hardware remain.
    """
    name, worst = max(leans(run).items(), key=lambda pair: abs(pair[1].z), default=("", Lean(0, 0.0, 0)))
    if abs(worst.z) < UNFAIR_Z:
        return None
    others = [
        row[worst.process] / fmean(value for process, value in enumerate(row) if process != worst.process)
        for row in (run.rank_norm if name == "gradient norm" else run.rank_loss)
        if all(0.0 < value < math.inf for value in row)
    ]
    size, side = len(run.rank_loss[0]), "larger" if worst.z > 0 else "smaller"
    return warning(
        f"process {worst.process} of {size} differs from the other{'s' if size > 2 else ''}: "
        f"its {name} is consistently {side} ({abs(worst.z):.0f} standard deviations)",
        value=worst.z, threshold=UNFAIR_Z, n=worst.draws, ratio=median(others), step=run.rank_step[0],
        advice="compare data and frames of the processes; if they agree, test the GPU and memory of that process, and "
        "train without it",
    )  # fmt: skip

"""What rules about a run see: its columns and its plan as plain numbers. None means unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from dpdrun.rules.facts.deployment import DeploymentFacts
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.rules.facts.words import computed, fact, words_of

T = TypeVar("T")
BY_STEP = ("step", "lr", "lr_planned", "loss", "grad_norm", "clip_norm", "clipped")
OVERFLOWS = 0.5  # of the norms at most
PARTS: dict[str, Any] = {"signal": SignalFacts, "deployment": DeploymentFacts}  # facts that are groups of facts


@dataclass(frozen=True)
class RunFacts:
    """A training run, seen through its metrics and its plan. Lists are per optimizer step and equally long.

    Attributes:
        step: optimizer steps, counted from 1, rising.
        lr, lr_planned: realised and planned learning rate.
        loss, grad_norm: of the step; the norm before clipping. May be nan or inf.
        clip_norm: largest norm that was applied, inf when clipping is off.
        clipped: whether the gradient of the step was scaled down.
        eval_step, eval_nmse_db: scores of the validation split; of a least-squares fit one, at step 0.
        eval_loss_step, eval_loss: the same as a loss, not in dB, of logs that have one.
        refined_nmse_db: scores of `optim.refine`, which comes after the last step: they count for the best score, and
            are no part of the course of training.
        total_steps, warmup_steps, peak_lr, weight_decay, schedule, batch, kind: as planned.
        one_tap_db, gmp_db, floor_db: NMSE of one complex gain, of a GMP and of the noise on the validation split [dB].
        eps, beta2: of AdamW, as planned.
        parameters: number of trained parameters.
        epochs, max_steps: which of the two the recipe sets the length by; the other is None.
        steps_per_epoch: optimizer steps in one pass over the training split, usually no whole number.
        loss_is_nmse: whether 10 log10(loss) is a training NMSE in dB, comparable with the validation scores.
        group_step: steps at which the parts of the model were measured, every 25th from the first.
        group_grad, group_weight, group_update: by part of the model and as long as `group_step`: norm of its gradient
            before clipping, of its weights, and of the change that the step made to them; nan where it has none.
        group_size: parameters in a part.
        still: by name of a tensor, the steps of `group_step` that did not change it or had no gradient for it.
        adapted, lr_factor: (from, to) steps of each rollback of `train.on_finding: adapt`, and by how much the planned
            rate was lowered; peak_lr is the lowered one.
        settings: values of the recipe by dotted key, as text: advice does not name what is set already.
        linearized: of a predistorter, scores of the validation split that reports show, by name: without it, and with
            it [dB or dBc, lower is better].
        ilc_db, pa_db: of a predistorter that learns the ideal input (`dpd.learning: ilc`): the error that this input
            leaves in the PA model's output at the frequencies where it is learned, on the worse of the training and the
            validation split; and the validation NMSE of the PA model [dB].
        swept_lr: peak learning rate that our sweeps found best for such a job (`rules.lr_law`); None outside of them.
        rank_step: steps that several processes took together, as many as those that took the last of them.
        rank_loss, rank_norm, rank_reduced: by step of `rank_step` and process: its loss, the norm of the gradient that
            it found by itself, and the norm after averaging.
        checksum_step, rank_checksum: steps at which the parameters were measured, and their checksum by process.
        skipped: steps that the loss scaler of fp16 left out; they are in none of the lists.
        loss_scale: of that scaler at the last step; None where the loss is not scaled.
        signal: the prediction of the validation split (or of a file) compared with its target.
        loss_unit: of the loss and the validation losses: "power" (mean square, judged in dB), "nats" or "bits" of a
            cross-entropy, "objective" where its level says nothing about progress (reinforcement learning, GAN);
            None: not known.
        eval_losses: by name of an evaluation set, (steps, losses) in the unit of the loss; nan stays. A log with one
            set has it under "".
        eval_metrics: by name as logged, (steps, values) of other scores of the validation, such as accuracy or wer.
        train_metrics: the same of training.
        adversaries: (steps, losses) of the "discriminator" and the "generator" of a GAN.
        target_power: power of the target in the unit of the loss: loss / target_power is a normalised error.
        finished: whether the log itself says that training is over.
        assumed_clip: clipping threshold that the program uses by default; the log does not say which one was used.
        line_steps: steps of the lines with training numbers in the order of the file, where that is not a rising one.
        line_loss: the loss of each of them.
        signed_step, signed_loss: a loss that is negative somewhere, which is then not in `loss`.
        reports_nan: numbers of the lines of a text in which the program says that something is nan or infinite.
    """

    step: list[int] = fact("step", list)
    lr: list[float] = fact("lr", list)
    lr_planned: list[float] = fact("lr_planned", list)
    loss: list[float] = fact("loss", list)
    grad_norm: list[float] = fact("grad_norm", list)
    clip_norm: list[float] = fact("clip_norm", list)
    clipped: list[bool] = fact("clipped", list)
    eval_step: list[int] = fact("eval_step", list)
    eval_nmse_db: list[float] = fact("validation scores", list)
    eval_loss_step: list[int] = fact("eval_loss_step", list)
    eval_loss: list[float] = fact("eval_loss", list)
    refined_nmse_db: list[float] = fact("refined_nmse_db", list)
    kind: str | None = fact("kind")
    total_steps: int | None = fact("the length of the run")
    warmup_steps: int | None = fact("the warmup")
    peak_lr: float | None = fact("peak_lr")
    weight_decay: float | None = fact("weight_decay")
    schedule: str | None = fact("schedule")
    batch: int | None = fact("train.batch_size")
    one_tap_db: float | None = fact("the one-tap baseline (report.json)")
    gmp_db: float | None = fact("the gmp baseline (report.json)")
    floor_db: float | None = fact("the noise floor (report.json)")
    settings: dict[str, str] = fact("settings", dict)
    linearized: dict[str, tuple[float, float]] = fact("the scores of a predistorter (report.json)", dict)
    ilc_db: float | None = fact("the result of iterative learning control (report.json)")
    pa_db: float | None = fact("the NMSE of the PA model (report.json)")
    eps: float | None = fact("the eps of AdamW")
    beta2: float | None = fact("the beta2 of AdamW")
    parameters: int | None = fact("the number of parameters (metrics.jsonl, from this version on)")
    epochs: float | None = fact("epochs")
    max_steps: int | None = fact("max_steps")
    steps_per_epoch: float | None = fact("the number of optimizer steps in an epoch")
    loss_is_nmse: bool | None = fact("a loss that is known to be a normalised error")
    group_step: list[int] = fact("group_step", list)
    group_grad: dict[str, list[float]] = fact("gradients of the parts of the network (metrics.jsonl)", dict)
    group_weight: dict[str, list[float]] = fact("group_weight", dict)
    group_update: dict[str, list[float]] = fact(
        "updates of the parts of the network (metrics.jsonl, from this version on)", dict
    )
    group_size: dict[str, int] = fact("group_size", dict)
    still: dict[str, list[int]] = fact("still", dict)
    adapted: list[tuple[int, int]] = fact("adapted", list)
    lr_factor: float = fact("lr_factor", lambda: 1.0)
    skipped: list[int] = fact("skipped", list)
    loss_scale: float | None = fact("loss_scale")
    swept_lr: float | None = fact("swept_lr")
    rank_step: list[int] = fact("a run of several processes", list)
    rank_loss: list[list[float]] = fact("rank_loss", list)
    rank_norm: list[list[float]] = fact("rank_norm", list)
    rank_reduced: list[list[float]] = fact("rank_reduced", list)
    checksum_step: list[int] = fact("a run of several processes", list)
    rank_checksum: list[list[int]] = fact("rank_checksum", list)
    signal: SignalFacts | None = fact(
        "a prediction compared with its target (report.json, or --prediction and --target)"
    )
    deployment: DeploymentFacts | None = fact("a use of the model (dpdrun apply, export, evaluate)")
    loss_unit: str | None = fact("the unit of the loss")
    eval_losses: dict[str, tuple[list[int], list[float]]] = fact("validation losses", dict)
    eval_metrics: dict[str, tuple[list[int], list[float]]] = fact("metrics of the validation", dict)
    train_metrics: dict[str, tuple[list[int], list[float]]] = fact("accuracies in training", dict)
    adversaries: dict[str, tuple[list[int], list[float]]] = fact("the losses of a discriminator and a generator", dict)
    target_power: float | None = fact("the power of the target")
    finished: bool | None = fact("whether training is over")
    assumed_clip: float | None = fact("the clipping threshold")
    line_steps: list[int] = fact("the steps of the lines in the order of the log", list)
    line_loss: list[float] = fact("line_loss", list)
    signed_step: list[int] = fact("signed_step", list)
    signed_loss: list[float] = fact("a loss that may be negative", list)
    reports_nan: list[int] = fact("lines in which the program reports nan", list)

    def get(self, name: str) -> Any:
        """The value of a fact of the run or a part of it, None when it is unknown, as an empty list or dict is."""
        for part, facts in PARTS.items():
            if name in facts.__dataclass_fields__:
                return getattr(getattr(self, part), name, None)
        value = getattr(self, name)
        return None if isinstance(value, list | dict) and not value else value

    def words(self, name: str) -> str:
        """Return what a fact is called where a user reads of it."""
        parts = (facts for facts in PARTS.values() if name in facts.__dataclass_fields__)
        return words_of(next(parts, type(self)), name)

    def prerequisites(self, name: str) -> frozenset[str]:  # noqa: ARG002 - nothing sets facts of a run
        """No recipe key changes what a run did."""
        return frozenset()

    @cached_property
    def settled(self) -> range:
        """Positions in the lists after the warmup."""
        warmup = self.warmup_steps or 0
        first = next((i for i, step in enumerate(self.step) if step > warmup), len(self.step))
        return range(first, len(self.step))

    @property
    @computed("the number of steps after the warmup")
    def settled_steps(self) -> int:
        """Number of logged steps after the warmup."""
        return len(self.settled)

    @property
    @computed("a run of several processes")
    def rank_steps(self) -> int | None:
        """Number of steps that several processes took together."""
        return len(self.rank_step) or None

    @property
    @computed("the number of logged steps")
    def logged_steps(self) -> int:
        """Number of logged steps."""
        return len(self.step)

    @cached_property
    def loss_db(self) -> list[float]:
        """10 log10 of the loss of each step; inf and nan stay."""
        return [10.0 * math.log10(max(loss, 1e-30)) if loss == loss else loss for loss in self.loss]

    @cached_property
    def log_norm(self) -> list[float]:
        """log10 of the gradient norm of each step [decades]; inf and nan stay."""
        return [math.log10(max(norm, 1e-30)) if norm == norm else norm for norm in self.grad_norm]

    def once(self, name: str, work: Callable[[], T]) -> T:
        """Return what `work` computes, once for these facts: for what several rules read."""
        kept = self.__dict__.setdefault("_once", {})
        if name not in kept:
            kept[name] = work()
        value: T = kept[name]
        return value

    @property
    def loss_in_db(self) -> bool:
        """Whether decibels suit the loss: it is known to be a power, as in runs of our own."""
        return bool(self.loss_is_nmse) or self.loss_unit == "power" or (self.loss_unit is None and bool(self.kind))

    @property
    @computed("a loss that is known to be a normalised error")
    def nmse_offset_db(self) -> float | None:
        """What makes a training NMSE [dB] of 10 log10 of the loss; None where it is not known to be one."""
        if self.loss_is_nmse:
            return 0.0
        return -10.0 * math.log10(self.target_power) if self.target_power else None

    @property
    def top_lr(self) -> float:
        """The planned peak of the learning rate, or the highest that was used; 0 when nothing is known."""
        return self.peak_lr or max(self.lr, default=0.0)

    def longer(self, factor: float) -> dict[str, Any]:
        """Return the recipe patch that makes the run `factor` times as long, in the field that the recipe uses."""
        if self.max_steps:
            return {"train.max_steps": math.ceil(float(f"{self.max_steps * factor:.2g}"))}
        return {"train.epochs": float(f"{self.epochs * factor:.2g}")} if self.epochs else {}

    @property
    @computed("a validation score")
    def best_nmse_db(self) -> float | None:
        """Lowest finite validation NMSE so far [dB], that of `optim.refine` included."""
        finite = [value for value in (*self.eval_nmse_db, *self.refined_nmse_db) if math.isfinite(value)]
        return min(finite) if finite else None

    @cached_property
    @computed("validation scores")
    def scores_db(self) -> list[tuple[int, float]]:
        """(step, dB) of the finite validation scores: the NMSE, or else 10 log10 of the validation loss."""
        if self.eval_nmse_db:
            pairs = list(zip(self.eval_step, self.eval_nmse_db, strict=True))
        else:
            losses = zip(self.eval_loss_step, self.eval_loss, strict=True)
            pairs = [(step, 10.0 * math.log10(loss)) for step, loss in losses if 0.0 < loss < math.inf]
        return [(step, value) for step, value in pairs if math.isfinite(value)]

    @cached_property
    @computed("validation losses")
    def scorings(self) -> dict[str, tuple[list[int], list[float]]]:
        """By name of the evaluation set, steps and losses in the unit of the training loss; nan stays."""
        if self.eval_losses:
            return self.eval_losses
        return {"": (self.eval_loss_step, self.eval_loss)} if self.eval_loss else {}

    @property
    def score_name(self) -> str:
        """What `scores_db` are."""
        return "validation NMSE" if self.eval_nmse_db else "validation loss"

    @property
    @computed("the progress of the run")
    def progress(self) -> float | None:
        """Share of the planned steps that the log covers, 0 to 1; a least-squares fit with a score is done."""
        if self.kind == "gmp":
            return 1.0 if self.eval_nmse_db else None
        if self.finished:
            return 1.0
        if not self.total_steps or not self.step:
            return None
        return min(1.0, self.step[-1] / self.total_steps)

    def still_open(self, wanted: Mapping[str, str]) -> list[str]:
        """Return `key: value` of the wanted settings that the recipe does not have; all where it is not known."""
        return [f"{key}: {value}" for key, value in wanted.items() if self.settings.get(key) != value]

    def after_warmup(self, column: Sequence[T]) -> list[T]:
        """Return one of the lists without its warmup part: `facts.after_warmup(facts.loss)`."""
        return [column[i] for i in self.settled]

    def without_overflows(self) -> RunFacts:
        """Return these facts with the steps that float16 skipped among `skipped`, and in none of the lists.

        They are those whose norm is not finite although the loss is a number, where that is seldom (less than half of
        the norms), the last norm is a number and every loss is one.
        """
        bad = {i for i, norm in enumerate(self.grad_norm) if not math.isfinite(norm)}
        seldom = 0 < len(bad) < OVERFLOWS * len(self.grad_norm) and len(self.grad_norm) - 1 not in bad
        if not seldom or len(self.loss) != len(self.step) or not all(map(math.isfinite, self.loss)):
            return self
        kept = [i for i in range(len(self.step)) if i not in bad]

        def at(values: list[Any]) -> list[Any]:
            return [values[i] for i in kept] if len(values) == len(self.step) else values

        columns: dict[str, Any] = {name: at(getattr(self, name)) for name in BY_STEP}
        return replace(self, **columns, skipped=[*self.skipped, *(self.step[i] for i in sorted(bad))])

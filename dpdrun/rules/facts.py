"""What rules see: plain numbers, words and lists, never a tensor and never a file. None means unknown.

Off is a number here, so that rules can compare: weight_decay 0, clip_norm inf, warmup 0, checkpoint_every 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from dpdrun.recipe.fields import OFF, Percent
from dpdrun.recipe.schema import Recipe

T = TypeVar("T")

KEY_OF: Mapping[str, str] = {
    "lr": "optim.lr",
    "beta1": "optim.beta1",
    "beta2": "optim.beta2",
    "eps": "optim.eps",
    "weight_decay": "optim.weight_decay",
    "clip_norm": "optim.clip_norm",
    "warmup": "optim.warmup",
    "schedule": "optim.schedule",
    "epochs": "train.epochs",
    "max_steps": "train.max_steps",
    "batch": "train.batch_size",
    "frame": "train.frame",
    "burn_in": "train.burn_in",
    "eval_every": "train.eval_every",
    "checkpoint_every": "train.checkpoint_every",
}
NAME_OF: Mapping[str, str] = {key: name for name, key in KEY_OF.items()}

_COMPUTED: Mapping[str, tuple[str, ...]] = {
    "frames_per_epoch": ("frame", "burn_in"),
    "total_steps": ("frame", "burn_in", "batch", "epochs", "max_steps"),
    "warmup_steps": ("frame", "burn_in", "batch", "epochs", "max_steps", "warmup"),
}
_OFF: Mapping[str, float] = {"weight_decay": 0.0, "clip_norm": math.inf, "warmup": 0, "checkpoint_every": 0}


@dataclass(frozen=True)
class PlanFacts:
    """A training job before it starts.

    Attributes:
        kind: transformer | gru | gmp.
        d_model, heads, window, lookahead, conv: of a Transformer; window is inf when it attends to the whole record.
        hidden: of a GRU.
        samples: I/Q samples of the training part.
        frames: training frames in one pass, when it is given directly (what the note calls samples).
        frame, burn_in: length of a training window and its part without loss [samples].
        batch: frames in one optimizer step, over all processes and accumulation.
        warmup: steps (int), a share of all steps (Percent), or 0 when off.
    """

    kind: str | None = None
    d_model: int | None = None
    hidden: int | None = None
    layers: int | None = None
    heads: int | None = None
    window: float | None = None
    lookahead: int | None = None
    conv: int | None = None
    samples: int | None = None
    frames: int | None = None
    frame: int | None = None
    burn_in: int | None = None
    batch: int | None = None
    epochs: float | None = None
    max_steps: int | None = None
    lr: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    eps: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None
    warmup: int | Percent | None = None
    schedule: str | None = None
    eval_every: int | None = None
    checkpoint_every: int | None = None

    @classmethod
    def of_recipe(cls, recipe: Recipe, train_samples: int | None = None, frames: int | None = None) -> PlanFacts:
        """The facts that a recipe states; every `auto` is unknown; the arguments are `samples` and `frames` above."""
        model = recipe.model
        window = getattr(model, "window", None)
        facts: dict[str, Any] = {
            name: getattr(model, name, None)
            for name in ("kind", "d_model", "hidden", "layers", "heads", "lookahead", "conv")
        }
        facts |= {"samples": train_samples, "frames": frames, "window": math.inf if window == "full" else window}
        for name, key in KEY_OF.items():
            section, _, leaf = key.partition(".")
            facts[name] = as_fact(name, getattr(getattr(recipe, section), leaf))
        return cls(**facts)

    def get(self, name: str) -> Any:
        """The value of a fact or of a computed one, None when it is unknown."""
        return getattr(self, name)

    def prerequisites(self, name: str) -> frozenset[str]:
        """The dotted recipe keys that a fact depends on."""
        return frozenset(KEY_OF[part] for part in _COMPUTED.get(name, (name,)) if part in KEY_OF)

    def with_patch(self, patch: Mapping[str, Any]) -> PlanFacts:
        """The same facts with recipe values set: `with_patch({"optim.lr": 1e-3})`."""
        return replace(self, **{NAME_OF[key]: as_fact(NAME_OF[key], value) for key, value in patch.items()})

    @property
    def width(self) -> int | None:
        """Features per sample inside the network: d_model, or the units of a GRU."""
        return self.hidden if self.kind == "gru" else self.d_model

    @property
    def context(self) -> float | None:
        """Past samples that an output depends on: each block reaches window - 1 back, the convolution conv - 1.

        inf for full attention and for recurrent networks, None when unknown.
        """
        if self.kind == "gru":
            return math.inf
        if self.window is None or self.layers is None:
            return None
        return self.layers * (self.window - 1) + max(0, (self.conv or 0) - 1)

    @property
    def frames_per_epoch(self) -> int | None:
        """Frames in one pass in which every training sample is scored once."""
        if self.frames is not None:
            return self.frames
        if self.samples is None or self.frame is None or self.burn_in is None:
            return None
        scored = self.frame - self.burn_in
        return math.ceil(self.samples / scored) if scored > 0 else None

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps of the whole run. Epochs follow each other without a gap, so no batch is partial."""
        if self.max_steps is not None:
            return self.max_steps
        if self.epochs is None or self.frames_per_epoch is None or self.batch is None:
            return None
        # 10 digits: 0.1 + 0.2 epochs must not become an extra step through rounding of the product
        return max(1, math.ceil(round(self.epochs * self.frames_per_epoch / self.batch, 10)))

    @property
    def warmup_steps(self) -> int | None:
        """Warmup in optimizer steps; at least 1 unless it is off."""
        if self.warmup is None or not isinstance(self.warmup, Percent):
            return self.warmup
        return None if self.total_steps is None else steps_of_share(self.warmup, self.total_steps)


def steps_of_share(share: float, total_steps: int) -> int:
    """A share of all steps as a whole number of steps, at least 1 (a warmup of 0 steps would be off); 0 for 0 %."""
    return max(1, round(share * total_steps)) if share > 0 else 0


def as_fact(name: str, value: Any) -> Any:
    """A recipe value as rules see it: `auto` is None, `off` is its number (or None where it has none)."""
    if value == OFF:
        return _OFF.get(name)
    return None if value == "auto" else value


def as_recipe_value(name: str, value: Any) -> Any:
    """Undo `as_fact` for a concrete value: the number that means off becomes the word."""
    return OFF if name in _OFF and value == _OFF[name] else value


@dataclass(frozen=True)
class RunFacts:
    """A training run, seen through its metrics and its plan. Lists are per optimizer step and equally long.

    Attributes:
        step: optimizer steps, counted from 1, rising.
        lr, lr_planned: realised and planned learning rate.
        loss, grad_norm: of the step; the norm before clipping. May be nan or inf.
        clip_norm: largest norm that was applied, inf when clipping is off.
        clipped: whether the gradient of the step was scaled down.
        eval_step, eval_nmse_db: scorings of the validation part; of a least-squares fit one, at step 0.
        total_steps, warmup_steps, peak_lr, weight_decay, schedule, batch, kind: as planned.
        one_tap_db, gmp_db, floor_db: NMSE of one complex gain, of a GMP and of the noise on the validation part [dB].
    """

    step: list[int] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    lr_planned: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    clip_norm: list[float] = field(default_factory=list)
    clipped: list[bool] = field(default_factory=list)
    eval_step: list[int] = field(default_factory=list)
    eval_nmse_db: list[float] = field(default_factory=list)
    kind: str | None = None
    total_steps: int | None = None
    warmup_steps: int | None = None
    peak_lr: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    batch: int | None = None
    one_tap_db: float | None = None
    gmp_db: float | None = None
    floor_db: float | None = None

    def get(self, name: str) -> Any:
        """The value of a fact, None when it is unknown; an empty list is unknown."""
        value = getattr(self, name)
        return None if isinstance(value, list) and not value else value

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
    def settled_steps(self) -> int:
        """Number of logged steps after the warmup."""
        return len(self.settled)

    @property
    def logged_steps(self) -> int:
        """Number of logged steps."""
        return len(self.step)

    @property
    def best_nmse_db(self) -> float | None:
        """Lowest finite validation NMSE so far [dB]."""
        finite = [value for value in self.eval_nmse_db if math.isfinite(value)]
        return min(finite) if finite else None

    @property
    def progress(self) -> float | None:
        """Share of the planned steps that the log covers, 0 to 1; a least-squares fit with a score is done."""
        if self.kind == "gmp":
            return 1.0 if self.eval_nmse_db else None
        if not self.total_steps or not self.step:
            return None
        return min(1.0, self.step[-1] / self.total_steps)

    def after_warmup(self, column: Sequence[T]) -> list[T]:
        """One of the lists without its warmup part: `facts.after_warmup(facts.loss)`."""
        return [column[i] for i in self.settled]

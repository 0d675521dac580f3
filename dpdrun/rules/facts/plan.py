"""What rules about a plan see: plain numbers and words, never a tensor and never a file. None means unknown.

Off is a number here, so that rules can compare: weight_decay 0, clip_norm inf, warmup 0, checkpoint_every 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from dpdrun.recipe.fields import OFF, Percent
from dpdrun.recipe.schema import KINDS, ModelSection, Recipe
from dpdrun.rules.facts.words import PLUG_IN, computed, computed_from, fact, words_of


def _keys(section: str, *leaves: str) -> dict[str, str]:
    return {leaf: f"{section}.{leaf}" for leaf in leaves}


KEY_OF: Mapping[str, str] = {
    **_keys("optim", "lr", "beta1", "beta2", "eps", "weight_decay", "clip_norm", "warmup", "schedule"),
    **_keys("train", "epochs", "max_steps"),
    "batch": "train.batch_size",
    **_keys("train", "frame", "burn_in", "eval_every", "checkpoint_every"),
}
# Sizes of the network: a recipe always states them (there is no auto); rules advise on them where data were measured.
SIZE_KEY_OF: Mapping[str, str] = _keys("model", "d_model", "hidden", "layers", "heads", "window", "lookahead", "delays")
# Settings that no rule sets, of which rules know all the same.
OTHER_KEY_OF: Mapping[str, str] = {
    **_keys("model", "kind", "conv", "ff_mult", "features", "embedding", "skip", "residual_init", "dropout"),
    **_keys("optim.plateau", "patience"),
    **_keys("data.split", "guard"),
    **_keys("train", "eval_on", "precision"),
}
NAME_OF: Mapping[str, str] = {key: name for name, key in (*SIZE_KEY_OF.items(), *KEY_OF.items())}

_OF_THE_MODEL = (
    "kind", "d_model", "hidden", "layers", "heads", "lookahead", "delays", "conv", "ff_mult", "features", "embedding",
    "skip", "residual_init",
)  # fmt: skip
_OFF: Mapping[str, float] = {"weight_decay": 0.0, "clip_norm": math.inf, "warmup": 0, "checkpoint_every": 0}


@dataclass(frozen=True)
class PlanFacts:
    """A training job before it starts.

    Attributes:
        kind: transformer | gru | gmp | PLUG_IN: rules know nothing of the kinds of plug-ins but their context.
        d_model, heads, window, lookahead, conv: of a Transformer; window is inf when it attends to the complete record.
        embedding, dropout, ff_mult: of a Transformer; dropout is 0 when off.
        hidden: of a GRU. delays: of a GMP.
        features: iq | envelope, what a network is given. skip: on | off. residual_init: zero | xavier.
        samples, val_samples: I/Q samples of the training and of the validation split.
        noise_floor_db: noise of the record relative to its output, where it is known [dB].
        plugin_kind: its name, for rules of the same plug-in.
        reach: past samples that an output of a kind of a plug-in depends on, where it declares them.
        memory, ahead: past samples (the current one counted) and future ones that least-squares fits of the record
            needed (`rf.memory_depth`), None when it was not measured.
        polynomial_db: validation NMSE of the best of these fits [dB].
        guard: samples dropped on each side of a cut, where the recipe gives a number.
        frames: training frames in one pass, when it is given directly (what the note calls samples).
        frame, burn_in: length of a training frame and its part without loss [samples].
        batch: frames in one optimizer step, over all processes and accumulation.
        warmup: steps (int), a share of all steps (Percent), or 0 when off.
        patience: scores without progress before `schedule: plateau` lowers the lr.
        eval_on: record | frame, whether a record is scored at once or in frames.
        precision: fp32 | bf16, of the forward pass.
        rules: measured | note, which rules apply; a fix writes what they would set.
    """

    kind: str | None = fact("kind")
    d_model: int | None = fact("d_model")
    hidden: int | None = fact("hidden")
    layers: int | None = fact("layers")
    heads: int | None = fact("heads")
    window: float | None = fact("window")
    lookahead: int | None = fact("lookahead")
    delays: int | None = fact("delays")
    conv: int | None = fact("conv")
    ff_mult: float | None = fact("ff_mult")
    features: str | None = fact("features")
    skip: str | None = fact("skip")
    residual_init: str | None = fact("residual_init")
    embedding: str | None = fact("embedding")
    dropout: float | None = fact("dropout")
    samples: int | None = fact("samples")
    val_samples: int | None = fact("val_samples")
    noise_floor_db: float | None = fact("noise_floor_db")
    plugin_kind: str | None = fact("the kind of the plug-in")
    reach: int | None = fact("the context of the kind")
    memory: int | None = fact("a measurement of the data (--data)")
    ahead: int | None = fact("a measurement of the data (--data)")
    polynomial_db: float | None = fact("polynomial_db")
    guard: int | None = fact("guard")
    frames: int | None = fact("frames")
    frame: int | None = fact("frame")
    burn_in: int | None = fact("train.burn_in")
    batch: int | None = fact("train.batch_size")
    epochs: float | None = fact("epochs")
    max_steps: int | None = fact("max_steps")
    lr: float | None = fact("lr")
    beta1: float | None = fact("beta1")
    beta2: float | None = fact("the beta2 of AdamW")
    eps: float | None = fact("the eps of AdamW")
    weight_decay: float | None = fact("weight_decay")
    clip_norm: float | None = fact("clip_norm")
    warmup: int | Percent | None = fact("warmup")
    schedule: str | None = fact("schedule")
    patience: int | None = fact("patience")
    eval_every: int | None = fact("eval_every")
    checkpoint_every: int | None = fact("checkpoint_every")
    eval_on: str | None = fact("eval_on")
    precision: str | None = fact("precision")
    rules: str | None = fact("rules")

    @classmethod
    def of_recipe(cls, recipe: Recipe, train_samples: int | None = None, frames: int | None = None) -> PlanFacts:
        """The facts that a recipe states; every `auto` is unknown; the arguments are `samples` and `frames` above."""
        model, split = recipe.model, recipe.data.split
        window, dropout = getattr(model, "window", None), getattr(model, "dropout", None)
        facts: dict[str, Any] = {name: getattr(model, name, None) for name in _OF_THE_MODEL}
        if not isinstance(model, KINDS):  # its fields may have the names of ours, and mean something else
            window = dropout = None
            context = getattr(model, "context", None)  # of a module from Python, a word if it is unlimited
            reach = context if isinstance(context, int) else None
            own = {"kind": PLUG_IN, "plugin_kind": model.kind, "reach": reach}
            facts = dict.fromkeys(facts) | own
        facts |= {"samples": train_samples, "frames": frames, "window": math.inf if window == "full" else window}
        facts |= {"dropout": 0.0 if dropout == OFF else dropout, "patience": recipe.optim.plateau.patience}
        facts |= {"eval_on": recipe.train.eval_on, "precision": recipe.train.precision}
        facts["guard"] = None if split == "auto" or split.guard == "auto" else split.guard
        for name, key in KEY_OF.items():
            section, _, leaf = key.partition(".")
            facts[name] = as_fact(name, getattr(getattr(recipe, section), leaf))
        return cls(**facts)

    def get(self, name: str) -> Any:
        """Return the value of a fact or of a computed one, None when it is unknown."""
        return getattr(self, name)

    def words(self, name: str) -> str:
        """Return what a fact is called where a user reads of it."""
        return words_of(type(self), name)

    def prerequisites(self, name: str) -> frozenset[str]:
        """Return the dotted recipe keys that a fact depends on."""
        keys = {**SIZE_KEY_OF, **KEY_OF}
        return frozenset(keys[part] for part in computed_from(type(self), name) or (name,) if part in keys)

    def with_patch(self, patch: Mapping[str, Any]) -> PlanFacts:
        """Return the same facts with recipe values set: `with_patch({"optim.lr": 1e-3})`."""
        return replace(self, **{NAME_OF[key]: as_fact(NAME_OF[key], value) for key, value in patch.items()})

    @property
    @computed("width", "d_model", "hidden")
    def width(self) -> int | None:
        """Features per sample inside the network: d_model, or the units of a GRU."""
        return self.hidden if self.kind == "gru" else self.d_model

    @property
    @computed("db_left")
    def db_left(self) -> float | None:
        """From the best least-squares fit to the noise floor [dB]: all that a network can gain."""
        if self.polynomial_db is None or self.noise_floor_db is None:
            return None
        return self.polynomial_db - self.noise_floor_db

    @property
    @computed("the layers and the window of the model", "layers", "window")
    def context(self) -> float | None:
        """Past samples that an output depends on: each block reaches window - 1 back, the convolution conv - 1.

        inf for full attention and for recurrent networks, None when unknown.
        """
        if self.kind == PLUG_IN:
            return self.reach
        if self.kind == "gru":
            return math.inf
        if self.window is None or self.layers is None:
            return None
        return self.layers * (self.window - 1) + max(0, (self.conv or 0) - 1)

    @property
    @computed("the layers and the width of the model")
    def matrix_weights(self) -> int | None:
        """Weights in the large matrices of a network, which are nearly all of its weights; None when unknown.

        A block of a Transformer has 4 d^2 in its attention and 2 ff_mult d^2 in its MLP (ff_mult 4 when unknown), a
        layer of a GRU 6 h^2, its first one less.
        """
        if self.layers is None or self.width is None:
            return None
        if self.kind == "gru":
            return 6 * self.width**2 * self.layers
        return round((4 + 2 * (self.ff_mult or 4.0)) * self.width**2 * self.layers)

    @property
    @computed("the amount of training data", "frame", "burn_in")
    def frames_per_epoch(self) -> int | None:
        """Frames in one pass in which every training sample is scored once."""
        if self.frames is not None:
            return self.frames
        if self.samples is None or self.frame is None or self.burn_in is None:
            return None
        scored = self.frame - self.burn_in
        return math.ceil(self.samples / scored) if scored > 0 else None

    @property
    @computed("the length of the run", "frame", "burn_in", "batch", "epochs", "max_steps")
    def total_steps(self) -> int | None:
        """Optimizer steps of the complete run. Epochs follow each other without a gap, so no batch is partial."""
        if self.max_steps is not None:
            return self.max_steps
        if self.epochs is None or self.frames_per_epoch is None or self.batch is None:
            return None
        # exact, from the decimals that a person writes: 0.1 + 0.2 epochs, or 312.6 of 1415 frames, must not become an
        # extra step through rounding
        return max(1, math.ceil(Fraction(f"{self.epochs:.12g}") * self.frames_per_epoch / self.batch))

    @property
    @computed("the warmup", "frame", "burn_in", "batch", "epochs", "max_steps", "warmup")
    def warmup_steps(self) -> int | None:
        """Warmup in optimizer steps; at least 1 unless it is off."""
        if self.warmup is None or not isinstance(self.warmup, Percent):
            return self.warmup
        return None if self.total_steps is None else steps_of_share(self.warmup, self.total_steps)


def kind_of(model: ModelSection) -> str:
    """Return the kind of a `model` section as rules see it: PLUG_IN for one that dpdrun does not bring."""
    return model.kind if isinstance(model, KINDS) else PLUG_IN


def steps_of_share(share: float, total_steps: int) -> int:
    """A share of all steps as a whole number of steps, at least 1 (a warmup of 0 steps would be off); 0 for 0 %."""
    return max(1, round(share * total_steps)) if share > 0 else 0


def as_fact(name: str, value: Any) -> Any:
    """Return a recipe value as rules see it: `auto` is None, `off` is its number (or None where it has none)."""
    if value == OFF:
        return _OFF.get(name)
    return None if value == "auto" else value


def as_recipe_value(name: str, value: Any) -> Any:
    """Undo `as_fact` for a concrete value: the number that means off becomes the word."""
    if name == "window" and value == math.inf:
        return "full"
    return OFF if name in _OFF and value == _OFF[name] else value

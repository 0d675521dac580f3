"""What rules about a plan see."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.fields import OFF, Percent
from dpdrun.recipe.schema import Recipe
from dpdrun.rules.facts.plan import KEY_OF, PlanFacts, as_fact, as_recipe_value, steps_of_share

TRANSFORMER = {"kind": "transformer", "d_model": 32, "layers": 2, "heads": 4, "window": 32}


def recipe(model: dict[str, object] | None = None, **sections: dict[str, object]) -> Recipe:
    return Recipe.model_validate({"task": "pa", "data": {"source": "x"}, "model": model or TRANSFORMER, **sections})


def test_autos_are_unknown_and_words_are_numbers() -> None:
    optim = {"weight_decay": "off", "clip_norm": "off", "warmup": "off", "lr": 1e-3}
    facts = PlanFacts.of_recipe(recipe(optim=optim, train={"checkpoint_every": "off"}), train_samples=100)
    assert (facts.weight_decay, facts.clip_norm, facts.warmup, facts.checkpoint_every) == (0.0, math.inf, 0, 0)
    assert (facts.lr, facts.beta1, facts.epochs, facts.max_steps, facts.samples) == (1e-3, None, None, None, 100)
    assert (facts.kind, facts.d_model, facts.layers, facts.heads, facts.window) == ("transformer", 32, 2, 4, 32)


def test_full_attention_has_no_end() -> None:
    facts = PlanFacts.of_recipe(recipe({**TRANSFORMER, "window": "full", "positions": "sinusoidal"}))
    assert facts.window == facts.context == math.inf


def test_every_key_is_a_field_of_the_schema() -> None:
    assert set(KEY_OF.values()) <= set(values_of(recipe()))
    assert all(hasattr(PlanFacts(), name) for name in KEY_OF)


@pytest.mark.parametrize("name", ["weight_decay", "clip_norm", "warmup", "checkpoint_every"])
def test_off_survives_the_way_there_and_back(name: str) -> None:
    assert as_recipe_value(name, as_fact(name, OFF)) == OFF


@pytest.mark.parametrize(("layers", "window", "conv", "context"), [(2, 32, 4, 65), (1, 32, 0, 31), (3, 8, 1, 21)])
def test_context_of_a_transformer(layers: int, window: int, conv: int, context: int) -> None:
    assert PlanFacts(kind="transformer", layers=layers, window=window, conv=conv).context == context


def test_context_of_others() -> None:
    assert PlanFacts(kind="gru").context == math.inf
    assert PlanFacts(kind="transformer", window=32).context is None


@pytest.mark.parametrize(
    ("samples", "frame", "burn_in", "frames"),
    [(1920, 256, 64, 10), (1921, 256, 64, 11), (1, 256, 64, 1), (58980, 256, 0, 231)],
)
def test_frames_score_every_sample_once(samples: int, frame: int, burn_in: int, frames: int) -> None:
    assert PlanFacts(samples=samples, frame=frame, burn_in=burn_in).frames_per_epoch == frames


def test_frames_without_loss_are_no_frames() -> None:
    assert PlanFacts(samples=100, frame=64, burn_in=64).frames_per_epoch is None


@given(st.integers(1, 5000), st.integers(1, 600), st.integers(1, 4000).map(lambda n: n / 10))
@example(1415, 1, 312.6)  # 442329 steps; the product of floats is a little more
def test_total_steps_is_the_exact_ceiling(frames: int, batch: int, epochs: float) -> None:
    exact = Fraction(str(epochs)) * frames / batch
    assert PlanFacts(frames=frames, batch=batch, epochs=epochs).total_steps == math.ceil(exact)


def test_max_steps_is_the_length() -> None:
    assert PlanFacts(max_steps=7, epochs=100, frames=100, batch=1).total_steps == 7


def test_unknown_length() -> None:
    assert PlanFacts(frames=10, batch=2).total_steps is None
    assert PlanFacts(warmup=Percent("5%")).warmup_steps is None
    assert PlanFacts(warmup=12).warmup_steps == 12


@given(st.floats(0.0, 1.0), st.integers(1, 10**6))
def test_steps_of_share(share: float, total: int) -> None:
    steps = steps_of_share(share, total)
    assert steps <= max(1, total)
    assert steps == 0 if share == 0 else steps >= 1
    assert abs(steps - share * total) <= 1


def test_prerequisites_of_computed_facts() -> None:
    facts = PlanFacts()
    assert facts.prerequisites("lr") == {"optim.lr"}
    assert facts.prerequisites("d_model") == {"model.d_model"}
    assert facts.prerequisites("width") == {"model.d_model", "model.hidden"}
    assert facts.prerequisites("samples") == frozenset()
    assert {"train.frame", "train.batch_size", "train.epochs"} <= facts.prerequisites("total_steps")

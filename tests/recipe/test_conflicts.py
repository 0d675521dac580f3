"""Impossible combinations, on recipes as written and on recipes that the rules have completed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.recipe.conflicts import check_length, conflicts, given_in, values_of
from dpdrun.recipe.describe import field_docs
from dpdrun.recipe.schema import Recipe

TRANSFORMER = {"kind": "transformer", "d_model": 32, "layers": 1, "heads": 4, "window": 64}


def recipe(model: dict[str, Any] | None = None, **sections: Any) -> Recipe:
    base = {
        "task": "pa",
        "data": {"source": "s", **sections.pop("data", {})},
        "model": {**TRANSFORMER, **(model or {})},
    }
    return Recipe.model_validate({**base, **sections})


def gmp(**sections: Any) -> Recipe:
    return Recipe.model_validate({"task": "pa", "data": {"source": "s"}, "model": {"kind": "gmp"}, **sections})


def gru(**sections: Any) -> Recipe:
    model = {"kind": "gru", "hidden": 8}
    return Recipe.model_validate({"task": "pa", "data": {"source": "s"}, "model": model, **sections})


def split(train: str, val: str, test: str) -> dict[str, Any]:
    return {"split": {"train": train, "val": val, "test": test}}


IMPOSSIBLE: list[tuple[Recipe, str, str]] = [
    (recipe({"heads": 5}), "model.heads", "try d_model 30 or 35, or heads 4"),
    (recipe({"heads": 64}), "model.heads", "try d_model 64, or heads 32"),
    (recipe(train={"frame": 63}), "model.window", "at most 63 or a frame of at least 64"),
    (recipe(train={"frame": 64, "burn_in": 64}), "train.burn_in", "use at most 63"),
    (recipe(train={"batch_size": 64, "accumulate": 3}), "train.accumulate", "try accumulate 2"),
    (recipe(train={"max_steps": 10, "epochs": 2.5}), "train.max_steps", "train.epochs 2.5 both set the length"),
    (recipe(optim={"warmup": 11}, train={"max_steps": 10}), "optim.warmup", "longer than train.max_steps 10"),
    (recipe(data=split("60%", "30%", "20%")), "data.split.train", "adds up to 110% (60% + 30% + 20%)"),
    (recipe(data=split("80%", "0%", "20%")), "data.split.train", "data.split.val is 0%"),
    (recipe(data={"sample_rate_hz": 1e6, "bandwidth_hz": 2e6}), "data.bandwidth_hz", "wider than"),
    (recipe({"window": "full"}), "model.positions", "needs a model.window in samples"),
    (recipe({"window": "full", "positions": "none", "lookahead": 3}), "model.lookahead", "sees the complete future"),
    (recipe({"skip": "off", "lookahead": 3}), "model.lookahead", "write skip: on"),
    (gmp(optim={"lr": 1e-3}), "optim.lr", "fitted by least squares"),
    (recipe(pa="runs/x"), "pa", "no effect with task pa"),
    (recipe(dpd={"gain": "same_power"}), "dpd.gain", "no effect with task pa"),
    (recipe(task="dpd"), "task", "write pa: runs/<name>, a finished run; or use learning: indirect"),
    (recipe(task="dpd", pa="off", dpd={"learning": "ilc"}), "pa", "dpd.learning ilc needs a PA model"),
    (gmp(task="dpd", pa="runs/x"), "dpd.learning", "write learning: ilc or indirect"),
    (recipe(task="dpd", pa="runs/x", dpd={"augment": "on"}), "dpd.augment", "needs learning: ilc"),
    (recipe({"window": "full", "positions": "none"}, optim={"refine": "lm"}), "optim.refine", "window full sees"),
    (gru(optim={"refine": "lm"}), "optim.refine", "with finite memory: kind transformer"),
    (
        recipe(task="dpd", pa="runs/x", optim={"refine": "lm"}),
        "optim.refine",
        "cannot differentiate through the PA model",
    ),
    (recipe(optim={"refine_iterations": 9}), "optim.refine_iterations", "no effect without optim.refine: lm"),
    (recipe(train={"loss": {"in_band": 0.0, "out_of_band": 0.0}}), "train.loss.in_band", "the loss would be zero"),
    (gmp(train={"loss": {"out_of_band": 3.0}}), "train.loss.out_of_band", "fitted by least squares"),
    (gmp(train={"epochs": 3}), "train.epochs", "fitted by least squares"),
    (gmp(optim={"plateau": {"patience": 3}}), "optim.plateau.patience", "fitted by least squares"),
    (recipe(optim={"schedule": "cosine", "plateau": {"patience": 3}}), "optim.plateau.patience", "schedule cosine"),
    (recipe(optim={"schedule": "constant", "lr_end": "1%"}), "optim.lr_end", "no effect with schedule constant"),
]


@pytest.mark.parametrize(("wrong", "key", "message"), IMPOSSIBLE, ids=lambda value: value if value else None)
def test_impossible(wrong: Recipe, key: str, message: str) -> None:
    found = conflicts(wrong)
    assert [k for k, _ in found] == [key]
    assert message in found[0][1]


POSSIBLE: list[Recipe] = [
    recipe(),
    recipe({"window": "full", "positions": "none"}, train={"frame": 2}),
    recipe(train={"frame": 64, "burn_in": 63}),
    recipe(train={"max_steps": 10}, optim={"warmup": 10}),
    recipe(train={"max_steps": 10}, optim={"warmup": "100%"}),
    recipe(train={"epochs": 10}, optim={"warmup": 10_000}),
    recipe(train={"accumulate": 3}),
    recipe(train={"batch_size": 64, "accumulate": 64}),
    recipe(data=split("33.3%", "33.3%", "33.4%")),
    recipe(data=split("70.1%", "19.8%", "10.1%")),
    recipe(data={"bandwidth_hz": 2e6}),
    recipe(data={"sample_rate_hz": 2e6, "bandwidth_hz": 2e6}),
    recipe(optim={"schedule": "plateau", "lr_end": "1%", "plateau": {"patience": 3}}),
    recipe(optim={"plateau": {"patience": 3}}),
    recipe(task="dpd", pa="runs/x"),
    recipe(task="dpd", dpd={"learning": "indirect"}),
    recipe(task="dpd", pa="given", dpd={"learning": "ilc", "peak_limit": 0.5, "weak_pa": "accept"}),
    recipe(dpd={"gain": "peak", "learning": "direct"}, pa="off"),
    recipe(train={"loss": {"in_band": 0.0, "out_of_band": 1.0}}),
    recipe(train={"loss": {"in_band": 1.0, "out_of_band": 0.0, "beyond": 0.0}}),
    recipe(optim={"refine": "lm"}, train={"loss": {"in_band": 2.0, "beyond": 0.5}}),
    gmp(task="dpd", pa="runs/x", dpd={"learning": "ilc"}),
    gmp(),
    gmp(train={"seed": 3}),
    gmp(optim={"lr": "auto"}, train={"max_steps": "off", "accumulate": 1}),
]


@pytest.mark.parametrize("right", POSSIBLE, ids=range(len(POSSIBLE)))
def test_possible(right: Recipe) -> None:
    assert conflicts(right) == []


@given(st.integers(1, 200), st.integers(1, 200))
def test_the_advice_on_heads_is_itself_possible(heads: int, d_model: int) -> None:
    found = conflicts(recipe({"heads": heads, "d_model": d_model, "window": 1}))
    assert bool(found) == bool(d_model % heads)
    for _, message in found:
        widths, _, other = message.partition("; try d_model ")[2].partition(", or heads ")
        assert all(int(width) % heads == 0 for width in widths.split(" or "))
        assert d_model % int(other) == 0


def test_autos_that_were_filled_in_are_checked_and_are_not_the_users() -> None:
    user = recipe()
    filled = user.model_copy(update={"train": user.train.model_copy(update={"frame": 32})})
    assert [key for key, _ in conflicts(filled)] == ["model.window"]
    gmp_user = gmp()
    gmp_filled = gmp_user.model_copy(update={"optim": gmp_user.optim.model_copy(update={"lr": 1e-3})})
    assert conflicts(gmp_filled, given_in(gmp_user)) == []
    assert [key for key, _ in conflicts(gmp_filled)] == ["optim.lr"]


def test_given_and_values() -> None:
    user = recipe(optim={"lr": 1e-3}, data=split("60%", "20%", "20%"))
    assert {"optim.lr", "data.split.val", "model.heads", "task"} <= given_in(user)
    assert not {"optim.eps", "train.seed", "data.split.guard"} & given_in(user)
    values = values_of(user)
    assert values["train.frame"] == "auto"
    assert values["optim.plateau.patience"] == 5
    assert set(values) <= {doc.key for doc in field_docs()}


def test_length() -> None:
    user = recipe(train={"frame": 256})
    assert check_length(user, 256) == []
    assert [key for key, _ in check_length(user, 255)] == ["train.frame"]
    assert [key for key, _ in check_length(user, 63)] == ["train.frame", "model.window"]
    assert "63 samples" in check_length(user, 63)[0][1]
    assert check_length(recipe({"window": "full"}), 4) == []

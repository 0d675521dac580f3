"""What the flags of training become, and that the number of optimizer steps stays what it was."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.errors import RecipeError
from dpdrun.opendpd.arguments import parse
from dpdrun.opendpd.recipe import Data, flag_text, length_of, recipe_lines
from dpdrun.recipe.fields import Percent
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.schema import Recipe

DATA = Data("opendpd/APA_200MHz", "--dataset_name", train_samples=58_980)
GRU = ("--PA_backbone", "gru", "--dataset_name", "APA_200MHz")


def recipe(*words: str, data: Data = DATA) -> tuple[Recipe, list[str]]:
    sections, remarks = recipe_lines(parse(words, "here"), data, "here")
    return load_text(flag_text(sections, ["head"], "measured")).recipe, remarks


@given(
    samples=st.integers(30, 300),
    frame=st.integers(2, 30),
    stride=st.integers(1, 40),
    batch=st.integers(1, 64),
    epochs=st.integers(1, 3),
)
def test_steps_as_a_loop_over_windows_takes_them(
    samples: int, frame: int, stride: int, batch: int, epochs: int
) -> None:
    words = ["--frame_length", str(frame), "--frame_stride", str(stride), "--batch_size", str(batch)]
    length = length_of(parse([*words, "--n_epochs", str(epochs)], "here"), Data("x", "", train_samples=samples), "here")
    windows = [first for first in range(0, samples, stride) if first + frame <= samples]
    batches = list(itertools.batched(windows, batch)) if hasattr(itertools, "batched") else windows[::batch]
    assert length.frames == len(windows)
    assert length.total == epochs * len(batches)


def test_the_fork_on_its_data() -> None:
    made, _ = recipe("--PA_backbone", "transformer_encoder", "--batch_size", "64", "--n_epochs", "2000")
    assert made.train.max_steps == 2000 * 919  # as its logs count
    assert made.train.eval_every == 919
    assert made.train.burn_in == 0


def test_values_of_the_release() -> None:
    made, remarks = recipe(*GRU, "--seed", "4")
    assert (made.optim.lr, made.optim.beta2, made.optim.eps) == (5e-3, 0.999, 1e-8)
    assert (made.optim.weight_decay, made.optim.clip_norm, made.optim.warmup) == (0.01, 200, "off")
    assert (made.optim.schedule, made.optim.lr_end, made.optim.plateau.patience) == ("plateau", Percent("1%"), 5)
    assert (made.train.batch_size, made.train.frame, made.train.seed) == (16, 200, 4)
    assert [remark.partition(":")[0] for remark in remarks] == ["clip_norm"]


@pytest.mark.parametrize(
    ("words", "section", "key", "value"),
    [
        (("--grad_clip_val", "0"), "optim", "clip_norm", "off"),
        (("--lr_schedule", "0"), "optim", "schedule", "constant"),
        (("--lr", "1e-5"), "optim", "schedule", "constant"),  # below lr_end: it never falls
        (("--opt_type", "adam"), "optim", "weight_decay", "off"),
        (("--weight_decay", "0"), "optim", "weight_decay", "off"),
        (("--opt_type", "adam", "--weight_decay", "0.1"), "optim", "weight_decay", 0.1),
        (("--opt_type", "sgd", "--lr", "0.1"), "optim", "lr", "auto"),
        (("--warmup_steps", "7"), "optim", "warmup", 7),
        (("--warmup_steps", "999999"), "optim", "warmup", Percent("100%")),
        (("--last_token_loss", "1"), "train", "burn_in", 199),
        (("--eval_match_train_len", "1"), "train", "eval_on", "frame"),
    ],
)
def test_flags(words: tuple[str, ...], section: str, key: str, value: Any) -> None:
    made, _ = recipe(*GRU, *words)
    assert getattr(getattr(made, section), key) == value


def test_a_warmup_that_the_fork_never_ran() -> None:
    words = (*GRU, "--lr", "1e-3", "--batch_size", "64", "--warmup_steps")
    said = {steps: " ".join(recipe(*words, steps)[1]) for steps in ("1000", "500")}
    assert "never rises above 1e-6 (1/1000 of --lr)" in said["1000"]
    assert "never rises above 0 (0/500 of --lr)" in said["500"]


def test_what_is_lost_is_reported() -> None:
    _, remarks = recipe(*GRU, "--loss_type", "l1", "--quant", "--opt_type", "rmsprop")
    assert any("--loss_type l1" in remark for remark in remarks)
    assert any("--quant" in remark for remark in remarks)
    assert any("--opt_type rmsprop" in remark for remark in remarks)


def test_gmp_has_no_steps() -> None:
    made, remarks = recipe("--PA_backbone", "gmp", "--K", "9", "--seed", "2", data=Data("synthetic/mild", "--data"))
    assert (made.model.kind, made.train.seed, made.train.max_steps) == ("gmp", 2, "off")
    assert "least squares" in remarks[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--lr", "0"), "--lr 0 cannot be trained; it must be over 0"),
        (("--lr", "nan"), "--lr nan cannot be trained"),
        (("--warmup_steps", "0", "--patience", "inf"), "--patience inf cannot be trained"),
        (("--batch_size", "0"), "--batch_size 0 cannot be trained; it must be at least 1"),
        (("--frame_length", "99999"), "longer than the training split (58980 samples)"),
        (("--decay_factor", "1"), "--decay_factor 1: PyTorch requires a factor below 1"),
    ],
)
def test_values_that_cannot_be(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(*GRU, *words)
    assert message in str(caught.value)

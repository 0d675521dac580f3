"""One problem at a time, in its exact words."""

from __future__ import annotations

import pytest

from dpdrun.errors import RecipeError
from dpdrun.recipe.check import SYNONYMS
from dpdrun.recipe.describe import field_docs
from dpdrun.recipe.loader import load_text

TRANSFORMER = "{kind: transformer, d_model: 32, layers: 2, heads: 4, window: 32}"

LR = "optim.lr: expected a number greater than 0, or auto; got "
WARMUP = "optim.warmup: expected a whole number of at least 1, a percentage such as 7.5%, auto or off; got "
LR_END = "optim.lr_end: expected a percentage such as 7.5%; got "
CLIP = "optim.clip_norm: expected a number greater than 0, auto or off; got "
SCHEDULE = "optim.schedule: expected one of cosine, linear, plateau, inverse_sqrt, constant or auto; got "
STEPS = "train.max_steps: expected a whole number from 1 to 1000000000, or off; got "
RATE = "data.sample_rate_hz: expected a number greater than 0, or auto; got "


def problem(**sections: str) -> str:
    """The message about a recipe that is right but for `sections`, without its place and source line."""
    text = {"task": "pa", "data": "{source: synthetic/mild}", "model": TRANSFORMER, **sections}
    with pytest.raises(RecipeError) as caught:
        load_text("".join(f"{key}: {value}\n" for key, value in text.items() if value), "r.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == (3 if all(text.values()) else 1), lines  # what is missing at the top has no line to show
    return lines[0].split(" ", 1)[1]


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("optim", "{lr: fast}", LR + "'fast'"),
        ("optim", "{lr: autoo}", LR + "'autoo'; did you mean 'auto'?"),
        ("optim", "{lr: '1e-3'}", LR + "'1e-3'; write it without quotes: 1e-3"),
        ("optim", "{lr: 0}", LR + "0"),
        ("optim", "{lr: .inf}", LR + ".inf"),
        ("optim", "{lr: .nan}", LR + ".nan"),
        ("optim", "{lr: [1]}", LR + "a list"),
        ("optim", "{lr: {a: 1}}", LR + "a section"),
        ("optim", "{schedule: {a: 1}}", "optim.schedule: expected one of cosine, linear, plateau, inverse_sqrt, "),
        ("optim", "{lr: {constrained-float: 1}}", LR + "a section"),
        ("optim", "{OptimSection: 1}", "unknown key optim.OptimSection; known here: lr, "),
        ("optim", "{lr: 5%}", LR + "'5%'; write 0.05"),
        ("optim", "{warmup: 0.075}", WARMUP + "0.075; write 7.5%"),
        ("optim", "{warmup: 7.5}", WARMUP + "7.5; write 7.5%"),
        ("optim", "{warmup: 0}", WARMUP + "0; write off"),
        ("optim", "{lr_end: 10}", LR_END + "10; write 10%"),
        ("optim", "{lr_end: 0}", LR_END + "0; write 0%"),
        ("optim", "{lr_end: '10'}", LR_END + "'10'; write 10%"),
        ("optim", "{lr_end: 110%}", LR_END + "'110%'"),
        ("optim", "{clip_norm: null}", CLIP + "nothing (null); write auto or off"),
        ("optim", "{clip_norm: false}", CLIP + "false; write off"),
        ("optim", "{schedule: cosin}", SCHEDULE + "'cosin'; did you mean 'cosine'?"),
        ("optim", "{warm_up: 5%}", "unknown key optim.warm_up; did you mean 'warmup'?"),
        ("optim", "{learning_rate: 1}", "unknown key optim.learning_rate; did you mean 'lr'?"),
        ("optim", "{epochs: 1}", "unknown key optim.epochs; did you mean train.epochs?"),
        ("optim", "{frame: 1}", "unknown key optim.frame; did you mean train.frame?"),
        ("optim", "null", "optim is empty; write its keys under it"),
        ("optim", "adam", "optim is a section, not 'adam'; write its keys under it"),
        ("train", "{lr: 1e-3}", "unknown key train.lr; did you mean optim.lr?"),
        (
            "train",
            "{shard: fsdp}",
            "unknown key train.shard: it was removed, models of this size do not benefit from sharding; "
            "--processes divides the batch; delete this line",
        ),
        ("train", "{learning_rate: 1e-3}", "unknown key train.learning_rate; did you mean optim.lr?"),
        ("train", "{max_steps: 1e3}", STEPS + "1e3; write 1000"),
        ("train", "{max_steps: -1}", STEPS + "-1; write off"),
        ("train", "{max_steps: 10_000}", STEPS + "'10_000'; write 10000"),
        ("train", "{compile: true}", "train.compile: expected one of auto, on or off; got true; write on"),
        ("train", "{seed: true}", "train.seed: expected a whole number of at least 0 and below 2^63; got true"),
        ("train", "{<<: {seed: 1}}", "unknown key train.<<; known here: epochs, "),
        ("data", "{source: s, sample_rate_hz: 800 MHz}", RATE + "'800 MHz'; the unit is Hz; write 800e6"),
        (
            "data",
            "{source: s, bandwidth_hz: 200M}",
            "data.bandwidth_hz: expected a number greater than 0, or auto; got '200M'; the unit is Hz; write 200e6",
        ),
        ("data", "{}", "missing data.source ("),
        ("data", "{source: ''}", "data.source: expected text or a section; got ''"),
        ("data", "{source: 5}", "data.source: expected text or a section; got 5"),
        ("data", "{source: s, split: {train: 70%, val: 0.2, test: 10%}}", "data.split.val: expected a percentage"),
        ("data", "{source: s, split: {train: 3}}", "data.split.train: expected a percentage such as 7.5%; got 3; "),
        ("data", "{source: s, split: half}", "data.split: expected a section, or auto; got 'half'"),
        ("train", "{loss: {in_band: x}}", "train.loss.in_band: expected a number of at least 0; got 'x'"),
        ("train", "{loss: spectral}", "train.loss: expected a section, or time; got 'spectral'"),
        ("data", "", "missing section data; it needs source"),
        ("task", "dpdd", "task: expected one of pa or dpd; got 'dpdd'; did you mean 'dpd'?"),
        ("task", "", "missing task ("),
        ("optim.lr", "1e-3", "unknown key optim.lr; write lr under optim:"),
        ("lr", "1e-3", "unknown key lr; did you mean optim.lr?"),
        ("models", "{}", "unknown key models; did you mean 'model'?"),
        ("qqq", "1", "unknown key qqq; known here: task, rules, pa, data, model, dpd, optim, train and quantization"),
        ("model", "", "missing section model; it starts with kind: transformer, gru or gmp"),
        ("model", "{d_model: 8}", "missing model.kind; one of transformer, gru or gmp"),
        (
            "model",
            "{kind: transfomer, zzz: 1}",
            "unknown model.kind 'transfomer'; one of transformer, gru or gmp; did you mean 'transformer'?",
        ),
        ("model", "{kind: [1]}", "unknown model.kind a list; one of transformer, gru or gmp"),
        ("model", "transformer", "model is a section, not 'transformer'; write its keys under it (kind first)"),
        ("model", "{kind: gru}", "missing model.hidden ("),
        ("model", "{kind: gru, hidden: 8, gru: {a: 1}}", "unknown key model.gru; known here: kind, hidden, "),
        (
            "model",
            "{kind: gru, hidden: 8, heads: 2}",
            "unknown key model.heads; model.kind gru has no heads, transformer has",
        ),
        (
            "model",
            "{kind: gmp, skip: on}",
            "unknown key model.skip; model.kind gmp has no skip, transformer and gru have",
        ),
        (
            "model",
            TRANSFORMER.replace("32}", "half}"),
            "model.window: expected a whole number of at least 1, or full; got 'half'",
        ),
    ],
)
def test_message(section: str, value: str, message: str) -> None:
    assert problem(**{section: value}).startswith(message)


def test_full_messages_end_where_they_should() -> None:
    assert problem(optim="{lr: 0}") == "optim.lr: expected a number greater than 0, or auto; got 0"
    assert problem(train="{lr: 1e-3}") == "unknown key train.lr; did you mean optim.lr?"


def test_long_values_are_cut_in_messages() -> None:
    assert len(problem(optim=f"{{lr: {'x' * 5000}}}")) < 120


def test_synonyms_lead_to_fields_and_are_none() -> None:
    keys = {doc.key for doc in field_docs()}
    names = {doc.name for doc in field_docs()}
    assert SYNONYMS
    assert set(SYNONYMS.values()) <= keys
    assert not set(SYNONYMS) & names

"""`rules: note` to the digit: the founding note's numbers, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.plan.recommendation import recommend
from dpdrun.recipe.fields import Percent
from dpdrun.rules.advice import derive
from dpdrun.rules.facts.plan import PlanFacts


def note(**facts: object) -> dict[str, object]:
    return {key: opinion.value for key, opinion in derive(PlanFacts(**facts), "note").opinions.items()}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("d_model", "lr"),
    [(1, 3e-4), (511, 3e-4), (512, 1e-4), (1023, 1e-4), (1024, 7.1e-5), (4096, 7.1e-5)],
)
def test_learning_rate_by_band(d_model: int, lr: float) -> None:
    assert note(kind="transformer", d_model=d_model)["optim.lr"] == lr


@pytest.mark.parametrize("d_model", [1024, 2048, 4096])
def test_large_models_get_the_range(d_model: int) -> None:
    value = recommend(PlanFacts(kind="transformer", d_model=d_model), "note").values["optim.lr"]
    assert (value.low, value.high) == (5e-5, 1e-4)


@pytest.mark.parametrize("d_model", [511, 512, 1023])
def test_smaller_models_get_a_point(d_model: int) -> None:
    value = recommend(PlanFacts(kind="transformer", d_model=d_model), "note").values["optim.lr"]
    assert (value.low, value.high) == (None, None)


def test_bands_are_not_for_rnns() -> None:
    assert note(kind="gru", hidden=2048)["optim.lr"] == 5e-4


@pytest.mark.parametrize(("kind", "clip"), [("transformer", 1.0), ("gru", 200.0)])
def test_clip(kind: str, clip: float) -> None:
    assert note(kind=kind)["optim.clip_norm"] == clip


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_weight_decay_batch_optimizer_and_schedule(kind: str) -> None:
    values = note(kind=kind)
    assert values["optim.weight_decay"] == 0.01
    assert values["train.batch_size"] == 256
    assert (values["optim.beta1"], values["optim.beta2"], values["optim.eps"]) == (0.9, 0.999, 1e-8)
    assert values["optim.schedule"] == "plateau"


def test_example_of_the_note() -> None:
    """50 epochs, batch 256, 10,000 samples: the note says about 2000 steps and a warmup of 100 to 200."""
    this = recommend(PlanFacts(kind="transformer", d_model=256, epochs=50, batch=256, frames=10_000), "note")
    assert this.total_steps == 1954
    assert this.warmup_range == (98, 195)
    assert this.warmup_steps == 147
    assert this.values["optim.warmup"].value == Percent("7.5%")
    assert not this.warnings


def test_example_of_the_note_in_json_is_exact_and_rounded() -> None:
    """The note rounds; its contract is checked on the figures as they are, and on those that it prints."""
    this = recommend(PlanFacts(kind="transformer", d_model=256, epochs=50, batch=256, frames=10_000), "note").to_json()
    assert {key: this[key] for key in ("total_steps", "warmup_steps", "warmup_steps_range", "rounded")} == {
        "total_steps": 1954,
        "warmup_steps": 147,
        "warmup_steps_range": [98, 195],
        "rounded": {"total_steps": 2000, "warmup_steps": 150, "warmup_steps_range": [100, 200]},
    }


def test_unknown_length_has_no_rounded_figures() -> None:
    this = recommend(PlanFacts(kind="transformer", d_model=256), "note").to_json()
    assert set(this["rounded"].values()) == {None}


def test_column_of_the_note_has_only_what_the_note_says() -> None:
    """PyTorch's and OpenDPD's defaults fill `rules: note` where the note is silent; they are not the note's."""
    values = recommend(PlanFacts(kind="transformer", d_model=32, frames=300), "measured").values
    shown = {key: value.note_value for key, value in values.items() if value.note_value is not None}
    assert shown == {
        "optim.lr": 3e-4,
        "optim.weight_decay": 0.01,
        "optim.clip_norm": 1.0,
        "optim.warmup": Percent("7.5%"),
        "optim.schedule": "plateau",
        "train.batch_size": 256,
    }
    gru = recommend(PlanFacts(kind="gru", hidden=8, frames=300), "measured").values
    assert [gru[key].note_value for key in ("optim.lr", "optim.warmup", "optim.beta2")] == [None] * 3


@pytest.mark.parametrize(
    "said",
    ["1e-4 to 3e-4", "5e-5 to 1e-4", "500 to 2000 steps", "5 to 10 %", "98 to 195 steps", "-7.5 and +1.5 dB", "0 dB"],
)
def test_page_of_the_note_has_both_of_its_answers(said: str) -> None:
    assert said in (Path(__file__).parents[2] / "docs" / "note.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("epochs", "warmup"), [(0.001, 1), (1, 3), (50, 147)])
def test_warmup_is_at_least_a_step(epochs: float, warmup: int) -> None:
    this = recommend(PlanFacts(kind="transformer", d_model=8, epochs=epochs, batch=256, frames=10_000), "note")
    assert this.warmup_steps == warmup


def codes(**facts: object) -> set[str]:
    return {finding.code for finding in derive(PlanFacts(kind="transformer", **facts), "note").warnings}  # type: ignore[arg-type]


def test_command_of_the_note_is_flagged() -> None:
    """`--warmup_steps 1000` in a run of about 2000 steps breaks the note's own 5 to 10 %."""
    assert codes(epochs=50, batch=256, frames=10_000, warmup=1000) == {"WU101"}
    assert codes(epochs=50, batch=256, frames=10_000, warmup=195) == set()
    assert codes(epochs=50, batch=256, frames=10_000, warmup=196) == {"WU101"}


def test_small_batch_is_kept_and_reported() -> None:
    advice = derive(PlanFacts(kind="transformer", d_model=64, batch=255, epochs=50, frames=10_000), "note")
    assert {finding.code for finding in advice.warnings} == {"BT101"}
    assert advice.facts.batch == 255
    assert codes(batch=256, epochs=50, frames=10_000) == set()


def test_small_batch_is_nothing_to_report_for_the_measured_rules() -> None:
    assert not derive(
        PlanFacts(kind="transformer", d_model=64, batch=32, epochs=50, frames=10_000), "measured"
    ).warnings


def test_heads_that_do_not_divide() -> None:
    warnings = derive(PlanFacts(kind="transformer", d_model=32, heads=5), "note").warnings
    assert [(finding.code, finding.severity, finding.patch) for finding in warnings] == [
        ("MD101", "error", {"model.heads": 4})
    ]


def test_fewer_than_twenty_steps() -> None:
    assert codes(max_steps=19, batch=256) == {"TL101"}
    assert codes(max_steps=20, batch=256) == set()
    assert codes(max_steps=5, batch=256) == {"TL101", "WU102"}  # 7.5 % of 5 steps is less than one

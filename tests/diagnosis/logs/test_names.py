"""Which column means what: common names, doubts, and --map."""

from __future__ import annotations

import pytest

from dpdrun.diagnosis.logs.log import COLUMNS
from dpdrun.diagnosis.logs.names import (
    COMMON,
    Asked,
    choose_columns,
    eval_sets,
    parse_map,
    plain_name,
    sides,
    usual_loss,
)
from dpdrun.errors import DataError


def chosen(*names: str, maps: str = "") -> dict[str, str]:
    return choose_columns(names, parse_map([maps] if maps else []), "log.csv:1").columns


def test_every_meaning_has_common_names() -> None:
    assert list(COMMON) == list(COLUMNS)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["step", "loss", "grad_norm", "learning_rate", "eval_loss"],
         {"step": "step", "loss": "loss", "grad_norm": "grad_norm", "lr": "learning_rate", "val_loss": "eval_loss"}),
        (["epoch", "step", "train_loss_step", "train_loss_epoch", "lr-AdamW", "grad_2.0_norm_total", "val_loss"],
         {"step": "step", "loss": "train_loss_step", "lr": "lr-AdamW", "grad_norm": "grad_2.0_norm_total",
          "val_loss": "val_loss"}),
        (["num_updates", "loss", "gnorm", "lr"],
         {"step": "num_updates", "loss": "loss", "grad_norm": "gnorm", "lr": "lr"}),
        (["Step", "run-1 - train/loss", "run-1 - train/loss__MIN", "run-1 - train/loss__MAX"],
         {"step": "Step", "loss": "run-1 - train/loss"}),
        (["trainer/global_step", "epoch", "train/loss"], {"step": "trainer/global_step", "loss": "train/loss"}),
        (["iter", "train_nmse_db", "val_nmse"],
         {"step": "iter", "loss_db": "train_nmse_db", "val_nmse_db": "val_nmse"}),
        (["Iteration", "Training Loss", "Gradient Norm", "LR"],
         {"step": "Iteration", "loss": "Training Loss", "grad_norm": "Gradient Norm", "lr": "LR"}),
        (["time", "memory", "loss_scale"], {}),
        (["step", "lr-AdamW/pg1", "lr-AdamW/pg2"], {"step": "step", "lr": "lr-AdamW/pg1"}),
    ],
)  # fmt: skip
def test_common_names(names: list[str], expected: dict[str, str]) -> None:
    assert chosen(*names) == expected


def test_an_ambiguous_column_is_left_out_with_a_note() -> None:
    found = choose_columns(["step", "grad_norm", "total_grad_norm"], parse_map([]), "log.csv:1")
    assert "grad_norm" not in found.columns
    assert (
        found.absent["grad_norm"] == "candidates are 'grad_norm' and 'total_grad_norm': set --map grad_norm=grad_norm"
    )
    assert found.notes
    assert chosen("step", "grad_norm", "total_grad_norm", maps="grad_norm=total_grad_norm")["grad_norm"] == (
        "total_grad_norm"
    )


def test_a_loss_is_not_read_twice() -> None:
    assert chosen("loss", "train_nmse_db") == {"loss": "loss"}
    assert chosen("loss", "train_nmse_db", maps="loss_db=train_nmse_db") == {"loss_db": "train_nmse_db"}


def test_map_holds_columns_constants_and_values() -> None:
    asked = parse_map(["step=it,loss=train, mse,clip_norm=1.0", "total_steps=5e3,kind=gru,lr=3e-4"])
    assert asked.columns == {"step": "it", "loss": "train, mse"}
    assert asked.constants == {"clip_norm": 1.0, "lr": 3e-4}
    assert asked.values == {"total_steps": 5000, "kind": "gru"}
    assert bool(asked)
    assert not parse_map([])


def test_a_number_can_be_the_name_of_the_steps() -> None:
    assert parse_map(["step=0"]).columns == {"step": "0"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss", "expected KEY=COLUMN"),
        ("loss=", "expected KEY=COLUMN"),
        ("gradnorm=x", "did you mean grad_norm"),
        ("total_steps=many", "expected a whole number"),
        ("total_steps=2.5", "expected a whole number"),
        ("total_steps=inf", "expected a whole number"),
        ("floor_db=low", "expected a number"),
    ],
)
def test_wrong_maps_are_explained(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_map([text])


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(DataError, match=r"log.csv:1: no column 'los' .*did you mean 'loss'") as error:
        chosen("step", "loss", maps="loss=los")
    assert "the log has: step, loss" in str(error.value)


def test_a_duplicate_column() -> None:
    with pytest.raises(DataError, match=r"log.csv:1: column 'loss' \(read as loss\) appears twice"):
        chosen("step", "loss", "loss")
    assert chosen("step", "loss", "time", "time") == {"step": "step", "loss": "loss"}


def test_case_is_forgiven_in_map() -> None:
    assert chosen("Step", "MyLoss", maps="loss=myloss")["loss"] == "MyLoss"


def test_plain_names() -> None:
    assert plain_name("Train/GradNorm") == "train grad norm"
    assert plain_name("group - val_loss") == "val loss"


def test_a_log_that_names_its_parts_alone() -> None:
    chosen = choose_columns(["", "ep", "train", "valid"], Asked(), "run.csv")
    assert (chosen.columns, chosen.doubtful) == ({"step": "ep", "loss": "train", "val_loss": "valid"}, True)
    assert not choose_columns(["train", "test"], Asked(), "losses.csv").doubtful


def test_rates_of_several_groups_are_those_of_the_first() -> None:
    assert choose_columns(["loss", "lr_model", "lr_wav2vec"], Asked(), "log").columns["lr"] == "lr_model"
    assert "lr" not in choose_columns(["loss", "min_lr", "lr_decay"], Asked(), "log").columns


def test_a_loss_that_is_logged_more_often_than_another() -> None:
    assert usual_loss({"loss": 90, "train_loss": 1}) == {"loss": "loss"}
    assert usual_loss({"loss": 90, "train_loss": 80}) == {}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("epoch", "mse_train", "mse_val"), {"step": "epoch", "loss": "mse_train", "val_loss": "mse_val"}),
        (("epoch", "train_nll", "test_nll"), {"step": "epoch", "loss": "train_nll", "val_loss": "test_nll"}),
        (("Train loss", "Test MSE", "Valid MSE"), {"loss": "Train loss", "val_loss": "Valid MSE"}),
        (("train_loss_list", "test_loss_list"), {"loss": "train_loss_list", "val_loss": "test_loss_list"}),
        (("loss_history",), {"loss": "loss_history"}),
        (("round", "global_loss"), {"step": "round", "loss": "global_loss"}),
    ],
)
def test_names_of_scripts(names: tuple[str, ...], expected: dict[str, str]) -> None:
    assert chosen(*names) == expected


def test_a_penalty_is_no_evaluation_set() -> None:
    assert eval_sets(["val_recon_loss", "val_kl_loss"]) == {"recon": "val_recon_loss"}
    assert eval_sets(["val_kl_loss"]) == {"kl": "val_kl_loss"}
    assert eval_sets(["valid_mae_loss", "valid_psnr_loss"]) == {"mae": "valid_mae_loss"}  # higher is better


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["epoch", "d_loss", "g_loss"], ("d_loss", "g_loss")),
        (["Loss_D", "Loss_G", "loss_G_l1"], ("Loss_D", "Loss_G")),
        (["discriminator", "Generator"], ("discriminator", "Generator")),
        (["d_X_loss", "d_Y_loss", "g_loss"], None),
        (["d_A_loss", "loss"], None),
    ],
)
def test_the_two_sides_of_a_gan(columns: list[str], found: tuple[str, str] | None) -> None:
    assert sides(columns) == ({} if found is None else {"discriminator": found[0], "generator": found[1]})

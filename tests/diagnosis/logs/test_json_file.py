"""trainer_state.json as transformers writes it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.json_file import read
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.errors import DataError


def state(path: Path, history: list[dict[str, Any]], **other: Any) -> Path:
    content = {"best_metric": None, "epoch": 1.0, "global_step": 40, "is_world_process_zero": True,
               "log_history": history, "logging_steps": 10, "max_steps": 100, "train_batch_size": 8}  # fmt: skip
    path.write_text(json.dumps(content | other, indent=2))
    return path


HISTORY = [
    {"epoch": 0.25, "grad_norm": 1.5, "learning_rate": 5e-5, "loss": 2.0, "step": 10},
    {"epoch": 0.5, "grad_norm": math.nan, "learning_rate": 4e-5, "loss": 0.0, "step": 20},
    {"epoch": 0.5, "eval_loss": 1.9, "eval_runtime": 2.0, "step": 20},
    {"epoch": 0.75, "grad_norm": 1.2, "learning_rate": 3e-5, "loss": 1.5, "step": 30},
    {"epoch": 0.75, "total_flos": 1e9, "train_loss": 1.2, "train_runtime": 9.0, "step": 30},
]


def test_history(tmp_path: Path) -> None:
    source = read(state(tmp_path / "trainer_state.json", HISTORY), Asked())
    facts = facts_of_log(source, Asked())
    assert facts.step == [10, 20, 30]
    assert facts.loss == [2.0, 0.0, 1.5]
    assert math.isnan(facts.grad_norm[1])
    assert facts.lr == [5e-5, 4e-5, 3e-5]
    assert (facts.total_steps, facts.progress) == (100, 1.0)  # its last record is the summary at the end of training
    assert source.program == "huggingface"
    assert source.column("val_loss").values == [1.9]
    note = "loss is the mean since the previous line; the other columns are of one step"
    assert note in source.notes
    assert any("one value every 10 steps" in note for note in source.notes)


@pytest.mark.parametrize(("done", "progress"), [(100, 1.0), (40, 0.3)])
def test_a_run_is_finished_where_its_last_step_is(tmp_path: Path, done: int, progress: float) -> None:
    source = read(state(tmp_path / "trainer_state.json", HISTORY[:-1], global_step=done), Asked())
    assert facts_of_log(source, Asked()).progress == progress


def test_several_evaluation_sets_and_metrics(tmp_path: Path) -> None:
    history = [
        {"loss": 2.0, "step": 10, "epoch": 1.0},
        {"eval_en_loss": 1.9, "eval_en_wer": 0.4, "eval_en_runtime": 1.0, "step": 10, "epoch": 1.0},
        {"eval_de_loss": 2.9, "step": 10, "epoch": 1.0},
    ]
    source = read(state(tmp_path / "trainer_state.json", history), Asked())
    assert {name: points.values for name, points in source.eval_losses.items()} == {"en": [1.9], "de": [2.9]}
    assert {name: points.values for name, points in source.eval_metrics.items()} == {"eval_en_wer": [0.4]}
    assert source.epochs == 1.0


KERAS = {"accuracy": [0.5, 0.6, 0.7], "loss": [0.7, 0.6, 0.5], "val_loss": [0.8, 0.7, 0.6], "lr": [1e-3, 1e-3, 1e-4]}


@pytest.mark.parametrize("content", [KERAS, {"model": "a", "history": KERAS}], ids=["history", "in an object"])
def test_lists_by_name(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps(content))
    log = read(path, Asked())
    assert (log.program, log.unit) == ("keras", "epoch")
    assert log.columns["loss"].steps == [1, 2, 3]
    assert log.columns["val_loss"].values == [0.8, 0.7, 0.6]


def test_a_list_of_numbers_is_a_loss(tmp_path: Path) -> None:
    path = tmp_path / "loss.json"
    path.write_text("[2.5, 2.25, 2.0]")
    log = read(path, Asked())
    assert (log.unit, log.columns["loss"].values) == ("line", [2.5, 2.25, 2.0])


def test_epochs_as_names(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"1": {"loss": 0.5}, "2": {"loss": 0.4}}))
    assert read(path, Asked()).columns["loss"].values == [0.5, 0.4]


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    text = json.dumps({"loss": [0.7, 0.6, 0.5], "val_loss": [0.8, 0.7, 0.6]}, indent=1)
    path.write_text(text[: text.index("0.6\n")])
    log = read(path, Asked())
    assert log.columns["loss"].values == [0.7, 0.6, 0.5]
    assert any("ends in the middle" in note for note in log.notes)


def test_json_without_end_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text("[" * 200_000)
    with pytest.raises(DataError, match=r"history\.json"):
        read(path, Asked())


def test_a_run_of_unknown_length(tmp_path: Path) -> None:
    facts = facts_of_log(read(state(tmp_path / "trainer_state.json", HISTORY, max_steps=-1), Asked()), Asked())
    assert facts.total_steps is None


def test_a_list_of_records(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(HISTORY[:2]))
    log = read(path, Asked())
    assert log.format == "JSON"
    assert log.columns["loss"].values == [2.0, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"log_history": []}', "log_history is empty"),
        ('{"log_history": ', r"s.json:1:17: not valid JSON"),
        ('{"model_type": "gru"}', "expected trainer_state.json"),
        ("", "the file is empty"),
        ('[{"step": 1, "loss": "x"}]', r"s.json:1: column 'loss'"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read(path, Asked())


@pytest.mark.parametrize(
    "content",
    [[[17.5, 1, 3.0], [18.5, 2, 2.5]], {"loss": [[1, 3.0], [2, 2.5]]}, {"run": {"train_loss": {"1": 3.0, "2": 2.5}}}],
    ids=["TensorBoard", "pairs", "by step"],
)
def test_curves_of_steps_and_values(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "loss.json"
    path.write_text(json.dumps(content))
    loss = read(path, Asked()).columns["loss"]
    assert (loss.steps, loss.values) == ([1, 2], [3.0, 2.5])


def test_a_run_that_logged_only_its_end_shows_its_mean(tmp_path: Path) -> None:
    path = state(tmp_path / "trainer_state.json", [{"step": 69, "train_loss": 1.8e11, "train_runtime": 36.0}])
    assert read(path, Asked()).columns["loss"].values == [1.8e11]


LOSSES, SCORES = [2.3, 1.9, 1.7, 1.5, 1.4], [2.2, 1.95, 1.8, 1.7, 1.65]


@pytest.mark.parametrize(
    "content",
    [
        {"train": LOSSES, "val": SCORES},
        {"train": {"loss": LOSSES, "acc": SCORES}, "val": {"loss": SCORES, "acc": LOSSES}},
        [LOSSES, SCORES],
        {"train_loss": LOSSES, "val_loss": SCORES, "test_loss": []},
    ],
    ids=["parts", "parts of lists", "lists", "an empty list"],
)
def test_lists_by_part(tmp_path: Path, content: object) -> None:
    path = tmp_path / "losses.json"
    path.write_text(json.dumps(content))
    log = read(path, Asked())
    assert (log.column("loss").values, log.column("val_loss").values) == (LOSSES, SCORES)


@pytest.mark.parametrize(
    "content",
    [
        {f"epoch_{k}": {"train_loss": loss} for k, loss in enumerate(LOSSES)},
        {"train_loss": {f"epoch_{k}": loss for k, loss in enumerate(LOSSES)}},
    ],
)
def test_epochs_by_name(tmp_path: Path, content: object) -> None:
    path = tmp_path / "losses.json"
    path.write_text(json.dumps(content))
    assert read(path, Asked()).column("loss").values == LOSSES

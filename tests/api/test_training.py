"""`dpdrun.train`, `train_dpd`, `evaluate`: any form of recipe, and nothing of the caller changes."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

import dpdrun
from dpdrun.errors import DataError, RecipeError, RunError
from tests.api.conftest import RECIPE


def test_a_dict_and_arrays_give_a_run_that_the_commands_find(run: dpdrun.Run, capture: dpdrun.Capture) -> None:
    assert run.scores.nmse_db.keys() == {"val", "test"}
    again = dpdrun.load_run(str(run.path))
    assert again.capture.sha256 == capture.sha256  # read from the run folder
    assert "max_steps: 8" in (run.path / "recipe.yaml").read_text(encoding="utf-8")
    assert dpdrun.load_recipe(run.path / "recipe.yaml").recipe.train.max_steps == 8
    assert (run.path / "findings.json").is_file()


def test_a_dict_is_the_same_job_as_its_file(run: dpdrun.Run, tmp_path: Path) -> None:
    recipe = tmp_path / "same.yaml"
    recipe.write_text((run.path / "recipe.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    other = dpdrun.train(str(recipe), out=str(tmp_path / "run"))
    assert [line["loss"] for line in other.metrics.steps] == [line["loss"] for line in run.metrics.steps]


def test_a_capture_takes_the_place_of_data_and_overrides_win(capture: dpdrun.Capture, tmp_path: Path) -> None:
    recipe = RECIPE | {"data": {"source": "synthetic/mild"}}
    short = dpdrun.train(recipe, capture, tmp_path / "run", overrides={"train.max_steps": 2})
    assert short.plan.total_steps == 2
    assert short.capture is capture


def test_the_folder_is_named_after_the_job(
    capture: dpdrun.Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gmp = {"task": "pa", "model": {"kind": "gmp", "order": 2, "delays": 1, "cross": 0}}
    assert [str(dpdrun.train(gmp, capture).path) for _ in range(2)] == ["runs/pa-gmp", "runs/pa-gmp-2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"kind": "transformer", "d_model": "8"}}, 'recipe["model"]["d_model"]: model.d_model: expected a'),
        ({"optim": {"lr": np.float32(-1)}}, 'recipe["optim"]["lr"]: optim.lr: expected a number greater than 0'),
        ({"optim": {"lr": [1, 2]}}, 'recipe["optim"]["lr"]: optim.lr: expected'),
        ({"train": {"steps": 3}}, 'recipe["train"]["steps"]: unknown key train.steps; did you mean \'max_steps\'?'),
        ({"train": {7: 3}}, 'recipe["train"][7]: a key is text, not a int'),
        ({"train": {"seed": torch.zeros(1)}}, 'recipe["train"]["seed"]: a recipe cannot hold a Tensor'),
        ({"data": {"split": "auto"}}, "missing data.source"),
        ({"task": "pipeline"}, 'recipe["task"]: task: expected one of pa or dpd'),
    ],
)  # fmt: skip
def test_a_wrong_dict_names_its_keys(
    change: dict[str, object], message: str, capture: dpdrun.Capture, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as raised:
        dpdrun.train(RECIPE | change, capture, tmp_path / "run")
    assert message in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_wrong_arguments_are_our_errors(
    run: dpdrun.Run, capture: dpdrun.Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"capture: expected a Capture, not a PosixPath; .* out="):
        dpdrun.train(RECIPE, tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="recipe: expected a dict, a path, a name"):
        dpdrun.train(3, capture)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"data.source: given: this capture is passed from Python"):
        dpdrun.train(RECIPE | {"data": {"source": "given"}}, out=tmp_path / "run")
    with pytest.raises(RunError, match="resume needs out"):
        dpdrun.train(RECIPE, capture, resume=True)
    by_hand = dpdrun.Capture(capture.name, 1e6, None, None, "yours", "", capture.train, capture.val, capture.test)
    with pytest.raises(DataError, match=r"was assembled by hand.*Capture.from_arrays"):
        dpdrun.train(RECIPE, by_hand, tmp_path / "run")
    with pytest.raises(RunError, match="no such run folder"):
        dpdrun.evaluate("runs/none")


def test_nothing_of_the_caller_changes(
    capture: dpdrun.Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit_gmp_once: None
) -> None:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    AcceleratorState._reset_state(reset_partial_state=True)
    mine = Accelerator(cpu=True, gradient_accumulation_steps=7)
    torch.set_num_threads(2)
    torch.manual_seed(3)
    np.random.seed(4)  # noqa: NPY002 - the global state is the point
    random.seed(5)

    def state() -> list[object]:
        handlers = [signal.getsignal(each) for each in signals]
        generators = [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]  # type: ignore[index,union-attr]  # noqa: NPY002
        rest = [torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), Path.cwd()]
        return [dict(os.environ), handlers, generators, rest, mine.gradient_accumulation_steps, mine.mixed_precision]

    before = state()
    recipe = RECIPE | {"train": {**RECIPE["train"], "seed": 11, "threads": 1}}
    run = dpdrun.train(recipe, capture, tmp_path / "run", progress=True)
    run.predict(capture.val.x)
    run.diagnose()
    run.plot("gain", "val")
    assert state() == before
    assert AcceleratorState().__dict__ is AcceleratorState._shared_state
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()


def test_a_run_is_resumed_with_its_arrays(capture: dpdrun.Capture, tmp_path: Path, run: dpdrun.Run) -> None:
    done = dpdrun.train(RECIPE, capture, run.path, resume=True)
    assert done.scores.to_dict() == run.scores.to_dict()


def test_a_predistorter_is_trained_through_the_run_of_its_pa_model(least: dpdrun.Run, tmp_path: Path) -> None:
    recipe = {"model": RECIPE["model"], "train": RECIPE["train"]}
    dpd = dpdrun.train_dpd(least, recipe, tmp_path / "dpd")
    assert isinstance(dpd, dpdrun.Predistorter)
    x = least.capture.val.x
    u = dpd.predistort(10.0 * x)
    assert dpd.plan.predistortion is not None
    assert np.max(np.abs(u)) <= dpd.plan.predistortion.peak_limit * (1 + 1e-6)
    assert isinstance(dpdrun.load_run(dpd.path), dpdrun.Predistorter)
    assert "predistorter" in repr(dpd.scores)
    with pytest.raises(RunError, match="this is a run of task dpd; pass the run of a PA model"):
        dpdrun.train_dpd(dpd, recipe)
    with pytest.raises(RecipeError, match="gmp"):  # the model of the PA run has no gradient to learn through it
        dpdrun.train_dpd(least.path, out=tmp_path / "other")

"""A module and a loss of one's own, from Python: trained, scored, exported, and read back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dpdrun
from dpdrun.errors import RecipeError, RunError
from dpdrun.recipe.plugins import MissingPluginError, PluginError

RECIPE = {
    "task": "pa", "optim": {"lr": 1e-2},
    "train": {"max_steps": 6, "batch_size": 4, "frame": 32, "burn_in": 8, "eval_every": 3, "compile": "off"},
}  # fmt: skip


class Small(nn.Module):
    context = 4

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.taps, self.head = nn.Conv1d(2, width, 5), nn.Conv1d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.taps(F.pad(x.transpose(1, 2), (4, 0))))
        return x + self.head(hidden).transpose(1, 2)


def absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).abs().mean()


@pytest.fixture(scope="module")
def own(
    tmp_path_factory: pytest.TempPathFactory, capture: dpdrun.Capture, fit_gmp_once: None
) -> tuple[dpdrun.Run, Small]:
    torch.manual_seed(0)
    net = Small()
    return dpdrun.train(RECIPE, capture, tmp_path_factory.mktemp("own") / "run", model=net, loss=absolute_error), net


def test_it_is_trained_by_that_loss_from_its_weights(own: tuple[dpdrun.Run, Small], capture: dpdrun.Capture) -> None:
    run, net = own
    assert run.plan.recipe.train.loss == "given"
    assert "given Small" in repr(run)
    trained = run.model.state_dict()
    assert all(not torch.equal(trained[f"module.{name}"], value) for name, value in net.state_dict().items())
    step = run.plan.recipe.train
    pairs = torch.tensor(np.stack([capture.train.x.real, capture.train.x.imag], 1), dtype=torch.float32)
    with torch.no_grad():  # mean absolute error at unit rms: of this signal and gain, between 0 and 2
        first = absolute_error(net(pairs[None] / capture.scale_x), pairs[None] / capture.scale_x)
    assert 0 < run.metrics.steps[0]["loss"] < 2 > float(first)
    assert step.max_steps == 6


def test_it_is_read_back_with_a_module_alone(own: tuple[dpdrun.Run, Small], capture: dpdrun.Capture) -> None:
    run, _ = own
    again = dpdrun.load_run(run.path, model=Small())
    assert np.array_equal(again.predict(capture.val.x), run.predict(capture.val.x))
    with pytest.raises(RunError, match=r"does not fit the module that was passed: tensor module.taps.weight is \(4, 2"):
        dpdrun.load_run(run.path, model=Small(width=5))
    late = Small()
    late.context = 9
    with pytest.raises(RunError, match="Small has a context of 9, but the run was made with 4"):
        dpdrun.load_run(run.path, model=late)


def test_runs_keep_their_own_modules(own: tuple[dpdrun.Run, Small], capture: dpdrun.Capture) -> None:
    class Linear(Small):  # the same tensors, another function
        def forward(self, x: Tensor) -> Tensor:
            hidden = self.taps(F.pad(x.transpose(1, 2), (4, 0)))
            return x + self.head(hidden).transpose(1, 2)

    run, net = own
    first, second = dpdrun.load_run(run.path, model=net), dpdrun.load_run(run.path, model=Linear())
    assert np.array_equal(first.predict(capture.val.x), run.predict(capture.val.x))
    assert not np.array_equal(second.predict(capture.val.x), run.predict(capture.val.x))
    with pytest.raises(MissingPluginError, match="Small; pass it again"):
        dpdrun.load_run(run.path).predict(capture.val.x)


def test_a_predistorter_of_a_pa_model_that_was_passed(
    own: tuple[dpdrun.Run, Small], capture: dpdrun.Capture, tmp_path: Path
) -> None:
    recipe = {"optim": {"lr": 1e-3}, "train": RECIPE["train"], "dpd": {"weak_pa": "accept"}}
    dpd = dpdrun.train_dpd(own[0], recipe, tmp_path / "dpd", model=Small(width=3))
    again = dpdrun.load_run(dpd.path, model=Small(width=3), pa=own[0])
    assert again.evaluate("val").to_dict()["splits"]["val"] == dpd.evaluate("val").to_dict()["splits"]["val"]
    with pytest.raises(RunError, match="Small; pass it again"):
        dpdrun.load_run(dpd.path, model=Small(width=3)).evaluate("val")


def test_it_is_resumed_with_a_module_of_its_shape(
    own: tuple[dpdrun.Run, Small], capture: dpdrun.Capture, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    shutil.copytree(own[0].path, part)
    for name in ("report.json", "model.safetensors", "audit.json"):
        (part / name).unlink()
    again = dpdrun.train(RECIPE, capture, part, model=Small(), loss=absolute_error, resume=True)
    assert np.array_equal(again.predict(capture.val.x), own[0].predict(capture.val.x))


def test_another_process_reads_the_log_and_asks_for_the_module(own: tuple[dpdrun.Run, Small]) -> None:
    code = (
        "import dpdrun, sys; run = dpdrun.load_run(sys.argv[1]); print(run, run.scores, dpdrun.diagnose(run))\n"
        "try: run.predict([[0.0, 1.0]])\nexcept dpdrun.DpdrunError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(own[0].path)], check=True, capture_output=True, text=True, encoding="utf-8"
    )
    assert "given Small" in done.stdout
    assert "passed from Python, Small; pass it again: dpdrun.load_run(path, model=...)" in done.stdout


def test_a_run_of_ours_takes_no_module(run: dpdrun.Run) -> None:
    with pytest.raises(RunError, match="this run has a transformer; it was not made with model="):
        dpdrun.load_run(run.path, model=Small())


def test_a_module_takes_the_place_of_the_model_of_a_recipe(capture: dpdrun.Capture, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"optim.lr: auto, but no rule"):
        dpdrun.train("quickstart", capture, tmp_path / "run", model=Small(), overrides={"optim.lr": "auto"})


def test_errors_of_the_users_code_name_its_line(capture: dpdrun.Capture, tmp_path: Path) -> None:
    def of_another_shape(prediction: Tensor, target: Tensor) -> Tensor:
        return prediction - target

    def detached(prediction: Tensor, target: Tensor) -> Tensor:
        return absolute_error(prediction.detach(), target)

    def broken(prediction: Tensor, target: Tensor) -> Tensor:
        return prediction @ target

    with pytest.raises(PluginError, match=r"of_another_shape returned a tensor of shape \(4, 24, 2\), not a tensor of"):
        dpdrun.train(RECIPE, capture, tmp_path / "a", model=Small(), loss=of_another_shape)
    with pytest.raises(PluginError, match=r"detached returned a number that has no gradient; compute it by torch"):
        dpdrun.train(RECIPE, capture, tmp_path / "d", model=Small(), loss=detached)
    with pytest.raises(RunError, match=r"test_own_module.py:\d+: RuntimeError: .*; in broken"):
        dpdrun.train(RECIPE, capture, tmp_path / "b", model=Small(), loss=broken)
    with pytest.raises(RecipeError, match="loss: expected a function of"):
        dpdrun.train(RECIPE, capture, tmp_path / "c", model=Small(), loss=3)  # type: ignore[arg-type]


def test_without_a_context_rules_set_the_frame(capture: dpdrun.Capture, tmp_path: Path) -> None:
    train = {"max_steps": 2, "batch_size": 2, "eval_every": 2}
    run = dpdrun.train({**RECIPE, "train": train}, capture, tmp_path / "run", model=nn.Sequential(nn.Linear(2, 2)))
    assert run.plan.recipe.train.burn_in == 64
    assert "declares no context" in (run.path / "plan.json").read_text()
    with pytest.raises(RunError, match=r"its whole record .it declares no context.*declare the samples"):
        run.export()


def test_a_module_predistorts_too(least: dpdrun.Run, tmp_path: Path) -> None:
    net = Small()
    dpd = dpdrun.train_dpd(least, {"optim": {"lr": 1e-3}, "train": RECIPE["train"]}, tmp_path / "dpd", model=net)
    assert isinstance(dpdrun.load_run(dpd.path, model=net), dpdrun.Predistorter)
    assert dpd.predistort(least.capture.val.x).shape == least.capture.val.x.shape


def test_it_is_exported_as_torchscript(own: tuple[dpdrun.Run, Small], tmp_path: Path) -> None:
    assert own[0].export(path=tmp_path / "model.pt").path.suffix == ".pt"
    with pytest.raises(RunError, match=r"onnx has no graph for model.kind given"):
        own[0].export("onnx", tmp_path / "model.onnx")


def test_parts_are_frozen_by_the_names_of_the_module(
    own: tuple[dpdrun.Run, Small], capture: dpdrun.Capture, tmp_path: Path
) -> None:
    train = {**RECIPE["train"], "init_from": str(own[0].path), "freeze": ["taps"]}  # type: ignore[dict-item]
    run = dpdrun.train({**RECIPE, "train": train}, capture, tmp_path / "run", model=Small(), loss=absolute_error)
    before, after = (dict(each.model.named_parameters()) for each in (own[0], run))
    equal = {name for name in before if torch.equal(before[name], after[name])}
    assert equal == {"module.taps.weight", "module.taps.bias"}
    again = {**RECIPE, "train": train | {"freeze": ["nothing"]}}
    with pytest.raises(RecipeError, match=r"nothing matches no parameter; the parts are taps and head"):
        dpdrun.train(again, capture, tmp_path / "no", model=Small())

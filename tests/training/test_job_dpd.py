"""A whole job of a predistorter: what it learns, what it leaves, and how it goes on."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dpdrun.data.sources import load_capture
from dpdrun.diagnosis.diagnose import diagnose
from dpdrun.errors import RecipeError, RunError, StoppedError
from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.prediction import predict
from dpdrun.models._cascade import LimitedPredistorter
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.run.scores import chosen
from dpdrun.training import job
from dpdrun.training.job import load_run

GMP = """\
task: dpd
pa: {pa}
data: {{source: {source}, bandwidth_hz: 2.2e5}}
model: {{kind: gmp, order: 5, delays: 6, cross: 1}}
dpd: {{learning: ilc}}
"""
LONGER = ("train.max_steps=300", "train.eval_every=100", "train.checkpoint_every=300", "train.frame=64")


@pytest.fixture(scope="module")
def direct(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("direct") / "run"
    return path, job.train(bench.recipe(*LONGER), path)


@pytest.fixture(scope="module")
def ilc(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("ilc") / "run"
    return path, job.train(bench.recipe(text=GMP), path)


@pytest.mark.parametrize("run", ["direct", "ilc"])
def test_the_amplifier_is_more_linear_with_it(run: str, request: pytest.FixtureRequest) -> None:
    _, report = request.getfixturevalue(run)
    for split in ("val", "test"):
        without, score = report["baselines"]["one_tap"][split], report["splits"][split]
        for figure, least in (("nmse_db", 8), ("in_band_db", 8), ("aclr_worse_db", 2), ("objective_db", 5)):
            assert score[figure] < without[figure] - least, figure
        assert abs(score["power_db"]) < 0.5
        assert abs(without["power_db"]) < 0.05, "it is compared at equal output power"


def test_least_squares_on_the_ideal_input_beats_indirect_learning(ilc: tuple[Path, dict[str, Any]]) -> None:
    _, report = ilc
    assert report["ilc"]["train"]["nmse_db"] < -50
    for split in ("val", "test"):
        assert report["splits"][split]["objective_db"] < report["baselines"]["gmp"][split]["objective_db"]
    assert report["steps"] == 0


def test_a_diagnosis_compares_the_ideal_input_with_the_pa_model(ilc: tuple[Path, dict[str, Any]]) -> None:
    path, report = ilc
    facts = diagnose(path).facts
    worse = max(each["within_reach_db"] for each in report["ilc"].values())
    assert (facts.ilc_db, facts.pa_db) == (worse, chosen(report["pa"])["nmse_db"]["val"])


def test_the_report_says_how_it_is_known(bench: Any, direct: tuple[Path, dict[str, Any]]) -> None:
    path, report = direct
    capture = load_capture(bench.recipe().recipe.data)
    assert report["simulated"] is True
    assert report["task"] == "dpd"
    assert report["learning"] == "direct"
    gain = np.abs(capture.train.y).max() / np.abs(capture.train.x).max()
    assert report["gain"] == {"method": "peak", "value": pytest.approx(gain)}
    assert report["peak_limit"] == pytest.approx(np.abs(capture.train.x).max())
    its = RunFolder.open(bench.pa)
    before = its.read_json(its.report)
    assert report["pa"]["path"] == str(bench.pa)
    for split in ("val", "test"):
        assert report["pa"]["nmse_db"][split] == pytest.approx(before["splits"][split]["nmse_db"], abs=1e-6)
        assert report["splits"][split]["peak"] <= report["peak_limit"] * (1 + 1e-6)
        assert report["splits"][split]["papr_db"] > 0
    assert report["pa"]["weak"] is False
    assert report["floor"]["nmse_db"] is None
    assert RunFolder(path).read_json(RunFolder(path).report)["splits"] == report["splits"]


def test_only_the_predistorter_is_kept(direct: tuple[Path, dict[str, Any]]) -> None:
    path, report = direct
    tensors = load_file(RunFolder(path).model)
    assert sum(value.numel() for name, value in tensors.items() if not name.startswith("scale")) == report["parameters"]
    model, plan, _ = load_run(path)
    assert isinstance(model, LimitedPredistorter)
    assert plan.predistortion is not None
    assert model.peak == plan.predistortion.peak_limit
    loud = np.full(200, 10.0 + 0j)
    assert np.abs(predict(model, loud)).max() <= model.peak * (1 + 1e-6)
    assert model.lookahead == 2


def test_scoring_it_again_gives_the_same(bench: Any, direct: tuple[Path, dict[str, Any]]) -> None:
    path, report = direct
    model, plan, _ = load_run(path)
    again = evaluate(model, plan, load_capture(plan.recipe.data))
    for split in ("val", "test"):
        for figure, value in report["splits"][split].items():
            if isinstance(value, float):
                assert again["splits"][split][figure] == pytest.approx(value, abs=1e-4), figure


def test_the_log_has_what_selects_and_what_the_rules_read(direct: tuple[Path, dict[str, Any]]) -> None:
    path, report = direct
    lines = read_metrics(path).evals
    assert len(lines) == 3
    for line in lines:
        assert line["objective_db"] == pytest.approx((line["in_band_db"] + line["aclr_worse_db"]) / 2)
        assert math.isfinite(line["val_nmse_db"])
    held = [line for line in lines if abs(line["power_db"]) <= 0.5]
    assert held
    best = min(held, key=lambda line: line["objective_db"])
    assert report["best_step"] == best["step"]
    assert report["splits"]["val"]["objective_db"] == pytest.approx(best["objective_db"], abs=1e-6)
    assert diagnose(path).verdict in ("healthy", "warning")


def test_resume_equals_the_uninterrupted_run(bench: Any, tmp_path: Path, stop_at: Callable[..., job.Watch]) -> None:
    straight = job.train(bench.recipe(), tmp_path / "straight")
    with pytest.raises(StoppedError):
        job.train(bench.recipe(), tmp_path / "broken", watch=stop_at(30))
    assert job.train(bench.recipe(), tmp_path / "broken", resume=True)["splits"] == straight["splits"]
    first, second = (load_file(RunFolder(tmp_path / name).model) for name in ("straight", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resume_with_another_pa_is_refused(bench: Any, tmp_path: Path, stop_at: Callable[..., job.Watch]) -> None:
    pa = tmp_path / "pa"
    shutil.copytree(bench.pa, pa)
    with pytest.raises(StoppedError):
        job.train(bench.recipe(f"pa={pa}"), tmp_path / "run", watch=stop_at(30))
    with pytest.raises(RunError, match=r"another recipe .*\n?.*pa "):
        job.train(bench.recipe("pa=off", "dpd.learning=indirect"), tmp_path / "run", resume=True)
    model = RunFolder(pa).model
    model.write_bytes(RunFolder(tmp_path / "run").best.read_bytes())
    with pytest.raises(RunError, match="tensor"):
        job.train(bench.recipe(f"pa={pa}"), tmp_path / "run", resume=True)
    shutil.rmtree(pa)
    job.train(bench.recipe("task=pa", "pa=off", "data.bandwidth_hz=2.2e5", "model={kind: gmp, order: 4, delays: 3, "
                           "cross: 1}", "train={}", "optim={}", "data.split={guard: 30}"), pa)  # fmt: skip
    with pytest.raises(RunError, match="not the PA model that the predistorter was trained through"):
        job.train(bench.recipe(f"pa={pa}"), tmp_path / "run", resume=True)


@pytest.mark.parametrize("kind", ["network", "least squares"])
def test_indirect_learning_needs_no_pa_model(bench: Any, tmp_path: Path, kind: str) -> None:
    overrides = ("pa=off", "dpd.learning=indirect")
    loaded = bench.recipe(*overrides) if kind == "network" else bench.recipe(*overrides, text=GMP)
    report = job.train(loaded, tmp_path / "run")
    assert report["simulated"] is False
    assert report["splits"]["val"]["nmse_db"] < -15
    assert report["gain"]["value"] > 1
    assert isinstance(load_run(tmp_path / "run")[0], LimitedPredistorter)


def test_indirect_learning_is_scored_through_a_pa_model_that_is_there(bench: Any, tmp_path: Path) -> None:
    report = job.train(bench.recipe("dpd.learning=indirect"), tmp_path / "run")
    assert report["simulated"] is True
    assert "objective_db" in read_metrics(tmp_path / "run").evals[0]
    assert diagnose(tmp_path / "run").facts.loss_is_nmse is False


class Saturating(nn.Module):
    """Somebody else's PA model: nothing of ours but the shape."""

    def __init__(self, bench: Any) -> None:
        super().__init__()
        model, _, _ = load_run(bench.pa)
        self.inner = model

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


def test_the_pa_may_be_handed_over_from_python(bench: Any, tmp_path: Path) -> None:
    given = Saturating(bench)
    loaded = bench.recipe("pa=given", *LONGER)
    report = job.train(loaded, tmp_path / "run", pa=given)
    assert report["splits"]["val"]["objective_db"] < report["baselines"]["one_tap"]["val"]["objective_db"] - 5
    assert report["pa"]["path"] == "given"
    model, plan, _ = load_run(tmp_path / "run")
    capture = load_capture(plan.recipe.data)
    with pytest.raises(RunError, match="passed from Python"):
        evaluate(model, plan, capture)
    again = evaluate(model, plan, capture, ("val",), pa=given)
    assert again["splits"]["val"]["nmse_db"] == pytest.approx(report["splits"]["val"]["nmse_db"], abs=1e-4)
    with torch.no_grad():
        next(iter(given.inner.parameters())).mul_(1.1)
    with pytest.raises(RunError, match="not the PA model"):
        evaluate(model, plan, capture, ("val",), pa=given)


def test_a_spectral_loss_trains(bench: Any, tmp_path: Path) -> None:
    report = job.train(bench.recipe(*LONGER, "train.loss.out_of_band=20"), tmp_path / "run")
    assert report["splits"]["val"]["aclr_worse_db"] < report["baselines"]["one_tap"]["val"]["aclr_worse_db"] - 4
    assert diagnose(tmp_path / "run").facts.loss_is_nmse is False


def test_what_cannot_be_is_refused_before_anything_is_written(bench: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train.loss: .* does not state the bandwidth"):
        job.train(bench.recipe("train.loss.out_of_band=20", "data.bandwidth_hz=auto"), tmp_path / "run")
    assert not (tmp_path / "run").exists()

"""The PA model of a dpd recipe: what is taken, and what is refused at which line."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dpdrun.errors import RecipeError
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import locate_pa, pa_section
from dpdrun.recipe.loader import load_text
from dpdrun.run.files import sha256_of
from dpdrun.run.folder import RunFolder
from dpdrun.run.scores import WITH_PAST, chosen
from dpdrun.training import job

PLACE = r"dpd\.yaml:2:1: pa: "  # the line of `pa` in the recipe of these tests


@pytest.fixture
def copy(bench: Any, tmp_path: Path) -> RunFolder:
    """A PA run to spoil."""
    shutil.copytree(bench.pa, tmp_path / "pa")
    return RunFolder(tmp_path / "pa")


def refused(bench: Any, pa: object, *overrides: str) -> str:
    """The message with which the recipe is refused; the PA is named in the file."""
    text = bench.recipe().text.replace(str(bench.pa), str(pa))
    with pytest.raises(RecipeError) as error:
        job.prepare_training(load_text(text, bench.path / "dpd.yaml", overrides))
    return str(error.value)


def test_what_is_settled(bench: Any) -> None:
    plan, capture = job.prepare_training(bench.recipe("dpd.gain=same_power", "dpd.peak_limit=0.7"))
    made = plan.predistortion
    assert made is not None
    assert made.pa_sha256 == sha256_of(RunFolder(bench.pa).model)
    assert made.gain == pytest.approx(capture.scale_y / capture.scale_x)
    assert made.peak_limit == 0.7
    free, _ = job.prepare_training(bench.recipe("dpd.peak_limit=off"))
    assert free.predistortion is not None
    assert free.predistortion.peak_limit == float("inf")
    assert free.digest("x") != plan.digest("x")


def test_the_same_pa_at_another_place_is_the_same_plan(bench: Any, copy: RunFolder) -> None:
    first, _ = job.prepare_training(bench.recipe())
    second, _ = job.prepare_training(bench.recipe(f"pa={copy.path}"))
    assert first.recipe.pa != second.recipe.pa
    assert first.digest("x") == second.digest("x")


def test_a_pa_that_is_not_there(bench: Any) -> None:
    message = refused(bench, bench.path / "runs" / "pb")
    assert "no such run folder; runs in" in message
    assert message.startswith(f"{bench.path / 'dpd.yaml'}:2:1: pa: ")
    assert "not a run folder" in refused(bench, bench.path)


def test_a_pa_that_is_not_there_comes_with_the_command_that_trains_it(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = bench.recipe().text.replace(str(bench.pa), "runs/amp")
    for recipe in ("RECIPE-OF-THE-PA", f"{tmp_path}/amp.yaml"):
        with pytest.raises(RecipeError) as error:
            job.prepare_training(load_text(text, tmp_path / "dpd.yaml"))
        assert f"; train the PA model first:\n  dpdrun train {recipe} --run-dir runs/amp\n" in str(error.value)
        (tmp_path / "amp.yaml").write_text("")  # then it is there, beside the recipe


def test_the_section_of_a_pa_model(bench: Any) -> None:
    plan, _ = job.prepare_training(bench.recipe())
    assert pa_section(plan) == Plan.from_json(RunFolder(bench.pa).read_json(RunFolder(bench.pa).plan)).recipe.model
    without = plan.recipe.model_copy(update={"pa": "off"})
    assert pa_section(replace(plan, recipe=without)) is None


def test_a_pa_run_that_is_not_finished(bench: Any, copy: RunFolder) -> None:
    copy.report.unlink()
    assert "not finished; continue it with:\n  dpdrun train" in refused(bench, copy.path)


def test_a_pa_run_that_is_damaged(bench: Any, copy: RunFolder) -> None:
    copy.model.write_bytes(copy.model.read_bytes()[:100])
    assert "damaged or not a safetensors file" in refused(bench, copy.path)
    copy.report.write_text("{}")
    assert "damaged (KeyError('capture'))" in refused(bench, copy.path)


def test_a_pa_of_other_samples(bench: Any) -> None:
    message = refused(bench, bench.pa, "data.split.guard=3")
    assert "was trained on other samples" in message
    assert "they differ in data.split" in message
    assert "data.cyclic" in refused(bench, bench.pa, "data.split.guard=3", "data.cyclic=off")


def test_a_capture_that_changed_since(bench: Any, copy: RunFolder) -> None:
    report = json.loads(copy.report.read_text())
    report["capture"]["sha256"] = "0" * 64
    copy.report.write_text(json.dumps(report))
    assert "the data have changed since it was trained" in refused(bench, copy.path)


def test_a_predistorter_is_no_pa(bench: Any, copy: RunFolder) -> None:
    plan = json.loads(copy.plan.read_text())
    plan["recipe"]["task"] = "dpd"
    copy.plan.write_text(json.dumps(plan))
    assert "is a run of task dpd" in refused(bench, copy.path)


def test_a_pa_worse_than_a_gmp(bench: Any, copy: RunFolder) -> None:
    report = json.loads(copy.report.read_text())
    gmp = chosen(report["baselines"]["gmp"]["val"])["nmse_db"]
    report["splits"]["val"] |= {"nmse_db": gmp + 0.5, WITH_PAST: None}
    copy.report.write_text(json.dumps(report))
    message = refused(bench, copy.path)
    assert "worse than a gmp on the validation split" in message
    assert "dpd.weak_pa: accept" in message
    plan, _ = job.prepare_training(bench.recipe(f"pa={copy.path}", "dpd.weak_pa=accept"))
    assert plan.predistortion is not None


def test_a_relative_path_starts_at_the_working_folder_or_the_recipe(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = os.path.relpath(bench.pa, bench.path)
    monkeypatch.chdir(tmp_path)
    assert locate_pa(bench.recipe(f"pa={relative}")) == str(bench.path / relative)
    (tmp_path / relative).mkdir(parents=True)
    assert locate_pa(bench.recipe(f"pa={relative}")) == str(tmp_path / relative)
    assert locate_pa(bench.recipe("pa=given")) == "given"


class Scaled(nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * x


def test_a_module_is_for_pa_given(bench: Any) -> None:
    with pytest.raises(RecipeError, match=r"pa: given: .* dpdrun.train\(..., pa=module\)"):
        job.prepare_training(bench.recipe("pa=given"))
    with pytest.raises(RecipeError, match="write pa: given"):
        job.prepare_training(bench.recipe(), Scaled(3.0))


def test_a_module_is_held_against_a_gmp_too(bench: Any) -> None:
    with pytest.raises(RecipeError, match="worse than a gmp"):
        job.prepare_training(bench.recipe("pa=given"), Scaled(3.0))
    module = Scaled(3.0)
    plan, _ = job.prepare_training(bench.recipe("pa=given", "dpd.weak_pa=accept"), module)
    other, _ = job.prepare_training(bench.recipe("pa=given", "dpd.weak_pa=accept"), Scaled(3.1))
    assert plan.digest("x") != other.digest("x")
    assert not module.gain.requires_grad
    assert np.isfinite(plan.predistortion.gain if plan.predistortion else np.nan)

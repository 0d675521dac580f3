from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dpdrun.errors import RecipeError
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import prepare
from dpdrun.plan.recorded import capture_of, plan_of
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.schema import AlignSection
from dpdrun.run.folder import RunFolder
from tests.data.flawed import hard, received

RECIPE = "task: pa\nmodel: {{kind: gmp}}\ndata: {{source: {source}{more}}}\n"


def test_what_alignment_found_stands_in_the_plan(tmp_path: Path) -> None:
    source = tmp_path / "late.npz"
    np.savez(source, x=hard()[0][:12_000], y=received(12_000, delay=30.4, dc=0.1), sample_rate_hz=983.04e6)
    loaded = load_text(RECIPE.format(source=source, more=", align: auto"), tmp_path / "r.yaml")
    plan, capture = prepare(loaded)
    values = plan.recipe.data.align
    assert isinstance(values, AlignSection)
    assert values.delay_samples == pytest.approx(30.4, abs=0.03)
    assert plan.provenance["data.align.delay_samples"].why == "estimated on the training split"
    run = RunFolder.create(tmp_path / "run")
    run.write_json(run.plan, plan.to_json() | {"data_sha256": capture.sha256})
    again = capture_of(run, plan_of(run))
    assert again.sha256 == capture.sha256
    assert np.array_equal(again.test.y, capture.test.y)
    assert again.alignment is not None
    assert again.alignment.decision is None  # nothing was estimated again


def test_a_resampled_capture_is_read_again_at_the_rates_of_the_plan(tmp_path: Path) -> None:
    loaded = load_text(RECIPE.format(source="synthetic/mild", more=", resample_to_hz: 737.28e6"), tmp_path / "r.yaml")
    plan, capture = prepare(loaded)
    assert (plan.recipe.data.sample_rate_hz, plan.recipe.data.resample_to_hz) == (983.04e6, 737.28e6)
    assert capture.sample_rate_hz == 737.28e6
    assert capture.grid is not None  # its symbols are still whole numbers of samples
    run = RunFolder.create(tmp_path / "run")
    run.write_json(run.plan, plan.to_json() | {"data_sha256": capture.sha256})
    assert capture_of(run, plan_of(run)).sha256 == capture.sha256


def test_without_alignment_a_plan_is_what_it_was(tmp_path: Path) -> None:
    """Plans and digests of recipes without `align` do not know the field, as before there was one; nor resampling."""
    loaded = load_text(RECIPE.format(source="synthetic/mild", more=""), tmp_path / "r.yaml")
    plan, capture = prepare(loaded)
    content = json.loads(json.dumps(plan.to_json()))
    assert not {"align", "resample_to_hz"} & content["recipe"]["data"].keys()
    assert Plan.from_json(content).recipe.data.align == "off"
    assert Plan.from_json(content).digest(capture.sha256) == plan.digest(capture.sha256)


@pytest.mark.parametrize("model", ["d_model: 8, layers: 1000000000", "d_model: 800000, layers: 10"])
def test_a_model_that_no_memory_holds_is_refused_before_it_is_built(tmp_path: Path, model: str) -> None:
    text = f"task: pa\nmodel: {{kind: transformer, heads: 2, window: 8, {model}}}\ndata: {{source: synthetic/mild}}\n"
    with pytest.raises(RecipeError, match=r"r\.yaml:2:1: model: .* GiB with their gradients"):
        prepare(load_text(text, tmp_path / "r.yaml"))

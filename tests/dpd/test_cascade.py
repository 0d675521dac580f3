"""The parts of a predistorter's job. Whole jobs are in tests/training/test_job_dpd.py."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dpdrun import dpd, models
from dpdrun.data.capture import Capture, Part
from dpdrun.dpd.cascade import (
    cascade_of,
    direct_pair,
    dpd_settings,
    indirect_pair,
    objective_of,
    pa_model_of,
    with_limiter,
)
from dpdrun.errors import RunError
from dpdrun.models._cascade import LimitedPredistorter, fingerprint
from dpdrun.plan.measured import Predistortion
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.schema import Recipe

DPD = Path(dpd.__file__).parent
GAIN = 2.5


def part(seed: int) -> Part:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=300) + 1j * rng.normal(size=300)
    return Part(x, 2.0 * x * (1 - 0.02 * np.abs(x) ** 2))


CAPTURE = Capture(
    name="test", sample_rate_hz=1e6, bandwidth_hz=2e5, subchannels=None, licence="", note="",
    train=part(0), val=part(1), test=part(2), noise_floor_db=-50.0,
)  # fmt: skip


def plan_of(pa: str = "off", sha256: str | None = None) -> Plan:
    content = {"task": "dpd", "pa": pa, "data": {"source": "x"}, "model": {"kind": "gru", "hidden": 4}}
    recipe = Recipe.model_validate({**content, "dpd": {"learning": "indirect"}})
    return replace(make_plan(recipe, 3000), predistortion=Predistortion(sha256, GAIN, 1.5))


def test_pairs() -> None:
    forward, backward = direct_pair(CAPTURE, plan_of()), indirect_pair(CAPTURE, plan_of())
    for name, mine in CAPTURE.parts.items():
        assert np.allclose(forward.parts[name].y, GAIN * mine.x)
        assert np.array_equal(forward.parts[name].x, mine.x)
        assert np.allclose(backward.parts[name].x, mine.y / GAIN)
        assert np.array_equal(backward.parts[name].y, mine.x)
    assert forward.noise_floor_db is backward.noise_floor_db is None, "the noise is in neither target"


def test_the_limiter_is_put_on_once() -> None:
    plan = plan_of()
    model = models.build(plan.recipe.model, scale_x=1.0, scale_y=1.0)
    played = with_limiter(model, plan)
    assert isinstance(played, LimitedPredistorter)
    assert played.peak == 1.5
    assert with_limiter(played, plan) is played
    both = cascade_of(played, plan, CAPTURE, models.build(plan.recipe.model, scale_x=1.0, scale_y=1.0))
    assert both.predistorter is played
    assert float(both.scale_y) == pytest.approx(GAIN * CAPTURE.scale_x)


def test_an_output_is_held_against_the_target() -> None:
    found = objective_of(CAPTURE, plan_of(), CAPTURE.val, 1.01 * GAIN * CAPTURE.val.x)
    assert found.nmse_db == pytest.approx(-40.0)


def test_a_plan_of_a_pa_model_has_no_target() -> None:
    with pytest.raises(ValueError, match="no predistortion"):
        dpd_settings(replace(plan_of(), predistortion=None))


def test_the_amplifier_is_the_one_that_was_pinned() -> None:
    module = torch.nn.Linear(2, 2)
    assert pa_model_of(plan_of()) is None
    plan = plan_of("given", fingerprint(module))
    found = pa_model_of(plan, module)
    assert found is not None
    assert pa_model_of(plan, found) is found, "frozen or not, it is the same module"
    with pytest.raises(RunError, match="pass it again"):
        pa_model_of(plan)
    with pytest.raises(RunError, match="not the PA model"):
        pa_model_of(plan, torch.nn.Linear(2, 2))
    with pytest.raises(RunError, match="no such run folder"):
        pa_model_of(plan_of("runs/none", "0" * 64))


def test_settings_and_plot_data_come_without_torch() -> None:
    modules = ["dpdrun.evaluation.plot_data", *(f"dpdrun.dpd.{path.stem}" for path in DPD.glob("[!_]*.py"))]
    assert len(modules) > 5
    code = f"import sys; from importlib import import_module; [*map(import_module, {modules})]"
    subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=True)

"""The PA model of a dpd recipe, pinned by its hash, and what it and the data decide for a predistorter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from dpdrun.data.capture import Capture
from dpdrun.dpd.cascade import stored_pa_model
from dpdrun.dpd.target_gain import target_gain
from dpdrun.errors import RunError
from dpdrun.evaluation.baselines import gmp_baseline
from dpdrun.evaluation.prediction import predict_split
from dpdrun.models._cascade import fingerprint, frozen
from dpdrun.plan.measured import Predistortion
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import names_a_run, refuse_weak_pa
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.schema import GIVEN
from dpdrun.rf.metrics import nmse_db
from dpdrun.run.scores import chosen


def resolve(loaded: Loaded, plan: Plan, capture: Capture, pa: nn.Module | None) -> Predistortion:
    """Return what the data and the PA model decide for a predistorter.

    Args:
        loaded: the recipe, for the places of what is wrong.
        plan: of the recipe, from `plan.prepare.prepare`, which has checked the PA run but for its tensors.
        capture: its pair.
        pa: the module of the caller, for `pa: given`.

    Raises:
        RecipeError: the tensors of the PA run are damaged, or the module is missing, unexpected or worse than a gmp.
    """
    given = loaded.recipe.pa == GIVEN
    if (pa is not None) != given:
        message = (
            "pa: given: this PA model is a module that is passed from Python: dpdrun.train(..., pa=module)"
            if given else "pa: a module was passed from Python, but the recipe names another; write pa: given"
        )  # fmt: skip
        raise loaded.error([("pa", message)])
    sha256 = None
    if pa is not None:
        sha256, model = fingerprint(pa), frozen(pa)
        own = nmse_db(capture.val.y, predict_split(model, capture.val, loop=capture.loop_samples).chosen)
        refuse_weak_pa(loaded, own, chosen(gmp_baseline(capture, ("val",))["val"])["nmse_db"])
    elif names_a_run(plan.recipe):
        try:
            sha256 = stored_pa_model(Path(plan.recipe.pa))[0]  # reads the tensors too: damage shows here
        except RunError as error:
            raise loaded.error([("pa", f"pa: {error}")]) from None
    peak_limit, x = plan.recipe.dpd.peak_limit, capture.train.x
    limit = float(np.max(np.abs(x))) if peak_limit == AUTO else float("inf") if peak_limit == OFF else float(peak_limit)
    return Predistortion(sha256, target_gain(x, capture.train.y, plan.recipe.dpd.gain), limit)

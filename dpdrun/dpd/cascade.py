"""Build the parts of predistorter training: the PA model, the pairs to train on, the cascade, the objective.

x, y: input and output of a capture; G: the gain to aim at; u: output of the predistorter, input of the amplifier.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture, Part
from dpdrun.dpd.objective import DPDObjective, dpd_objective
from dpdrun.errors import RunError
from dpdrun.plan.measured import Predistortion
from dpdrun.plan.plan import Plan
from dpdrun.recipe.schema import GIVEN
from dpdrun.run.files import sha256_of
from dpdrun.run.folder import RunFolder

if TYPE_CHECKING:  # torch, which settings and objectives do without
    from dpdrun.models._base import BehaviouralModel
    from dpdrun.models._cascade import Cascade, LimitedPredistorter


def dpd_settings(plan: Plan) -> Predistortion:
    """Return the settings that data and PA model decided for a predistorter. Raises ValueError if there are none."""
    if plan.predistortion is None:
        raise ValueError("the plan has no predistortion: it is of task pa, or not from training.job.prepare_training")
    return plan.predistortion


def pa_model_of(plan: Plan, pa: Any = None) -> BehaviouralModel | None:
    """Return the frozen PA model of a dpd plan; None if it has none.

    Args:
        plan: with its `predistortion`.
        pa: the module of the caller, for `pa: given`.

    Raises:
        RunError: it is missing, or not the one that the plan was made with.
    """
    from dpdrun.models._cascade import fingerprint, frozen

    pinned, where = dpd_settings(plan).pa_sha256, plan.recipe.pa
    if pinned is None:
        return None
    if where == GIVEN:
        if pa is None:
            raise RunError("the PA model of this run was passed from Python (pa: given); pass it again as pa=")
        actual, amplifier = fingerprint(pa), frozen(pa)
    else:
        try:
            actual, amplifier = stored_pa_model(Path(where))
        except RunError as error:
            raise RunError(
                f"pa: {error}\n  this predistorter can only be trained and scored through that PA model: move its run "
                "back, or next to this one"
            ) from None
    if actual != pinned:
        raise RunError(
            f"pa: {where}: this is not the PA model that the predistorter was trained through (sha256 {actual[:12]}, "
            f"was {pinned[:12]}); move that run back, or start a new run with another --run-dir"
        )
    return amplifier


def stored_pa_model(path: Path) -> tuple[str, BehaviouralModel]:
    """Return sha256 and frozen model of a finished PA run. Raises RunError if it cannot be read."""
    from dpdrun.models import _saved
    from dpdrun.models._cascade import frozen

    run = RunFolder.open(path)
    section = Plan.from_json(run.read_json(run.plan)).recipe.model
    return sha256_of(run.model), frozen(_saved.load(run.model, section, described_by=run.plan))


def direct_pair(capture: Capture, plan: Plan) -> Capture:
    """Return the pair (x, G x): input of the predistorter and target output of its amplifier."""
    gain = dpd_settings(plan).gain
    parts: dict[str, Any] = {n: part.map(lambda p: Part(p.x, gain * p.x)) for n, part in capture.parts.items()}
    return replace(capture, noise_floor_db=None, **parts)


def indirect_pair(capture: Capture, plan: Plan) -> Capture:
    """Return the pair (y / G, x), which a postdistorter learns: it undoes the amplifier before it."""
    gain = dpd_settings(plan).gain
    parts: dict[str, Any] = {n: part.map(lambda p: Part(p.y / gain, p.x)) for n, part in capture.parts.items()}
    return replace(capture, noise_floor_db=None, **parts)


def cascade_of(model: BehaviouralModel, plan: Plan, capture: Capture, pa: BehaviouralModel) -> Cascade:
    """Return the predistorter with its limiter, followed by the PA model."""
    from dpdrun.models._cascade import Cascade

    return Cascade(with_limiter(model, plan), pa, scale_y=dpd_settings(plan).gain * capture.scale_x)


def with_limiter(model: BehaviouralModel, plan: Plan) -> LimitedPredistorter:
    """Return the predistorter with the limiter of its plan, added unless it is there."""
    from dpdrun.models._cascade import LimitedPredistorter

    return (
        model if isinstance(model, LimitedPredistorter) else LimitedPredistorter(model, dpd_settings(plan).peak_limit)
    )


def objective_of(capture: Capture, plan: Plan, part: Part, y: NDArray[np.complex128]) -> DPDObjective:
    """Measure an amplifier's output against the target G x of a split."""
    target, rate = dpd_settings(plan).gain * part.x, capture.sample_rate_hz
    return dpd_objective(target, y, rate, **capture.channels)

"""The parts of a predistorter's job: its PA model, the pairs it can learn from, the cascade, what an output is worth.

x, y: input and output of a capture; G: the gain to aim at; u: output of the predistorter, input of the amplifier.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture, Part
from dpdrun.dpd.objective import DPDObjective, dpd_objective
from dpdrun.errors import RunError
from dpdrun.models import _saved
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import Cascade, Limited, fingerprint, frozen
from dpdrun.plan.plan import Plan, Predistortion
from dpdrun.recipe.schema import GIVEN
from dpdrun.run.files import sha256_of
from dpdrun.run.folder import RunFolder


def dpd_settings(plan: Plan) -> Predistortion:
    """What data and PA model decided for a predistorter. Raises ValueError for a plan without."""
    if plan.predistortion is None:
        raise ValueError("the plan has no predistortion: it is of task pa, or was not made by training.job.prepare")
    return plan.predistortion


def pa_model_of(plan: Plan, pa: Any = None) -> BehaviouralModel | None:
    """The frozen PA model of a dpd plan; None where it has none.

    Args:
        plan: with its `predistortion`.
        pa: the module that the caller has, for `pa: given`.

    Raises:
        RunError: it is missing, or another one than the plan was made with.
    """
    pinned, where = dpd_settings(plan).pa_sha256, plan.recipe.pa
    if pinned is None:
        return None
    if where == GIVEN:
        if pa is None:
            raise RunError("the PA model of this run was handed over from Python (pa: given); hand it over again: pa=")
        found, amplifier = fingerprint(pa), frozen(pa)
    else:
        try:
            found, amplifier = stored_pa_model(Path(where))
        except RunError as error:
            raise RunError(
                f"pa: {error}\n  this predistorter learnt through that PA model, and is trained and scored through it "
                "alone: bring that run back, or put it next to this one"
            ) from None
    if found != pinned:
        raise RunError(
            f"pa: {where}: this is not the PA model that the predistorter was made for (sha256 {found[:12]}, was "
            f"{pinned[:12]}); bring that run back, or start a new run with another --run-dir"
        )
    return amplifier


def stored_pa_model(path: Path) -> tuple[str, BehaviouralModel]:
    """sha256 of the tensors of a finished PA run, and its frozen model. Raises RunError where it cannot be read."""
    run = RunFolder.open(path)
    section = Plan.from_json(run.read_json(run.plan)).recipe.model
    return sha256_of(run.model), frozen(_saved.load(run.model, section, described_by=run.plan))


def direct_pair(capture: Capture, plan: Plan) -> Capture:
    """The pair (x, G x): what goes into a predistorter and what its amplifier is to put out."""
    gain = dpd_settings(plan).gain
    parts: dict[str, Any] = {name: Part(part.x, gain * part.x) for name, part in capture.parts.items()}
    return replace(capture, noise_floor_db=None, **parts)


def indirect_pair(capture: Capture, plan: Plan) -> Capture:
    """The pair (y / G, x): what undoes the amplifier before it."""
    gain = dpd_settings(plan).gain
    parts: dict[str, Any] = {name: Part(part.y / gain, part.x) for name, part in capture.parts.items()}
    return replace(capture, noise_floor_db=None, **parts)


def cascade_of(model: BehaviouralModel, plan: Plan, capture: Capture, pa: BehaviouralModel) -> Cascade:
    """The predistorter with its limiter in front of the PA model."""
    made = dpd_settings(plan)
    return Cascade(with_limiter(model, plan), pa, scale_y=made.gain * capture.scale_x)


def with_limiter(model: BehaviouralModel, plan: Plan) -> Limited:
    """The predistorter with the limiter of its plan; one that has it is left as it is."""
    return model if isinstance(model, Limited) else Limited(model, dpd_settings(plan).peak_limit)


def objective_of(capture: Capture, plan: Plan, part: Part, y: NDArray[np.complex128]) -> DPDObjective:
    """Figures of an amplifier's output against the target G x of a part."""
    target, rate = dpd_settings(plan).gain * part.x, capture.sample_rate_hz
    return dpd_objective(target, y, rate, bandwidth_hz=capture.bandwidth_hz, carriers=capture.subchannels)

"""What a score is held against: one complex gain, a least-squares memory polynomial, no predistortion, the noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture
from dpdrun.dpd.cascade import cascade_of, dpd_settings, indirect_pair
from dpdrun.dpd.limiter import limited
from dpdrun.dpd.target_gain import linear_drive
from dpdrun.evaluation.prediction import Split, part_of, predict
from dpdrun.models import gmp
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.recipe.schema import GMPModel
from dpdrun.rf.floor import noise_floor
from dpdrun.rf.metrics import nmse_db, one_tap_gain

Outputs = dict[Split, NDArray[np.complex128]]

# The noise floor of a predistorter's score.
THROUGH_A_MODEL: dict[str, Any] = {
    "nmse_db": None,
    "method": "",
    "caveat": "scored through a PA model, which has no noise; what the amplifier itself leaves is not known",
}
DRIVE_SAMPLES = 16_384  # of the training part, to find the drive without predistortion: its power is known to 0.05 dB


def one_tap_outputs(capture: Capture, splits: Sequence[Split]) -> Outputs:
    """y = g x with the least-squares complex gain g of the training part: a model that learnt nothing."""
    gain = one_tap_gain(capture.train.x, capture.train.y)
    return {split: gain * part_of(capture, split).x for split in splits}


def one_tap_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """NMSE [dB] of `one_tap_outputs`."""
    return _scored(capture, one_tap_outputs(capture, splits))


def gmp_outputs(capture: Capture, splits: Sequence[Split]) -> tuple[Outputs, int]:
    """What a generalized memory polynomial of default size puts out, and its number of parameters.

    It is fitted to the training part by least squares; the validation part chooses its ridge.
    """
    model = fitted_gmp(capture)
    outputs = {s: predict(model, part_of(capture, s).x, loop=capture.loop_samples) for s in splits}
    return outputs, sum(p.numel() for p in model.parameters())


def gmp_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """NMSE [dB] of `gmp_outputs`, and the number of parameters."""
    outputs, parameters = gmp_outputs(capture, splits)
    return _scored(capture, outputs) | {"parameters": parameters}


def fitted_gmp(capture: Capture) -> BehaviouralModel:
    """A generalized memory polynomial of default size, fitted to the pair of a capture."""
    model = gmp.Model(GMPModel(kind="gmp"), scale_x=capture.scale_x, scale_y=capture.scale_y)
    model.fit(capture.train.x, capture.train.y, capture.val.x, capture.val.y, loop=capture.loop_samples)
    return model


def floor_of(capture: Capture) -> dict[str, Any]:
    """The noise floor of a capture as an NMSE [dB], how it is known, and what to doubt about it."""
    if capture.noise_floor_db is not None:
        return {"nmse_db": capture.noise_floor_db, "method": "known: the generator added it", "caveat": ""}
    return noise_floor(capture)


def without_predistortion(plan: Plan, capture: Capture, pa: BehaviouralModel, splits: Sequence[Split]) -> Outputs:
    """What a PA model puts out for the input times the complex factor that gives the target's power."""
    made, loop = dpd_settings(plan), capture.loop_samples

    def plant(u: NDArray[np.complex128]) -> NDArray[np.complex128]:
        return predict(pa, u, loop=loop)

    samples = DRIVE_SAMPLES // (loop or 1) * (loop or 1) or loop
    drive = linear_drive(plant, capture.train.x[:samples], made.gain, made.peak_limit)
    return {s: plant(limited(drive * part_of(capture, s).x, made.peak_limit)) for s in splits}


def gmp_predistorted(plan: Plan, capture: Capture, pa: BehaviouralModel, splits: Sequence[Split]) -> Outputs:
    """What a PA model puts out behind a gmp of default size by indirect learning, under the plan's limit."""
    cascade = cascade_of(fitted_gmp(indirect_pair(capture, plan)), plan, capture, pa).eval()
    return {s: predict(cascade, part_of(capture, s).x, loop=capture.loop_samples) for s in splits}


def _scored(capture: Capture, outputs: Outputs) -> dict[str, Any]:
    return {split: {"nmse_db": nmse_db(part_of(capture, split).y, y)} for split, y in outputs.items()}

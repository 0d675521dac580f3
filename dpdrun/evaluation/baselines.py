"""Compute what scores are compared with: one complex gain, a fitted gmp, no predistortion, the noise floor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture, Part, update_with
from dpdrun.data.inspection import noise_floor
from dpdrun.dpd.cascade import cascade_of, dpd_settings, indirect_pair
from dpdrun.dpd.limiter import limit_magnitude
from dpdrun.dpd.target_gain import linear_drive
from dpdrun.evaluation import gmp_cache
from dpdrun.evaluation.prediction import Split, SplitOutput, part_of, predict, predict_split
from dpdrun.models import gmp
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.recipe.schema import GMPModel
from dpdrun.rf.floor_estimates import FloorEstimate, by_repeats, by_smallest_inputs
from dpdrun.rf.metrics import nmse_db, one_tap_gain
from dpdrun.run.scores import WITH_PAST

Outputs = dict[Split, SplitOutput]

# The noise floor of a predistorter's score.
THROUGH_A_MODEL: dict[str, Any] = {
    "nmse_db": None,
    "method": "",
    "caveat": "scored through a PA model, which has no noise; the floor of the amplifier itself is not known",
}
MOST_FITTED = 4  # gmp baselines that are kept
DRIVE_SAMPLES = 16_384  # of the training split, to find the drive without predistortion: its power is known to 0.05 dB


def one_tap_outputs(capture: Capture, splits: Sequence[Split]) -> Outputs:
    """Return y = g x with the least-squares complex gain g of the training split, which has no memory of a past."""
    gain = one_tap_gain(capture.train.x, capture.train.y)
    return {split: SplitOutput(gain * part_of(capture, split).x) for split in splits}


def gmp_outputs(capture: Capture, splits: Sequence[Split]) -> tuple[Outputs, int]:
    """Return the outputs of a generalized memory polynomial of default size, and its number of parameters.

    It is fitted to the training split by least squares; the validation split chooses its ridge.
    """
    model = fitted_gmp(capture)
    outputs = {s: predict_split(model, part_of(capture, s), loop=capture.loop_samples) for s in splits}
    return outputs, sum(p.numel() for p in model.parameters())


def gmp_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """Return the NMSE [dB] of `gmp_outputs` by split as `nmse_fields`, and the number of parameters."""
    outputs, parameters = gmp_outputs(capture, splits)
    scores: dict[str, Any] = {s: nmse_fields(part_of(capture, s).y, y) for s, y in outputs.items()}
    return scores | {"parameters": parameters}


def nmse_fields(reference: NDArray[np.complex128], output: SplitOutput) -> dict[str, Any]:
    """Return the NMSE [dB] of an output from a cold start, and under `with_past` that with the past of the record."""
    past = None if output.with_past is None else {"nmse_db": nmse_db(reference, output.with_past)}
    return {"nmse_db": nmse_db(reference, output.cold), WITH_PAST: past}


def fitted_gmp(capture: Capture) -> BehaviouralModel:
    """Fit a generalized memory polynomial of default size to the pair of a capture.

    With a constant: else a network, whose bias can follow the DC of a capture, would be credited with that. The last
    ones are kept, in this process and on disk: the fit takes a second, as long as a small run.
    """
    config = GMPModel(kind="gmp", constant="on")
    digest = hashlib.sha256()  # of the samples as they are: `Capture.sha256` of an aligned one does not see its role
    for part in (capture.train, capture.val):
        update_with(digest, part)
    for side in capture.val.around:
        digest.update(side.tobytes())
    key = digest.hexdigest(), capture.loop_samples, config
    if key not in _fitted:
        model = gmp.Model(config, scale_x=capture.scale_x, scale_y=capture.scale_y)
        train, val = capture.train, capture.val
        on_disk = f"{key[0]} {capture.loop_samples} {config.model_dump_json()}"
        if not gmp_cache.load(on_disk, model):
            model.fit(train.x, train.y, val.x, val.y, around=val.around, loop=capture.loop_samples)
            gmp_cache.keep(on_disk, model)
        _fitted[key] = model
        for oldest in list(_fitted)[:-MOST_FITTED]:
            del _fitted[oldest]
    return _fitted[key]


_fitted: dict[tuple[str, int | None, GMPModel], BehaviouralModel] = {}


def floor_of(capture: Capture) -> dict[str, Any]:
    """Return the noise floor of a capture as an NMSE [dB], the method, and its caveat."""
    if capture.noise_floor_db is not None:
        return {"nmse_db": capture.noise_floor_db, "method": "known: added by the generator", "caveat": ""}
    return asdict(noise_floor(capture))


def floor_estimates(
    capture: Capture, split: Split, prediction: SplitOutput, others: Mapping[str, SplitOutput]
) -> list[dict[str, Any]]:
    """Estimate the noise floor by every method, with the distance of a score to it: `FloorEstimate.to_json`.

    Args:
        capture: the pair; repeats and the quiet band are searched in its training split.
        split: the split that was scored.
        prediction: its scored output.
        others: outputs of other models, by name, which may show less noise.

    Returns:
        The distances are those from a cold start; `with_past` holds them with the past of the record, or None.
    """
    part = part_of(capture, split)
    stated = capture.noise_floor_db
    estimates = (
        [] if stated is None else [FloorEstimate("known", stated, None, "added by the generator of this capture")]
    )
    quiet = noise_floor(capture)
    bound = None if quiet.nmse_db is not None else quiet.bound_db
    estimates += [
        by_repeats(capture.train.x, capture.train.y),
        FloorEstimate("quiet band", quiet.nmse_db, bound, quiet.caveat),
        FloorEstimate("smallest inputs", None, None, "cannot be estimated from samples that the model was trained on")
        if split == "train"
        else by_smallest_inputs(
            part.x, part.y, {name: each.chosen for name, each in {"this model": prediction, **others}.items()}
        ),
    ]
    cold, past = nmse_db(part.y, prediction.cold), prediction.with_past
    warm = None if past is None else nmse_db(part.y, past)
    return [e.to_json(cold) | {WITH_PAST: None if warm is None else e.distances(warm)} for e in estimates]


def without_predistortion(plan: Plan, capture: Capture, pa: BehaviouralModel, splits: Sequence[Split]) -> Outputs:
    """Return the PA model's output for the input times the complex factor that gives the target's power."""
    made, loop = dpd_settings(plan), capture.loop_samples

    def plant(u: NDArray[np.complex128]) -> NDArray[np.complex128]:
        return predict(pa, u, loop=loop)

    samples = DRIVE_SAMPLES // (loop or 1) * (loop or 1) or loop
    drive = linear_drive(plant, capture.train.x[:samples], made.gain, made.peak_limit)

    def driven(part: Part) -> Part:
        return Part(limit_magnitude(drive * part.x, made.peak_limit), part.y)

    return {s: predict_split(pa, part_of(capture, s).map(driven), loop=loop) for s in splits}


def gmp_predistorted(plan: Plan, capture: Capture, pa: BehaviouralModel, splits: Sequence[Split]) -> Outputs:
    """Return the PA model's output after a gmp of default size from indirect learning, under the plan's peak limit."""
    cascade = cascade_of(fitted_gmp(indirect_pair(capture, plan)), plan, capture, pa).eval()
    return {s: predict_split(cascade, part_of(capture, s), loop=capture.loop_samples) for s in splits}

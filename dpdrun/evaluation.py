"""Scoring a model on a capture: NMSE beside baselines on the same samples, the noise floor, what the model costs.

A predistorter is scored in front of its PA model, beside what that PA does without it at the same output power.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.data.windows import to_complex, to_pairs
from dpdrun.models import gmp
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan import Plan
from dpdrun.predistortion import amplifier_of, cascade_of, inverted, made_of, merit_of
from dpdrun.recipe.schema import GMPModel
from dpdrun.rf.floor import noise_floor
from dpdrun.rf.limiter import limited
from dpdrun.rf.merit import Merit
from dpdrun.rf.metrics import nmse_db, nmse_opendpd_legacy_db, one_tap_gain, papr_db
from dpdrun.rf.signal_checks import can_be_judged, signal_facts
from dpdrun.rf.target_gain import linear_drive
from dpdrun.runlog import SCHEMA_VERSION

Split = Literal["train", "val", "test"]

# Beyond this a record goes through the model in chunks, with the state carried over: bounded memory, same output.
WHOLE_RECORD_SAMPLES = 200_000
CHUNK_SAMPLES = 65_536


# The noise floor of a predistorter's score.
THROUGH_A_MODEL: dict[str, Any] = {
    "nmse_db": None,
    "method": "",
    "caveat": "scored through a PA model, which has no noise; what the amplifier itself leaves is not known",
}
DRIVE_SAMPLES = 16_384  # of the training part, to find the drive without predistortion: its power is known to 0.05 dB


# Context of a loop for a model whose memory has no declared end.
LOOP_CONTEXT_SAMPLES = 1024


def predict(
    model: BehaviouralModel, x: NDArray[np.complex128], *, piece: int | None = None, loop: int | None = None
) -> NDArray[np.complex128]:
    """The model's output for a record of any length.

    Args:
        model: any kind, on any device, in `eval` mode.
        x: PA input, (N,) complex, in the units of the capture, N >= 1.
        piece: cut the record into pieces of this many samples that do not see each other (the last one may be
            shorter); None = do not cut.
        loop: the record is a row of loops of this many samples (`data.frames`): each is given its own end as its past
            and its own beginning as its future. Without effect on pieces.

    Returns:
        (N,) complex, in the units of the capture.
    """
    device = next(model.buffers()).device
    pairs = to_pairs(x).to(device)
    with torch.inference_mode():
        if piece is not None:
            whole = len(pairs) // piece * piece
            pieces = pairs[:whole].view(-1, piece, 2)
            together = max(1, CHUNK_SAMPLES // piece)
            outputs = [model(some).flatten(0, 1) for some in torch.split(pieces, together) if len(some)]
            if whole < len(pairs):
                outputs.append(model(pairs[None, whole:])[0])
            return to_complex(torch.cat(outputs))
        if loop is not None:
            return to_complex(_predict_loops(model, pairs.view(-1, loop, 2)).flatten(0, 1))
        if len(pairs) > WHOLE_RECORD_SAMPLES and models.can_stream(model):
            return to_complex(models.stream(model, pairs[None], chunk=CHUNK_SAMPLES)[0])
        return to_complex(model(pairs[None])[0])


def _predict_loops(model: BehaviouralModel, loops: Tensor) -> Tensor:
    """Output of a model for loops that were each played over and over. loops: (L, T, 2) -> (L, T, 2)."""
    T = loops.shape[1]
    before = LOOP_CONTEXT_SAMPLES if model.context is None else model.context
    index = torch.arange(-before, T + (model.lookahead or 0), device=loops.device) % T
    together = max(1, CHUNK_SAMPLES // len(index))
    return torch.cat([model(some[:, index])[:, before : before + T] for some in torch.split(loops, together)])


def piece_of(plan: Plan) -> int | None:
    """How a plan cuts a record for scoring: the `piece` of `predict`."""
    return plan.frame if plan.recipe.train.eval_on == "frame" else None


def part_of(capture: Capture, split: Split) -> Part:
    """One split of a capture by name."""
    return {"train": capture.train, "val": capture.val, "test": capture.test}[split]


def evaluate(
    model: BehaviouralModel,
    plan: Plan,
    capture: Capture,
    splits: Sequence[Split] = ("val", "test"),
    *,
    pa: nn.Module | None = None,
) -> dict[str, Any]:
    """Score a model: the content of report.json but for what only a training run knows (steps and times).

    Args:
        model: trained, in the units of the capture; left in `eval` mode.
        plan: says how a record is cut for scoring, and which rules set its values.
        capture: the pair and its split.
        splits: which parts to score. Score the test part once, when everything is decided.
        pa: of a predistorter, the PA model where it is no run folder (`pa: given`).

    Returns:
        Of each split its NMSE [dB], the gain over a GMP (positive: this model is better) and what is left to the noise
        floor; the baselines on the same samples; the floor; what the model costs. `db_left` is that of the last split.
        `signal` holds the `SignalFacts` of the first split, None where it is too short or the output is not finite.
        A predistorter's are those of the PA model's output against the target, with the figures of `Merit`;
        baselines are the same for one complex factor and for a GMP by indirect learning in its place.

    Raises:
        RunError: the PA model of a predistorter is missing, or not the one that it learnt through.
    """
    model.eval()
    if plan.predistortion is not None:
        amplifier = amplifier_of(plan, pa)
        if amplifier is not None:
            return _evaluate_cascade(model, plan, capture, splits, amplifier)
        capture = inverted(capture, plan)  # all that can be said: how well it undoes the measured amplifier
    report = _evaluate_pair(model, plan, capture, splits)
    return report if plan.predistortion is None else report | {"simulated": False, **_target_of(plan)}


def _evaluate_pair(model: BehaviouralModel, plan: Plan, capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """Score a model by the pair of a capture."""
    baselines = {"one_tap": one_tap_baseline(capture, splits), "gmp": gmp_baseline(capture, splits)}
    floor = floor_of(capture)
    scores: dict[str, Any] = {}
    signal: dict[str, Any] | None = None
    for split in splits:
        part = part_of(capture, split)
        prediction = predict(model, part.x, piece=piece_of(plan), loop=capture.loop_samples)
        if split == splits[0]:
            signal = signal_of(model, plan, capture, part, prediction)
        score = _scores(model, plan, capture, part, prediction)
        score["gain_over_gmp_db"] = baselines["gmp"][split]["nmse_db"] - score["nmse_db"]
        score["db_left"] = None if floor["nmse_db"] is None else score["nmse_db"] - floor["nmse_db"]
        scores[split] = score
    found = {"splits": scores, "baselines": baselines, "floor": floor, "signal": signal}
    return _said_of(model, plan, capture) | found | {"db_left": scores[splits[-1]]["db_left"]}


def _said_of(model: BehaviouralModel, plan: Plan, capture: Capture) -> dict[str, Any]:
    """What a report says of the job and of the cost of its model."""
    return {
        "schema_version": SCHEMA_VERSION,
        "task": plan.recipe.task,
        "model": plan.recipe.model.kind,
        "capture": {"name": capture.name, "sha256": capture.sha256, "loop_samples": capture.loop_samples},
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "macs_per_sample": model.macs_per_sample,
        "lookahead": model.lookahead,
        "rules": {key: origin.rule for key, origin in plan.provenance.items() if origin.rule is not None},
    }


def _scores(
    model: BehaviouralModel, plan: Plan, capture: Capture, part: Part, prediction: NDArray[np.complex128]
) -> dict[str, Any]:
    """The scores of one part: ours, and under the conventions that others use, where they differ."""
    looped, nperseg = capture.loop_samples is not None, capture.nperseg
    return {
        "nmse_db": nmse_db(part.y, prediction),
        # as others score looped captures: blind to the splices
        "nmse_as_one_record_db": nmse_db(part.y, predict(model, part.x, piece=piece_of(plan))) if looped else None,
        "nmse_opendpd_legacy_db": None if nperseg is None else opendpd_legacy_score(model, part, nperseg),
        "samples": len(part),
    }


def signal_of(
    model: BehaviouralModel, plan: Plan, capture: Capture, part: Part, prediction: NDArray[np.complex128]
) -> dict[str, Any] | None:
    """What the prediction of a part looks like beside its target: `SignalFacts` as plain values, for the SG rules.

    A model that is scored on records is asked a second time, in pieces of the length that it was trained on.
    """
    kind, piece = plan.recipe.model.kind, piece_of(plan)
    if not can_be_judged(part.y, prediction):
        return None
    trained = kind != "gmp" and 0 < plan.frame < len(part)
    in_pieces = predict(model, part.x, piece=plan.frame) if trained and piece is None else None
    said = {
        "full_attention": kind == "transformer" and getattr(plan.recipe.model, "window", None) == "full",
        "features": getattr(plan.recipe.model, "features", None),
        "embedding": getattr(plan.recipe.model, "embedding", None),
        "lookahead": getattr(plan.recipe.model, "lookahead", None),
    }
    facts = signal_facts(
        part.y,
        prediction,
        part.x,
        frame=plan.frame if trained else None,
        piece=piece if trained else None,
        loop=capture.loop_samples,
        model=said,
        in_pieces=in_pieces,
    )
    return facts.to_json()


def opendpd_legacy_score(model: BehaviouralModel, part: Part, nperseg: int) -> float:
    """NMSE [dB] as OpenDPD's `legacy-opendpd-v1` profile scores a model, for comparison only.

    The record is cut into segments of `nperseg` samples that each begin without a past, the last one padded with zeros
    (on which the output counts as error); the score is the mean of the segments' decibels (opendpd 2.4.2,
    modules/data_collector.py IQSegmentDataset and utils/metrics.py).
    """
    padding = (0, -len(part) % nperseg)
    prediction = predict(model, np.pad(part.x, padding), piece=nperseg)
    return nmse_opendpd_legacy_db(np.pad(part.y, padding), prediction, nperseg=nperseg)


def one_tap_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """NMSE of y = g x with the least-squares complex gain g of the training part: a model that learnt nothing."""
    gain = one_tap_gain(capture.train.x, capture.train.y)
    parts = {split: part_of(capture, split) for split in splits}
    return {split: {"nmse_db": nmse_db(part.y, gain * part.x)} for split, part in parts.items()}


def gmp_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """NMSE of the generalized memory polynomial of default size, fitted to the training part by least squares."""
    model = gmp.Model(GMPModel(kind="gmp"), scale_x=capture.scale_x, scale_y=capture.scale_y)
    loop = capture.loop_samples
    model.fit(capture.train.x, capture.train.y, capture.val.x, capture.val.y, loop=loop)
    parts = {split: part_of(capture, split) for split in splits}
    scores: dict[str, Any] = {s: {"nmse_db": nmse_db(p.y, predict(model, p.x, loop=loop))} for s, p in parts.items()}
    return scores | {"parameters": sum(p.numel() for p in model.parameters())}


def floor_of(capture: Capture) -> dict[str, Any]:
    """The noise floor of a capture as an NMSE [dB], how it is known, and what to doubt about it."""
    if capture.noise_floor_db is not None:
        return {"nmse_db": capture.noise_floor_db, "method": "known: the generator added it", "caveat": ""}
    return noise_floor(capture)


def _target_of(plan: Plan) -> dict[str, Any]:
    """What a report says of the target and the learning of a predistorter."""
    made = made_of(plan)
    return {
        "learning": plan.recipe.dpd.learning,
        "gain": {"method": plan.recipe.dpd.gain, "value": made.gain},
        "peak_limit": made.peak_limit,
    }


def _evaluate_cascade(
    model: BehaviouralModel, plan: Plan, capture: Capture, splits: Sequence[Split], pa: BehaviouralModel
) -> dict[str, Any]:
    """Score a predistorter in front of its PA model."""
    made, loop, piece, rivals = made_of(plan), capture.loop_samples, piece_of(plan), _rivals(plan, capture, pa)
    cascade = cascade_of(model, plan, capture, pa).eval()
    scores: dict[str, Any] = {}
    baselines: dict[str, Any] = {"one_tap": {}, "gmp": {}}
    of_pa: dict[str, dict[str, float]] = {"nmse_db": {}, "gmp_nmse_db": {}}
    gmp_pa = gmp_baseline(capture, splits)
    signal: dict[str, Any] | None = None
    figures = Merit(0.0, 0.0)
    for split in splits:
        part = part_of(capture, split)
        u = predict(cascade.predistorter, part.x, piece=piece, loop=loop)
        y = predict(cascade, part.x, piece=piece, loop=loop)
        if split == splits[0]:
            signal = signal_of(cascade, plan, capture, Part(part.x, made.gain * part.x), y)
        figures = merit_of(capture, plan, part, y)
        for name, play in rivals.items():
            baselines[name][split] = merit_of(capture, plan, part, play(part.x)).to_json()
        scores[split] = figures.to_json() | {
            "nmse_as_one_record_db": None,
            "nmse_opendpd_legacy_db": None,
            "samples": len(part),
            "peak": float(np.max(np.abs(u))),
            "papr_db": papr_db(u),
            "papr_x_db": papr_db(part.x),
            "gain_over_gmp_db": baselines["gmp"][split]["nmse_db"] - figures.nmse_db,
            "db_left": None,
        }
        of_pa["nmse_db"][split] = nmse_db(part.y, predict(pa, part.x, loop=loop))
        of_pa["gmp_nmse_db"][split] = gmp_pa[split]["nmse_db"]
    return _said_of(cascade.predistorter, plan, capture) | {
        "simulated": True,
        **_target_of(plan),
        "selected_by": figures.selected_by,
        "without_spectrum": figures.without,
        "pa": {
            "path": plan.recipe.pa,
            "sha256": made.pa_sha256,
            **of_pa,
            "weak": of_pa["nmse_db"][splits[0]] > of_pa["gmp_nmse_db"][splits[0]],
        },
        "splits": scores,
        "baselines": baselines,
        "floor": THROUGH_A_MODEL,
        "signal": signal,
        "db_left": None,
    }


def _rivals(plan: Plan, capture: Capture, pa: BehaviouralModel) -> dict[str, Any]:
    """What could stand in the predistorter's place, each as a function from the wanted signal to the PA's output.

    one_tap: a complex factor that gives the target's power: no predistortion. gmp: of default size, by indirect
    learning, under the same limit.
    """
    made, loop = made_of(plan), capture.loop_samples

    def plant(u: NDArray[np.complex128]) -> NDArray[np.complex128]:
        return predict(pa, u, loop=loop)

    samples = DRIVE_SAMPLES // (loop or 1) * (loop or 1) or loop
    drive = linear_drive(plant, capture.train.x[:samples], made.gain, made.peak_limit)
    pair = inverted(capture, plan)
    least = gmp.Model(GMPModel(kind="gmp"), scale_x=pair.scale_x, scale_y=pair.scale_y)
    least.fit(pair.train.x, pair.train.y, pair.val.x, pair.val.y, loop=loop)
    fitted = cascade_of(least, plan, capture, pa).eval()
    return {
        "one_tap": lambda x: plant(limited(drive * x, made.peak_limit)),
        "gmp": partial(predict, fitted, loop=loop),
    }

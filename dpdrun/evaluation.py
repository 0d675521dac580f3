"""Scoring a model on a capture: NMSE beside baselines on the same samples, the noise floor, what the model costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.data.windows import to_complex, to_pairs
from dpdrun.models import gmp
from dpdrun.plan import Plan
from dpdrun.recipe.schema import GMPModel
from dpdrun.rf.floor import noise_floor
from dpdrun.rf.metrics import nmse_db, nmse_opendpd_legacy_db, one_tap_gain
from dpdrun.runlog import SCHEMA_VERSION

Split = Literal["train", "val", "test"]

# Beyond this a record goes through the model in chunks, with the state carried over: bounded memory, same output.
WHOLE_RECORD_SAMPLES = 200_000
CHUNK_SAMPLES = 65_536


def predict(model: nn.Module, x: NDArray[np.complex128], *, piece: int | None = None) -> NDArray[np.complex128]:
    """The model's output for a record of any length.

    Args:
        model: any kind, on any device, in `eval` mode.
        x: PA input, (N,) complex, in the units of the capture, N >= 1.
        piece: cut the record into pieces of this many samples that do not see each other (the last one may be
            shorter); None = do not cut.

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
        if len(pairs) > WHOLE_RECORD_SAMPLES and models.can_stream(model):
            return to_complex(models.stream(model, pairs[None], chunk=CHUNK_SAMPLES)[0])
        return to_complex(model(pairs[None])[0])


def piece_of(plan: Plan) -> int | None:
    """How a plan cuts a record for scoring: the `piece` of `predict`."""
    return plan.frame if plan.recipe.train.eval_on == "frame" else None


def part_of(capture: Capture, split: Split) -> Part:
    """One split of a capture by name."""
    return {"train": capture.train, "val": capture.val, "test": capture.test}[split]


def evaluate(
    model: nn.Module, plan: Plan, capture: Capture, splits: Sequence[Split] = ("val", "test")
) -> dict[str, Any]:
    """Score a model: the content of report.json but for what only a training run knows (steps and times).

    Args:
        model: trained, in the units of the capture; left in `eval` mode.
        plan: says how a record is cut for scoring, and which rules set its values.
        capture: the pair and its split.
        splits: which parts to score. Score the test part once, when everything is decided.

    Returns:
        Of each split its NMSE [dB], the gain over a GMP (positive: this model is better) and what is left to the noise
        floor; the baselines on the same samples; the floor; what the model costs. `db_left` is that of the last split.
    """
    model.eval()
    baselines = {"one_tap": one_tap_baseline(capture, splits), "gmp": gmp_baseline(capture, splits)}
    floor = floor_of(capture)
    scores: dict[str, Any] = {}
    for split in splits:
        part = part_of(capture, split)
        score = _scores(part.y, predict(model, part.x, piece=piece_of(plan)), capture.nperseg)
        score["gain_over_gmp_db"] = baselines["gmp"][split]["nmse_db"] - score["nmse_db"]
        score["db_left"] = None if floor["nmse_db"] is None else max(0.0, score["nmse_db"] - floor["nmse_db"])
        scores[split] = score
    return {
        "schema_version": SCHEMA_VERSION,
        "task": plan.recipe.task,
        "model": plan.recipe.model.kind,
        "capture": {"name": capture.name, "sha256": capture.sha256},
        "splits": scores,
        "baselines": baselines,
        "floor": floor,
        "db_left": scores[splits[-1]]["db_left"],
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "macs_per_sample": model.macs_per_sample,
        "lookahead": model.lookahead,
        "rules": {key: origin.rule for key, origin in plan.provenance.items() if origin.rule is not None},
    }


def _scores(target: NDArray[np.complex128], prediction: NDArray[np.complex128], nperseg: int | None) -> dict[str, Any]:
    legacy = None if nperseg is None else nmse_opendpd_legacy_db(target, prediction, nperseg)
    return {"nmse_db": nmse_db(target, prediction), "nmse_opendpd_legacy_db": legacy, "samples": len(target)}


def one_tap_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """NMSE of y = g x with the least-squares complex gain g of the training part: a model that learnt nothing."""
    gain = one_tap_gain(capture.train.x, capture.train.y)
    parts = {split: part_of(capture, split) for split in splits}
    return {split: {"nmse_db": nmse_db(part.y, gain * part.x)} for split, part in parts.items()}


def gmp_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """NMSE of the generalized memory polynomial of default size, fitted to the training part by least squares."""
    model = gmp.Model(GMPModel(kind="gmp"), scale_x=capture.scale_x, scale_y=capture.scale_y)
    model.fit(capture.train.x, capture.train.y, capture.val.x, capture.val.y)
    parts = {split: part_of(capture, split) for split in splits}
    scores: dict[str, Any] = {s: {"nmse_db": nmse_db(p.y, predict(model, p.x))} for s, p in parts.items()}
    return scores | {"parameters": sum(p.numel() for p in model.parameters())}


def floor_of(capture: Capture) -> dict[str, Any]:
    """The noise floor of a capture as an NMSE [dB], how it is known, and what to doubt about it."""
    if capture.noise_floor_db is not None:
        return {"nmse_db": capture.noise_floor_db, "method": "known: the generator added it", "caveat": ""}
    return noise_floor(capture)

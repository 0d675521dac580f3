"""Scoring a model on a capture: NMSE beside baselines on the same samples, the noise floor, and what the model costs."""

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
        model: any kind, already on its device; evaluated in `eval` mode by the caller's choice.
        x: PA input, (N,) complex, in the units of the capture.
        piece: cut the record into pieces of this many samples that do not see each other; None = do not cut.

    Returns:
        (N,) complex, in the units of the capture.
    """
    device = next(model.buffers()).device
    pairs = to_pairs(x).to(device)
    with torch.inference_mode():
        if piece is not None:
            whole = len(pairs) // piece * piece
            outputs = [model(pairs[:whole].unflatten(0, (-1, piece))).flatten(0, 1)] if whole else []
            if whole < len(pairs):
                outputs.append(model(pairs[None, whole:])[0])
            return to_complex(torch.cat(outputs))
        if len(pairs) > WHOLE_RECORD_SAMPLES and models.can_stream(model):
            return to_complex(models.stream(model, pairs[None], chunk=CHUNK_SAMPLES)[0])
        return to_complex(model(pairs[None])[0])


def part_of(capture: Capture, split: Split) -> Part:
    """One split of a capture by name."""
    return {"train": capture.train, "val": capture.val, "test": capture.test}[split]


def evaluate(model: nn.Module, plan: Plan, capture: Capture, splits: Sequence[Split] = ("val", "test")) -> dict[str, Any]:
    """Score a model: the content of report.json but for times (docs/ARCHITECTURE.md).

    Args:
        model: trained, in the units of the capture.
        plan: says how a record is cut for scoring.
        capture: the pair and its split.
        splits: which parts to score. Score the test part once, when everything is decided.
    """
    piece = plan.recipe.train.eval_on == "frame" and plan.frame or None
    model.eval()
    scores: dict[str, Any] = {}
    for split in splits:
        part = part_of(capture, split)
        scores[split] = _scores(part.y, predict(model, part.x, piece=piece), capture.nperseg)
    floor = floor_of(capture)
    best = min((s["nmse_db"] for s in scores.values()), default=None)
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "pa",
        "model": plan.recipe.model.kind,
        "capture": {"name": capture.name, "sha256": capture.sha256},
        "splits": scores,
        "baselines": {"one_tap": one_tap_baseline(capture, splits), "gmp": gmp_baseline(capture, splits)},
        "floor": floor,
        "db_left": None if floor["nmse_db"] is None or best is None else max(0.0, best - floor["nmse_db"]),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "macs_per_sample": model.macs_per_sample,
        "lookahead": model.lookahead,
    }


def _scores(target: NDArray[np.complex128], prediction: NDArray[np.complex128], nperseg: int | None) -> dict[str, Any]:
    legacy = None if nperseg is None else nmse_opendpd_legacy_db(target, prediction, nperseg)
    return {"nmse_db": nmse_db(target, prediction), "nmse_opendpd_legacy_db": legacy, "samples": len(target)}


def one_tap_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """NMSE of y = g x with the least-squares complex gain g of the training part: what a model that learnt nothing gets."""
    gain = one_tap_gain(capture.train.x, capture.train.y)
    parts = {split: part_of(capture, split) for split in splits}
    return {split: {"nmse_db": nmse_db(part.y, gain * part.x)} for split, part in parts.items()}


def gmp_baseline(capture: Capture, splits: Sequence[Split]) -> dict[str, Any]:
    """NMSE of the generalized memory polynomial of default size, fitted to the training part by least squares."""
    config = GMPModel(kind="gmp")
    model = models.build(config, scale_x=capture.scale_x, scale_y=capture.scale_y)
    model.fit(capture.train.x, capture.train.y, capture.val.x, capture.val.y)
    parts = {split: part_of(capture, split) for split in splits}
    scores: dict[str, Any] = {s: {"nmse_db": nmse_db(p.y, predict(model, p.x))} for s, p in parts.items()}
    return scores | {"parameters": sum(p.numel() for p in model.parameters())}


def floor_of(capture: Capture) -> dict[str, Any]:
    """The noise floor of a capture as an NMSE [dB], how it is known, and what to doubt about it."""
    if capture.noise_floor_db is not None:
        return {"nmse_db": capture.noise_floor_db, "method": "known: the generator added it", "caveat": ""}
    return noise_floor(capture)

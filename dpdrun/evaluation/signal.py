"""What a prediction looks like beside its target, as plain values for the rules, and how OpenDPD would score it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture, Part
from dpdrun.diagnosis.signal.checks import can_be_judged, signal_facts
from dpdrun.evaluation.prediction import eval_frame, predict
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.rf.metrics import nmse_opendpd_legacy_db


def signal_of(
    model: BehaviouralModel, plan: Plan, capture: Capture, part: Part, prediction: NDArray[np.complex128]
) -> dict[str, Any] | None:
    """What the prediction of a part looks like beside its target: `SignalFacts` as plain values, for the SG rules.

    A model that is scored on records is asked a second time, in pieces of the length that it was trained on.
    """
    kind, piece = plan.recipe.model.kind, eval_frame(plan)
    if not can_be_judged(part.y, prediction):
        return None
    trained = kind != "gmp" and 0 < plan.frame < len(part)
    in_pieces = predict(model, part.x, frame=plan.frame) if trained and piece is None else None
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
    prediction = predict(model, np.pad(part.x, padding), frame=nperseg)
    return nmse_opendpd_legacy_db(np.pad(part.y, padding), prediction, nperseg=nperseg)

"""Measure a prediction against its target for the signal rules, and score it as OpenDPD does."""

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


def signal_facts_of(
    model: BehaviouralModel, plan: Plan, capture: Capture, part: Part, prediction: NDArray[np.complex128]
) -> dict[str, Any] | None:
    """Return `SignalFacts` of a prediction and its target as plain values; None if it is too short or not finite.

    A model that is scored on records predicts a second time, in frames of the length that it was trained on.
    """
    kind, scored_frame = plan.recipe.model.kind, eval_frame(plan)
    if not can_be_judged(part.y, prediction):
        return None
    trained = kind != "gmp" and 0 < plan.frame < len(part)
    in_pieces = predict(model, part.x, frame=plan.frame) if trained and scored_frame is None else None
    section = plan.recipe.model
    settings = {name: getattr(section, name, None) for name in ("features", "embedding", "lookahead")}
    settings["full_attention"] = kind == "transformer" and getattr(section, "window", None) == "full"
    facts = signal_facts(
        part.y,
        prediction,
        part.x,
        frame=plan.frame if trained else None,
        piece=scored_frame if trained else None,
        loop=capture.loop_samples,
        model=settings,
        in_pieces=in_pieces,
    )
    return facts.to_json()


def opendpd_legacy_score(model: BehaviouralModel, part: Part, nperseg: int) -> float:
    """Return the NMSE [dB] of OpenDPD's `legacy-opendpd-v1` profile, for comparison only.

    It cuts the record into segments of `nperseg` samples without a past, pads the last one with zeros (where any output
    counts as error), and takes the mean of the segments' decibels (opendpd 2.4.2, modules/data_collector.py
    IQSegmentDataset and utils/metrics.py).
    """
    padding = (0, -len(part) % nperseg)
    prediction = predict(model, np.pad(part.x, padding), frame=nperseg)
    return nmse_opendpd_legacy_db(np.pad(part.y, padding), prediction, nperseg=nperseg)

"""Measure a prediction against its target: every number of `SignalFacts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from dpdrun.diagnosis.signal import alignment_errors, error_position, missing_nonlinearity
from dpdrun.rf.metrics import Signal, nmse_db, one_tap_gain, one_tap_nmse_db, to_db
from dpdrun.rules.facts.signal import LEVELS, PIECES, SignalFacts

MIN_SAMPLES = 1000  # as of a capture
PIECES_BETTER_DB = 1.0  # a piece sees less than the record, so a sound model scores worse on it
SCALED_COPY_DB = -60.0  # no amplifier is that linear: a target like that was made by multiplication


def can_be_judged(y: Signal, p: Signal) -> bool:
    """Return whether the pair is long enough, finite, and neither side is silent."""
    return len(y) >= MIN_SAMPLES and bool(np.all(np.isfinite(p)) and np.any(y) and np.any(p))


def signal_facts(
    y: Signal,
    p: Signal,
    x: Signal | None = None,
    *,
    frame: int | None = None,
    piece: int | None = None,
    loop: int | None = None,
    model: Mapping[str, Any] | None = None,
    in_pieces: Signal | None = None,
) -> SignalFacts:
    """Return all facts about a prediction. About a second for 20,000 samples.

    Args:
        y: target, (N,).
        p: prediction of it, (N,); `can_be_judged` holds.
        x: input of the model, (N,), where there is one.
        frame: length of the frames that the model was trained on [samples].
        piece: p was predicted in independent frames of so many samples.
        loop: the record is a row of cyclic frames of so many samples.
        model: full_attention, features, embedding and lookahead of `SignalFacts`, where known.
        in_pieces: prediction of the record in frames of `frame`, (N,), next to that of the complete record. Where it is
            better by PIECES_BETTER_DB, the other checks use it: there the model does what it can.

    Raises:
        ValueError: the signals differ in shape.
    """
    if any(other is not None and other.shape != y.shape for other in (p, x, in_pieces)):
        raise ValueError("target, prediction and input must have one shape")
    facts: dict[str, Any] = {
        "frame": frame,
        "piece": piece,
        **(model or {}),
        "pieces_nmse_db": None if in_pieces is None else nmse_db(y, in_pieces),
        "position_db": error_position.nmse_by_position(y, p, PIECES),
    }
    facts |= _position(y, p, tuple(length for length in (piece, loop, frame) if length))
    whole_db = nmse_db(y, p)
    if in_pieces is not None and facts["pieces_nmse_db"] < whole_db - PIECES_BETTER_DB:
        p = in_pieces
    facts |= _repair(y, p)
    facts |= _against_input(x, y, p) if x is not None and np.any(x) else {}
    return SignalFacts(samples=len(y), nmse_db=whole_db, judged_nmse_db=nmse_db(y, p), **facts)


def _position(y: Signal, p: Signal, extra: tuple[int, ...]) -> dict[str, Any]:
    if not np.any(p != y):
        return {}
    values = error_position.excess(y, p)
    facts, again = error_position.rise(values), error_position.repeat(y, values, extra)
    if again is not None:
        named = {name: value for name, value in asdict(again).items() if name != "weight"}
        facts |= {"period" if name == "period" else f"period_{name}": value for name, value in named.items()}
    return facts


def _repair(y: Signal, p: Signal) -> dict[str, Any]:
    gain = one_tap_gain(y, p)  # h of p = h y + rest: an error uncorrelated with y leaves it at 1
    return {
        "gain_db": to_db(abs(gain) ** 2),
        "gain_deg": float(np.degrees(np.angle(gain))),
        "gain_nmse_db": one_tap_nmse_db(p, y),
        **alignment_errors.mirror(y, p),
        **alignment_errors.shift(y, p),
        **alignment_errors.cut(y, p),
    }


def _against_input(x: Signal, y: Signal, p: Signal) -> dict[str, Any]:
    facts = missing_nonlinearity.by_level(x, y, p, LEVELS)
    if facts:
        facts["target_spread_db"], facts["model_spread_db"] = missing_nonlinearity.left_by_curves(x, y, p)
    if one_tap_nmse_db(x, y) < SCALED_COPY_DB:
        facts["wanted_gain_db"] = to_db(abs(one_tap_gain(x, y)) ** 2)
    return facts | missing_nonlinearity.against_fits(x, y, p) | alignment_errors.lead(x, y)

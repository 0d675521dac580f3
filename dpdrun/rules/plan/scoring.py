"""EV1xx: whether a model is scored on what it was trained on."""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.rules.conditions import OneOf, Within
from dpdrun.rules.declare import NETWORKS, check, finding, info, known, warning
from dpdrun.rules.engine import Verdict

WINDOW = 32  # of the shipped recipes for amplifiers of 20 to 30 samples of memory [samples]
FULL = {"window": Within(math.inf)}

Frame = Annotated[int, Within(2)]
EvalOn = Annotated[str, OneOf("record", "frame")]


@check(
    "EV101", about=("train.eval_on", "model.window", "train.frame"), kinds=("transformer",), fix="unsafe",
    where={**FULL, "frame": Within(2), "eval_on": OneOf("record")}, evidence="measured",
    results="docs/results.md#case-study",
    source="our case study: the same network scored on frames of the training length",
    fires=dict(kind="transformer", window=math.inf, frame=200, eval_on="record", samples=58_980),
    silent=dict(kind="transformer", window=math.inf, frame=4096, eval_on="record", samples=4096),
)  # fmt: skip
def scored_on_another_context(frame: Frame, val_samples: int | None = None, samples: int | None = None) -> Verdict:
    """Full attention is trained on frames but scored on complete records, with far more keys than in training.

    ## Why
    Attention over a complete record spreads over a hundred times more keys, at positions that were never trained. This
    was the largest fault in our case study: -1.90 dB on the complete record, -14.41 dB on frames of the training
    length. With an attention window the record length does not matter.

    ## Known limits
    The window of the fix is that of our recipes; `dpdrun recommend --data` measures the memory of an amplifier. If the
    model is scored on frames instead, it is valid for frames only (EV102). If the length of the validation split is
    unknown, that of the training split is used.
    """
    record = val_samples or samples
    if record is not None and frame >= record:
        return None
    longer = "" if record is None else f", {record / frame:.0f} times longer"
    return warning(
        f"full attention is trained on {frame} samples and scored on the complete record{longer} "
        "(in our case study -1.90 dB; -14.41 dB on frames of the training length)",
        value=frame, threshold=record, patch={"model.window": WINDOW, "model.positions": "relative"},
        advice=f"set model.window to a number of samples ({WINDOW}) with positions: relative; or train.eval_on to "
        "frame, which scores frames of the training length",
    )  # fmt: skip


@check(
    "EV102", about=("train.eval_on", "model.window"), kinds=("transformer",), where=FULL, evidence="measured",
    source="our case study: the same network on frames and complete records", results="docs/results.md#case-study",
    fires=dict(kind="transformer", window=math.inf, frame=200, eval_on="frame"),
    silent=dict(kind="transformer", window=math.inf, frame=200, eval_on="record"),
)  # fmt: skip
def score_of_frames_only(frame: Frame, eval_on: EvalOn) -> Verdict:
    """The score of full attention on frames is valid only for frames of that length.

    ## Why
    On inputs of any other length than a frame such a network computes a different function: in our case study it
    reached -14.41 dB on frames, but -1.90 dB on the record. Compared with models that are scored on records, the score
    is too optimistic.

    ## Known limits
    Info only: there is no problem if the model is used on frames.
    """
    if eval_on != "frame":
        return None
    return info(
        f"the score is valid for frames of {frame} samples; on longer records full attention differs",
        value=frame,
        advice="use the model on frames of that length only, or set model.window to a number of samples",
    )  # fmt: skip


@check(
    "EV103", about=("train.eval_on",), kinds=NETWORKS, where=known("context"), fix="unsafe",
    evidence="assumed",
    source="a frame starts without its past; a window or a state carries the past through a record",
    fires=dict(kind="transformer", window=32, layers=2, conv=4, frame=256, burn_in=65, eval_on="frame"),
    silent=dict(kind="transformer", window=32, layers=2, conv=4, frame=256, burn_in=65, eval_on="record"),
)  # fmt: skip
def frames_without_their_past(frame: Frame, eval_on: EvalOn, burn_in: int = 0, window: float = 0) -> Verdict:
    """A model that could use the past is scored on frames, each of which starts without one.

    ## Why
    In use the model runs through a record, and a window, or the state of a GRU, carries the past through it. This is a
    warning if training has a burn-in, because then outputs are scored that training excludes from the loss; else info.

    ## Known limits
    Scoring frames can be useful for comparison: OpenDPD scores segments; for its captures report.json has that score
    too.
    """
    if eval_on != "frame" or window == math.inf:
        return None
    left_out = f"; training excludes the first {burn_in} of them from its loss" if burn_in else ""
    return finding(
        "warning" if burn_in else "info",
        f"scored on frames of {frame} samples that start without their past{left_out}",
        value=frame, threshold=burn_in, patch={"train.eval_on": "record"}, also=", through which the past is carried",
    )  # fmt: skip

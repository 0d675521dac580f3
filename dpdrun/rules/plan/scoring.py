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
    source="our case study: the same network scored on pieces of the length it was trained on",
    fires=dict(kind="transformer", window=math.inf, frame=200, eval_on="record", samples=58_980),
    silent=dict(kind="transformer", window=math.inf, frame=4096, eval_on="record", samples=4096),
)  # fmt: skip
def scored_on_another_context(frame: Frame, val_samples: int | None = None, samples: int | None = None) -> Verdict:
    """Full attention is trained on frames and scored on complete records: in training it never met so many keys.

    ## Why
    Attention over a complete record spreads over a hundred times more keys, at positions that were never trained. It
    was the largest fault of our case study: -1.90 dB on the complete record, -14.41 dB on pieces as trained. A window
    makes a record of any length the same problem.

    ## Known limits
    The window of the fix is that of our recipes; `dpdrun recommend --data` measures the memory of an amplifier. Scored
    on frames instead, the model is good for frames only (EV102). Where the length of the validation split is not known,
    that of the training split is taken.
    """
    record = val_samples or samples
    if record is not None and frame >= record:
        return None
    longer = "" if record is None else f", {record / frame:.0f} times longer"
    return warning(
        f"full attention is trained on {frame} samples and scored on the complete record{longer} "
        "(-1.90 dB so, -14.41 dB on frames as trained, in our case study)",
        value=frame, threshold=record, patch={"model.window": WINDOW, "model.positions": "relative"},
        advice=f"set model.window to a number of samples ({WINDOW}) with positions: relative; or train.eval_on to "
        "frame, which scores what was trained",
    )  # fmt: skip


@check(
    "EV102", about=("train.eval_on", "model.window"), kinds=("transformer",), where=FULL, evidence="measured",
    source="our case study: the same network on pieces and on the whole record", results="docs/results.md#case-study",
    fires=dict(kind="transformer", window=math.inf, frame=200, eval_on="frame"),
    silent=dict(kind="transformer", window=math.inf, frame=200, eval_on="record"),
)  # fmt: skip
def score_of_frames_only(frame: Frame, eval_on: EvalOn) -> Verdict:
    """The score of full attention on frames holds for frames of that length alone.

    ## Why
    Such a network is used on pieces of the length of a frame, or it is another function: in our case study -14.41 dB on
    pieces, -1.90 dB on the record. Compared with models that are scored on records, the figure flatters.

    ## Known limits
    Info only: if you use it on pieces, all is well.
    """
    if eval_on != "frame":
        return None
    return info(
        f"the score holds for frames of {frame} samples; on longer records full attention is another function",
        value=frame,
        advice="use the model on frames of that length only, or set model.window to a number of samples",
    )  # fmt: skip


@check(
    "EV103", about=("train.eval_on",), kinds=NETWORKS, where=known("context"), fix="unsafe",
    evidence="assumed",
    source="a piece begins without its past; a window or a state carries it through a record",
    fires=dict(kind="transformer", window=32, layers=2, conv=4, frame=256, burn_in=65, eval_on="frame"),
    silent=dict(kind="transformer", window=32, layers=2, conv=4, frame=256, burn_in=65, eval_on="record"),
)  # fmt: skip
def frames_without_their_past(frame: Frame, eval_on: EvalOn, burn_in: int = 0, window: float = 0) -> Verdict:
    """A model that could see its past is scored on frames that each begin without one.

    ## Why
    In use the model runs through a record. A window, or the state of a GRU, makes that the same problem as a frame. A
    warning where training has a burn-in: then just those outputs are scored that training leaves out; else info.

    ## Known limits
    For the same numbers as others: OpenDPD scores pieces; report.json has that score next to ours for its captures.
    """
    if eval_on != "frame" or window == math.inf:
        return None
    left_out = f"; training leaves the first {burn_in} of them out of its loss" if burn_in else ""
    return finding(
        "warning" if burn_in else "info",
        f"scored on frames of {frame} samples that each begin without their past{left_out}",
        value=frame, threshold=burn_in, patch={"train.eval_on": "record"}, also=": the past is carried through it",
    )  # fmt: skip

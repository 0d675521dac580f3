"""EV1xx: whether a model is scored on what it was trained on."""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts

INF = math.inf
WINDOW = 32  # of the shipped recipes for amplifiers of 20 to 30 samples of memory [samples]


@rule(
    "EV101",
    purpose="check",
    source="our case study: the same network scored on pieces of the length it was trained on",
    evidence="measured",
    results="docs/results.md#case-study",
    fix="unsafe",
    about=("train.eval_on", "model.window", "train.frame"),
    box={"kind": ("transformer",), "window": (INF, INF), "frame": (2, INF), "eval_on": ("record",)},
    fires=lambda: PlanFacts(kind="transformer", window=INF, frame=200, eval_on="record", samples=58_980),
    silent=lambda: PlanFacts(kind="transformer", window=INF, frame=4096, eval_on="record", samples=4096),
)
def scored_on_another_context(facts: PlanFacts) -> Verdict:
    """Full attention is trained on frames and scored on whole records: in training it never met so many keys.

    ## What it does
    Warns when a Transformer with `window: full` is trained on frames that are shorter than the record and scored with
    `eval_on: record`. The fix is a window of 32 samples with relative positions.

    ## Why
    Attention over a whole record spreads over a hundred times more keys, at positions that were never trained. It was
    the largest fault of our case study: -1.90 dB on the whole record, -14.41 dB on pieces as trained. A window makes a
    record of any length the same problem.

    ## Known limits
    The window is that of our recipes; `dpdrun recommend --data` measures the memory of an amplifier. Scored on pieces
    instead, the model is good for pieces only (EV102). Where the length of the validation part is not known,
    that of the training part is taken.

    ## Example
    Fires for frames of 200 on a record of 58,980 samples. Silent where a frame is the whole record.
    """
    frame, record = facts.frame or 0, facts.val_samples or facts.samples
    if record is not None and frame >= record:
        return None
    longer = "" if record is None else f", {record / frame:.0f} times longer"
    return Finding(
        f"full attention is trained on {frame} samples and scored on the whole record{longer} "
        "(-1.90 dB so, -14.41 dB on pieces as trained, in our case study)",
        {"model.window": WINDOW, "model.positions": "relative"},
        "warning",
        evidence={"value": frame, "threshold": record},
        advice=f"set model.window to a number of samples ({WINDOW}) with positions: relative; or train.eval_on to "
        "frame, which scores what was trained",
    )


@rule(
    "EV102",
    purpose="check",
    source="our case study: the same network on pieces and on the whole record",
    evidence="measured",
    results="docs/results.md#case-study",
    about=("train.eval_on", "model.window"),
    box={"kind": ("transformer",), "window": (INF, INF), "frame": (2, INF), "eval_on": ("record", "frame")},
    fires=lambda: PlanFacts(kind="transformer", window=INF, frame=200, eval_on="frame"),
    silent=lambda: PlanFacts(kind="transformer", window=INF, frame=200, eval_on="record"),
)
def score_of_pieces_only(facts: PlanFacts) -> Verdict:
    """The score of full attention on pieces holds for pieces of that length alone.

    ## What it does
    Says so where `eval_on: frame` scores a Transformer with `window: full`.

    ## Why
    Such a network is used on pieces of the length of a frame, or it is another function: in our case study -14.41 dB on
    pieces, -1.90 dB on the record. Compared with models that are scored on records, the figure flatters.

    ## Known limits
    Info only: if you use it on pieces, all is well.

    ## Example
    Fires for eval_on frame. Silent for record, which is EV101's.
    """
    if facts.eval_on != "frame":
        return None
    return Finding(
        f"the score holds for pieces of {facts.frame} samples; on longer records full attention is another function",
        evidence={"value": facts.frame},
        advice="use the model on pieces of that length only, or set model.window to a number of samples",
    )


@rule(
    "EV103",
    purpose="check",
    source="a piece begins without its past; a window or a state carries it through a record",
    evidence="assumed",
    fix="unsafe",
    about=("train.eval_on",),
    box={"kind": ("transformer", "gru"), "frame": (2, INF), "eval_on": ("record", "frame")},
    needs=("context",),
    uses=("burn_in",),
    fires=lambda: PlanFacts(kind="transformer", window=32, layers=2, conv=4, frame=256, burn_in=65, eval_on="frame"),
    silent=lambda: PlanFacts(kind="transformer", window=32, layers=2, conv=4, frame=256, burn_in=65, eval_on="record"),
)
def pieces_without_their_past(facts: PlanFacts) -> Verdict:
    """A model that could see its past is scored on pieces that each begin without one.

    ## What it does
    Looks at `eval_on: frame` with a windowed Transformer or a GRU, and advises `record`. A warning where training has a
    burn-in: then just those outputs are scored that training leaves out; else info.

    ## Why
    In use the model runs through a record. A window, or the state of a GRU, makes that the same problem as a frame.

    ## Known limits
    For the same numbers as others: OpenDPD scores pieces; report.json has that score beside ours for its captures.

    ## Example
    Fires for eval_on frame. Silent for record.
    """
    if facts.eval_on != "frame" or facts.window == INF:
        return None
    frame, burn_in = facts.frame or 1, facts.burn_in or 0
    left_out = f"; training leaves the first {burn_in} of them out of its loss" if burn_in else ""
    return Finding(
        f"scored on pieces of {frame} samples that each begin without their past{left_out}",
        {"train.eval_on": "record"},
        "warning" if burn_in else "info",
        evidence={"value": frame, "threshold": burn_in},
        advice="set train.eval_on to record: the past is carried through it",
    )

"""FR: how long a frame is and which part of it only gives context."""

from __future__ import annotations

import math
from dataclasses import replace

from dpdrun.recipe.schema import MAX_EPOCHS
from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts

NETWORKS = ("transformer", "gru")
INF = math.inf

FRAME = 256  # shortest frame: the length of our sweeps [samples]
FRAME_PER_UNSCORED = 3  # a frame is at least 3 times its part without loss, so that 2/3 of the work is scored
FRAMES_IN_RECORD = 8  # of a short record, so that an epoch has some frames to shuffle
GRU_BURN_IN = 64  # a GRU forgets; its state starts at zero [samples]
WITHOUT_CONTEXT = 0.25  # share of the scored outputs of a frame that may lack part of their past


@rule(
    "FR001",
    sets="train.burn_in",
    source="the receptive field: layers x (window - 1) + conv - 1 past samples",
    evidence="assumed",
    box={"kind": NETWORKS},
    uses=("context",),
    fires=lambda: PlanFacts(kind="transformer", window=32, layers=2, conv=4),
    silent=lambda: PlanFacts(kind="transformer"),
)
def burn_in_of_the_context(facts: PlanFacts) -> Verdict:
    """Samples at the start of a frame that give context but no loss: as many as an output looks back.

    ## What it does
    Transformer with a window: its receptive field, layers x (window - 1) + conv - 1 samples. Full attention: 0, for
    nothing short of the whole record would do. GRU: 64 samples for its state to settle. Never more than half a frame
    that the recipe gives, nor half of what a short record allows.

    ## Why
    An output with less context than it will have in use is trained on another task than the one that is scored.

    ## Known limits
    A GRU's memory is not known beforehand; 64 samples is the setting of our runs.

    ## Example
    Fires for window 32, 2 layers, convolution of 4: 65 samples. Silent when the window is not known.
    """
    if facts.context is None:
        sizes = {"layers": facts.layers, "window": facts.window}
        missing = [f"model.{name} (--{name})" for name, known in sizes.items() if known is None]
        return Skipped(f"needs {' and '.join(missing)}")
    if facts.kind == "gru":
        wanted, why = GRU_BURN_IN, "what the state of a GRU needs to settle"
    elif facts.context == math.inf:
        return Finding("full attention: no burn-in short of the record would do", {"train.burn_in": 0})
    else:
        wanted, why = int(facts.context or 0), "the receptive field, so every scored output has its context"
    frame = facts.frame or _longest_frame(facts)
    if frame is not None and wanted > (half := frame // 2):
        return Finding(f"half a frame; {wanted} samples would be {why}", {"train.burn_in": half})
    return Finding(why, {"train.burn_in": wanted})


def _longest_frame(facts: PlanFacts) -> int | None:
    """Length that leaves FRAMES_IN_RECORD frames in the training part, None when its length is unknown."""
    return None if facts.samples is None else max(2, facts.samples // FRAMES_IN_RECORD)


@rule(
    "FR002",
    sets="train.frame",
    source="the setting of our sweeps; 512 samples with half the batch made no difference (make worth)",
    evidence="assumed",
    box={"kind": NETWORKS, "burn_in": (0, INF)},
    fires=lambda: PlanFacts(kind="transformer", burn_in=65),
    silent=lambda: PlanFacts(kind="transformer"),
)
def frame_over_burn_in(facts: PlanFacts) -> Verdict:
    """Length of a training window: 256 samples, or three times its part without loss when that is more.

    ## What it does
    The next power of two from 3 x burn-in, at least 256, at most an eighth of the training part.

    ## Why
    Samples of the burn-in are computed and not scored; at three times its length at most a third of the
    work is spent on context. Shorter frames give a step more independent stretches of signal for the same work.
    All samples after the burn-in are in the loss, a frame's last ones too, although a model with `model.lookahead`
    meets zeros there in place of the future: without them nothing holds the look-ahead taps at the end of a record.

    ## Known limits
    Compared in Transformers with frames of 512 and half the batch, the same work a step: no difference
    (docs/results.md#what-each-rule-is-worth). Shorter frames, and those of GRUs, were not compared. An output never
    looks back further than its receptive field, so longer frames bring no new information.

    ## Example
    Fires for a burn-in of 65 samples: 256. Silent when the burn-in is not known.
    """
    unscored = facts.burn_in or 0
    frame = max(FRAME, _power_of_two(FRAME_PER_UNSCORED * unscored))
    longest = _longest_frame(facts)
    if longest is not None and longest < frame:
        return Finding(f"an eighth of {facts.samples} training samples", {"train.frame": max(longest, unscored + 1)})
    why = f"three times the {unscored} samples without loss" if frame > FRAME else "as in our sweeps"
    return Finding(why, {"train.frame": frame})


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


@rule(
    "FR101",
    purpose="check",
    source="the receptive field: layers x (window - 1) + conv - 1 past samples",
    evidence="assumed",
    fix="unsafe",
    about=("train.frame", "model.window"),
    uses=("total_steps",),
    box={"kind": ("transformer",), "frame": (2, INF), "context": (0, INF)},
    fires=lambda: PlanFacts(kind="transformer", window=64, layers=4, conv=4, frame=200),
    silent=lambda: PlanFacts(kind="transformer", window=32, layers=2, conv=4, frame=200),
)
def frame_shorter_than_memory(facts: PlanFacts) -> Verdict:
    """No output of a training frame ever has the whole past that it will have in use.

    ## What it does
    Compares the frame with the receptive field of a windowed Transformer. Advises three times the receptive field as
    FR002 does, with as much burn-in, or half of that where the record is short.

    ## Why
    Weights for a past that was always zero in training are met by a real one when a record is scored.

    ## Known limits
    What lies at the far end of a receptive field usually counts little. Full attention is EV101's, a GRU FR103's.

    ## Example
    Fires for frames of 200 and a receptive field of 255. Silent for one of 65.
    """
    frame, context = facts.frame or 0, facts.context or 0
    if context == INF or frame > context:
        return None
    patch = _room_for_context(facts)
    return Finding(
        f"a frame of {frame} samples is no longer than the {context:g} that an output looks back: none has its past",
        patch,
        "warning",
        evidence={"value": frame, "threshold": context},
        advice=_advised(patch) or "use a smaller model.window or fewer layers: the record is too short for this past",
    )


@rule(
    "FR102",
    purpose="check",
    source="the receptive field against the part of a frame without loss (FR001)",
    evidence="assumed",
    fix="unsafe",
    about=("train.burn_in", "train.frame"),
    box={"kind": ("transformer",), "frame": (2, INF), "context": (0, INF), "burn_in": (0, INF)},
    requires=("FR101",),
    fires=lambda: PlanFacts(kind="transformer", window=32, layers=2, conv=4, frame=128, burn_in=0),
    silent=lambda: PlanFacts(kind="transformer", window=32, layers=2, conv=4, frame=256, burn_in=64),
)
def loss_without_context(facts: PlanFacts) -> Verdict:
    """Much of the loss is taken where outputs lack part of the past that they will have in use.

    ## What it does
    Warns when more than a quarter of the outputs in the loss look back beyond the start of their frame, and advises a
    burn-in of the receptive field, with a longer frame where that would be more than half of it.

    ## Why
    An output with less context than it will have in use is trained on another task than the one that is scored.

    ## Known limits
    A quarter is a choice: the shipped recipe for DPA_160MHz has a fifth. How much it costs was not measured.

    ## Example
    Fires for frames of 128 without burn-in and a receptive field of 65. Silent for 256 with a burn-in of 64.
    """
    frame, context, burn_in = facts.frame or 0, facts.context or 0, facts.burn_in or 0
    if context == INF or burn_in >= frame or not _lacks_context(frame, context, burn_in):
        return None
    patch: dict[str, float] = {"train.burn_in": int(context)} if context <= frame // 2 else _room_for_context(facts)
    share = (context - burn_in) / (frame - burn_in)
    return Finding(
        f"{share:.0%} of the outputs in the loss lack part of the {context:g} samples that they look back "
        f"(frame {frame}, burn-in {burn_in})",
        patch,
        "warning",
        evidence={"value": share, "threshold": WITHOUT_CONTEXT},
        advice=_advised(patch) or "use a smaller model.window or fewer layers: the record is too short for this past",
    )


@rule(
    "FR103",
    purpose="check",
    source="the state of a GRU is zero at the start of a frame; the setting of our runs (FR001)",
    evidence="assumed",
    fix="unsafe",
    about=("train.burn_in",),
    box={"kind": ("gru",), "frame": (2, INF), "burn_in": (0, INF)},
    fires=lambda: PlanFacts(kind="gru", frame=200, burn_in=0),
    silent=lambda: PlanFacts(kind="gru", frame=200, burn_in=64),
)
def loss_before_the_state_settles(facts: PlanFacts) -> Verdict:
    """The loss of a GRU counts from the first sample of a frame, where its state is still zero.

    ## What it does
    Says so when there is no burn-in at all, and advises 64 samples, at most half a frame.

    ## Why
    Scored on a record, the state is zero once, at its beginning; in training it is at the start of every frame.

    ## Known limits
    Info only: a GRU forgets, and OpenDPD trains its GRUs on frames of 200 samples without any burn-in.

    ## Example
    Fires for burn_in 0. Silent for 64.
    """
    if facts.burn_in:
        return None
    frame = facts.frame or 2
    settled = min(GRU_BURN_IN, frame // 2)
    return Finding(
        f"the loss counts from the first of {frame} samples, where the state of the GRU is still zero",
        {"train.burn_in": settled},
        evidence={"value": 0, "threshold": settled},
        advice=f"set train.burn_in to {settled}",
    )


def _lacks_context(frame: int, context: float, burn_in: int) -> bool:
    return context - burn_in > WITHOUT_CONTEXT * (frame - burn_in)


def _room_for_context(facts: PlanFacts) -> dict[str, float]:
    """Frame, burn-in and epochs for the receptive field; empty where the record is too short for such a frame."""
    context = int(facts.context or 0)
    frame = max(FRAME, facts.frame or 0, _power_of_two(FRAME_PER_UNSCORED * context))
    frame = min(frame, _longest_frame(facts) or frame)
    burn_in = min(context, frame // 2)
    if frame <= context or _lacks_context(frame, context, burn_in):
        return {}
    return {"train.frame": frame, "train.burn_in": burn_in, **_as_long(facts, frame, burn_in)}


def _as_long(facts: PlanFacts, frame: int, burn_in: int) -> dict[str, float]:
    """The epochs that keep the number of steps: longer frames are fewer."""
    before, after = facts.total_steps, replace(facts, frame=frame, burn_in=burn_in).total_steps
    if facts.max_steps is not None or not (facts.epochs and before and after) or before == after:
        return {}
    return {"train.epochs": min(MAX_EPOCHS, float(f"{facts.epochs * before / after:.3g}"))}


def _advised(patch: dict[str, float]) -> str:
    return "set " + " and ".join(f"{key} to {value:g}" for key, value in patch.items()) if patch else ""

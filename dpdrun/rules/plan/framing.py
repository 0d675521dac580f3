"""FR: how long a frame is and which part of it only gives context."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated

from dpdrun.recipe.schema import MAX_EPOCHS
from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import TRAINED, check, derive, info, set_to, used, warning
from dpdrun.rules.engine import Choice, Skipped, Verdict
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.facts.words import PLUG_IN

FRAME = 256  # shortest frame: the length of our sweeps [samples]
FRAME_PER_UNSCORED = 3  # a frame is at least 3 times its part without loss, so that 2/3 of the work is scored
FRAMES_IN_RECORD = 8  # of a short record, so that an epoch has some frames to shuffle
GRU_BURN_IN = 64  # a GRU forgets; its state starts at zero [samples]
WITHOUT_CONTEXT = 0.25  # share of the scored outputs of a frame that may lack part of their past
TOO_SHORT = "use a smaller model.window or fewer layers: the record is too short for this receptive field"

Frame = Annotated[int, Within(2)]
BurnIn = Annotated[int, Within(0)]
Context = Annotated[float, Within(0)]


@derive(
    "FR001", sets="train.burn_in", kinds=TRAINED, where=used("context"), evidence="assumed",
    source="the receptive field: layers x (window - 1) + conv - 1 past samples",
    fires=dict(kind="transformer", window=32, layers=2, conv=4), silent=dict(kind="transformer"),
)  # fmt: skip
def burn_in_of_the_context(facts: PlanFacts) -> Choice | Skipped:
    """Burn-in: the receptive field, so that every output in the loss has its full context.

    ## Why
    An output that has less context in training than in use is trained for a different task than the one that is scored.
    Full attention gets 0, since only the complete record would be enough; a GRU gets 64 samples for its state to
    settle, as does a kind of a plug-in that declares no context. The burn-in is at most half of the frame in the
    recipe, or half of the longest frame that a short record allows.

    ## Known limits
    The memory of a GRU is not known in advance; 64 samples is the setting of our runs.
    """
    if facts.context is None and facts.kind == PLUG_IN:
        wanted, why = GRU_BURN_IN, "as for a GRU: this kind of a plug-in declares no context"
    elif facts.context is None:
        sizes = {"layers": facts.layers, "window": facts.window}
        missing = [f"model.{name} (--{name})" for name, known in sizes.items() if known is None]
        return Skipped(f"needs {' and '.join(missing)}")
    elif facts.kind == "gru":
        wanted, why = GRU_BURN_IN, "the settling time of a GRU's state"
    elif facts.context == math.inf:
        return Choice(0, "full attention: only the complete record would be enough")
    else:
        wanted, why = int(facts.context), "the receptive field, so every output in the loss has its context"
    frame = facts.frame or _longest_frame(facts.samples)
    if frame is not None and wanted > (half := frame // 2):
        return Choice(half, f"half a frame; {wanted} samples would be {why}")
    return Choice(wanted, why)


def _longest_frame(samples: int | None) -> int | None:
    """Return the length that leaves FRAMES_IN_RECORD frames in the training part, None when its length is unknown."""
    return None if samples is None else max(2, samples // FRAMES_IN_RECORD)


@derive(
    "FR002", sets="train.frame", kinds=TRAINED, evidence="assumed",
    source="the setting of our sweeps; 512 samples with half the batch made no difference (make worth)",
    fires=dict(kind="transformer", burn_in=65), silent=dict(kind="transformer"),
)  # fmt: skip
def frame_over_burn_in(burn_in: BurnIn, samples: int | None = None) -> Choice:
    """Length of a training frame: 256 samples, or three times the burn-in if that is more.

    ## Why
    Samples of the burn-in are computed but not in the loss; with frames of three times the burn-in, at most a third of
    the compute is spent on context. Shorter frames give a step more independent stretches of signal for the same
    compute. The length is a power of two, at most an eighth of the training split. All samples after the burn-in are in
    the loss, including the last ones, although a model with `model.lookahead` sees zeros there instead of the future:
    otherwise nothing would constrain the look-ahead taps at the end of a record.

    ## Known limits
    For Transformers, frames of 512 with half the batch, the same compute per step, made no difference
    (docs/results.md#what-each-rule-is-worth). Shorter frames and frames of GRUs were not compared. An output depends
    only on its receptive field, so longer frames add no information.
    """
    frame = max(FRAME, _power_of_two(FRAME_PER_UNSCORED * burn_in))
    longest = _longest_frame(samples)
    if longest is not None and longest < frame:
        return Choice(max(longest, burn_in + 1), f"an eighth of {samples} training samples")
    return Choice(frame, f"three times the burn-in of {burn_in}" if frame > FRAME else "as in our sweeps")


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


@check(
    "FR101", about=("train.frame", "model.window"), kinds=("transformer",), where=used("total_steps"), fix="unsafe",
    source="the receptive field: layers x (window - 1) + conv - 1 past samples", evidence="assumed",
    fires=dict(kind="transformer", window=64, layers=4, conv=4, frame=200),
    silent=dict(kind="transformer", window=32, layers=2, conv=4, frame=200),
)  # fmt: skip
def frame_shorter_than_memory(facts: PlanFacts, frame: Frame, context: Context) -> Verdict:
    """No output of a training frame has the full context that it will have in use.

    ## Why
    Weights for a past that was always zero in training see a real past when a record is scored. The fix is a frame of
    three times the receptive field (FR002) with a burn-in of the receptive field, or half a frame if the record is
    short.

    ## Known limits
    The far end of a receptive field usually matters little. EV101 checks full attention, FR103 checks GRUs.
    """
    if context == math.inf or frame > context:
        return None
    patch = _room_for_context(facts, int(context))
    return warning(
        f"a frame of {frame} samples is no longer than the receptive field of {context:g}: no output has its full "
        "context",
        value=frame, threshold=context, patch=patch, advice=set_to(patch) or TOO_SHORT,
    )  # fmt: skip


@check(
    "FR102", about=("train.burn_in", "train.frame"), kinds=("transformer",), requires=("FR101",), fix="unsafe",
    source="the receptive field compared with the burn-in (FR001)", evidence="assumed",
    fires=dict(kind="transformer", window=32, layers=2, conv=4, frame=128, burn_in=0),
    silent=dict(kind="transformer", window=32, layers=2, conv=4, frame=256, burn_in=64),
)  # fmt: skip
def loss_without_context(facts: PlanFacts, frame: Frame, context: Context, burn_in: BurnIn) -> Verdict:
    """More than a quarter of the outputs in the loss lack part of the context that they will have in use.

    ## Why
    An output that has less context in training than in use is trained for a different task than the one that is scored.
    The fix is a burn-in of the receptive field, with a longer frame if the burn-in would be more than half of it.

    ## Known limits
    The limit of a quarter is a choice: the shipped recipe for DPA_160MHz has a fifth. The cost was not measured.
    """
    if context == math.inf or burn_in >= frame or not _lacks_context(frame, context, burn_in):
        return None
    fits = context <= frame // 2
    patch = {"train.burn_in": int(context)} if fits else _room_for_context(facts, int(context))
    share = (context - burn_in) / (frame - burn_in)
    return warning(
        f"{share:.0%} of the outputs in the loss lack part of their context of {context:g} samples "
        f"(frame {frame}, burn-in {burn_in})",
        value=share, threshold=WITHOUT_CONTEXT, patch=patch, advice=set_to(patch) or TOO_SHORT,
    )  # fmt: skip


@check(
    "FR103", about=("train.burn_in",), kinds=("gru",), fix="unsafe", evidence="assumed",
    source="the state of a GRU is zero at the start of a frame; the setting of our runs (FR001)",
    fires=dict(kind="gru", frame=200, burn_in=0), silent=dict(kind="gru", frame=200, burn_in=64),
)  # fmt: skip
def loss_before_the_state_settles(frame: Frame, burn_in: BurnIn) -> Verdict:
    """The loss of a GRU includes the first samples of a frame, where its state is still zero.

    ## Why
    When a record is scored, the state is zero only once, at its start; in training it is zero at the start of every
    frame. The fix is a burn-in of 64 samples, at most half a frame.

    ## Known limits
    Info only: a GRU forgets, and OpenDPD trains its GRUs on frames of 200 samples without any burn-in.
    """
    if burn_in:
        return None
    settled = min(GRU_BURN_IN, frame // 2)
    return info(
        f"the loss includes the start of each frame of {frame} samples, where the state of the GRU is still zero",
        value=0, threshold=settled, patch={"train.burn_in": settled},
    )  # fmt: skip


def _lacks_context(frame: int, context: float, burn_in: int) -> bool:
    return context - burn_in > WITHOUT_CONTEXT * (frame - burn_in)


def _room_for_context(facts: PlanFacts, context: int) -> dict[str, float]:
    """Frame, burn-in and epochs for the receptive field; empty where the record is too short for such a frame."""
    frame = max(FRAME, facts.frame or 0, _power_of_two(FRAME_PER_UNSCORED * context))
    frame = min(frame, _longest_frame(facts.samples) or frame)
    burn_in = min(context, frame // 2)
    if frame <= context or _lacks_context(frame, context, burn_in):
        return {}
    return {"train.frame": frame, "train.burn_in": burn_in, **_as_long(facts, frame, burn_in)}


def _as_long(facts: PlanFacts, frame: int, burn_in: int) -> dict[str, float]:
    """Return the epochs that keep the number of steps: longer frames are fewer."""
    before, after = facts.total_steps, replace(facts, frame=frame, burn_in=burn_in).total_steps
    if facts.max_steps is not None or not (facts.epochs and before and after) or before == after:
        return {}
    return {"train.epochs": min(MAX_EPOCHS, float(f"{facts.epochs * before / after:.3g}"))}

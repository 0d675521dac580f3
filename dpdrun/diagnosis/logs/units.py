"""The unit of a loss, from what wrote it and from what stands next to it; a unit that is not sure is not said."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import median

from dpdrun.diagnosis.logs.log import Points, TrainingLog
from dpdrun.diagnosis.logs.names import ACCURACY, is_game, plain_name

LANGUAGE_MODELS = frozenset({"llamafactory", "torchtune", "megatron", "nanogpt", "build-nanogpt"})
CLIPS = dict.fromkeys(("huggingface", "llamafactory", "megatron", "build-nanogpt", "nanogpt"), 1.0)  # their defaults
REWARDED = re.compile(r"(?:train )?(?:reward std|kl|kl div|clip ratio.*|completions .*|frac reward zero std|approx kl)")
CLASSIFIES = re.compile(
    r"(?:.* )?(?:ppl|perplexity|accuracy|acc\d?|top ?\d|wer|cer|f1|bleu\d?|rouge.*|accuracies|balanced acc)"
)
POWER = re.compile(r".*\b(?:n?mse|l2)\b.*")
PERPLEXITY = re.compile(r"\b(?:ppl|perplexity)$")
IN_BITS = re.compile(r"\b(?:bpb|bpc|bpd|bits)\b")
SUMS = re.compile(r"loss (?:tok2vec|transformer)")  # spaCy adds up all words since the last line
ELBO = re.compile(r"\b(?:elbo|lower ?bound)$")
IN_NATS = re.compile(r"\bnats\b")
WORDS = {
    "nats": "cross-entropy in nats",
    "bits": "cross-entropy in bits",
    "power": "a mean square",
    "objective": "an objective whose level says nothing",
}
DECIBELS = re.compile(r"(?P<by>\bby )?(?P<db>-?\d+(?:\.\d+)?) dB\b(?P<above> above)?")
LEAST_WRONG = 1e-3  # a share of 0 has no logarithm
SPREAD = 0.02  # of the power that loss and NMSE give


def loss_unit(log: TrainingLog) -> str | None:
    """Return the unit of the loss, as `RunFacts.loss_unit`; None where nothing shows it."""
    names = [plain_name(name) for name in log.names]
    loss = plain_name(log.found.get("loss", ""))
    if "loss_db" in log.found or POWER.fullmatch(loss) or log.program in ("opendpd", "dpdrun"):
        return "power"
    if any(name.split(" ")[-1] == "reward" for name in names) and any(REWARDED.fullmatch(name) for name in names):
        return "objective"
    if is_game(log.names):
        return "objective"
    if any(SUMS.fullmatch(name) for name in names):
        return "objective"
    if ELBO.search(loss):
        return "objective"
    if IN_NATS.search(loss):
        return "nats"
    if log.program == "fairseq" or IN_BITS.search(loss):
        return "bits"
    if log.program in LANGUAGE_MODELS or any(CLASSIFIES.fullmatch(name) for name in names):
        return "nats"
    return None


def without_accuracy(log: TrainingLog) -> bool:
    """Turn accuracies that were taken for losses into the share of wrong answers; return whether there were any."""
    found = False
    for key, shape in ACCURACY.items():
        if key in log.columns and shape.fullmatch(plain_name(log.found.get(key, ""))):
            column = log.columns[key]
            scale = 100.0 if max(column.values, default=0.0) > 1.0 else 1.0
            wrong = [max(LEAST_WRONG, 1.0 - value / scale) if value == value else value for value in column.values]
            log.columns[key] = Points(column.steps, wrong)
            log.notes.append(f"{key} = 1 - {log.found[key]}, the share of wrong answers: the log has no loss")
            found = True
    return found


def without_perplexity(log: TrainingLog) -> None:
    """Turn a perplexity that was taken for a loss into the cross-entropy in nats that it is the exp of."""
    for key in ("loss", "val_loss"):
        if PERPLEXITY.search(plain_name(log.found.get(key, ""))) and key in log.columns:
            column = log.columns[key]
            logs = [math.log(value) if value > 0.0 else value for value in column.values]
            log.columns[key] = Points(column.steps, logs)
            log.notes.append(f"{key} = ln({log.found[key]}): a perplexity is exp(loss)")


def target_power(losses: Sequence[float], nmse_db: Sequence[float]) -> float | None:
    """Return the power of the target where loss and NMSE of the validation give one; None where they differ.

    Args:
        losses: mean squares.
        nmse_db: the same errors over the power of the target [dB].
    """
    pairs = zip(losses, nmse_db, strict=True) if len(losses) == len(nmse_db) else ()
    powers = [loss / 10 ** (db / 10) for loss, db in pairs if 0.0 < loss < math.inf and abs(db) < 200.0]
    if len(powers) < 2:
        return None
    middle = median(powers)
    return middle if max(abs(power / middle - 1.0) for power in powers) < SPREAD else None


def without_db(message: str) -> str:
    """Return a message that speaks of factors instead of decibels, which suit a power alone."""

    def factor(match: re.Match[str]) -> str:
        times = f"{10 ** (float(match['db']) / 10):.3g}"
        if match["above"]:
            return f"{times} times"
        return f"by a factor of {times}" if match["by"] else f"a factor of {times}"

    return DECIBELS.sub(factor, message)

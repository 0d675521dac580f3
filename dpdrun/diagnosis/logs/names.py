"""The meaning of the columns of a log: common names, if unambiguous, and `--map`, which has precedence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from shlex import quote

from dpdrun.diagnosis.logs.cells import number
from dpdrun.diagnosis.logs.log import COLUMNS, VALUES
from dpdrun.errors import DataError

# Per meaning, names in the order of preference; two columns of one group are ambiguous. Names are compared as
# `plain_name` writes them. Sources: dpdrun; HF (loss, grad_norm, learning_rate, eval_loss); LLaMA-Factory
# (current_steps); Lightning (train_loss_step, lr-AdamW, grad_2.0_norm_total; grad_2_norm_step before 2.0); Megatron-LM
# (lm loss); fairseq (gnorm, num_updates); W&B exports (Step, train/global_step; _step counts log calls).
_VALIDATION = "(val|valid|vali|vld|validation|eval|dev)"
_SCORED_AS = (
    "(cross entropy|ce|ce mean words|xent|bce|((binary|multi) )?log ?loss|softmax|rmse|rmse trn|mae|l1|l2|err|"
    "error|objective)"
)
_NO_RATE = "(?!.*\\b(?:planned|min|max|minimum|maximum|final|decay|scale|ratio|mult|factor)\\b)"
_RATE = "(bpb|bpc|bpd|bits (per )?[a-z]+|nats per [a-z]+)"
COMMON: dict[str, tuple[str, ...]] = {
    "step": (
        r"(train(er)? )?global step|num updates|opt(imizer)? step|current steps?",
        r"(train )?step|steps|update|updates|train steps",
        r"iteration|iterations|iter|iters|it",
        r"epoch|epochs|ep",
        r"(micro|grad|gradient|update|total|n|num|cur|local) steps?",
        r"((communication|comm|global|federated) )?rounds?",
    ),
    "loss": (
        r"(train|training|tr)( batch)? loss step|loss( train)? step",
        r"(train|training|tr|trn)( batch)? loss|loss( train| training| trn| tr)",
        r"(train|training)( loss)? mse|mse loss( train)?",
        r"loss|lm loss|main loss",
        r"(loss )?(train )?(total|tot|mean|avg|average|running|epoch) loss|losses|loss total",
        r"(train|training|tr) loss (total|sum|all|avg|mean|overall)|(train|training) (overall|combined|joint) loss",
        r"(train |training )?(total|overall)",
        r"(train|training) loss epoch",
        r"(train )?(ce|nll|dpo|sft|mlm|ctc|bce|cross entropy|reconstruction) loss|(train )?cross entropy",
        r"mse|nll|(train |training )?cost|(train|training) nll|(mse|nll|mae|rmse|bce|ce) (train|training)",
        r"(avr|step|batch|smooth|smoothed|ema) loss|loss (avg|mean)",
        rf"(train|training)( s)? {_SCORED_AS}",
        rf"{_SCORED_AS}|learn|obj",
        r"(mlm|clm|tlm|ae|mt|bt|pc)( [a-z]{2,3}){1,2}",
        rf"(train |training )?loss {_RATE}",
        rf"(train |training )?{_RATE}( estimate)?",
        r"ppl|perplexity",
        r"loss t|((train|training) )?[lj]|train loss train total",
        r"(train|training) (elbo|lower bound)",
        r"elbo|lower ?bound",
        r"(train|training) (ppl|perplexity)",
    ),
    "loss_db": (r"(train|training)( loss)? nmse( db)?|(train|training) loss db", r"loss db"),
    "grad_norm": (
        r"(train )?(total |global )?(grad|gradient|gradients) norm( total| global| before clip| pre clip| preclip)?",
        r"gradnorm|gnorm|norm of gradients?|grad (2|2 0) norm( total)?( step)?|grad l2|grad l2 norm",
        r"norm",
    ),
    "lr": (
        r"(train )?(lr|learning rate|current lr|base lr)",
        r"lr [rn]?(adam|sgd|lion|muon|adafactor|adagrad|rms ?prop)( ?w)?( pg1)?|lr pg ?[01]|lr 0",
        r"l r|optim0 lr0",
        rf"{_NO_RATE}(lr [a-z0-9]+( [a-z0-9]+)?|[a-z]{{1,12}} lr)",
    ),
    "lr_planned": (r"lr planned|planned lr",),
    "clip_norm": (r"clip norm|max grad norm|clip threshold",),
    "clipped": (r"(train )?clipped|(is|was) clipped",),
    "val_nmse_db": (r"(val|valid|validation|eval|dev)( loss)? nmse( db)?",),
    "val_loss": (
        rf"{_VALIDATION}( avg| average| mean| total)? loss( epoch)?|loss {_VALIDATION}",
        rf"{_VALIDATION} loss (total|sum|all|avg|mean|overall)",
        r"(test|te|va) loss|(val|validation) main loss|loss v|(val|valid|validation) l",
        rf"{_VALIDATION}( \d)?( s)? ({_SCORED_AS}|mse|nll|cost)|rmse (val|tst)",
        rf"{_VALIDATION} loss {_RATE}",
        rf"{_VALIDATION} {_RATE}( estimate)?",
        rf"{_VALIDATION} (ppl|perplexity)",
        r"(?!best|lowest|min)[a-z0-9]{1,24} (val|valid|validation|eval) loss",
        rf"(mse|nll|mae|rmse|bce|ce) {_VALIDATION}|{_VALIDATION} (total|overall)",
        rf"test ({_SCORED_AS}|mse|nll)|(mse|nll|mae|rmse|bce|ce) test|test (avg|average|mean|total) loss",
    ),
}
_NO_HEAD = "(?!(?:val|valid|validation|eval|dev|test|best|min|max|aux|scale|weight|ratio|time|step)\\b)"
HEAD = re.compile(
    rf"{_NO_HEAD}[a-z0-9]+( [a-z0-9]+){{0,2}} loss|((train|training) )?loss {_NO_HEAD}\d?[a-z][a-z0-9]*( [a-z0-9]+)?"
    r"|l (?!r\b|rate\b|min\b|max\b)[a-z]+( [a-z0-9]+)?|discriminator|generator"
)
AGAINST = re.compile(  # heads that work against each other, or whose level says nothing: no sum of them is a loss
    r"\b(?:d|g|disc|gen|discriminator|generator|adv|adversarial|fake|real|actor|critic|policy|value|pg|vf)\b"
)
SIDES = {  # of a GAN; several discriminators are none
    "discriminator": re.compile(
        r"(?:train(?:ing)? )?(?:(?:d|dis|disc) loss|loss (?:d|dis|disc)|(?:loss )?discriminator(?: loss)?)"
    ),
    "generator": re.compile(r"(?:train(?:ing)? )?(?:(?:g|gen) loss|loss (?:g|gen)|(?:loss )?generator(?: loss)?)"),
}
ADDED = re.compile(r"\b(?:kl|kld|kl div|reg|regularization|l1|l2|penalty|commit|commitment|entropy)\b")  # may rise
TRAINING = re.compile(
    r"(?:train|training|trn?)(?: (?!.*\b(?:time|speed|acc|accuracy|size|samples|steps?|epochs?)\b).+)?"
)
SCORE = re.compile(r"val|valid|validation|dev|test|te")  # beside a column of training that is no more than that
EVAL_SET = re.compile(r"(?:val|valid|validation|eval|dev) (.+) loss")  # Hugging Face: eval_<set>_loss
RISING = re.compile(r"psnr|ssim|acc|accuracy")  # higher is better, whatever the name of the column adds
ACCURACY = {  # read as the share of wrong answers, where a log has no loss
    "loss": re.compile(r"(train|training)( avg| mean)? (accuracy|acc|top ?1)"),
    "val_loss": re.compile(r"(val|valid|validation|dev|test)( avg| mean)? (accuracy|acc|top ?1)"),
}
METRIC = re.compile(
    r"(?:(?:val|valid|validation|eval|dev|test|metrics) )(?:.+ )?"
    r"(accuracy|accuracies|accs?\d?|top ?\d|f1.*|wer|cer|bleu\d?|sacrebleu|rouge.*|map.*|m?ap50.*|m?iou|auc|auroc|"
    r"mcc|matthews.*|"
    r"prec|precision.*|recall.*|r2|pearson.*|spearman.*|psnr|ssim|exact match|hella|ndcg.*|dice)(?: .+)?"
)
TRAIN_METRIC = re.compile(
    r"(?:(?:train|training|tr|avg|mean) ){0,2}(?:(?:binary|categorical|sparse|balanced|global|token|pixel) ){0,2}"
    r"(?:accuracy|accuracies|accs?|accu|top ?1)(?: (?:step|epoch))?"
)
LOSSES = ("loss", "loss_db", "val_loss", "val_nmse_db")
_COMPILED = {name: [re.compile(f"(?:{group})") for group in groups] for name, groups in COMMON.items()}


LIMITS = {  # of single values, the upper one excluded; other counts and sizes are not negative
    "beta2": (0.0, 1.0),
    "eps": (1e-300, 1e15),
    "parameters": (1, 1e15),
    "total_steps": (1, 1e15),
    "batch": (1, 1e15),
    "epochs": (1e-6, 1e15),
    "steps_per_epoch": (1e-6, 1e15),
}


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """Return a column's name for comparing: `Train/Grad-Norm` is `train grad norm`; without the run of a W&B export."""
    name = name.rpartition(" - ")[2] if " - " in name else name
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=\w)(?=(?:[Ll]oss|LOSS)(?:es)?\b)", " ", name.strip())
    plain = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
    return re.sub(r"(?<= )loss(es| (list|history|curve|values))$|^loss (history|curve|values)$", "loss", plain)


@lru_cache(maxsize=4096)
def meaning_of(name: str) -> str | None:
    """Return what a column's name commonly means, a name of `COLUMNS` or "metric"; None where it means nothing."""
    plain = plain_name(name)
    for key, groups in _COMPILED.items():
        if any(group.fullmatch(plain) for group in groups):
            return key
    is_metric = any(each.fullmatch(plain) for each in (METRIC, EVAL_SET, ACCURACY["loss"]))
    return "metric" if is_metric else None


def usual_loss(counts: Mapping[str, int]) -> dict[str, str]:
    """Return the loss that most lines have, where another stands in at most half as many: the mean of an epoch.

    Args:
        counts: number of values by name.
    """
    losses = sorted((name for name in counts if meaning_of(name) == "loss"), key=lambda name: -counts[name])
    return {"loss": losses[0]} if len(losses) > 1 and counts[losses[0]] >= 2 * counts[losses[1]] else {}


def eval_sets(names: Iterable[str]) -> dict[str, str]:
    """Return the validation losses of a log with several evaluation sets: name of the set -> column."""
    found = {name: EVAL_SET.fullmatch(plain_name(name)) for name in names if not name.endswith(("__MIN", "__MAX"))}
    sets = {match.group(1).replace(" ", "_"): name for name, match in found.items()
            if match and not RISING.fullmatch(match.group(1))}  # fmt: skip
    return {key: name for key, name in sets.items() if not ADDED.search(plain_name(name))} or sets  # may rise


def metrics(names: Iterable[str]) -> list[str]:
    """Return the columns of other validation scores, such as an accuracy."""
    return [name for name in names if METRIC.fullmatch(plain_name(name)) and not name.endswith(("__MIN", "__MAX"))]


def sides(names: Sequence[str]) -> dict[str, str]:
    """Return the losses of a discriminator and its generator by side; none where a log has not one of each."""
    found = {side: [name for name in names if shape.fullmatch(plain_name(name))] for side, shape in SIDES.items()}
    return {side: each[0] for side, each in found.items()} if all(len(each) == 1 for each in found.values()) else {}


def train_metrics(names: Iterable[str]) -> list[str]:
    """Return the columns of accuracies in training."""
    return [name for name in names if TRAIN_METRIC.fullmatch(plain_name(name))]


@dataclass(frozen=True)
class Asked:
    """The meanings of `--map`.

    Attributes:
        columns: meaning -> name in the log.
        constants: meaning of a column -> its one value.
        values: facts of `VALUES`.
    """

    columns: dict[str, str] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    values: dict[str, float | str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.columns or self.constants or self.values)


def parse_map(texts: Iterable[str]) -> Asked:
    """Read `step=it,loss=train/mse,clip_norm=1.0`: a column's name, or a number that stands for itself.

    Raises:
        DataError: with all keys.
    """
    this = Asked()
    # a comma parts entries only where another `key=` follows, so that names may hold commas
    for entry in (part for text in texts for part in re.split(r",(?=\s*[\w-]+=)", text) if part.strip()):
        key, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or not value:
            raise DataError(f"--map {entry.strip()}: expected KEY=COLUMN, as in --map step=it,loss=train_mse")
        if key in VALUES:
            this.values[key] = _value(key, value)
        elif key not in COLUMNS:
            near = difflib.get_close_matches(key, [*COLUMNS, *VALUES], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            known = f"columns: {', '.join(COLUMNS)}; single values: {', '.join(VALUES)}"
            raise DataError(f"--map {key}=...: unknown{hint}\n  {known}")
        elif key != "step" and (constant := _as_number(value)) is not None:
            this.constants[key] = constant
        else:
            this.columns[key] = value
    return this


def _as_number(text: str) -> float | None:
    try:
        return number(text)
    except ValueError:
        return None


def _value(key: str, text: str) -> float | str:
    kind = VALUES[key]
    try:
        if kind is int and float(text) != int(float(text)):
            raise ValueError
        value: float | str = text if kind is str else kind(float(text))
    except (ValueError, OverflowError):
        what = "a whole number" if kind is int else "a number"
        raise DataError(f"--map {key}={text}: expected {what}") from None
    low, high = LIMITS.get(key, (-1000.0, 1000.0) if key.endswith("_db") else (0.0, 1e15))
    if not isinstance(value, str) and not low <= value < high:
        raise DataError(f"--map {key}={text}: expected a number from {low:g} to below {high:g}")
    return value


@dataclass(frozen=True)
class Chosen:
    """The meanings that were found for the columns.

    Attributes:
        columns: meaning -> name in the log.
        notes: columns that were left out as ambiguous.
        absent: meaning -> why, for these.
        given: meanings that the user named.
        heads: columns whose sum is the loss, where the log has no total.
        doubtful: whether the loss has no name of one, and is a number of training that may be something else.
    """

    columns: dict[str, str]
    notes: list[str]
    absent: dict[str, str]
    given: frozenset[str]
    heads: list[str] = field(default_factory=list)
    doubtful: bool = False


def choose_columns(
    names: Sequence[str], asked: Asked, where: Path | str, *, known: Mapping[str, str] | None = None
) -> Chosen:
    """Find the columns of a log.

    Args:
        names: as they stand in the log.
        asked: of the user.
        where: file and line, for messages.
        known: meaning -> name, of a format whose names are fixed; those that the log has are taken.

    Raises:
        DataError: `--map` names a column that is not there, or a column that is needed stands there twice.
    """
    columns: dict[str, str] = {}
    for key, name in asked.columns.items():
        columns[key] = _named(name, names, where, key)
    for key, name in (known or {}).items():
        if name in names:
            columns.setdefault(key, name)
    taken = set(columns.values())
    free = {name: plain_name(name) for name in names if name not in taken and not name.endswith(("__MIN", "__MAX"))}
    notes, absent = [], {}
    for key, groups in _COMPILED.items():
        if key in columns or key in asked.constants or (key == "loss" and "loss_db" in columns):
            continue
        if key == "loss_db" and "loss" in columns:
            continue
        for group in groups:
            found = [name for name, plain in free.items() if group.fullmatch(plain)]
            if len(found) > 1 and key == "lr":  # of the groups of an optimizer
                found = found[:1]
            if len(found) > 1:
                listed = " and ".join(repr(name) for name in found[:4])
                absent[key] = f"candidates are {listed}: set --map {quote(f'{key}={found[0]}')}"
                notes.append(f"{key}: not read, since {absent[key]}")
                break
            if found:
                columns[key] = found[0]
                del free[found[0]]
                break
    losses = {"loss", "loss_db"}
    heads = [] if losses & {*columns, *absent, *asked.constants} else _choose_head(free, columns, notes, absent)
    doubtful = False
    if not {*losses, "val_loss"} & {*columns, *absent, *asked.constants}:
        left = [name for name, plain in free.items() if TRAINING.fullmatch(plain)]
        doubtful = len(left) == 1 and "loss" not in Path(where).stem.lower()
        columns |= _of_parts(left[0], free) if len(left) == 1 else _accuracies(free)
    for key, name in columns.items():
        if list(names).count(name) > 1:
            raise DataError(f"{where}: column {name!r} (read as {key}) appears twice; rename one of them")
    return Chosen(columns, notes, absent, frozenset(asked.columns), heads, doubtful)


def _of_parts(training: str, free: dict[str, str]) -> dict[str, str]:
    """Return the columns of a log that names its parts alone, such as `train` and `valid`."""
    scores = [name for name, plain in free.items() if SCORE.fullmatch(plain)]
    return {"loss": training} | ({"val_loss": scores[0]} if len(scores) == 1 else {})


def is_game(names: Iterable[str]) -> bool:
    """Return whether several losses of a log work against each other, as in a GAN; without a total, one is enough."""
    plain = [plain_name(name) for name in names]
    heads = [name for name in plain if "loss" in name or any(side.fullmatch(name) for side in SIDES.values())]
    against = sum(1 for name in heads if AGAINST.search(name))
    return against > 1 or (against == 1 and len(heads) > 1 and not any(meaning_of(name) == "loss" for name in heads))


def _choose_head(free: dict[str, str], columns: dict[str, str], notes: list[str], absent: dict[str, str]) -> list[str]:
    """Take the loss of a head, `reg_loss`, or of a GAN, which `units` knows not to judge; return heads to add up."""
    found = [name for name, plain in free.items() if HEAD.fullmatch(plain) and METRIC.fullmatch(plain) is None]
    against = [name for name in found if AGAINST.search(free[name])]
    if len(found) > 1 and not against:
        heads = [name for name in found if not ADDED.search(free[name])] or found
        columns["loss"] = " + ".join(heads)
        notes.append(f"loss: the sum of {len(heads)} heads, as the log has no total (--map loss=COLUMN)")
        return heads if len(heads) > 1 else []
    if len(found) > 1 and not is_game(found):
        listed = " and ".join(repr(name) for name in found[:4])
        absent["loss"] = f"candidates are {listed}: set --map {quote(f'loss={found[0]}')}"
        notes.append(f"loss: not read, since {absent['loss']}")
    elif found:
        columns["loss"] = (against or found)[0]
        del free[columns["loss"]]
    return []


def _accuracies(free: dict[str, str]) -> dict[str, str]:
    """Return the accuracies that stand for the losses, by meaning; none where there is no training accuracy."""
    found = {key: [name for name, plain in free.items() if shape.fullmatch(plain)] for key, shape in ACCURACY.items()}
    return {key: names[0] for key, names in found.items() if names} if found["loss"] else {}


def _named(name: str, names: Sequence[str], where: Path | str, key: str) -> str:
    if name in names:
        return name
    same = [other for other in names if other.strip().lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    near = same or difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(other) for other in near)}?" if near else ""
    raise DataError(f"{where}: no column {name!r} (--map {key}={name}){hint}\n  {listing(names)}")


def listing(names: Sequence[str], most: int = 24) -> str:
    """Return the columns of a log, for a message."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"the log has: {', '.join(names[:most])}{more}" if names else "the log has no columns"

"""Lines of `name: value` pairs, as training scripts print them; read where no other format is recognised.

    Epoch 3/10 - loss: 0.53 - val_loss: 0.61          step 120 | loss: 3.45 | lr 6.0e-04 | norm: 0.41
    Train Epoch: 1 [640/60000 (1%)]  Loss: 2.298730   Epoch: 0027 train_loss= 0.00122 val_loss= nan

A counter of steps or epochs holds for the lines that follow it; a plain `loss` in a line about validation is the
validation loss.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from dpdrun.diagnosis.logs.names import HEAD, TRAINING, meaning_of, plain_name
from dpdrun.diagnosis.logs.text_log import NUMBER, Lines, Record, TextFormat

WORD = r"[A-Za-z_][\w./@%-]{0,40}"
SIGN = r"(?:\s{0,12}(?:[:=~]|[-=]>)\s{0,16}|\sis:?\s{1,3})"
OPENED = r"[\"'`*]{0,3}(?:(?:tensor|array|np\.float\d\d)\(|[\[(](?!\d{1,12},\s)|<|\s){0,4}"
QUOTED = rf"[\"'`*\]]{{0,3}}{SIGN}{OPENED}"
END = r"(?![\w/]|[:.]\d)"  # no time, ratio or version
PAIR = re.compile(rf"(?<![\w.])(?<!\w[-/@%])({WORD}(?: {WORD}){{0,3}}){QUOTED}({NUMBER}){END}", re.I)
BARE = re.compile(rf"(?<![\w.])(?<!\w[-/@%])({WORD}(?: {WORD})?)\]?\s{{1,8}}({NUMBER}){END}", re.I)
TIGHT = re.compile(  # loss(0.5), loss_0.5, loss [0.5
    rf"(?<![\w.])([a-z]{{2,12}})(?:\s?[\[(<]\s{{0,8}}|_)(?=-?(?:\d{{0,12}}\.\d|nan|inf))({NUMBER}){END}", re.I
)
QUALIFIED = re.compile(r"(?<=\w)\s?\(([a-z][a-z ]{1,20})\)(?=\s{0,3}[:=])", re.I)  # Loss(train): 0.5, loss (avg): 0.5
IN_ROW = re.compile(rf"^\|?\s{{0,40}}({WORD}(?: {WORD})?)\s{{0,40}}\|\s{{1,40}}({NUMBER})\s{{0,40}}(?:\||$)", re.I)
IN_PAIR = re.compile(rf"(?<![\w.])({WORD}(?: {WORD})?): \(\d{{1,12}}, ({NUMBER})\)", re.I)  # loss: (3, 0.5)
# AllenNLP, under Training | Validation
IN_BOTH = re.compile(
    rf"(?<![\w.|])({WORD})\s{{1,40}}\|\s{{1,40}}({NUMBER})\s{{1,40}}\|\s{{1,40}}({NUMBER})\s{{0,40}}$", re.I
)
# Tacotron 2: Train loss 7 2.5
COUNTED = re.compile(rf"(?<![\w.])({WORD} loss) \d{{1,12}}:? {{1,4}}({NUMBER}){END}", re.I)
AT_STEP = re.compile(  # Cost after iteration 100: 0.69; the loss at step 100 is 2.5
    rf"(?<![\w.])({WORD}(?: {WORD})?) (?:\([^()]{{1,40}}\) )?(?:after|at|for|of) (?:epoch|step|iter|iteration|batch)"
    rf"\s{{1,3}}\d{{1,12}}(?: and (?:step|iter|iteration|batch) \d{{1,12}})?"
    rf"\s{{0,3}}(?:[:=]|is)\s{{0,3}}({NUMBER}){END}",
    re.I,
)
SWAPPED = re.compile(rf"(?<=[,\s])({NUMBER}) (avg loss|avg|rate)(?=,)")  # of Darknet
BOTH = re.compile(rf"\btrain\w{{0,3}}\s?/\s?val\w{{0,7}} loss[:= ]{{1,3}}({NUMBER})\s?/\s?({NUMBER})(?![\w/])", re.I)
COUNTER = re.compile(
    r"\b(epoch|global[ _]step|num[ _]update|step|iter|iteration|itr|it(?=s?[:=\[])|update|batch|pass|ep(?=\.)|up(?=\.))"
    r"s?(?:\b|(?=_\d))[\"']?\]?(?:\s{0,12}[:=]\s{0,3}|[ .#_]{0,3})[\[(]?\s{0,6}"
    r"(\d{1,3}(?:,\d{3}){1,3}(?!\d)|\d{1,12})(?:st|nd|rd|th)?"
    r"(?:\s{0,3}(?:/|of)\s{0,3}(\d{1,12}))?(?![\w.%])",
    re.I,
)
# after the epoch: Epoch: [0][ 10/5005], Epoch: 1 [640/60000, epoch 001: 370 / 614, | epoch 1 | 200/ 2983
INNER = re.compile(r"\]?\s?[:,|]?\s{0,6}\[?\s{0,6}(\d{1,12})\s{0,3}/\s{0,3}(\d{1,12})(?![\w/.])")
# DeepXDE: a step, the terms of the training loss and those of the test loss
TERMS = re.compile(r"^\d{1,12}\s{1,16}\[([-+.\deinfa, ]{1,2000})\]\s{1,16}\[([-+.\deinfa, ]{1,2000})\]", re.I)
SHAPES = tuple(
    (re.compile(shape), names)
    for shape, names in (
        (r"\s-\s{1,6}(\d{1,12}) -\s{1,6}[\d.]{1,12} (?:sent|words|tok)", ("batch",)),  # XLM: - 3550 - 6.84 sent/s
        (r"^\s{0,8}(\d{1,12}):(?:\t|\s(?=-?\d))", ("batch",)),  # Darknet, CatBoost
        (r": \((\d{1,12}), [-+\d.]", ("batch",)),
        (r"^\[(\d{1,12})\]\s", ("batch",)),  # XGBoost
        (r"^(\d{1,12})\s{1,16}\[[-+.\d]", ("batch",)),  # DeepXDE
        (r"\bloss (\d{1,12}):? {1,4}[\d.]{1,12}\b", ("batch",)),  # Tacotron 2
        (r"^\[(\d{1,12}),\s{1,8}(\d{1,12})\]\s", ("epoch", "batch")),  # the CIFAR tutorial of PyTorch
        (r"^\W{0,3}\[(\d{1,12})/\d{1,12}\]\s?\[(\d{1,12})/\d{1,12}\]", ("epoch", "batch")),  # DCGAN
        (r"\b(\d{1,9})epoch:train:\d{1,12}-(\d{1,12})batch", ("epoch", "batch")),  # ESPnet
    )
)
BAR = re.compile(r"(?:^\s{0,8}[#\[]?|\|\s{0,4})(\d{1,12})/(\d{1,12})[ \[\]]")
SCORED = re.compile(
    r"\b(?:val|valid|validation|validating|eval|evaluation|evaluating|dev|test|testing|saving dict)\b", re.I
)
SUMMED = re.compile(r"\bdone\b|\bend of\b|\bfinished\b", re.I)  # a line about a whole epoch
LOWEST = frozenset({"best", "lowest", "min", "minimum", "previous", "time"})  # `best loss`, `time cost`: neither is one
KERAS = re.compile(r"\d[mu]?s/step\b|\d/\d{1,12} (?:\[[=>.]{1,80}\]|\u2501)")
FAIRSEQ = re.compile(r"\bwps[= ].{1,200}\bgnorm[= ]")
SHORT = {"ep": "epoch", "pass": "epoch", "up": "update", "it": "iter", "itr": "iter"}  # Marian, Paddle
LOSSES = frozenset({"loss", "cost", "cross entropy", "nll", "mse"})
OF_EITHER = LOSSES | {"ce mean words", "xent", "ppl", "perplexity", "elbo"}  # of training, but in lines about scores
WORTH = ("loss", "loss_db", "grad_norm", "val_loss", "val_nmse_db")
PAIRED = (("train", "val"), ("learn", "test"))  # step 100 | train 2.59 | val 2.60
SHORT_NAMES = frozenset({"l", "j", "total", "overall"})
ENOUGH = 2
PRECEDENCE = ("num update", "global step", "step", "iter", "iteration", "update", "batch")
LINES_OF_COUNTERS = 400  # lines that show which counters tell them apart
RESTS = 0.3  # of the lines at which another counter moves
LEAST_VALUES = 3  # of a counter in as many lines as LINES_TO_COUNT: Steps: 100 of training, 10 of validation
LINES_TO_COUNT = 4


def _is_line(text: str) -> bool:
    return any(meaning_of(name) in (*WORTH, "metric") or HEAD.fullmatch(plain_name(name)) for name in _pairs(text))


def _may_be_line(text: str) -> bool:
    """Return whether a line has numbers with unknown names; `--map` may identify them."""
    pairs = _pairs(text)
    return len(pairs) >= ENOUGH or any(TRAINING.fullmatch(plain_name(name)) for name in pairs)


def _pairs(text: str) -> dict[str, object]:
    """Return the numbers of a line by name."""
    text = text.replace("'s ", " ")  # of LightGBM: training's binary_logloss
    text = QUALIFIED.sub(r" \1", text) if "(" in text else text
    found: dict[str, object] = {}
    heads: dict[str, object] = {}  # of D loss and G loss, content loss and style loss
    at_step = (AT_STEP,) if " at " in text or " after " in text or " for " in text or " of " in text else ()
    in_row = (IN_ROW,) if "|" in text else (IN_PAIR,) if "(" in text else ()
    scored, summed = (_end_of_first(word, text) for word in (SCORED, SUMMED))
    for pattern in (*at_step, COUNTED, PAIR, BARE, TIGHT, *in_row):
        for match in pattern.finditer(text):
            name = _known_end(match.group(1))
            if meaning_of(name) == "step" or (pattern is TIGHT and meaning_of(name) is None):
                continue  # `_Counters` reads it
            if plain_name(name) in SHORT_NAMES and match.group(2).isdecimal():
                continue  # a count
            part = _part_of(name, is_scored=scored <= match.start(2), is_summed=summed <= match.start(2))
            if plain_name(part) == "loss" and name != match.group(1):
                heads.setdefault(" ".join(match.group(1).split(" ")[-2:]), match.group(2))
            else:
                found.setdefault(part, match.group(2))
    if "loss" not in found:
        found |= heads if len(heads) != 1 else {"loss": next(iter(heads.values()))}
    if "|" in text and (row := IN_BOTH.search(text)) and meaning_of(row.group(1)) == "loss":
        found |= {"loss": row.group(2), "val_loss": row.group(3)}
    for value, name in SWAPPED.findall(text) if " avg" in text else ():
        found["lr" if name == "rate" else "avg loss"] = value
    if "/" in text and (both := BOTH.search(text)):
        found |= {"train loss": both.group(1), "val_loss": both.group(2)}
    for train, val in PAIRED:
        if train in found and val in found and "loss" not in found:
            found["train loss epoch"] = found.pop(train)
            found.setdefault("val_loss", found.pop(val))
    if not found and text[:1].isdecimal() and (terms := TERMS.match(text)):
        return {name: _sum(part) for name, part in zip(("loss", "val_loss"), terms.groups(), strict=True)}
    return found


def _sum(terms: str) -> object:
    """Return the sum of numbers between commas; None where one is none."""
    with suppress(ValueError):
        return sum(float(term) for term in terms.split(","))
    return None


def _end_of_first(pattern: re.Pattern[str], text: str) -> float:
    match = pattern.search(text)
    return match.end() if match else math.inf


def _part_of(name: str, *, is_scored: bool, is_summed: bool) -> str:
    """Return the name of a value with the part that the text before it names: validation, or the mean of an epoch."""
    plain = plain_name(name)
    is_either = plain in OF_EITHER or (meaning_of(name) == "loss" and "loss" in plain and "train" not in plain)
    if is_either and is_scored:
        return f"val {plain}" if plain in OF_EITHER - LOSSES else "val_loss"
    return "train loss epoch" if plain == "loss" and is_summed else name


@lru_cache(maxsize=4096)
def _known_end(words: str) -> str:
    """Return the longest suffix of some words that is the name of a column: `INFO train loss` is a `train loss`."""
    parts = words.split(" ")
    if len(parts) > 1 and parts[-1].lower() == "is":  # loss is: 0.5
        parts.pop()
    if any(part.lower() in LOWEST for part in parts[:-1]):
        return words
    ends = [" ".join(parts[start:]) for start in range(len(parts))]
    known = (name for name in ends if meaning_of(name) not in (None, "step"))
    heads = (name for name in ends[:-1] if name.lower().startswith("loss ") and HEAD.fullmatch(plain_name(name)))
    return next(known, None) or next(heads, ends[-1])


class _Counters:
    """The step and the epoch that hold for a line; of several counters, the first of PRECEDENCE that moves."""

    def __init__(self, at_rest: frozenset[str] = frozenset()) -> None:
        self._at_rest = at_rest
        self.now: dict[str, object] = {}
        self.seen: dict[str, int] = {}
        self.lengths: dict[str, int] = {}

    def see(self, text: str) -> None:
        found: dict[str, tuple[int, int | None]] = {}
        for match in COUNTER.finditer(text):
            name = match.group(1).lower().replace("_", " ")
            name = SHORT.get(name, name)
            length = int(match.group(3)) if match.group(3) else None
            found.setdefault(name, (int(match.group(2).replace(",", "")), length))
            inner = INNER.match(text, match.end()) if name == "epoch" else None
            if inner:
                found["batch"] = int(inner.group(1)), None
        for shape, names in SHAPES:
            if counted := shape.search(text):
                for name, value in zip(names, counted.groups(), strict=True):
                    found.setdefault(name, (int(value), None))
        if bar := BAR.search(text):
            found.setdefault("batch", (int(bar.group(1)), int(bar.group(2))))
        if "epoch" in found:
            if found["epoch"][0] != self.now.get("epoch"):
                self.now.pop("step", None)
            self.now["epoch"] = found["epoch"][0]
            self._length("epoch", found["epoch"][1])
        self.seen = {name: value for name, (value, _) in found.items()}
        step = next((found[name] for name in PRECEDENCE if name in found and name not in self._at_rest), None)
        if step is not None:
            self.now["step"] = step[0]
            self._length("step", None if "epoch" in self.now else step[1])

    def _length(self, name: str, length: int | None) -> None:
        if length:
            self.lengths[name] = length


def _at_rest(texts: Sequence[str]) -> frozenset[str]:
    """Return counters that often stand still while another moves: the step of `iter 3 step 1`, the bar `599/599`."""
    counters, before = _Counters(), dict[str, int]()
    now = dict[str, int]()
    chances, rests = Counter[str](), Counter[str]()
    values: dict[str, set[int]] = {}
    for text in texts:
        counters.see(text)
        now |= counters.seen
        if not _is_line(text):
            continue
        moved = {name for name in now if name in before and now[name] != before[name]}
        for name in now.keys() & before.keys():
            if moved - {name}:
                chances[name] += 1
                rests[name] += name not in moved
        before = dict(now)
        for name, value in now.items():
            values.setdefault(name, set()).add(value)

    def is_one(name: str) -> bool:
        few = chances[name] >= LINES_TO_COUNT and len(values[name]) < LEAST_VALUES
        return few or rests[name] > RESTS * chances[name]

    return frozenset(name for name in chances if is_one(name))


def _records(lines: Lines, values: dict[str, Any]) -> Iterator[Record]:
    lines = iter(lines)
    first = list(islice(lines, LINES_OF_COUNTERS))
    counters = _Counters(_at_rest([text for _, text in first]))
    has_steps = False
    # of bars that are never full, the running means are all that there is
    complete = any(bar.group(1) == bar.group(2) for _, text in first if (bar := BAR.search(text)))
    for line, text in chain(first, lines):
        counters.see(text)
        keras = KERAS.search(text)
        if keras:
            values["program"] = "keras"
            if complete:
                counters.now.pop("step", None)
            if complete and (bar := BAR.search(text)) and bar.group(1) != bar.group(2):
                continue  # a running mean within the epoch
        elif "gnorm" in text and FAIRSEQ.search(text):
            values["program"] = "fairseq"
        pairs = _pairs(text)
        if pairs:
            has_steps |= "step" in counters.now
            yield line, {**counters.now, **pairs}
    length = counters.lengths.get("step" if has_steps else "epoch")
    if length and not (has_steps and "epoch" in counters.lengths):
        values["total_steps"] = length


NAME = "text with name: value pairs"
FORMATS = (
    TextFormat(NAME, "", _is_line, _records),
    TextFormat(f"{NAME} of other names", "", _may_be_line, _records),
)

"""What Hugging Face's Trainer prints (also TRL, Axolotl, LLaMA-Factory): a Python dict a line, between progress bars.

    {'loss': 1.234, 'grad_norm': nan, 'learning_rate': 1e-05, 'epoch': 0.5}

From transformers 5.0 on the numbers are quoted. No step is in it: it is that of the progress bar, or follows from the
epoch and the length that is printed at the start; else lines are counted. Source: transformers, trainer_callback.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from dpdrun.diagnosis.logs.text_log import Lines, Record, TextFormat

DICT = re.compile(r"\{'[\w/.-]{1,80}': ")
PAIR = re.compile(r"'([^']{1,80})': '?([^,'{}]{1,60})'?")
BAR = re.compile(r"(\d{1,12})/(\d{1,12}) \[")
LENGTH = re.compile(r"Total optimization steps = ([\d,]{1,20})")
EPOCHS = re.compile(r"Num Epochs = (\d{1,9})")
COUNTED = re.compile(r"(\d{1,12})/(\d{1,12})")
SUMMARY = "train_runtime"


def is_line(text: str) -> bool:
    """Return whether a line holds a record."""
    return "{'" in text and "'epoch'" in text and DICT.search(text) is not None


class _Bars:
    """The progress bars around each record: of training and of evaluations, distinguished by their length."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self.before: dict[int, list[int | None]] = defaultdict(list)
        self.after: dict[int, list[int | None]] = defaultdict(list)
        self.records = 0

    def bar(self, done: int, length: int) -> None:
        self._last[length] = done
        after = self.after[length]
        after += [None] * (self.records - len(after))
        if after and after[-1] is None:
            after[-1] = done

    def record(self) -> None:
        for length, done in self._last.items():
            before = self.before[length]
            before += [None] * (self.records - len(before))
            before.append(done)
        self.records += 1

    def steps(self, of_training: Sequence[bool]) -> tuple[list[int], int] | None:
        """Return the step of every record and the length, from the bar that moves on with the training records.

        The bar that is drawn again after a line holds its step exactly; the one before may be a moment old.
        """
        best: tuple[float, list[int], int] | None = None
        for length in self.before:
            before, after = (
                seen + [None] * (self.records - len(seen)) for seen in (self.before[length], self.after[length])
            )
            for seen in (before, [b if a is None else a for b, a in zip(before, after, strict=True)]):
                steps = _filled(seen)
                moves = [step for step, train in zip(steps, of_training, strict=True) if train]
                gaps = [b - a for a, b in pairwise(moves)]
                if not moves or min(gaps, default=1) < 1:
                    continue
                even = sum(gap == gaps[0] for gap in gaps) / len(gaps) if gaps else 1.0
                if best is None or (even, length) > (best[0], best[2]):
                    best = even, steps, length
        return best[1:] if best else None


def _filled(seen: list[int | None]) -> list[int]:
    filled, last = [], 0
    for step in seen:
        last = last if step is None else step
        filled.append(last)
    return filled


def records(lines: Lines, values: dict[str, Any]) -> Iterator[Record]:
    """Yield the records with their steps."""
    found: list[Record] = []
    bars = _Bars()
    epochs = length = None
    for line, text in lines:
        start = text.find("{'")
        for done, of in BAR.findall(text if start < 0 else text[:start]):
            bars.bar(int(done), int(of))
        if start < 0:
            if match := LENGTH.search(text):
                length = int(match.group(1).replace(",", ""))
            elif match := EPOCHS.search(text):
                epochs = int(match.group(1))
        elif is_line(text):
            record: dict[str, object] = dict(PAIR.findall(text[start:]))
            if SUMMARY in record:
                values["finished"] = True
                continue
            if counted_so_far := COUNTED.fullmatch(str(record.get("global_step/max_steps"))):  # of ms-swift
                record["step"], length = counted_so_far.group(1), int(counted_so_far.group(2))
            found.append((line, record))
            bars.record()
    counted = bars.steps(["loss" in record for _, record in found])
    if counted:
        steps, length = counted
        for (_, record), step in zip(found, steps, strict=True):
            record["step"] = step
    elif epochs and length:
        for _, record in found:
            record["step"] = round(float(str(record["epoch"])) / epochs * length)
    if length:
        values["total_steps"] = length
    yield from found


FORMAT = TextFormat(
    "Hugging Face Trainer output", "huggingface", is_line, records,
    notes=("loss is the mean since the previous line; the other columns are of one step",),
)  # fmt: skip

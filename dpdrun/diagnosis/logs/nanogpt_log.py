"""What nanoGPT and build-nanogpt print.

    iter 120: loss 2.3456, time 99.10ms, mfu 12.30%       nanoGPT: the last micro-batch alone
    step 250: train loss 2.3100, val loss 2.4000          nanoGPT: means of eval_iters batches of both splits
    120 train 3.456789 / 250 val 3.4567 / 250 hella 0.27  log.txt of build-nanogpt

Source: karpathy/nanoGPT, train.py; karpathy/build-nanogpt, train_gpt2.py. The lines `step 120 | loss: ..` that the
latter prints are read by `key_value_log`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dpdrun.diagnosis.logs.text_log import NUMBER, Lines, Record, TextFormat

ITER = re.compile(rf"^\s{{0,8}}iter (\d{{1,12}}): loss ({NUMBER})", re.I)
STEP = re.compile(rf"^\s{{0,8}}step (\d{{1,12}}): train loss ({NUMBER}), val loss ({NUMBER})", re.I)
BUILD = re.compile(rf"^(\d{{1,12}}) (train|val|hella) ({NUMBER})$", re.I)


def _is_line(text: str) -> bool:
    return "loss" in text and (ITER.match(text) or STEP.match(text)) is not None


def _records(lines: Lines, _: dict[str, Any]) -> Iterator[Record]:
    for line, text in lines:
        if match := ITER.match(text):
            yield line, {"iter": match.group(1), "loss": match.group(2)}
        elif match := STEP.match(text):
            yield line, {"iter": match.group(1), "train loss epoch": match.group(2), "val_loss": match.group(3)}


def _is_build_line(text: str) -> bool:
    return BUILD.match(text.rstrip()) is not None


def _build_records(lines: Lines, _: dict[str, Any]) -> Iterator[Record]:
    names = {"train": "loss", "val": "val_loss", "hella": "val_acc_hella"}
    for line, text in lines:
        if match := BUILD.match(text.rstrip()):
            yield line, {"step": match.group(1), names[match.group(2)]: match.group(3)}


FORMAT = TextFormat(
    "nanoGPT output", "nanogpt", _is_line, _records,
)  # fmt: skip
BUILD_FORMAT = TextFormat("build-nanogpt log.txt", "build-nanogpt", _is_build_line, _build_records)

"""Text logs of mmengine, and of mmcv 1 before it.

    Epoch(train)  [2][ 50/300]  lr: 1.0e-03  eta: ..  grad_norm: 3.1  loss: 1.23  loss_cls: 0.8
    Iter(train) [ 50/9000]  lr: ..            Epoch [2][50/300]  lr: .., loss: 1.23        (mmcv 1)

Numbers are means over a window of 10 iterations. Source: mmengine 0.10.7, runner/log_processor.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dpdrun.diagnosis.logs.text_log import NUMBER, Lines, Record, TextFormat

LINE = re.compile(r"\b(Epoch|Iter)(?:\((\w{2,8})\))?\s{0,8}(?:\[(\d{1,9})\])?\s{0,8}\[\s{0,8}(\d{1,12})/(\d{1,12})\]")
FIELD = re.compile(rf"([A-Za-z][\w./@-]{{0,60}}): ({NUMBER})(?=[\s,]|$)", re.I)
EPOCHS = re.compile(r"\bmax_epochs ?= ?(\d{1,9})")


def _is_line(text: str) -> bool:
    if "lr: " not in text and "loss: " not in text:
        return False
    match = LINE.search(text)
    return match is not None and (match.group(1) == "Iter" or match.group(3) is not None)


def _records(lines: Lines, values: dict[str, Any]) -> Iterator[Record]:
    epochs = None
    for line, text in lines:
        match = LINE.search(text) if "[" in text else None
        if match is None:
            if found := EPOCHS.search(text):
                epochs = int(found.group(1))
            continue
        kind, part, epoch, at, length = match.groups()
        if part not in (None, "train"):
            continue
        step = int(at)
        if kind == "Epoch" and epoch is not None:
            step += (int(epoch) - 1) * int(length)
            values["steps_per_epoch"] = float(length)
            if epochs:
                values["total_steps"] = epochs * int(length)
        elif kind == "Iter":
            values["total_steps"] = int(length)
        yield line, {"step": step, **dict(FIELD.findall(text[match.end() :]))}


FORMAT = TextFormat(
    "mmengine log", "mmengine", _is_line, _records, known={"step": "step", "loss": "loss", "grad_norm": "grad_norm"},
    notes=("each value is the mean of a window of iterations",),
)  # fmt: skip

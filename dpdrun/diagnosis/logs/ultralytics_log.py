"""What Ultralytics YOLO and YOLOv5 print: a header, and below it a row an epoch, drawn again as it goes on.

          Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size
            1/3      3.05G      1.151      1.672      1.234        105        640: 100%|####| 4/4

The loss is the sum of those of the heads, means over the epoch so far. Source: ultralytics, engine/trainer.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dpdrun.diagnosis.logs.csv_formats import HEADS
from dpdrun.diagnosis.logs.text_log import Lines, Record, TextFormat

HEADER = re.compile(r"^\s{1,20}Epoch\s{1,20}gpu_mem\s", re.I)
ROW = re.compile(r"^\s{1,20}(\d{1,6})/(\d{1,6})\s{1,20}[\d.]{1,12}[GM]?\s")


def _is_line(text: str) -> bool:
    return "poch" in text and HEADER.match(text) is not None


def _records(lines: Lines, values: dict[str, Any]) -> Iterator[Record]:
    heads: list[int] = []
    for line, text in lines:
        if _is_line(text):
            names = text.lower().split()
            heads = [at for at, name in enumerate(names) if name.removesuffix("_loss") in HEADS]
        elif heads and (row := ROW.match(text)):
            values["total_steps"] = int(row.group(2))
            cells = text.split(maxsplit=heads[-1] + 1)
            try:
                loss = sum(float(cells[at]) for at in heads)
            except (ValueError, IndexError):
                continue  # a row that is drawn only in part
            yield line, {"epoch": row.group(1), "loss": loss}


FORMAT = TextFormat(
    "Ultralytics output", "ultralytics", _is_line, _records,
    notes=("loss is the sum of the losses of the heads, each a mean over the epoch so far",),
)  # fmt: skip

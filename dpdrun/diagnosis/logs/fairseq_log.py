"""What fairseq prints with `--log-format json`: `<time> | INFO | train_inner | {"epoch": 1, "loss": "9.1", ..}`.

Losses are in bits (divided by ln 2); numbers are quoted. `train_inner` lines are means since the previous one, `train`
lines those of an epoch, `valid` lines scores with `valid_` before each name. Source: fairseq, logging/progress_bar.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from dpdrun.diagnosis.logs.text_log import Lines, Record, TextFormat

LINE = re.compile(r"\| (train_inner|train|valid) \| (\{.{2,8000}\})\s{0,4}$")


def _is_line(text: str) -> bool:
    return "| {" in text and LINE.search(text) is not None


def _records(lines: Lines, _: dict[str, Any]) -> Iterator[Record]:
    for line, text in lines:
        match = LINE.search(text) if "| {" in text else None
        if match is None:
            continue
        try:
            record = json.loads(match.group(2))
        except (ValueError, RecursionError):
            continue
        if match.group(1) == "valid" and "valid_num_updates" in record:
            record["num_updates"] = record.pop("valid_num_updates")
        elif match.group(1) == "train" and "train_num_updates" in record:
            record["num_updates"] = record.pop("train_num_updates")
        yield line, record


FORMAT = TextFormat("fairseq log", "fairseq", _is_line, _records)

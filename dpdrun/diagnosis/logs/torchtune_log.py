"""torchtune's log_<time>.txt and standard output: `Step 12 | loss:1.234567 lr:2e-05 .. grad_norm:0.61`.

Source: torchtune 0.6.1, training/metric_logging.py (DiskLogger, StdoutLogger).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dpdrun.diagnosis.logs.text_log import NUMBER, Lines, Record, TextFormat

LINE = re.compile(r"Step (\d{1,12}) \| (?=[\w/]{1,60}:)")
PAIR = re.compile(rf"([\w/]{{1,60}}):({NUMBER})(?=\s|$)", re.I)


def _is_line(text: str) -> bool:
    return " | " in text and "loss:" in text and LINE.search(text) is not None and ": " not in text


def _records(lines: Lines, _: dict[str, Any]) -> Iterator[Record]:
    for line, text in lines:
        if match := LINE.search(text):
            yield line, {"step": match.group(1), **dict(PAIR.findall(text[match.end() :]))}


FORMAT = TextFormat("torchtune log", "torchtune", _is_line, _records)

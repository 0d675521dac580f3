"""What Megatron-LM prints, and programs built on it: fields between bars.

     iteration  100/ 5000 | consumed samples: 6400 | learning rate: 1.0E-04 | lm loss: 6.5E+00 | grad norm: 1.2 |
     validation loss at iteration 1000 | lm loss value: 2.1E+00 | lm loss PPL: 8.2E+00 |

Losses are means since the previous line over the steps that were taken; `number of skipped iterations` counts those
that the loss scaler skipped since then. Source: Megatron-LM, training/training.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dpdrun.diagnosis.logs.text_log import NUMBER, Lines, Record, TextFormat

LINE = re.compile(r"\biteration\s{1,12}(\d{1,12})/\s{0,12}(\d{1,12})\s?\|")
SCORE = re.compile(rf"\bloss at iteration (\d{{1,12}}).{{0,60}}?\|\s?(?:lm )?loss value: ({NUMBER})", re.I)
FIELD = re.compile(rf"\|\s{{0,4}}([a-z][a-z_ ]{{0,40}}): ({NUMBER})(?=\s|$)", re.I)


def _is_line(text: str) -> bool:
    return "iteration" in text and LINE.search(text) is not None


def _records(lines: Lines, values: dict[str, Any]) -> Iterator[Record]:
    for line, text in lines:
        if match := LINE.search(text):
            values["total_steps"] = int(match.group(2))
            yield line, {"iteration": match.group(1), **dict(FIELD.findall(text))}
        elif "on test set" not in text and (match := SCORE.search(text)):
            yield line, {"iteration": match.group(1), "val_loss": match.group(2)}


FORMAT = TextFormat("Megatron-LM output", "megatron", _is_line, _records)

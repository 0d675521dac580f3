"""Which scores of a report, or of a line of metrics.jsonl, a choice is made by.

A split is a piece of a record. The keys of a split hold its scores from a cold start, as published tables have them:
what is before the split is taken for silence. `with_past` next to them holds the same keys with the samples that the
record has around the split, and null where those are not known, or do not matter (frames, loops, old reports).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WITH_PAST = "with_past"
COLD = "cold_start"  # of what is shown, never of a file
COLD_START = "cold start"  # its name where it is shown
VAL_WITH_PAST, OBJECTIVE_WITH_PAST = "val_nmse_with_past_db", "objective_with_past_db"


def chosen(scores: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return scores as choices are made by them: those with the past of the record where there are any."""
    return {**scores, **(scores.get(WITH_PAST) or {})}


def as_chosen(content: Any) -> Any:
    """Return a report for showing it: at any depth, scores as choices are made by them, with the others as COLD."""
    if isinstance(content, list | tuple):
        return [as_chosen(each) for each in content]
    if not isinstance(content, Mapping):
        return content
    shown = {name: as_chosen(value) for name, value in content.items() if name != WITH_PAST}
    past = content.get(WITH_PAST)
    return shown if past is None else {**shown, **as_chosen(past), COLD: {name: shown.get(name) for name in past}}


def cold_nmse_db(shown: Mapping[str, Any]) -> float | None:
    """Return the NMSE [dB] from a cold start of scores from `as_chosen`; None where there is no other."""
    value = (shown.get(COLD) or {}).get("nmse_db")
    return None if value is None else float(value)


def validation_db(line: Mapping[str, Any]) -> float:
    """Return the validation NMSE that a line of metrics.jsonl was judged by [dB]. Raises KeyError if it has none."""
    found = line.get(VAL_WITH_PAST)
    return float(line["val_nmse_db"] if found is None else found)

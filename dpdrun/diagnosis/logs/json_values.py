"""Values that are no strict JSON: several after each other, or as Python prints them."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

MOST = 1 << 24  # characters
SEPARATED = re.compile(r"[\s,;]*")
STRING = r"'(?:[^'\\\n]|\\.){0,4000}'|\"(?:[^\"\\\n]|\\.){0,4000}\""
WRAPPED = re.compile(
    r"\b(?:np\.|numpy\.|torch\.)?(?:tensor|array|float\d{0,2}|int\d{0,2})\(([^()]{1,4000}?)(?:, \w+=[^()]*)?\)"
)
PYTHON = re.compile(rf"{STRING}|[()]|\b(?:None|True|False|nan|inf)\b")
JSON_WORDS = {
    "None": "null", "True": "true", "False": "false", "nan": "NaN", "inf": "Infinity", "(": "[", ")": "]",
}  # fmt: skip


def values_of(text: str) -> list[Any]:
    """Return the values of a text, one after another: of JSON, or of Python; none where it has something else."""
    if len(text) > MOST:
        return []
    return _in_sequence(text) or _in_sequence(_as_json(text))


def _in_sequence(text: str) -> list[Any]:
    values, decoder = [], json.JSONDecoder()
    at, end = 0, len(text.rstrip(" \t\r\n,;"))
    with suppress(ValueError, RecursionError):
        while (at := SEPARATED.match(text, at).end()) < end:  # type: ignore[union-attr]  # it matches nothing as well
            value, at = decoder.raw_decode(text, at)
            values.append(value)
        return values
    return []


def _as_json(text: str) -> str:
    """Return the text of Python values as JSON."""
    return PYTHON.sub(_word, WRAPPED.sub(r"\1", text))


def _word(match: re.Match[str]) -> str:
    word = match.group()
    if word[0] == "'":
        return json.dumps(word[1:-1].replace("\\'", "'"))
    return JSON_WORDS.get(word, word)

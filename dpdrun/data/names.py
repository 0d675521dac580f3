"""The words in the names of variables, columns and files: which is the input, which the output, which is I and which Q.

The words and the pairs were collected from public measurement scripts and toolboxes; see docs/data.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

Role = Literal["input", "output"]

INPUT_WORDS = frozenset(
    {"in", "input", "inp", "tx", "ref", "stim", "stimulus", "src", "source", "u", "x", "vsg", "generator", "awg", "dac"}
)
OUTPUT_WORDS = frozenset(
    {"out", "output", "outp", "rx", "orx", "fb", "feedback", "meas", "measured", "y", "z", "vsa", "analyzer", "adc"}
)
NEUTRAL_WORDS = frozenset(
    {
        *("pa", "iq", "data", "sig", "signal", "signals", "wave", "waveform", "frame", "base", "amp", "samples", "nn"),
        *("org", "orig", "original"),  # of a pair such as xorg, yorg
    }
)
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
QUADRATURE = {"i": "q", "re": "im", "real": "imag", "inphase": "quadrature"}
QUADRATURE_WORDS = frozenset(QUADRATURE) | frozenset(QUADRATURE.values())
# Of public scripts; the rule takes both for outputs
KNOWN_PAIRS = (("modOut", "y"), ("ofdmModOut", "y_amp"))

_KNOWN = INPUT_WORDS | OUTPUT_WORDS | NEUTRAL_WORDS | frozenset(PARTS) | QUADRATURE_WORDS
_LONGEST = max(map(len, _KNOWN))
_LONGEST_TOKEN = 64  # letters in a row; a name from a file of somebody else may have any number
_SEPARATOR = re.compile(r"[./]")  # of a structure and its field, a group and its channel
_TOKEN = re.compile(r"[A-Z]+[a-z]*|[a-z]+|[0-9]+")


@cache
def words_of(name: str) -> tuple[str, ...]:
    """Split a name at underscores, digits and capitals, in lower case: `I_in` -> i, in; `PAin` -> pa, in."""
    return tuple(word for token in _TOKEN.findall(name) for word in _known_words(token.lower()) or (token.lower(),))


@cache
def _known_words(token: str) -> tuple[str, ...]:
    """Return the known words that a token consists of, the longest first; nothing if they do not cover it."""
    if token in _KNOWN:
        return (token,)
    if len(token) > _LONGEST_TOKEN:
        return ()
    for end in range(min(len(token) - 1, _LONGEST), 0, -1):
        if token[:end] in _KNOWN and (rest := _known_words(token[end:])):
            return (token[:end], *rest)
    return ()


def role_of(name: str) -> tuple[Role | None, tuple[str, ...]]:
    """Return the role that a name states, and its other words. None: it states none, or both.

    Of a field in a structure, `meas.tx`, its own name comes first: only if that states no role, the whole does, as in
    `paIn.signals`. `name` may be two names as I,Q: the words of I and Q are no part of the others.
    """
    first = name.partition(",")[0]
    words = [word for word in words_of(first) if not ("," in name and word in QUADRATURE_WORDS)]
    others = tuple(word for word in words if word not in INPUT_WORDS | OUTPUT_WORDS | NEUTRAL_WORDS)
    return _one_role(words_of(_SEPARATOR.split(first)[-1])) or _one_role(words), others


def _one_role(words: Iterable[str]) -> Role | None:
    """Return the role that some words state; None for none and for both."""
    is_input, is_output = (not known.isdisjoint(words) for known in (INPUT_WORDS, OUTPUT_WORDS))
    if is_input == is_output:
        return None
    return "input" if is_input else "output"


def pairs_of(names: Iterable[str]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return every (input, output, other words) whose names differ in nothing but the words of the roles."""
    given = list(names)
    lower = {name.lower(): name for name in given}
    known = [(lower[i.lower()], lower[o.lower()], ()) for i, o in KNOWN_PAIRS if {i.lower(), o.lower()} <= set(lower)]
    if known:
        return [*known]
    by_role: dict[Role, list[tuple[str, tuple[str, ...]]]] = {"input": [], "output": []}
    for name in given:
        role, others = role_of(name)
        if role is not None:
            by_role[role].append((name, others))
    return [(i, o, words) for i, words in by_role["input"] for o, others in by_role["output"] if words == others]


def parts_of(pairs: Sequence[tuple[str, str, tuple[str, ...]]]) -> dict[str, tuple[str, str]] | None:
    """Return the pairs as training, validation and test, where their names say that and nothing else."""
    named = {PARTS.get(" ".join(words), ""): (i, o) for i, o, words in pairs}
    return named if len(pairs) == 3 and set(named) == {"train", "val", "test"} else None


def partner_name(file: str) -> tuple[Role, str] | None:
    """Return the role that a file's name states by `input` or `output`, and the name of the file of the other role."""
    styles = (str.lower, str.capitalize, str.upper)
    for style in styles:
        if style("input") in file:
            return "input", file.replace(style("input"), style("output"))
    for style in styles:
        if style("output") in file:
            return "output", file.replace(style("output"), style("input"))
    return None

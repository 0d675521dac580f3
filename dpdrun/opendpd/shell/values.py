"""Expand the words of a shell script by the values of its variables; an unknown value carries the reason.

Nothing is run and the environment is not read: a script means the same on every machine. Understood are `$x`, `${x}`,
`${x:-default}`, `${x-default}` and, of arrays, `${a[@]}`, `${a[$i]}` and `${#a[@]}`: what OpenDPD's own scripts use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpdrun.opendpd.shell.words import Kind, WordPart, tokens

MAX_TEXT = 1 << 16  # characters of what one word becomes: a doubled variable reaches any length

_BRACES = re.compile(r"\{-?\w+\.\.|\{[^{}]*,[^{}]*\}")
_BODY = re.compile(
    r"(?P<length>#(?=\w+\[[@*]\]$))?(?P<name>[A-Za-z_]\w*|[0-9@*])(?:\[(?P<index>[^\]]*)\])?"
    r"(?P<op>:?-(?P<default>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Unknown:
    """The value of a variable, or a word of a command, that only a shell can work out; `why` completes a message."""

    why: str


Value = str | tuple[str, ...] | Unknown  # a tuple is an array
Variables = dict[str, Value]


class UnknownValueError(Exception):
    """A word whose value is not known; the message names the variable and says why."""


class TooLargeError(UnknownValueError):
    """A value beyond the limits."""


def expand(parts: Sequence[WordPart], variables: Mapping[str, Value]) -> list[str]:
    """Return the words that one word becomes: none for an empty unquoted variable, several for an array.

    Raises:
        UnknownValueError: a variable in it is not known; TooLargeError: it becomes more than MAX_TEXT characters.
    """
    words: list[str] = []
    current: str | None = None
    length = 0
    for part in parts:
        for piece in _pieces(part, variables):
            length += len(piece or " ")
            if length > MAX_TEXT:
                raise TooLargeError(f"a word grows to more than {MAX_TEXT:,} characters")
            if piece is None:
                words += [] if current is None else [current]
                current = None
            else:
                current = (current or "") + piece
    return words if current is None else [*words, current]


def _pieces(part: WordPart, variables: Mapping[str, Value]) -> list[str | None]:
    """Return the text of a part in pieces; None is where one word ends and the next begins."""
    if part.kind == Kind.SUBSTITUTION:
        raise UnknownValueError(f"$({part.body.strip()}) is not run here; write its value in its place")
    if part.kind == Kind.TEXT:
        if not part.quoted and _BRACES.search(part.body):
            raise UnknownValueError(f"{part.body} is not supported; write its values in its place")
        return [part.body]
    value = parameter(part.body, variables)
    if part.quoted:
        separated: list[str | None] = []
        for word in (value,) if isinstance(value, str) else value:
            separated += [None, word] if separated else [word]
        return separated
    text = value if isinstance(value, str) else " ".join(value)
    return [None if run.isspace() else run for run in re.split(r"(\s+)", text) if run]


def parameter(body: str, variables: Mapping[str, Value]) -> str | tuple[str, ...]:
    """Return the value of `${body}`.

    Raises:
        UnknownValueError: it is not known.
    """
    match = _BODY.fullmatch(body)
    if match is None:
        raise UnknownValueError(f"${{{body}}} is not supported; write its value in its place")
    name, index, op = match["name"], match["index"], match["op"]
    value = variables.get(name)
    if op and (value is None or (op[0] == ":" and value == "")):
        return " ".join(word for token in tokens(match["default"], "${...}") for word in expand(token.parts, variables))
    if value is None:
        reason = "it is an argument of the script" if name.isdecimal() or name in "@*" else "nothing sets it before"
        raise UnknownValueError(f"${name} is unknown: {reason}")
    if isinstance(value, Unknown):
        raise UnknownValueError(f"${name} is unknown: {value.why}")
    if match["length"]:
        return "1" if isinstance(value, str) else str(len(value))
    if isinstance(value, str) or name == "@" or index in ("@", "*"):
        return value
    place = "0" if index is None else index.strip("${}")
    place = place if place.isdecimal() else str(parameter(place, variables))
    if not place.isdecimal() or int(place[:18]) >= len(value):
        raise UnknownValueError(f"${name} is unknown: it has no element {place}")
    return value[int(place[:18])]

"""Expand the words of a shell script by the values of its variables; an unknown value carries the reason.

Nothing is run and the environment is not read: a script means the same on every machine. Parameter expansion as in
POSIX.1-2017, "Shell Command Language", section 2.6.2, and the arrays of bash.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from dpdrun.opendpd.shell.words import Literal, Part, Substitution, Word, tokens


@dataclass(frozen=True)
class Unknown:
    """The value of a variable that is set to something that only a shell can work out; `why` completes a message."""

    why: str


Value = str | tuple[str, ...] | Unknown  # a tuple is an array
Variables = MutableMapping[str, Value]


class UnknownValueError(Exception):
    """A word whose value is not known; the message names the variable and says why."""


class TooLargeError(UnknownValueError):
    """A value beyond the limits below."""


MAX_RANGE = 10_000  # numbers in {1..9}, turns of a loop; more is a slip
MAX_TEXT = 1 << 16  # characters of what one word becomes: a doubled variable reaches any length
MAX_TRIMMED = 1 << 10  # characters of a value in ${x%pattern}, whose time grows with their square

_SEQ = re.compile(r"\s*seq\s+(-?\d+)(?:\s+(-?\d+))?\s*")
_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)\}")
_LIST = re.compile(r"(.*)\{([^{}]*,[^{}]*)\}(.*)", re.DOTALL)
_BODY = re.compile(
    r"(?P<length>#(?=[A-Za-z_]))?(?P<name>[A-Za-z_]\w*|[0-9@*])(?:\[(?P<index>[^\]]*)\])?"
    r"(?P<rest>(?P<op>:?[-=?+]|%%?|##?|\^\^?|,,?)(?P<word>.*))?",
    re.DOTALL,
)


def expand(word: Word, variables: Variables) -> list[str]:
    """Return the words that one word becomes: none for an empty unquoted variable, several for an array.

    Raises:
        UnknownValueError: a variable in it is not known; TooLargeError: it becomes more than MAX_TEXT characters.
    """
    fields: list[str] = []
    current: str | None = None
    length = 0
    for part in word.parts:
        for piece in _pieces(part, variables):
            length += len(piece or " ")
            _limit(length)
            if piece is None:
                fields += [] if current is None else [current]
                current = None
            else:
                current = (current or "") + piece
    fields += [] if current is None else [current]
    return [field for text in fields for field in (_braces(text) if _is_bare(word) else [text])]


def _pieces(part: Part, variables: Variables) -> list[str | None]:
    """Return the text of a part in pieces; None is where one word ends and the next begins."""
    if isinstance(part, Literal):
        return [part.text]
    if isinstance(part, Substitution):
        match = _SEQ.fullmatch(part.body)
        if match is None:
            raise UnknownValueError(f"$({part.body.strip()}) is not run here; write its value in its place")
        first, last = (match[1], match[2]) if match[2] else ("1", match[1])
        return _separated(numbers(integer(first), integer(last)))
    value = parameter(part.body, variables)
    if part.quoted:
        return [value] if isinstance(value, str) else _separated(list(value))
    text = value if isinstance(value, str) else " ".join(value)
    return [None if run.isspace() else run for run in re.split(r"(\s+)", text) if run]


def _separated(words: list[str]) -> list[str | None]:
    pieces: list[str | None] = []
    for word in words:
        pieces += [None, word] if pieces else [word]
    return pieces


def _is_bare(word: Word) -> bool:
    return all(isinstance(part, Literal) and not part.quoted for part in word.parts)


def _braces(text: str) -> list[str]:
    """Expand `{0..4}` and `{a,b}` of bash."""
    if match := _RANGE.fullmatch(text):
        first, last = integer(match[1]), integer(match[2])
        return numbers(first, last, -1 if last < first else 1)
    if match := _LIST.fullmatch(text):
        return [match[1] + middle + match[3] for middle in match[2].split(",")]
    return [text]


def integer(text: str) -> int:
    """Read a whole number; of more digits than any script needs, the first, which are far beyond every limit."""
    return int(text[:18])


def numbers(first: int, last: int, step: int = 1) -> list[str]:
    """Return the numbers from `first` to `last`, as text. Raises TooLargeError for too many."""
    found = range(first, last + step, step)
    if len(found) > MAX_RANGE:
        raise TooLargeError(f"{first} to {last} are more than {MAX_RANGE:,} values")
    return [str(number) for number in found]


def parameter(body: str, variables: Variables) -> str | tuple[str, ...]:
    """Return the value of `${body}`.

    Raises:
        UnknownValueError: it is not known.
    """
    match = _BODY.fullmatch(body)
    if match is None:
        raise _unsupported(body)
    value = _lookup(match, variables)
    if match["length"]:
        return str(len(_known(match["name"], value)))
    op = match["op"]
    if op is None:
        return _known(match["name"], value)
    if op.lstrip(":") in ("-", "=", "+", "?"):
        return _default(match, op, value, variables)
    known = _known(match["name"], value)
    if not isinstance(known, str):
        raise _unsupported(body)
    if op[0] in "^,":
        changed = known.upper() if op[0] == "^" else known.lower()
        return changed if len(op) > 1 else changed[:1] + known[1:]
    if len(known) > MAX_TRIMMED:
        raise UnknownValueError(f"${match['name']} is too long for ${{{body}}}; write the value in its place")
    return _trimmed(known, op, _text(match["word"], variables))


def _unsupported(body: str) -> UnknownValueError:
    return UnknownValueError(f"${{{body}}} is not supported; write its value in its place")


def _lookup(match: re.Match[str], variables: Variables) -> Value | None:
    name, index = match["name"], match["index"]
    value = variables.get(name)
    if index is None:
        return value[0] if isinstance(value, tuple) and value and not match["length"] and name != "@" else value
    if not isinstance(value, tuple) or index in ("@", "*"):
        return value
    number = _text(index, variables)
    if not number.isdecimal():
        number = _text(f"${{{number}}}", variables)
    if not number.isdecimal() or integer(number) >= len(value):
        return Unknown(f"it has no element {number}")
    return value[integer(number)]


def _known(name: str, value: Value | None) -> str | tuple[str, ...]:
    if value is None:
        reason = "it is an argument of the script" if name.isdecimal() or name in "@*" else "nothing sets it before"
        raise UnknownValueError(f"${name} is unknown: {reason}")
    if isinstance(value, Unknown):
        raise UnknownValueError(f"${name} is unknown: {value.why}")
    return value


def _default(match: re.Match[str], op: str, value: Value | None, variables: Variables) -> str | tuple[str, ...]:
    missing = value is None or (op[0] == ":" and value == "")
    if op[-1] == "+":
        return "" if missing else _text(match["word"], variables)
    if not missing:
        return _known(match["name"], value)
    if op[-1] == "?":
        return _known(match["name"], None)
    text = _text(match["word"], variables)
    if op[-1] == "=":
        variables[match["name"]] = text
    return text


@functools.lru_cache(maxsize=1024)  # loops trim the same value again and again
def _trimmed(text: str, op: str, pattern: str) -> str:
    """Cut what matches a pattern off the end (%) or the beginning (#); a doubled operator cuts as much as it can."""
    cuts = range(len(text) + 1)
    if op[0] == "%":
        fitting = [cut for cut in cuts if fnmatch.fnmatchcase(text[cut:], pattern)]
        return text[: (min if len(op) > 1 else max)(fitting)] if fitting else text
    fitting = [cut for cut in cuts if fnmatch.fnmatchcase(text[:cut], pattern)]
    return text[(max if len(op) > 1 else min)(fitting) :] if fitting else text


def _text(text: str, variables: Variables) -> str:
    """Replace the variables of a text inside `${...}`."""
    found: list[str] = []
    length = 0
    for token in tokens(text, "${...}"):
        if isinstance(token, Word):
            found.append(" ".join(expand(token, variables)))
            length += len(found[-1])
            _limit(length)
    return " ".join(found)


def _limit(length: int) -> None:
    if length > MAX_TEXT:
        raise TooLargeError(f"a word grows to more than {MAX_TEXT:,} characters")


def differing(before: Mapping[str, Value], after: Mapping[str, Value]) -> set[str]:
    """Return the names whose value is not the same in both."""
    return {name for name in after if before.get(name) != after[name]}

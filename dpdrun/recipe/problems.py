"""Show a problem in a recipe: where it is, what is wrong, what to write instead, and the line with a caret."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from dpdrun.errors import RecipeError

MAX_PROBLEMS = 50  # more are a symptom of one cause, and scroll the first out of sight
_MAX_SOURCE = 110  # characters of a source line: keeps the caret on the same screen line
_MAX_WORD = 40  # characters of a value or key in a message


@dataclass(frozen=True)
class Mark:
    """A position: `line` and `column` count from 1; `line` is 0 outside of a file (`--set optim.lr=fast`)."""

    name: str
    line: int = 0
    column: int = 1
    width: int = 1
    source: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.line}:{self.column}" if self.line else self.name


def nearest_mark(marks: Mapping[str, Mark], key: str, fallback: Mark) -> Mark:
    """Return the mark of a dotted key, or of the closest section around it that the user wrote."""
    while key and key not in marks:
        key = key.rpartition(".")[0]
    return marks[key] if key else fallback


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `key` is the dotted recipe key it is about, or ''.

    `is_conflict` where each value is possible, but not together with the others, the data or the machine.
    """

    key: str
    message: str
    mark: Mark
    is_conflict: bool = False

    def __str__(self) -> str:
        head = f"{self.mark}: {self.message}"
        snippet = _snippet(self.mark)
        return f"{head}\n{snippet}" if snippet else head


def _snippet(mark: Mark) -> str:
    if not mark.line or not mark.source.strip():
        return ""
    # One column a character, so that the caret stands right under tabs and control characters too.
    source = "".join(c if c.isprintable() else " " for c in mark.source)
    start = mark.column - 1
    if len(source) > _MAX_SOURCE:
        cut = max(0, start - _MAX_SOURCE // 2)
        source, start = source[cut : cut + _MAX_SOURCE], start - cut
    number = f"{mark.line:>5}"
    width = max(1, min(mark.width, len(source.rstrip()) - start))
    return f"{number} | {source.rstrip()}\n{' ' * len(number)} | {' ' * start}^{'~' * (width - 1)}"


def recipe_error(problems: Iterable[Problem]) -> RecipeError:
    """Join all problems into one error, in the order of the file; those of `--set` come last."""
    ordered = sorted(problems, key=lambda p: (p.mark.line == 0, p.mark.line, p.mark.column))
    shown = [*dict.fromkeys(str(problem) for problem in ordered[:MAX_PROBLEMS])]
    if len(ordered) > MAX_PROBLEMS:
        shown.append(f"and {len(ordered) - MAX_PROBLEMS} more problems")
    error = RecipeError("\n".join(shown))
    error.problems = tuple(ordered)
    return error


def first_problem(error: ValidationError) -> str:
    """Return the first problem of values that no recipe file holds: its dotted key, what is wrong, and the value."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "all of it"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    is_section = first["type"] == "missing" or isinstance(first["input"], Mapping)
    return f"{where}: {message}" + ("" if is_section else f"; got {shortened(repr(first['input']))}")


def shortened(text: str) -> str:
    """Cut a value or key that is too long for a message."""
    return text if len(text) <= _MAX_WORD else text[: _MAX_WORD - 3] + "..."


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` is most likely a misspelling of, or None."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(word[: 2 * _MAX_WORD].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def listed(words: Iterable[str], last: str = "or") -> str:
    """Join words as `a, b or c`."""
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"

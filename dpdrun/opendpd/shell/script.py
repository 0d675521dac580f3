"""List the commands of a shell script, with the values of its variables put in. Nothing is run.

Simple assignments, arrays, `for` loops over known words, functions and positional defaults are followed. All branches
of an `if`, `case` or `while` are read; a variable that such a branch sets is not known after it. A script that grows
beyond the limits is refused at the line where it does: who wants one command of it can paste that command alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dpdrun.errors import RecipeError
from dpdrun.opendpd.shell.syntax import ASSIGNMENT, Branches, Function, Loop, Simple, Statement, parse
from dpdrun.opendpd.shell.values import (
    MAX_RANGE,
    MAX_TEXT,
    TooLargeError,
    Unknown,
    UnknownValueError,
    Value,
    Variables,
    differing,
    expand,
    integer,
    numbers,
    parameter,
)
from dpdrun.opendpd.shell.words import Literal, Word

MAX_SCRIPT = 1 << 18  # characters; a script is a page
MAX_COMMANDS = 1000  # of unrolled loops; nobody translates a larger sweep by hand
MAX_STATEMENTS = 20_000  # in the order of a run, with or without a command in them
MAX_CHARACTERS = 1 << 22  # of all words that they become, together

PASTE = "paste the one command instead of the script"

_DECLARE = {"export", "local", "readonly", "declare", "typeset"}
_COUNTING = re.compile(
    r"\(\(\s*(\w+)\s*=\s*(\S+?)\s*;\s*\w+\s*(<=?)\s*(.+?)\s*;\s*(?:\w+\+\+|\+\+\w+|\w+\s*\+=\s*1)\s*\)\)"
)


@dataclass(frozen=True)
class Unclear:
    """A word of a command whose value is not known."""

    why: str


@dataclass(frozen=True)
class Command:
    """A simple command: its words after all expansions, and the line where it begins."""

    words: tuple[str | Unclear, ...]
    line: int


def commands(text: str, name: str) -> list[Command]:
    """Return every simple command in the order in which it would run; a loop's body once for each value.

    Raises:
        RecipeError: the text is not a shell script, or a limit is passed; `name` is the script's, for the message.
    """
    if len(text) > MAX_SCRIPT:
        raise RecipeError(f"{name}: more than {MAX_SCRIPT // 1024} KiB; {PASTE}")
    runner = _Runner(name)
    try:
        runner.run(parse(text, name), {})
        runner.run_uncalled_functions()
    except RecursionError:
        raise RecipeError(f"{name}: nested too deeply; {PASTE}") from None
    return runner.found


class _Runner:
    def __init__(self, name: str) -> None:
        self.found: list[Command] = []
        self._name = name
        self._functions: dict[str, Function] = {}
        self._called: set[str] = set()
        self._inside: list[str] = []  # functions whose bodies are being read
        self._statements = self._characters = 0
        self._globals: Variables = {}

    def run(self, body: list[Statement], variables: Variables) -> None:
        for statement in body:
            self._statements += 1
            if isinstance(statement, Function):
                self._functions[statement.name] = statement
                continue
            if self._statements > MAX_STATEMENTS:
                raise self._too_large(statement.line, f"more than {MAX_STATEMENTS:,} statements in its loops")
            if isinstance(statement, Loop):
                self._loop(statement, variables)
            elif isinstance(statement, Branches):
                self._branches(statement, variables)
            else:
                self._simple(statement, variables)
        self._globals = variables

    def run_uncalled_functions(self) -> None:
        """Read the bodies of functions that another program calls (xargs, parallel), with unknown arguments."""
        for name, function in self._functions.items():
            if name not in self._called:
                self.run(function.body, dict(self._globals))

    def _loop(self, loop: Loop, variables: Variables) -> None:
        variable, values = self._turns(loop, variables)
        before = dict(variables)
        for value in values:
            variables[variable] = value
            self.run(loop.body, variables)
        if not values:
            self._forget(differing(before, variables), loop.line, variables)

    def _turns(self, loop: Loop, variables: Variables) -> tuple[str, list[Value]]:
        """Return the variable of a loop and its values; one unknown value where they cannot be worked out."""
        try:
            if isinstance(loop.over, str):
                return self._counting(loop.over, variables)
            return loop.variable, [*self._expanded(loop.over, variables)]
        except TooLargeError as error:
            raise self._too_large(loop.line, str(error)) from None
        except UnknownValueError as error:
            match = re.match(r"\(\(\s*(\w+)", loop.over) if isinstance(loop.over, str) else None
            variable = match[1] if match else loop.variable
            return variable, [Unknown(f"the values of its loop are unknown (line {loop.line}: {error})")]

    def _counting(self, head: str, variables: Variables) -> tuple[str, list[Value]]:
        match = _COUNTING.fullmatch(head)
        if match is None:
            raise UnknownValueError(f"{head} is not supported")
        first, last = (self._number(text, variables) for text in (match[2], match[4]))
        return match[1], [*numbers(first, last if match[3] == "<=" else last - 1)]

    def _number(self, text: str, variables: Variables) -> int:
        if text.startswith("$"):
            value = parameter(text.strip("${}"), variables)
        else:
            value = text if text.isdecimal() else parameter(text, variables)
        if not isinstance(value, str) or not value.isdecimal():
            raise UnknownValueError(f"{text} is not a whole number")
        return integer(value)

    def _branches(self, statement: Branches, variables: Variables) -> None:
        changed: set[str] = set()
        for body in statement.bodies:
            inside = dict(variables)
            self.run(body, inside)
            changed |= differing(variables, inside)
        self._forget(changed, statement.line, variables)

    @staticmethod
    def _forget(names: set[str], line: int, variables: Variables) -> None:
        for name in names:
            variables[name] = Unknown(f"line {line} sets it on a condition")

    def _simple(self, statement: Simple, variables: Variables) -> None:
        for name, op, elements in statement.arrays:
            self._assign_array(name, op, elements, variables)
        rest = list(statement.words)
        while rest and (rest[0].plain in _DECLARE or self._assigns(rest[0])):
            if rest[0].plain not in _DECLARE:
                self._assign(rest[0], variables)
            rest = rest[1:]
        if not rest:
            return
        words: list[str | Unclear] = [text for word in rest for text in self._words(word, variables)]
        if len(self.found) >= MAX_COMMANDS:
            raise self._too_large(statement.line, f"more than {MAX_COMMANDS:,} commands")
        first = words[0] if words else ""
        if isinstance(first, str) and first in self._functions:
            self._call(self._functions[first], words[1:], variables)
        else:
            self.found.append(Command(tuple(words), statement.line))

    def _call(self, function: Function, words: list[str | Unclear], variables: Variables) -> None:
        if function.name in self._inside:
            raise RecipeError(f"{self._name}: the function {function.name} calls itself")
        self._called.add(function.name)
        inside: Variables = dict(variables)
        for place, word in enumerate(words, 1):
            inside[str(place)] = word if isinstance(word, str) else Unknown(word.why)
        if all(isinstance(word, str) for word in words):
            inside["@"] = tuple(word for word in words if isinstance(word, str))
        self._inside.append(function.name)
        self.run(function.body, inside)
        self._inside.pop()

    @staticmethod
    def _assigns(word: Word) -> bool:
        first = word.parts[0] if word.parts else None
        return isinstance(first, Literal) and not first.quoted and ASSIGNMENT.match(first.text) is not None

    def _assign(self, word: Word, variables: Variables) -> None:
        head = word.parts[0]
        assert isinstance(head, Literal)
        match = ASSIGNMENT.match(head.text)
        assert match is not None
        quoted = [Literal(match[3], True), *word.parts[1:]]  # the value of an assignment is not split
        try:
            value: Value = " ".join(self._expanded([Word(tuple(quoted), word.line)], variables))
        except UnknownValueError as error:
            value = Unknown(f"line {word.line} sets it, and there {error}")
        before = variables.get(match[1], "")
        if match[2] == "+=" and isinstance(before, str) and isinstance(value, str):
            value = before + value
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise self._too_large(word.line, f"{match[1]} grows to more than {MAX_TEXT:,} characters")
        variables[match[1]] = value

    def _assign_array(self, name: str, op: str, words: list[Word], variables: Variables) -> None:
        try:
            value: Value = tuple(self._expanded(words, variables))
        except UnknownValueError as error:
            value = Unknown(f"line {words[0].line} sets it, and there {error}")
        before = variables.get(name, ())
        if op == "+=" and isinstance(before, tuple) and isinstance(value, tuple):
            value = before + value
        if isinstance(value, tuple) and len(value) > MAX_RANGE:
            raise self._too_large(words[0].line, f"{name} grows to more than {MAX_RANGE:,} elements")
        variables[name] = value

    def _words(self, word: Word, variables: Variables) -> Iterator[str | Unclear]:
        try:
            yield from self._expanded([word], variables)
        except UnknownValueError as error:
            yield Unclear(str(error))

    def _expanded(self, words: list[Word], variables: Variables) -> list[str]:
        """Expand words, within the limits."""
        found: list[str] = []
        for word in words:
            try:
                texts = expand(word, variables)
            except TooLargeError as error:
                raise self._too_large(word.line, str(error)) from None
            self._characters += sum(map(len, texts)) + len(texts)
            if self._characters > MAX_CHARACTERS:
                raise self._too_large(word.line, f"the words so far grow to more than {MAX_CHARACTERS:,} characters")
            found += texts
        return found

    def _too_large(self, line: int, what: str) -> RecipeError:
        return RecipeError(f"{self._name}:{line}: {what}; {PASTE}")

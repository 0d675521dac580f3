"""The commands of a shell script, with the values that its variables have at each: read, never run.

Simple assignments, arrays, `for` loops over known words, functions and positional defaults are followed. All branches
of an `if`, `case` or `while` are read; a variable that such a branch sets is not known after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dpdrun.errors import RecipeError
from dpdrun.opendpd.shell.syntax import ASSIGNMENT, Branches, Function, Loop, Simple, Statement, parse
from dpdrun.opendpd.shell.values import Unknown, UnknownValueError, Value, Variables, differing, expand, parameter
from dpdrun.opendpd.shell.words import Literal, Word

MAX_COMMANDS = 1000  # of unrolled loops; a sweep of more is no script that somebody wants translated
MAX_STATEMENTS = 100_000  # run through, with or without a command in them

_DECLARE = {"export", "local", "readonly", "declare", "typeset"}
_COUNTING = re.compile(
    r"\(\(\s*(\w+)\s*=\s*(\S+?)\s*;\s*\w+\s*(<=?)\s*(.+?)\s*;\s*(?:\w+\+\+|\+\+\w+|\w+\s*\+=\s*1)\s*\)\)"
)


@dataclass(frozen=True)
class Unclear:
    """A word of a command that this reader cannot work out."""

    why: str


@dataclass(frozen=True)
class Command:
    """A simple command: its words with all values put in, and the line where it begins."""

    words: tuple[str | Unclear, ...]
    line: int


def commands(text: str, name: str) -> list[Command]:
    """Every simple command in the order in which it would run; a loop's body once for each value.

    Raises:
        RecipeError: the text is not a shell script; `name` says whose.
    """
    runner = _Runner(name)
    try:
        runner.run(parse(text, name), {})
        runner.run_what_was_never_called()
    except RecursionError:
        raise RecipeError(f"{name}: nested too deeply to be read") from None
    return runner.found


class _Runner:
    def __init__(self, name: str) -> None:
        self.found: list[Command] = []
        self._name = name
        self._functions: dict[str, Function] = {}
        self._called: set[str] = set()
        self._inside: list[str] = []  # functions whose bodies are being read
        self._statements = 0
        self._globals: Variables = {}

    def run(self, body: list[Statement], variables: Variables) -> None:
        for statement in body:
            self._statements += 1
            if self._statements > MAX_STATEMENTS:
                raise RecipeError(f"{self._name}: its loops never seem to end")
            if isinstance(statement, Function):
                self._functions[statement.name] = statement
            elif isinstance(statement, Loop):
                self._loop(statement, variables)
            elif isinstance(statement, Branches):
                self._branches(statement, variables)
            else:
                self._simple(statement, variables)
        self._globals = variables

    def run_what_was_never_called(self) -> None:
        """The bodies of functions that are handed to another program (xargs, parallel): their arguments are unknown."""
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
        """The variable of a loop and its values; one unknown value where they cannot be worked out."""
        try:
            if isinstance(loop.over, str):
                return self._counting(loop.over, variables)
            return loop.variable, [text for word in loop.over for text in expand(word, variables)]
        except UnknownValueError as error:
            match = re.match(r"\(\(\s*(\w+)", loop.over) if isinstance(loop.over, str) else None
            variable = match[1] if match else loop.variable
            return variable, [Unknown(f"it runs over what is not known (line {loop.line}: {error})")]

    def _counting(self, head: str, variables: Variables) -> tuple[str, list[Value]]:
        match = _COUNTING.fullmatch(head)
        if match is None:
            raise UnknownValueError(f"{head} is more than this reader works out")
        first, last = (self._number(text, variables) for text in (match[2], match[4]))
        return match[1], [str(number) for number in range(first, last + (match[3] == "<="))]

    def _number(self, text: str, variables: Variables) -> int:
        if text.startswith("$"):
            value = parameter(text.strip("${}"), variables)
        else:
            value = text if text.isdecimal() else parameter(text, variables)
        if not isinstance(value, str) or not value.isdecimal():
            raise UnknownValueError(f"{text} is not a whole number")
        return int(value)

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
            raise RecipeError(f"{self._name}:{statement.line}: more than {MAX_COMMANDS} commands; shorten its loops")
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
            value: Value = " ".join(expand(Word(tuple(quoted), word.line), variables))
        except UnknownValueError as error:
            value = Unknown(f"line {word.line} sets it, and there {error}")
        before = variables.get(match[1], "")
        variables[match[1]] = before + value if match[2] == "+=" and _are_text(before, value) else value  # type: ignore[operator]

    def _assign_array(self, name: str, op: str, words: list[Word], variables: Variables) -> None:
        try:
            value: Value = tuple(text for word in words for text in expand(word, variables))
        except UnknownValueError as error:
            value = Unknown(f"line {words[0].line} sets it, and there {error}")
        before = variables.get(name, ())
        if op == "+=" and isinstance(before, tuple) and isinstance(value, tuple):
            value = before + value
        variables[name] = value

    @staticmethod
    def _words(word: Word, variables: Variables) -> Iterator[str | Unclear]:
        try:
            yield from expand(word, variables)
        except UnknownValueError as error:
            yield Unclear(str(error))


def _are_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)

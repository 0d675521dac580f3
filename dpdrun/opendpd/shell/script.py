"""List the commands of a shell script, with the values of its variables put in. Nothing is run.

Assignments, arrays, `for` loops over known words, counting loops, functions and defaults are followed. All branches of
an `if`, `case` or `while` are read; a variable that such a branch sets is not known after it. A script that grows
beyond the limits is refused at the line where it does: who wants one command of it can paste that command alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dpdrun.errors import RecipeError
from dpdrun.opendpd.shell.values import (
    MAX_TEXT,
    TooLargeError,
    Unknown,
    UnknownValueError,
    Value,
    Variables,
    expand,
    parameter,
)
from dpdrun.opendpd.shell.words import ARRAY, Kind, Token, WordPart, tokens

MAX_SCRIPT = 1 << 18  # characters; a script is a page
MAX_TURNS = 10_000  # of a counting loop, and elements of an array
MAX_COMMANDS = 1000  # of unrolled loops; nobody translates a larger sweep by hand
MAX_STATEMENTS = 20_000  # in the order of a run, with or without a command in them
MAX_CHARACTERS = 1 << 22  # of all words that they become, together

PASTE = "paste the one command instead of the script"

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?=)(.*)", re.DOTALL)
_DECLARE = {"export", "local", "readonly", "declare", "typeset"}
_COUNTING = re.compile(r"\(\(\s*(\w+)\s*=\s*(\S+?)\s*;\s*\1\s*(<=?)\s*(\S+?)\s*;\s*(?:\1\s*\+\+|\+\+\s*\1)\s*\)\)")
_BLOCKS = {  # what a statement begins with -> the words between its bodies; the last ends it
    "if": ("then", "elif", "else", "fi"),
    "while": ("do", "done"),
    "until": ("do", "done"),
    "{": ("}",),
    "(": (")",),
}
_CASE_ENDS = (";;", ";&", ";;&", "esac")
_ENDS = {"done", "fi", "esac", "}", "then", "else", "elif", "do"}


@dataclass(frozen=True)
class Command:
    """A simple command: its words after all expansions, and the line where it begins."""

    words: tuple[str | Unknown, ...]
    line: int


def commands(text: str, name: str) -> list[Command]:
    """Return every simple command in the order in which it would run; a loop's body once for each value.

    Raises:
        RecipeError: the text is not a shell script, or a limit is passed; `name` is the script's, for the message.
    """
    if len(text) > MAX_SCRIPT:
        raise RecipeError(f"{name}: more than {MAX_SCRIPT // 1024} KiB; {PASTE}")
    reader = _Reader(tokens(text, name), name)
    try:
        reader.read()
    except RecursionError:
        raise RecipeError(f"{name}: nested too deeply; {PASTE}") from None
    return reader.found


class _Reader:
    """Follow the tokens of a script. Methods take the place of a token and return the place after what they read."""

    def __init__(self, script: list[Token], name: str) -> None:
        self.found: list[Command] = []
        self._tokens, self._name = script, name
        self._functions: dict[str, int] = {}  # name -> where its body begins
        self._called: set[str] = set()
        self._inside: list[str] = []  # functions whose bodies are being read
        self._statements = self._characters = 0

    def read(self) -> None:
        variables: Variables = {}
        self._body(0, (), variables)
        for name, at in list(self._functions.items()):
            if name not in self._called:  # another program calls it (xargs, parallel), with unknown arguments
                self._body(at, ("}",), dict(variables))

    def _body(self, at: int, ends: Sequence[str], variables: Variables, line: int = 0) -> int:
        """Read statements up to one of `ends`, and return where that is; `line` is where the statement began."""
        while at < len(self._tokens):
            token = self._tokens[at]
            if token.plain in ends:
                return at
            if token.plain in _ENDS:
                raise self._error(token.line, f"{token.plain} closes nothing")
            if token.operator and token.operator != "(":
                at += 1
                continue
            self._statements += 1
            if self._statements > MAX_STATEMENTS:
                raise self._too_large(token.line, f"more than {MAX_STATEMENTS:,} statements in its loops")
            at = self._statement(at, token, variables)
        if ends:
            raise self._error(line, f"this statement has no {' or '.join(ends)}")
        return at

    def _statement(self, at: int, token: Token, variables: Variables) -> int:
        word = token.plain or ""
        if word == "for":
            return self._for(at, token.line, variables)
        if word == "case":
            return self._case(at, token.line, variables)
        if word in _BLOCKS:
            return self._branches(at, token.line, _BLOCKS[word], variables)
        if word == "function" or (self._plain(at + 1) == "(" and self._plain(at + 2) == ")"):
            return self._function(at + (word == "function"), token.line, variables)
        return self._simple(at, token.line, variables)

    def _for(self, at: int, line: int, variables: Variables) -> int:
        head = self._plain(at + 1) or "?"
        at += 2
        over: list[Token] = []
        while at < len(self._tokens) and not self._tokens[at].operator and self._plain(at) != "do":
            over.append(self._tokens[at])
            at += 1
        while self._plain(at) in (";", "\n"):
            at += 1
        if self._plain(at) != "do":
            raise self._error(line, "this for has no do")
        variable, values = self._turns(head, over[1:], line, variables)
        end = at
        for value in values:
            variables[variable] = value
            end = self._body(at + 1, ("done",), variables, line)
        return (end if values else self._skipped(at + 1, "done", variables, line)) + 1

    def _turns(self, head: str, over: list[Token], line: int, variables: Variables) -> tuple[str, list[Value]]:
        """Return the variable of a loop and its values; one unknown value where they cannot be worked out."""
        name, counting = re.match(r"[(\s]*(\w+)", head), _COUNTING.fullmatch(head)
        variable = name[1] if name else "?"
        try:
            if not head.startswith("(("):
                return variable, [*self._expanded(over, variables)]
            if counting is None:
                raise UnknownValueError(f"{head} is not supported")
            first, last = (self._number(text, variables) for text in (counting[2], counting[4]))
            last += counting[3] == "<="
        except UnknownValueError as error:
            return variable, [Unknown(f"the values of its loop are unknown (line {line}: {error})")]
        if last - first > MAX_TURNS:
            raise self._too_large(line, f"{first} to {last - 1} are more than {MAX_TURNS:,} values")
        return variable, [str(number) for number in range(first, last)]

    @staticmethod
    def _number(text: str, variables: Variables) -> int:
        body = text[2:-1] if text.startswith("${") else text.removeprefix("$")
        value = text if text.isdecimal() else parameter(body, variables)
        if not isinstance(value, str) or not value.isdecimal():
            raise UnknownValueError(f"{text} is not a whole number")
        return int(value[:18])  # beyond every limit

    def _branches(self, at: int, line: int, ends: Sequence[str], variables: Variables) -> int:
        changed: set[str] = set()
        while True:
            at = self._branch(at + 1, ends, line, variables, changed)
            if self._plain(at) == ends[-1]:
                self._forget(changed, line, variables)
                return at + 1

    def _case(self, at: int, line: int, variables: Variables) -> int:
        changed: set[str] = set()
        at = self._find(at, ("in",), line)
        while self._plain(at) != "esac":
            at = self._find(at + 1, (")", "esac"), line)  # the pattern
            if self._plain(at) == ")":
                at = self._branch(at + 1, _CASE_ENDS, line, variables, changed)
        self._forget(changed, line, variables)
        return at + 1

    def _find(self, at: int, ends: Sequence[str], line: int) -> int:
        while at < len(self._tokens):
            if self._plain(at) in ends:
                return at
            at += 1
        raise self._error(line, "this case has no esac")

    def _branch(self, at: int, ends: Sequence[str], line: int, variables: Variables, changed: set[str]) -> int:
        """Read a body that may run; add what it sets to `changed`."""
        inside = dict(variables)
        at = self._body(at, ends, inside, line)
        changed |= {name for name in inside if variables.get(name) != inside[name]}
        return at

    @staticmethod
    def _forget(names: set[str], line: int, variables: Variables) -> None:
        for name in names:
            variables[name] = Unknown(f"line {line} sets it on a condition")

    def _function(self, at: int, line: int, variables: Variables) -> int:
        name = self._plain(at) or "?"
        at += 1
        while self._plain(at) in ("(", ")", "\n"):
            at += 1
        if self._plain(at) != "{":
            raise self._error(line, f"the function {name} has no {{")
        self._functions.pop(name, None)
        end = self._skipped(at + 1, "}", variables, line)
        self._functions[name] = at + 1
        return end + 1

    def _skipped(self, at: int, end: str, variables: Variables, line: int) -> int:
        """Return the end of a body that does not run here."""
        found = len(self.found)
        at = self._body(at, (end,), dict(variables), line)
        del self.found[found:]
        return at

    def _simple(self, at: int, line: int, variables: Variables) -> int:
        words: list[str | Unknown] = []
        begun = False  # past the assignments before the command
        while at < len(self._tokens) and not self._tokens[at].operator:
            token = self._tokens[at]
            at += 1
            if self._plain(at) == ARRAY:
                at = self._array(at + 1, token, variables)
            elif begun or not self._assigned(token, variables):
                begun = True
                words += self._words(token, variables)
        if not begun:
            return at
        if len(self.found) >= MAX_COMMANDS:
            raise self._too_large(line, f"more than {MAX_COMMANDS:,} commands")
        first = words[0] if words else ""
        if isinstance(first, str) and first in self._functions:
            self._call(first, words[1:], variables)
        else:
            self.found.append(Command(tuple(words), line))
        return at

    def _call(self, name: str, words: list[str | Unknown], variables: Variables) -> None:
        if name in self._inside:
            raise RecipeError(f"{self._name}: the function {name} calls itself")
        self._called.add(name)
        inside = variables | {str(place): word for place, word in enumerate(words, 1)}
        if all(isinstance(word, str) for word in words):
            inside["@"] = tuple(word for word in words if isinstance(word, str))
        self._inside.append(name)
        self._body(self._functions[name], ("}",), inside)
        self._inside.pop()

    def _assigned(self, token: Token, variables: Variables) -> bool:
        """Assign the value of `name=value`, and say whether the word is that, or `export` and the like."""
        head = token.parts[0]
        match = _ASSIGNMENT.match(head.body) if head.kind == Kind.TEXT and not head.quoted else None
        if match is None:
            return token.plain in _DECLARE
        value = Token(token.line, (WordPart(Kind.TEXT, match[3], True), *token.parts[1:]))  # it is not split
        self._assign(match[1], match[2], [value], token.line, variables)
        return True

    def _array(self, at: int, name: Token, variables: Variables) -> int:
        end = at
        while self._plain(end) != ")":
            if end >= len(self._tokens):
                raise self._error(name.line, "this array has no )")
            end += 1
        match = _ASSIGNMENT.match(name.plain or "")
        assert match is not None
        elements = [token for token in self._tokens[at:end] if not token.operator]
        self._assign(match[1], match[2], elements, name.line, variables, array=True)
        return end + 1

    def _assign(
        self, name: str, op: str, words: list[Token], line: int, variables: Variables, *, array: bool = False
    ) -> None:
        value: Value
        try:
            texts = self._expanded(words, variables)
            value = tuple(texts) if array else " ".join(texts)
        except UnknownValueError as error:
            value = Unknown(f"line {line} sets it, and there {error}")
        if op == "+=":
            value = _appended(variables.get(name, () if array else ""), value, line)
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise self._too_large(line, f"{name} grows to more than {MAX_TEXT:,} characters")
        if isinstance(value, tuple) and len(value) > MAX_TURNS:
            raise self._too_large(line, f"{name} grows to more than {MAX_TURNS:,} elements")
        variables[name] = value

    def _words(self, token: Token, variables: Variables) -> Iterator[str | Unknown]:
        try:
            yield from self._expanded([token], variables)
        except UnknownValueError as error:
            yield Unknown(str(error))

    def _expanded(self, words: list[Token], variables: Variables) -> list[str]:
        """Expand words, within the limits."""
        found: list[str] = []
        for word in words:
            try:
                texts = expand(word.parts, variables)
            except TooLargeError as error:
                raise self._too_large(word.line, str(error)) from None
            self._characters += sum(map(len, texts)) + len(texts)
            if self._characters > MAX_CHARACTERS:
                raise self._too_large(word.line, f"the words so far grow to more than {MAX_CHARACTERS:,} characters")
            found += texts
        return found

    def _plain(self, at: int) -> str | None:
        return self._tokens[at].plain if at < len(self._tokens) else None

    def _error(self, line: int, message: str) -> RecipeError:
        return RecipeError(f"{self._name}:{line}: {message}")

    def _too_large(self, line: int, what: str) -> RecipeError:
        return self._error(line, f"{what}; {PASTE}")


def _appended(before: Value, value: Value, line: int) -> Value:
    if isinstance(before, str) and isinstance(value, str):
        return before + value
    if isinstance(before, tuple) and isinstance(value, tuple):
        return before + value
    unknown = [part for part in (before, value) if isinstance(part, Unknown)]
    return unknown[0] if unknown else Unknown(f"line {line} appends a text to an array, or an array to a text")

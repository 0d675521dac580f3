"""Parse YAML into a tree of values with line and column, by the scalar rules of YAML 1.2.

PyYAML resolves scalars by YAML 1.1: `1e-4` and `800e6` are text, `on` is True and `12:30` is 750. Here its parser gives
the events, and the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) gives the values. Tags,
anchors and aliases are refused: a recipe has no use for them, and without them a small file cannot grow into a huge
value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from dpdrun.recipe.problems import Mark, Problem

MAX_DEPTH = 16  # a recipe needs three; more is a mistake or an attack on the stack
MAX_NODES = 5000  # keys and values; the longest pipelines need some hundreds
# Python refuses to convert more than 4300 digits; no field takes such a number, so infinity stands for it.
MAX_DIGITS = 400

_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|(false|False|FALSE))\Z")
_INTEGERS = {
    re.compile(r"[-+]?[0-9]+\Z"): 10, re.compile(r"0o[0-7]+\Z"): 8, re.compile(r"0x[0-9a-fA-F]+\Z"): 16,
}  # fmt: skip
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INF = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)\Z")

Scalar = None | bool | int | float | str


@dataclass
class Node:
    """A value with its mark. `value` is a scalar, a list of nodes, or a dict of `Entry` by key."""

    value: Any
    mark: Mark
    raw: str = ""  # a scalar as it is written, for messages

    def plain(self) -> Any:
        """Return the value without marks: scalars, lists and dicts."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


@dataclass
class Entry:
    """One `key: value` of a mapping, with the mark of its key."""

    mark: Mark
    node: Node


class SyntaxProblemError(Exception):
    """The text is not YAML, or not a recipe; nothing after the problem was read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar: null, bool, int, float, or the text itself."""
    if _NULL.match(text):
        return None
    if match := _BOOL.match(text):
        return match.group(1) is None
    for pattern, base in _INTEGERS.items():
        if pattern.match(text):
            number = int(text, base) if len(text) < MAX_DIGITS else math.inf
            return -math.inf if text[0] == "-" and number == math.inf else number
    if _FLOAT.match(text):
        return float(text)
    if _INF.match(text):
        return float(text.replace(".", ""))
    if _NAN.match(text):
        return float("nan")
    return text


@dataclass
class _Builder:
    """Build the tree from parser events; collect what is readable but not allowed in `problems`."""

    name: str
    lines: list[str]
    events: Iterator[Any]
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def mark(self, event: Any) -> Mark:
        start, end = event.start_mark, event.end_mark
        line = self.lines[start.line] if start.line < len(self.lines) else ""
        width = end.column - start.column if end.line == start.line else len(line.rstrip()) - start.column
        return Mark(self.name, start.line + 1, start.column + 1, max(1, width), line)

    def refuse(self, event: Any, message: str) -> None:
        self.problems.append(Problem("", message, self.mark(event)))

    def node(self, event: Any, depth: int = 0) -> Node:
        mark = self.mark(event)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise SyntaxProblemError(Problem("", f"more than {MAX_NODES} keys and values, so not a recipe", mark))
        if depth > MAX_DEPTH:
            raise SyntaxProblemError(Problem("", f"values are nested deeper than {MAX_DEPTH} levels", mark))
        if isinstance(event, yaml.AliasEvent):
            self.refuse(event, f"aliases (*{event.anchor}) are not used in recipes; write the value out")
            return Node(None, mark)
        if event.anchor is not None:
            self.refuse(event, f"anchors (&{event.anchor}) are not used in recipes; remove it")
        if event.tag is not None and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.refuse(event, f"tags ({tag}) are not used in recipes; remove it")
        if isinstance(event, yaml.ScalarEvent):
            value = scalar(event.value) if event.style is None else event.value
            return Node(value, mark, event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(event, depth + 1))
            return Node(items, mark)
        return Node(self.mapping(depth), mark)

    def mapping(self, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while not isinstance(key_event := next(self.events), yaml.MappingEndEvent):
            key = self.node(key_event, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if isinstance(key.value, (dict, list)):
                self.refuse(key_event, "a key must be a name, not a list or a mapping")
            elif key.raw in entries:
                first = entries[key.raw].mark
                self.refuse(key_event, f"duplicate key {key.raw}; it was first given on line {first.line}")
            else:
                entries[key.raw] = Entry(key.mark, value)
        return entries


def split_lines(text: str) -> list[str]:
    """Split into lines as PyYAML counts them: it takes more characters for line breaks than editors do."""
    return re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)


def parse(text: str, name: str) -> tuple[Node | None, list[Problem]]:
    """Parse one YAML document; `name` is the file name in messages.

    Returns:
        The tree (None where there is no document), and every problem that does not stop the parser.

    Raises:
        SyntaxProblemError: the text is not YAML.
    """
    lines = split_lines(text)
    builder = _Builder(name, lines, iter(()))
    loader: yaml.SafeLoader | None = None
    try:
        # Inside the try: the reader already refuses control characters when the loader is built.
        loader = yaml.SafeLoader(text)
        builder.events = iter(loader.get_event, None)
        root: Node | None = None
        documents = 0
        for event in builder.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents == 2:
                    builder.refuse(event, "a second document starts here; a recipe is a single document")
                    break
            elif isinstance(event, yaml.NodeEvent):
                root = builder.node(event)
    except yaml.reader.ReaderError as error:
        before = split_lines(text[: error.position])
        line = lines[len(before) - 1] if len(before) <= len(lines) else ""
        mark = Mark(name, len(before), len(before[-1]) + 1, 1, line)
        message = f"the character U+{_ordinal(error.character):04X} is not allowed in YAML; remove it"
        raise SyntaxProblemError(Problem("", message, mark)) from None
    except yaml.MarkedYAMLError as error:
        raise SyntaxProblemError(_syntax_problem(error, name, lines)) from None
    except (ValueError, OverflowError):  # PyYAML lets chr() and int() raise: "\U00110000", %YAML 1.99...9
        at = None if loader is None else loader.get_mark()
        message = "an escape sequence or a version number is out of range"
        raise SyntaxProblemError(
            _syntax_problem(yaml.MarkedYAMLError(problem=message, problem_mark=at), name, lines)
        ) from None
    return root, builder.problems


def _ordinal(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


def _syntax_problem(error: yaml.MarkedYAMLError, name: str, lines: list[str]) -> Problem:
    at = error.problem_mark or error.context_mark
    number, column = (at.line, at.column) if at is not None else (0, 0)
    line = lines[number] if number < len(lines) else ""
    message = " ".join(str(part) for part in (error.context, error.problem) if part)
    if "\t" in line[: column + 1] and "cannot start any token" in message:
        message = "a tab is used for indentation; YAML allows spaces only"
    elif "mapping values are not allowed here" in message:
        message = "a second ': ' on this line; put text that contains ': ' in quotes"
    return Problem("", f"not valid YAML: {message}", Mark(name, number + 1, column + 1, 1, line))

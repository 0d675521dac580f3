"""Recipes as Python values: a dict as the tree that is checked, and a tree as YAML text."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from dpdrun.recipe.check import check_section
from dpdrun.recipe.patch import render
from dpdrun.recipe.problems import Mark, Problem, recipe_error, shortened
from dpdrun.recipe.schema import Section
from dpdrun.recipe.yaml12 import MAX_DEPTH, MAX_DIGITS, Entry, Node

SectionT = TypeVar("SectionT", bound=Section)


def node_of(value: Any, where: str, depth: int = 0) -> tuple[Node, list[Problem]]:
    """Return Python values as a tree; the mark of each is its path of keys, as `recipe["optim"]["lr"]`.

    Dicts, lists, tuples, text, numbers (those of NumPy too), booleans, None and paths are values of a recipe; a section
    of the schema is one as well.

    Returns:
        The tree, and a problem for every other value.
    """
    mark = Mark(where)
    if isinstance(value, Section):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if depth > MAX_DEPTH:
        return Node(None, mark), [Problem("", f"values are nested deeper than {MAX_DEPTH} levels", mark)]
    if isinstance(value, Mapping):
        return _section_node(value, mark, depth)
    if isinstance(value, list | tuple):
        nodes = [node_of(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
        return Node([node for node, _ in nodes], mark), [problem for _, found in nodes for problem in found]
    plain = _scalar(value)
    if isinstance(plain, str | bool | int | float) or plain is None:
        return Node(plain, mark, plain if isinstance(plain, str) else _raw(plain)), []
    message = f"a recipe cannot hold a {type(value).__name__}; write a number, text, a list or a dict"
    return Node(None, mark), [Problem("", message, mark)]


def _section_node(value: Mapping[Any, Any], mark: Mark, depth: int) -> tuple[Node, list[Problem]]:
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for key, item in value.items():
        where = Mark(f"{mark.name}[{shortened(repr(_scalar(key))) if not isinstance(key, str) else _quoted(key)}]")
        if not isinstance(key, str):
            problems.append(Problem("", f"a key is text, not a {type(key).__name__}", where))
            continue
        node, found = node_of(item, where.name, depth + 1)
        entries[key] = Entry(where, node)
        problems += found
    return Node(entries, mark), problems


def _scalar(value: Any) -> Any:
    """Return a number of NumPy as one of Python, a path as text, and infinity for a number of too many digits."""
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        return math.inf if value > 0 else -math.inf
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:  # without importing it
        return value.item()
    return value


def _raw(value: bool | int | float | None) -> str:
    return "null" if value is None else str(value) if isinstance(value, bool) else render(value)


def _quoted(key: str) -> str:
    return '"' + shortened(key) + '"'


def section_from(kind: type[SectionT], values: Mapping[str, Any], where: str, prefix: str) -> SectionT:
    """Return one section of a recipe from Python values, checked as in a recipe.

    Args:
        kind: the section.
        values: by field.
        where: what begins each message, as "Capture.load".
        prefix: of the keys in messages, as "data.".

    Raises:
        RecipeError: the message lists every problem.
    """
    node, problems = node_of(values, where)
    problems = problems or check_section(node, kind, prefix).problems
    if problems:
        raise recipe_error(problems)
    return kind.model_validate(node.plain())


def written(values: Mapping[str, Any]) -> str:
    """Return a tree of plain values as YAML text, a line for each value."""
    return "".join(f"{line}\n" for line in _lines(values, ""))


def _lines(values: Mapping[str, Any], indent: str) -> Sequence[str]:
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{render(key)}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{render(key)}: {render(value)}")
    return lines

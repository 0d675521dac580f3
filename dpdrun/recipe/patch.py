"""Edit values of a recipe in place: comments, order, quoting and blank lines keep their bytes.

A value is replaced at the offsets that the YAML parser reports (docs/decisions/0003 compares that with a round trip
through ruamel.yaml). Each edit is parsed again before it is returned: a patch has exactly the effect requested, or it
raises.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml

from dpdrun.errors import RecipeError
from dpdrun.recipe import yaml12
from dpdrun.recipe.fields import Percent
from dpdrun.recipe.problems import recipe_error
from dpdrun.recipe.schema import Section

_PLAIN = re.compile(r"[A-Za-z0-9_./+-](?:[A-Za-z0-9_./+% -]*[A-Za-z0-9_./+%-])?\Z")
_INDENT = 2


def apply_patch(text: str, values: Mapping[str, Any]) -> str:
    """Set values in a recipe.

    Args:
        text: the recipe.
        values: by dotted key, such as `{"optim.lr": 1e-3, "optim.warmup": Percent("7.5%")}`; missing sections and keys
            are added. A value that replaces a whole section takes the comments inside that section with it.

    Returns:
        The new text, with the same comments, order and line ends.

    Raises:
        RecipeError: the text is not YAML, or a key leads through a value that is no section.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    for key, value in values.items():
        before = _tree(text)
        parts = key.split(".")
        edited = _set(text, parts, value, newline)
        wanted = _updated(before, parts, value)
        if repr(_tree(edited)) != repr(wanted):
            raise RecipeError(f"cannot write {key}: {render(value)} into this recipe; change it by hand")
        text = edited
    return text


def diff(old: str, new: str, name: str = "recipe.yaml") -> str:
    """Return the change as a unified diff; empty where nothing changed."""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"{name} (now)", f"{name} (new)"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def render(value: Any) -> str:
    """Write a value as YAML 1.2 on one line: `0.001`, `7.5%`, `auto`, `"12: 30"`, `{a: 1}`."""
    if isinstance(value, Section):
        value = {name: getattr(value, name) for name in type(value).model_fields if name in value.model_fields_set}
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{render(str(key))}: {render(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(render(item) for item in value) + "]"
    if isinstance(value, Percent):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"a recipe cannot hold a {type(value).__name__}")
    text = str(value)
    if _PLAIN.match(text) and yaml12.scalar(text) == text and text[0] != "-":
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _float(value: float) -> str:
    """Write the shortest text that parses to the same number, in powers of ten where people do: 1e-3, 2e8."""
    if not math.isfinite(value):
        return re.sub(r"(inf|nan)", r".\1", repr(value))
    plain = repr(value).removesuffix(".0")
    if 0.01 <= abs(value) < 1e6:
        return plain
    shortest = next(text for digits in range(18) if float(text := f"{value:.{digits}e}") == value)
    mantissa, _, exponent = shortest.partition("e")
    power = f"{mantissa}e{int(exponent)}"
    return power if len(power) < len(plain) else plain


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@lru_cache(maxsize=8)  # a linter tries many patches on one text
def _tree(text: str) -> Any:
    try:
        root, problems = yaml12.parse(text, "recipe")
    except yaml12.SyntaxProblemError as error:
        raise recipe_error([error.problem]) from None
    if problems:
        raise recipe_error(problems)
    return {} if root is None else root.plain()


def _updated(tree: Any, parts: list[str], value: Any) -> Any:
    if not parts:
        return _tree(render(value)) if not isinstance(value, str) else value
    inner = dict(tree) if isinstance(tree, dict) else {}
    inner[parts[0]] = _updated(inner.get(parts[0]), parts[1:], value)
    return inner


@lru_cache(maxsize=8)
def _nodes(text: str) -> yaml.Node | None:
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _set(text: str, parts: list[str], value: Any, newline: str) -> str:
    root = _nodes(text)
    if root is None:
        return _ended(text, newline) + _block(parts, value, 0, newline)[len(newline) :] + newline
    if not isinstance(root, yaml.MappingNode):
        raise RecipeError("a recipe is a mapping of keys; this text is not")
    section, rest = root, list(parts)
    while True:
        found = next(((k, v) for k, v in section.value if k.value == rest[0]), None)
        if found is None:
            return _insert(text, section, rest, value, newline)
        (key, node), rest = found, rest[1:]
        if rest and isinstance(node, yaml.MappingNode):
            section = node
        elif rest and not section.flow_style and _is_empty(text, node):  # `optim:` with nothing after it
            block = _block(rest, value, key.start_mark.column + _INDENT, newline)
            return _after_line(text, key.end_mark.index, block)
        else:
            return _replace(text, key, node, _nested(rest, value))


def _is_empty(text: str, node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not text[node.start_mark.index : node.end_mark.index].strip()


def _nested(parts: list[str], value: Any) -> Any:
    for part in reversed(parts):
        value = {part: value}
    return value


def _replace(text: str, key: yaml.Node, node: yaml.Node, value: Any) -> str:
    start, end = node.start_mark.index, _end(text, node)
    shown = render(value)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:  # from the line below up to that of the key
        colon = text.index(":", key.end_mark.index)
        return f"{text[: colon + 1]} {shown}{text[end:]}"
    if start == end:  # `lr:` with nothing after it: write right after the colon
        colon = text.index(":", key.end_mark.index) if ":" in text[key.end_mark.index : start + 1] else -1
        if colon < 0:  # `{lr}`
            return f"{text[: key.end_mark.index]}: {shown}{text[key.end_mark.index :]}"
        return f"{text[: colon + 1]} {shown}{text[colon + 1 :]}"
    return text[:start] + shown + text[end:]


def _insert(text: str, section: yaml.MappingNode, parts: list[str], value: Any, newline: str) -> str:
    """Add a key at the end of a section, in the style of the section."""
    if section.flow_style:
        shown = f"{render(parts[0])}: {render(_nested(parts[1:], value))}"
        if not section.value:
            close = section.end_mark.index - 1
            return text[:close] + shown + text[close:]
        _, last = section.value[-1]
        at = _end(text, last)
        return f"{text[:at]}, {shown}{text[at:]}"
    _, last = section.value[-1]
    at = _end(text, last)
    return _after_line(text, at, _block(parts, value, section.start_mark.column, newline))


def _block(parts: list[str], value: Any, indent: int, newline: str) -> str:
    """Return a line break, then the keys one under the other."""
    lines = [f"{' ' * (indent + _INDENT * depth)}{render(part)}:" for depth, part in enumerate(parts)]
    return newline + newline.join(lines) + f" {render(value)}"


def _after_line(text: str, at: int, block: str) -> str:
    rest = re.search(r"[\r\n]", text[at:])
    cut = at + rest.start() if rest else len(text)
    return text[:cut] + block + text[cut:]


def _ended(text: str, newline: str) -> str:
    return text if not text or text.endswith("\n") else text + newline


def _end(text: str, node: yaml.Node) -> int:
    """Return the offset after the last character of a value, without the comments and blank lines after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    start, end = int(node.start_mark.index), int(node.end_mark.index)
    return start + len(text[start:end].rstrip())

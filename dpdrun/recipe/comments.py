"""Update the comments of a recipe after an edit: add reasons of new values, mark comments on old ones.

`lr: 1e-2  # best of the sweep` is about 1e-2. After the edit it reads `lr: 1e-3  # was 1e-2: best of the sweep`. Only
text from a `#` to the end of a line is touched, and every edit is parsed again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import yaml

from dpdrun.recipe import yaml12

WAS = "was "
_COMMENT = re.compile(r"(?P<gap>[ \t]+)#[ \t]*(?P<comment>[^\r\n]*)|[ \t]*(?=[\r\n]|\Z)")


@dataclass(frozen=True)
class _Place:
    """A value in the text: its source, the offset after it, and whether it is the only value on its line."""

    source: str
    end: int
    alone: bool


def annotate_changed_values(old: str, new: str, reasons: Mapping[str, str] | None = None) -> str:
    """Return an edited recipe with comments that fit its values.

    Args:
        old: the text before the edit.
        new: after it; YAML, as `apply_patch` returns it.
        reasons: by dotted key, the comment to add to a value; left out for values within braces.

    Returns:
        `new`, where a comment on a changed value names the value that it was written for.
    """
    reasons = dict(reasons or {})
    for key in {**_places(new), **reasons}:
        place, before = _places(new).get(key), _places(old).get(key)
        if place is None:
            continue
        edited = _with_comment(new, place, key, before, reasons.get(key) if place.alone else None)
        if _tree(edited) == _tree(new):  # else it was no comment
            new = edited
    return new


def reasons_without_line(text: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons whose value has no line of its own, where they could be a comment."""
    places = _places(text)
    return {key: reason for key, reason in keys.items() if key not in places or not places[key].alone}


def head_of(text: str) -> list[str]:
    """Return the lines of comment before the first key."""
    head = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        head.append(line)
    return head


def _with_comment(text: str, place: _Place, key: str, before: _Place | None, reason: str | None) -> str:
    match = _COMMENT.match(text, place.end)
    if match is None:
        return text
    comment = match["comment"]
    changed = before is not None and before.source != place.source
    of = WAS if place.alone else f"{key.rpartition('.')[2]} {WAS}"
    marked = comment is not None and re.search(rf"(\A|[;:] ){re.escape(of)}", comment)  # by an earlier edit
    if comment and changed and before is not None and not marked:
        comment = f"{of}{before.source}: {comment}"
    if comment and reason and comment.startswith(reason):
        reason = None  # written before
    parts = [part for part in (reason, comment) if part]
    if not parts or "; ".join(parts) == match["comment"]:
        return text
    return f"{text[: match.start()]}{match['gap'] or '  '}# {'; '.join(parts)}{text[match.end() :]}"


@lru_cache(maxsize=8)
def _tree(text: str) -> str:
    root, _ = yaml12.parse(text, "recipe")
    return repr(None if root is None else root.plain())


@lru_cache(maxsize=8)  # asked for at each key, of two texts
def _places(text: str) -> dict[str, _Place]:
    """Return by dotted key every value on one line that is no section; empty where the text is no mapping."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found: dict[str, _Place] = {}
    if isinstance(root, yaml.MappingNode):
        _walk(text, root, "", None, found)
    return found


def _walk(text: str, section: yaml.MappingNode, prefix: str, brace: int | None, found: dict[str, _Place]) -> None:
    """Collect the values of a section; `brace`: offset after the outermost braces around it."""
    if section.flow_style and brace is None:
        brace = section.end_mark.index
    for key, value in section.value:
        name, start, end = f"{prefix}{key.value}", value.start_mark.index, value.end_mark.index
        if isinstance(value, yaml.MappingNode):
            _walk(text, value, f"{name}.", brace, found)
            continue
        source = text[start:end].strip()
        after = start + len(source) if brace is None else brace
        if source and "\n" not in text[start:after]:
            found[name] = _Place(source, after, brace is None)

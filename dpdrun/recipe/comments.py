"""Comments of a recipe after an edit: reasons beside new values, and old remarks that speak of other values.

`lr: 1e-2  # best of the sweep` was said of 1e-2. The remark stays, and says so: `lr: 1e-3  # was 1e-2: best of the
sweep`. Only text from a `#` to the end of a line is touched, and every edit is read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from dpdrun.recipe import yaml12

WAS = "was "
_COMMENT = re.compile(r"(?P<gap>[ \t]+)#[ \t]*(?P<said>[^\r\n]*)|[ \t]*(?=[\r\n]|\Z)")


@dataclass(frozen=True)
class _Place:
    """A value in the text: its source, the offset behind it on its line, and whether it stands alone on that line."""

    source: str
    end: int
    alone: bool


def annotate_changed_values(old: str, new: str, reasons: Mapping[str, str] | None = None) -> str:
    """An edited recipe with comments that fit its values.

    Args:
        old: the text before the edit.
        new: after it; YAML, as `apply_patch` returns it.
        reasons: by dotted key, what to write beside a value; those of values within braces are left out.

    Returns:
        `new`, where a remark beside a changed value names the value that it was made of.
    """
    reasons = dict(reasons or {})
    for key in {**_places(new), **reasons}:
        place, before = _places(new).get(key), _places(old).get(key)
        if place is None:
            continue
        edited = _with_remark(new, place, key, before, reasons.get(key) if place.alone else None)
        if _tree(edited) == _tree(new):  # else it was no comment
            new = edited
    return new


def reasons_without_line(text: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Those of the reasons that have no line of their own to stand on."""
    places = _places(text)
    return {key: reason for key, reason in keys.items() if key not in places or not places[key].alone}


def head_of(text: str) -> list[str]:
    """The lines of comment before the first key."""
    head = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        head.append(line)
    return head


def _with_remark(text: str, place: _Place, key: str, before: _Place | None, reason: str | None) -> str:
    match = _COMMENT.match(text, place.end)
    if match is None:
        return text
    said = match["said"]
    changed = before is not None and before.source != place.source
    of = WAS if place.alone else f"{key.rpartition('.')[2]} {WAS}"
    known = said is not None and re.search(rf"(\A|[;:] ){re.escape(of)}", said)  # a remark has its value already
    if said and changed and before is not None and not known:
        said = f"{of}{before.source}: {said}"
    if said and reason and said.startswith(reason):
        reason = None  # written before
    parts = [part for part in (reason, said) if part]
    if not parts or "; ".join(parts) == match["said"]:
        return text
    return f"{text[: match.start()]}{match['gap'] or '  '}# {'; '.join(parts)}{text[match.end() :]}"


def _tree(text: str) -> str:
    root, _ = yaml12.parse(text, "recipe")
    return repr(None if root is None else root.plain())


def _places(text: str) -> dict[str, _Place]:
    """By dotted key, every value on one line that is no section; empty where the text is no mapping."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found: dict[str, _Place] = {}
    if isinstance(root, yaml.MappingNode):
        _walk(text, root, "", None, found)
    return found


def _walk(text: str, section: yaml.MappingNode, prefix: str, brace: int | None, found: dict[str, _Place]) -> None:
    """`brace`: offset behind the outermost braces around the section."""
    if section.flow_style and brace is None:
        brace = section.end_mark.index
    for key, value in section.value:
        name, start, end = f"{prefix}{key.value}", value.start_mark.index, value.end_mark.index
        if isinstance(value, yaml.MappingNode):
            _walk(text, value, f"{name}.", brace, found)
            continue
        source = text[start:end].strip()
        behind = start + len(source) if brace is None else brace
        if source and "\n" not in text[start:behind]:
            found[name] = _Place(source, behind, brace is None)

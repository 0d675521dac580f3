"""JSON Schemas of every JSON file and output, and docs/json.md, from json_fields.yaml.

`python -m dpdrun.report.json_schema` (`make docs`) writes docs/schemas and docs/json.md. Tests fail while they are
out of date, and where a real file or output has a field that they do not describe.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

SCHEMA_URI = "https://json-schema.org/draft/2020-12/schema"
ABOUT = "_"  # the key that describes an object
SAME_AS = "same_as"  # a document with the content of another one
OTHERS = "..."  # more fields, which depend on the case
_PLAIN: Mapping[str, Any] = {
    "int": {"type": "integer"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "null": {"type": "null"},
    "any": {},
    "number": {"$ref": "#/$defs/number"},
}
_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
_NAME = re.compile(r"(?P<name>.+?)(?P<many>\[\]|\{\})?(?P<optional>\?)?")

_PAGE = """\
# JSON

Every JSON file and every `--format json` has a JSON Schema (draft 2020-12) in docs/schemas.

- Fields may be added in any version, so readers ignore those that they do not know. A field that exists keeps its
  name, type, unit and meaning as long as `schema_version` stays the same.
- A number that is not finite is one of the strings `"nan"`, `"inf"` and `"-inf"`, so every file is valid JSON.
- `environment` holds date (UTC), host, operating system, cores and versions of what wrote the file. report.json adds
  `threads`, `processes` and `device` of the training.
- `--format json` prints one object on standard output; messages and progress go to standard error.
- Units are in the names of fields: `_db`, `_dbc`, `_hz`, `_s`, `_deg`, `_mib`.

| schema | document |
|---|---|
"""


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each document by name."""
    text = files("dpdrun.report").joinpath("json_fields.yaml").read_text(encoding="utf-8")
    declared = yaml.safe_load(text)
    shared = {name: _object(fields) for name, fields in declared["shared"].items()} | {"number": _NUMBER}
    return {name: _document(name, declared["documents"], shared) for name in declared["documents"]}


def _document(name: str, documents: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    fields = documents[name]
    about = fields[ABOUT]
    same = fields.get(SAME_AS, "")
    content = _type(same) if same.startswith("@") else _object(documents[same] if same else fields)
    content = {"$schema": SCHEMA_URI, "title": f"dpdrun: {name.replace('_', ' ')}", **content, "description": about}
    used: dict[str, Any] = {}
    waiting = [content]
    while waiting:
        for other in sorted(set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(waiting.pop()))) - set(used)):
            used[other] = shared[other]
            waiting.append(shared[other])
    return content | {"$defs": {other: used[other] for other in sorted(used)}}


def _object(fields: Mapping[str, Any]) -> dict[str, Any]:
    properties, required = {}, []
    for key, value in fields.items():
        if key in (ABOUT, OTHERS):
            continue
        match = _NAME.fullmatch(key)
        assert match is not None
        properties[match["name"]] = _field(value, match["many"])
        required += [] if match["optional"] else [match["name"]]
    more = {"additionalProperties": True} if OTHERS in fields else {}
    about = {"description": fields[ABOUT]} if ABOUT in fields else {}
    return about | {"type": "object", "properties": properties, "required": required} | more


def _field(value: Any, many: str | None) -> dict[str, Any]:
    if isinstance(value, str):
        kind, _, about = value.partition("; ")
        schema, described = _type(kind), {"description": about} if about else {}
    else:
        schema, described = _object(value), {"description": value[ABOUT]}
        if value[ABOUT].startswith("null "):
            schema = {"anyOf": [schema, {"type": "null"}]}
    if many == "[]":
        schema = {"type": "array", "items": schema}
    elif many == "{}":
        schema = {"type": "object", "additionalProperties": schema}
    return described | schema


def _type(text: str) -> dict[str, Any]:
    """Return the schema of a type as json_fields.yaml writes it."""
    options = _split(text)
    if len(options) > 1:
        return {"anyOf": [_type(option) for option in options]}
    text = text.strip()
    if text.startswith("@"):
        return {"$ref": f"#/$defs/{text[1:]}"}
    if text.startswith("["):
        return {"type": "array", "items": _type(text[1:-1])}
    if text.startswith("{"):
        return {"type": "object", "additionalProperties": _type(text[1:-1])}
    return dict(_PLAIN[text])


def _split(text: str) -> list[str]:
    """Split a type at the bars that stand outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def page() -> str:
    """Return docs/json.md: which command or file has which schema, and the fields of each."""
    found = schemas()
    rows = [f"| [{name}](schemas/{name}.json) | {each['description']} |" for name, each in found.items()]
    text = _PAGE + "\n".join(rows) + "\n"
    shared: dict[str, Any] = {}
    for name, each in found.items():
        shared |= each["$defs"]
        if "properties" in each:
            text += f"\n## {name}\n\n{each['description']}\n\n{_table(each)}"
    text += "\n## Shared objects\n"
    for name in sorted(set(shared) - {"number"}):
        text += f"\n### {name}\n\n{shared[name]['description']}\n\n{_table(shared[name])}"
    return text


def _table(schema: Mapping[str, Any]) -> str:
    rows = [f"| `{name}` | {kind} | {about} |" for name, kind, about in _rows(schema, "")]
    return "| field | type | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _rows(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, each in schema["properties"].items():
        optional = "" if name in schema["required"] else "?"
        yield f"{prefix}{name}{optional}", _words(each), each.get("description", "").replace("|", "\\|")
        inner, mark = each, ""
        while "properties" not in inner:
            if "anyOf" in inner:
                inner = inner["anyOf"][0]
            elif inner.get("type") == "array":
                inner, mark = inner["items"], "[]"
            elif isinstance(inner.get("additionalProperties"), Mapping):
                inner, mark = inner["additionalProperties"], ".<name>"
            else:
                break
        if "properties" in inner:
            yield from _rows(inner, f"{prefix}{name}{mark}.")


def _words(schema: Mapping[str, Any]) -> str:
    """Return a type in words, with links to shared objects."""
    if "anyOf" in schema:
        return " or ".join(_words(each) for each in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "number" if name == "number" else f"[{name}](#{name})"
    if schema.get("type") == "array":
        return f"list of {_words(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_words(schema['additionalProperties'])}"
    return str(schema.get("type", "any")).replace("integer", "int").replace("string", "str").replace("boolean", "bool")


def main(folder: Path) -> None:
    """Write docs/schemas and docs/json.md into `folder`, the docs."""
    (folder / "schemas").mkdir(exist_ok=True)
    wanted = {f"{name}.json": each for name, each in schemas().items()}
    for stale in {path.name for path in (folder / "schemas").glob("*.json")} - set(wanted):
        (folder / "schemas" / stale).unlink()
    for name, each in wanted.items():
        (folder / "schemas" / name).write_text(json.dumps(each, indent=1) + "\n", encoding="utf-8")
    (folder / "json.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))

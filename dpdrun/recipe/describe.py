"""Read the schema as data: every field with its key, type, bounds, default and meaning.

Messages, the docs table and the template take their words from here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dpdrun.recipe.problems import listed
from dpdrun.recipe.schema import Recipe, Section

_CONFIG = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class FieldDoc:
    """One field. `kind` is the model kind that has it, or None outside the model section."""

    key: str
    kind: str | None
    description: str
    required: bool
    default: Any
    expected: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the key without its section."""
        return self.key.rpartition(".")[2]


def sections_of(annotation: Any) -> dict[str | None, type[Section]]:
    """Return the sections that a field may hold: `{None: X}`, or one a model kind; empty for plain values."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        kind = annotation.model_fields.get("kind")
        return {get_args(kind.annotation)[0] if kind is not None else None: annotation}
    found: dict[str | None, type[Section]] = {}
    for argument in get_args(annotation):
        found.update(sections_of(argument))
    return found


def is_section(field: FieldInfo) -> bool:
    """Return whether a field holds nothing but sections (unlike `split`, which may also be `auto`)."""
    if not sections_of(field.annotation):
        return False
    schema = adapter(field).json_schema()
    branches = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return all("$ref" in b or "properties" in b for b in branches)


def adapter(field: FieldInfo) -> TypeAdapter[Any]:
    """Return a validator of one field alone, as strict as its section."""
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    if sections_of(annotation):  # these bring their own configuration
        return TypeAdapter(annotation)
    return TypeAdapter(annotation, config=_CONFIG)


def expected(field: FieldInfo) -> str:
    """Return what a field takes, in English: `a number greater than 0, or auto`."""
    values, words = _alternatives(adapter(field).json_schema())
    if not values:
        return listed(words)
    if not words:
        return listed(values)
    return f"{values[0]}, or {words[0]}" if len(values) == len(words) == 1 else listed([*values, *words])


def words(field: FieldInfo) -> tuple[str, ...]:
    """Return the words that a field takes: `auto`, `off`, the names of choices."""
    return tuple(_alternatives(adapter(field).json_schema())[1])


def _alternatives(schema: dict[str, Any]) -> tuple[list[str], list[str]]:
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        pairs = [_alternatives(branch) for branch in branches]
        return [v for values, _ in pairs for v in values], [w for _, ws in pairs for w in ws]
    if "const" in schema:
        return [], [str(schema["const"])]
    if "enum" in schema:
        return [], [str(word) for word in schema["enum"]]
    kind = schema.get("type")
    if "$ref" in schema or kind == "object":
        return ["a section"], []
    if kind == "integer":
        return ["a whole number" + _bounds(schema)], []
    if kind == "number":
        return ["a number" + _bounds(schema)], []
    if kind == "array":
        return [f"a list of {_alternatives(schema['items'])[0][0]}"], []
    if kind == "string":
        return ["a percentage such as 7.5%" if "%" in schema.get("pattern", "") else "text"], []
    return [f"a value of type {kind}"], []


def _bounds(schema: dict[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {_shown(schema['minimum'])} to {_shown(schema['maximum'])}"
    wording = (
        ("exclusiveMinimum", "greater than"),
        ("minimum", "of at least"),
        ("exclusiveMaximum", "below"),
        ("maximum", "up to"),
    )
    parts = [f"{text} {_shown(schema[name])}" for name, text in wording if name in schema]
    return " " + " and ".join(parts) if parts else ""


def _shown(bound: float) -> str:
    if isinstance(bound, int) and bound > 2**31 and bound & (bound - 1) == 0:
        return f"2^{bound.bit_length() - 1}"
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def field_docs() -> tuple[FieldDoc, ...]:
    """Return every field that holds a value, in the order of the schema; those of loaded plug-ins as well."""
    return _field_docs(tuple(sections_of(Recipe.model_fields["model"].annotation)))


@functools.cache
def _field_docs(kinds: tuple[str | None, ...]) -> tuple[FieldDoc, ...]:  # noqa: ARG001 - which change when a plug-in is loaded
    return tuple(_walk(Recipe, "", None))


def _walk(section: type[Section], prefix: str, kind: str | None) -> list[FieldDoc]:
    docs: list[FieldDoc] = []
    for name, field in section.model_fields.items():
        if not is_section(field):
            required = field.is_required()
            default = None if required else field.get_default(call_default_factory=True)
            description = field.description or ""
            docs.append(FieldDoc(prefix + name, kind, description, required, default, expected(field), words(field)))
        for inner_kind, inner in sections_of(field.annotation).items():
            docs.extend(_walk(inner, f"{prefix}{name}.", inner_kind or kind))
    return docs


def text_of(value: Any) -> str:
    """Write a value as in a recipe: `auto`, `7.5%`, `0.01`, `on`."""
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, Section):
        inner = ", ".join(f"{name}: {text_of(getattr(value, name))}" for name in type(value).model_fields)
        return "{" + inner + "}"
    return str(value)

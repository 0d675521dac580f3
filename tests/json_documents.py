"""JSON of dpdrun against its documented schema, where a field without a description is an error too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from dpdrun.report.json_schema import schemas


def closed(schema: Any) -> Any:
    """Return a schema whose objects have no other fields than those that it lists."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    limit = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return limit | {key: closed(value) for key, value in schema.items()}


def as_documented(name: str, content: Any) -> Any:
    """Return the content of a document. Raises AssertionError where docs/schemas/NAME.json does not describe it."""
    validator = Draft202012Validator(closed(schemas()[name]))
    errors = [each for error in validator.iter_errors(content) for each in ends(error)]
    found = sorted({f"{each.json_path}: {each.message[:300]}" for each in errors})
    assert not found, "\n".join([f"{name} is not as dpdrun/report/json_fields.yaml says:", *found[:10]])
    return content


def ends(error: ValidationError) -> Iterator[ValidationError]:
    if not error.context:
        yield error
    for each in error.context or ():
        yield from ends(each)

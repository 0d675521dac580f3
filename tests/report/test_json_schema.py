"""Types as json_fields.yaml writes them, the generated docs, and that every document is compared with real output."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from dpdrun.report.json_schema import _type, main, page, schemas
from tests.json_documents import as_documented

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int | null", [3, None], ["3", 1.5]),
        ("number", [3, 1.5, "nan", "-inf"], ["NaN", None]),
        ("[int | null]", [[], [1, None]], [1, ["a"]]),
        ("{[str]} | null", [{}, {"a": ["b"]}, None], [{"a": "b"}]),
    ],
)
def test_types(kind: str, good: list[object], bad: list[object]) -> None:
    schema = Draft202012Validator(_type(kind) | {"$defs": {"number": schemas()["plan"]["$defs"]["number"]}})
    assert all(schema.is_valid(each) for each in good)
    assert not any(schema.is_valid(each) for each in bad)


def test_the_files_in_docs_are_current(tmp_path: Path) -> None:
    main(tmp_path)
    made = {path.name: path.read_text() for path in (tmp_path / "schemas").iterdir()}
    there = {path.name: path.read_text() for path in (ROOT / "docs" / "schemas").iterdir()}
    assert made == there, "docs/schemas is out of date: run make docs"
    assert (ROOT / "docs" / "json.md").read_text() == page(), "docs/json.md is out of date: run make docs"


def test_schemas_are_valid_and_listed() -> None:
    for name, schema in schemas().items():
        Draft202012Validator.check_schema(schema)
        assert f"[{name}](schemas/{name}.json)" in page()


def test_every_document_is_compared_with_real_output() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    compared = set(re.findall(r'as_documented\(\s*"(\w+)"', "\n".join(texts)))
    compared |= set(re.findall(r'^    \("(\w+)", ', (ROOT / "tests/commands/test_json.py").read_text(), re.MULTILINE))
    assert compared >= set(schemas())


def test_other_fields_and_types_are_found() -> None:
    beat = {"step": 1, "total_steps": 2, "phase": "training", "time": 0.5}
    as_documented("heartbeat", beat)
    with pytest.raises(AssertionError, match="more"):
        as_documented("heartbeat", beat | {"more": 1})
    with pytest.raises(AssertionError, match=r"\$\.step"):
        as_documented("heartbeat", beat | {"step": "1"})
    assert Draft202012Validator(schemas()["heartbeat"]).is_valid(beat | {"more": 1})  # readers accept later versions
    assert json.dumps(schemas()["journal"]).count('"additionalProperties": true') == 1

"""What is generated from the schema: it loads, it agrees with the loader, and the files in docs/ are current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.describe import field_docs
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.reference import EXAMPLES, KINDS, json_schema, markdown, schema_text, template, write

DOCS = Path(__file__).parents[2] / "docs"


def test_the_files_in_docs_are_current() -> None:
    for name, text in (("recipe.md", markdown()), ("recipe.schema.json", schema_text())):
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"docs/{name} is out of date: run make docs"


def test_write(tmp_path: Path) -> None:
    assert [path.name for path in write(tmp_path)] == ["recipe.md", "recipe.schema.json"]
    assert (tmp_path / "recipe.md").read_text(encoding="utf-8") == markdown()


@pytest.mark.parametrize("kind", KINDS)
def test_the_template_loads_and_shows_every_field_of_its_kind(kind: str) -> None:
    text = template(kind)
    loaded = load_text(text)
    assert loaded.recipe.model.kind == kind
    if kind == "gmp":
        assert "optim" not in loaded.given
        return
    # A word stands for these sections by default.
    within = ("data.source.", "data.align.", "data.split.", "train.loss.", "quantization.")
    docs = [doc for doc in field_docs() if doc.kind in (None, kind) and not doc.key.startswith(within)]
    assert len(docs) > 30
    assert {doc.key for doc in docs} <= loaded.given
    comments = " ".join(line.strip(" #") for line in text.splitlines() if line.lstrip().startswith("#"))
    assert [doc.key for doc in docs if f"{doc.description} ({doc.expected}; " not in comments] == []


def test_the_template_takes_values_of_any_field() -> None:
    values = {"data.split.train": "70%", "data.split.test": "10%", "optim.lr": 3e-4, "data.source": "a: #b"}
    recipe = load_text(template("gru", values)).recipe
    found = values_of(recipe)
    assert found["optim.lr"] == 3e-4
    assert str(found["data.split.train"]) == "70%"
    assert found["data.source"] == "a: #b"


def test_examples_are_the_required_fields() -> None:
    of_sections = {"model.kind", "data.source.input", "data.source.output"}  # which the examples do not have
    required = {doc.key for doc in field_docs() if doc.required} - of_sections
    assert set(EXAMPLES) == required


def test_kinds_are_those_of_the_schema() -> None:
    assert set(KINDS) == {doc.kind for doc in field_docs() if doc.kind}


def test_the_docs_table_has_every_field() -> None:
    text = markdown()
    assert field_docs()
    for doc in field_docs():
        meaning = doc.description.replace("|", "\\|")
        rows = [line for line in text.splitlines() if line.startswith(f"| `{doc.key}` |") and meaning in line]
        assert rows, doc.key
        assert any(("**required**" in row) == doc.required for row in rows)
        assert all(row.replace("\\|", "").count("|") == 5 for row in rows)


def objects(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        inner = [found for value in node.values() for found in objects(value)]
        return [node, *inner] if node.get("type") == "object" else inner
    return [found for value in node for found in objects(value)] if isinstance(node, list) else []


def test_the_json_schema_is_closed_described_and_knows_the_words() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(schema_text()) == json.loads(json.dumps(schema))
    sections = objects(schema)
    assert len(sections) >= 8
    for section in sections:
        assert section["additionalProperties"] is False, section["title"]
        assert section["description"], section["title"]
    optim = schema["$defs"]["OptimSection"]["properties"]
    assert {"const": "auto", "type": "string"} in optim["lr"]["anyOf"]
    assert {"const": "off", "type": "string"} in optim["warmup"]["anyOf"]
    assert any("%" in branch.get("pattern", "") for branch in optim["warmup"]["anyOf"])
    assert schema["required"] == ["task", "data", "model"]

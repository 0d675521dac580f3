"""What users and their programs rely on, as lists in tests/golden: a change of them is meant, or it is a bug.

`make golden-lists` writes the lists; commit them with the change, and a line in CHANGELOG where something went away.
"""

from __future__ import annotations

import enum
import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer.main
from typer.testing import CliRunner

import dpdrun
from dpdrun.commands import app
from dpdrun.recipe.describe import field_docs

GOLDEN = Path(__file__).parents[1] / "golden"
UPDATE = "UPDATE_GOLDEN"  # environment variable: write the lists in place of comparing them
MAPS = ("values", "provenance", "rules", "left_open")  # JSON objects with a key for each of many recipe fields
# Has findings of both fixes, and one that they lead to.
RECIPE = """\
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 512, layers: 1, heads: 8, window: 32}
optim: {lr: 1e-4, beta2: 0.999, warmup: 1000}
train: {max_steps: 2000, batch_size: 256}
"""


def same_as_golden(name: str, lines: list[str]) -> bool:
    path = GOLDEN / name
    text = "\n".join(lines) + "\n"
    if os.environ.get(UPDATE):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8").splitlines() == lines, (
        f"if this change is meant: make golden-lists ({name})"
    )
    return True


def commands_of(command: Any, name: str) -> Iterator[str]:
    """Every command below, each followed by its arguments and options, those with their choices."""
    if hasattr(command, "commands"):
        for word in sorted(command.commands):
            yield from commands_of(command.commands[word], f"{name} {word}")
        return
    yield name
    types = get_type_hints(inspect.unwrap(command.callback))
    for parameter in sorted(command.params, key=lambda each: (each.param_type_name, each.opts[-1])):
        possible = (types.get(parameter.name), *get_args(types.get(parameter.name)))
        choices = "|".join(word for each in possible if isinstance(each, enum.EnumType) for word in each)
        label = " ".join(sorted({*parameter.opts, *parameter.secondary_opts}, key=len))
        label = label.upper() if parameter.param_type_name == "argument" else label
        yield f"  {label}{f' {choices}' if choices else ''}"


def keys_of(content: dict[str, Any], prefix: str) -> Iterator[str]:
    """The keys of a JSON object, and those of the objects in it: `report.json splits.val`."""
    for key, value in content.items():
        yield f"{prefix} {key}"
        inner = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
        inner = [each for each in inner if isinstance(each, dict)]
        name = f"{key}[]" if isinstance(value, list) else key
        if key in MAPS and inner:
            name, inner = f"{key}.<field>", [each for each in value.values() if isinstance(each, dict)]
        yield from sorted({f"{prefix} {name}.{each}" for one in inner for each in one})


def test_commands_and_flags() -> None:
    assert same_as_golden("cli.txt", list(commands_of(typer.main.get_command(app), "dpdrun")))


def test_recipe_fields() -> None:
    fields = sorted(f"{doc.key} ({doc.kind})" if doc.kind else doc.key for doc in field_docs())
    assert same_as_golden("recipe_fields.txt", fields)


def test_python_names() -> None:
    assert same_as_golden("api.txt", sorted(dpdrun.__all__))


def test_json_keys(finished: Path, tmp_path: Path) -> None:
    recipe, log = tmp_path / "a.yaml", tmp_path / "metrics.csv"
    recipe.write_text(RECIPE, encoding="utf-8")
    log.write_text(
        "step,loss\n" + "".join(f"{n},{'nan' if n > 50 else 1 / n}\n" for n in range(1, 60)), encoding="utf-8"
    )
    lines: list[str] = []
    for words in (("recommend", recipe), ("lint", recipe), ("diagnose", log)):
        result = CliRunner().invoke(app, [*map(str, words), "--format", "json"])
        lines += keys_of(json.loads(result.stdout), words[0])
    for name in ("plan.json", "report.json"):
        lines += keys_of(json.loads((finished / name).read_text(encoding="utf-8")), name)
    assert any(line == "recommend after_fixes[].patch" for line in lines)
    assert any(line == "diagnose findings[].code" for line in lines)
    assert same_as_golden("json_keys.txt", sorted(lines))


@pytest.mark.parametrize("name", ["cli.txt", "recipe_fields.txt", "api.txt", "json_keys.txt"])
def test_a_line_that_went_away_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(UPDATE, raising=False)
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    assert same_as_golden(name, lines)
    with pytest.raises(AssertionError, match="make golden-lists"):
        same_as_golden(name, lines[1:])

"""Generate from the schema: the JSON Schema for editors, docs/recipe.md, and the commented template.

`python -m dpdrun.recipe.reference` (`make docs`) writes docs/recipe.md and docs/recipe.schema.json; a test fails while
they are out of date.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from dpdrun.recipe.describe import expected, is_section, sections_of, text_of
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.patch import render
from dpdrun.recipe.schema import Recipe, Section

SCHEMA_URI = "https://json-schema.org/draft/2020-12/schema"
KINDS = ("transformer", "gru", "gmp")
_WIDTH = 110

# Values of required fields in a new recipe: the size of our reference recipes, which trains in minutes on two cores.
EXAMPLES: dict[str, Any] = {
    "task": "pa",
    "data.source": "synthetic/mild",
    "model.d_model": 16,
    "model.layers": 2,
    "model.heads": 2,
    "model.window": 32,
    "model.hidden": 16,
}

START_LR = 1e-3  # of AdamW in most libraries
NO_RULE = f"no rule covers a plug-in: {START_LR} is a start, and dpdrun probe FILE measures a value"

_HEADER = """\
A dpdrun recipe. Check it: dpdrun recipe check FILE    Train it: dpdrun train FILE
auto = set by a rule (dpdrun recommend FILE shows which, and why); off = switched off.
Lines with a default can be deleted."""


class Unknown(Section):
    """A kind that is not known."""

    kind: str


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe (draft 2020-12), for completion and checks in editors."""
    return {"$schema": SCHEMA_URI, **Recipe.model_json_schema(), "title": "dpdrun recipe"}


def template(kind: str = "transformer", values: Mapping[str, Any] | None = None) -> str:
    """Return a commented recipe with every field of one model kind.

    Args:
        kind: transformer, gru, gmp or one of a plug-in.
        values: by dotted key, instead of EXAMPLES and defaults.

    Returns:
        YAML text that loads; but a required field of a plug-in that has no value is left out, and of an unknown kind
        there is nothing but the name, for the message of the loader.
    """
    chosen = {"model.kind": kind, **(values or {})}
    lines = [f"# {line}" for line in _HEADER.splitlines()]
    lines += _template_section(Recipe, "", kind, chosen)
    return "\n".join(lines) + "\n"


def _template_section(section: type[Section], prefix: str, kind: str, chosen: Mapping[str, Any]) -> list[str]:
    indent = "  " * prefix.count(".")
    lines: list[str] = []
    for name, field in section.model_fields.items():
        key = prefix + name
        if kind == "gmp" and (key == "optim" or (prefix == "train." and name != "seed")):
            continue  # without effect for a least-squares fit, so refused there
        inner = sections_of(field.annotation)
        default = EXAMPLES.get(key, ...) if field.is_required() else field.get_default(call_default_factory=True)
        if default is ... and not inner and key not in chosen:
            continue  # of a plug-in: only its user knows a value
        spread = is_section(field) or any(other.startswith(f"{key}.") for other in chosen)
        if inner and spread:
            chosen_section = inner[None] if None in inner else inner.get(kind, Unknown)
            about = (chosen_section.__doc__ or "").splitlines()[0]
            lines += [] if prefix else [""]
            lines += [f"{indent}# {line}" for line in textwrap.wrap(about, _WIDTH - len(indent))]
            lines += [f"{indent}{name}:", *_template_section(chosen_section, f"{key}.", kind, chosen)]
        else:
            lines += [] if prefix else [""]
            value, comment = chosen.get(key, default), f"{field.description} ({_takes(field)})"
            if key == "optim.lr" and kind not in KINDS and value in (AUTO, START_LR):
                value, comment = START_LR, f"{comment}; {NO_RULE}"
            lines += [
                f"{indent}# {line}" for line in textwrap.wrap(comment, _WIDTH - len(indent), break_on_hyphens=False)
            ]
            lines.append(f"{indent}{name}: {render(value)}")
    return lines


def _takes(field: FieldInfo) -> str:
    takes = expected(field)
    if field.is_required():
        return f"{takes}; required"
    return f"{takes}; default {text_of(field.get_default(call_default_factory=True))}"


_INTRO = """\
# The recipe

<!-- Generated from dpdrun/recipe/schema.py by `make docs`; do not edit. -->

A recipe is one YAML file that defines a training job completely. `dpdrun recipe new` writes one with comments,
`dpdrun recipe check FILE` reports every problem with its line, and `--set optim.lr=1e-3` changes a value for one run.

- `auto` leaves the value to the rules (`dpdrun recommend FILE` shows which rule, which value, and why); `off` switches
  a feature off.
- Percentages have their sign: `warmup: 7.5%`. Without it, `warmup: 150` counts optimizer steps.
- Units are in the names: `sample_rate_hz`, `threshold_db`. Lengths are in samples. No physical quantity has a default.
- Numbers are read by YAML 1.2: `1e-3` and `800e6` are numbers, `on` and `off` are words. Tags, anchors and several
  documents in one file are refused.

For completion and checks while you type, begin the file with
`# yaml-language-server: $schema=../docs/recipe.schema.json` (written by `dpdrun recipe schema`).
"""


def markdown() -> str:
    """Return docs/recipe.md: every field in a table, section by section."""
    parts = [_INTRO]
    for title, about, rows in _tables(Recipe, "", "Top level"):
        table = ["| key | takes | default | meaning |", "|---|---|---|---|", *rows]
        parts.append(f"## {title}\n\n{about}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _tables(section: type[Section], prefix: str, title: str) -> Iterator[tuple[str, str, list[str]]]:
    rows = []
    for name, field in section.model_fields.items():
        if not is_section(field):
            required = field.is_required()
            default = "**required**" if required else f"`{text_of(field.get_default(call_default_factory=True))}`"
            cells = (f"`{prefix}{name}`", expected(field), default, field.description or "")
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    about = " ".join((section.__doc__ or "").split())
    yield title, about, rows
    for name, field in section.model_fields.items():
        for kind, inner in sections_of(field.annotation).items():
            key = f"{prefix}{name}"
            yield from _tables(inner, f"{key}.", f"`{key}`" if kind is None else f"`{key}`, kind `{kind}`")


def schema_text() -> str:
    """Return the text of docs/recipe.schema.json."""
    return json.dumps(json_schema(), indent=2) + "\n"


def write(folder: Path) -> list[Path]:
    """Write docs/recipe.md and docs/recipe.schema.json into `folder`."""
    texts = {"recipe.md": markdown(), "recipe.schema.json": schema_text()}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


if __name__ == "__main__":
    for path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        print(path)

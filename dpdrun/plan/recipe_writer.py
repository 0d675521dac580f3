"""Write a recommendation as a recipe, new or with every `auto` filled; each value has its reason next to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpdrun.plan.recommendation import Recommendation, silent_lines
from dpdrun.recipe.comments import annotate_changed_values, head_of, reasons_without_line
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.patch import apply_patch, render
from dpdrun.recipe.schema import Recipe

# Sizes that a recipe must state.
SIZES: dict[str, tuple[str, ...]] = {
    "transformer": ("d_model", "layers", "heads", "window"), "gru": ("hidden",), "gmp": (),
}  # fmt: skip
WRITTEN_BY = "# Written by:"
SCHEMA_LINE = "# yaml-language-server:"  # its path is relative to the file
_QUOTED = "# From the header of"


def model_section(kind: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `model` section of a kind with the sizes that are known; other sizes have defaults or rules."""
    written = (*SIZES[kind], "layers", "lookahead", "delays")
    model: dict[str, Any] = {"kind": kind} | {name: sizes[name] for name in written if name in sizes}
    if kind == "gmp":
        model["constant"] = "on"  # of no cost where there is no leakage of the oscillator
    if model.get("window") == "full":
        model["positions"] = "sinusoidal"  # relative positions are defined within a window
    elif "window" in model:
        model["window"] = int(model["window"])
    return model


def advised_model(recommendation: Recommendation) -> dict[str, Any]:
    """Return the values of a recommendation that are sizes of a model, by name."""
    values = recommendation.values.items()
    return {key.removeprefix("model."): value.value for key, value in values if key.startswith("model.")}


def recipe_text(
    recommendation: Recommendation, sections: Mapping[str, Mapping[str, Any]], command: str, pa: str | None = None
) -> str:
    """Return a new recipe, with a comment at each value that a rule set.

    Args:
        recommendation: its values go into `optim` and `train`.
        sections: `{"data": {...}, "model": {...}}` from the user.
        command: the command that writes it, for the header.
        pa: of a predistorter, the path of its PA run.

    Raises:
        pydantic.ValidationError: the sections do not make a recipe.
    """
    tree: dict[str, dict[str, Any]] = {name: dict(content) for name, content in sections.items()}
    for key, value in recommendation.values.items():
        section, _, leaf = key.partition(".")
        tree.setdefault(section, {})[leaf] = value.value
    job = {"task": "pa"} if pa is None else {"task": "dpd", "pa": pa}
    Recipe.model_validate({**job, "rules": recommendation.rules, **tree})
    reasons = reasons_of(recommendation)
    lines = [*_head(recommendation, command), *(f"{key}: {render(value)}" for key, value in job.items())]
    lines.append(f"rules: {recommendation.rules}")
    for section in (name for name in ("data", "model", "dpd", "optim", "train") if name in tree):
        lines.append(f"{section}:")
        for leaf, content in tree.get(section, {}).items():
            reason = reasons.get(f"{section}.{leaf}")
            lines.append(f"  {leaf}: {render(content)}{f'  # {reason}' if reason else ''}")
    return "\n".join(lines) + "\n"


def filled_recipe(recommendation: Recommendation, loaded: Loaded, command: str, *, keep_schema_line: bool) -> str:
    """Return a recipe with every `auto` filled, the reasons next to the values, and a head that says its origin.

    Args:
        recommendation: for this recipe.
        loaded: the recipe; its overrides are written into the text too.
        command: the command that writes it, for the header.
        keep_schema_line: keep the line for editors, whose path is relative to the folder of the recipe.
    """
    patch = recipe_patch(recommendation, loaded.recipe)
    edited = apply_patch(loaded.effective_text, patch)
    if edited == loaded.text:
        return edited
    reasons = {key: reason for key, reason in reasons_of(recommendation).items() if key in patch}
    text = annotate_changed_values(loaded.text, edited, reasons)
    old = head_of(text)
    body = text.splitlines(keepends=True)[len(old) :]
    without_line = [f"# {key}: {reason}" for key, reason in reasons_without_line(text, reasons).items()]
    schema, remarks = _split_head(old, loaded.path)
    head = [*(schema if keep_schema_line else []), *_head(recommendation, command), *without_line, *remarks]
    newline = "\r\n" if "\r\n" in text else "\n"
    return "".join(line + newline for line in head) + "".join(body)


def recipe_patch(recommendation: Recommendation, recipe: Recipe) -> dict[str, Any]:
    """Return the values to write into a recipe: those that a rule set and that the recipe does not hold already."""
    now = values_of(recipe)
    return {k: v.value for k, v in recommendation.values.items() if v.rule is not None and now.get(k) != v.value}


def reasons_of(recommendation: Recommendation) -> dict[str, str]:
    """Return the rule and reason of every value that a rule set, by its dotted key."""
    return {key: f"{value.rule}: {value.why}" for key, value in recommendation.values.items() if value.rule}


def _head(recommendation: Recommendation, command: str) -> list[str]:
    """The comments at the head of the recipe: its command, how to edit it, and which rules did not apply."""
    return [
        f"{WRITTEN_BY} {printable_value(command)}",
        "# You can change any value. If a value of optim or train is deleted or auto, a rule sets it.",
        *(f"# {line}" for line in silent_lines(recommendation)),
    ]


def _split_head(head: list[str], path: Path) -> tuple[list[str], list[str]]:
    """Split an old header into its schema line and the user's own comments, quoted as those of the old file."""
    schema = [line for line in head if line.startswith(SCHEMA_LINE)]
    remarks = [line for line in head if line.strip() not in ("", "#") and line not in schema]
    if any(line.startswith(WRITTEN_BY) for line in remarks):  # written by us earlier: keep only what it quotes
        quoted = [place for place, line in enumerate(remarks) if line.startswith(_QUOTED)]
        return schema, remarks[quoted[0] :] if quoted else []
    if not remarks:
        return schema, []
    title = f"{_QUOTED} {printable_value(str(path))}; any result stated there is for the original file:"
    return schema, [title, *(f"#   {line.removeprefix('#').strip()}" for line in remarks)]


def printable_value(text: str) -> str:
    """Return a text that fits on one line of a YAML comment."""
    return "".join(character if character.isprintable() else "?" for character in text)

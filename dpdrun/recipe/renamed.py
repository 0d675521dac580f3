"""List the recipe keys of earlier versions: what they are called now, or why they were removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "data.loops": "data.cyclic",
    "dpd.variants": "dpd.augment",
    "optim.finish": "optim.refine",
    "optim.finish_iterations": "optim.refine_iterations",
    "train.rotate": "train.phase_augment",
}
REMOVED = {"train.shard": "models of this size do not benefit from sharding; --processes divides the batch"}


def with_current_keys(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe in a plan.json of an earlier version with the keys of this one."""
    migrated = {name: dict(value) if isinstance(value, Mapping) else value for name, value in recipe.items()}
    for old in (*RENAMED, *REMOVED):
        section, _, name = old.partition(".")
        values = migrated.get(section)
        if isinstance(values, dict) and name in values:
            value = values.pop(name)
            if old in RENAMED:
                values[RENAMED[old].partition(".")[2]] = value
    return migrated

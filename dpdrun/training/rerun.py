"""Tests whether a repair helps: trains the recipe before and after it from the same seeds, and compares scores.

Every run is a complete run in a folder of its own, so the comparison can be inspected. A run that ends in non-finite
numbers scores as silence, 0 dB. The test split decides nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.repair import Comparison
from dpdrun.errors import DivergedError, FindingError
from dpdrun.recipe.loader import Loaded, load_recipe, load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.run.folder import RunFolder
from dpdrun.run.scores import chosen
from dpdrun.training.job import Watch, train

SILENCE_DB = 0.0


def compare_recipes(
    before: Loaded,
    after: Loaded,
    folder: Path,
    seeds: Sequence[int],
    *,
    finished: RunFolder | None = None,
    watch: Callable[[str], Watch | None] = lambda _: None,
) -> Comparison:
    """Train both recipes with every seed and compare their scores on the val split.

    Args:
        before, after: the recipes.
        folder: receives a run folder a training, `before-seed0`, `after-seed0`, ...; finished ones are not repeated.
        seeds: of `train.seed`.
        finished: a finished run of `before`, which counts for its own seed.
        watch: makes the watch of a run from its name; see `training.train`.

    Raises:
        RecipeError, DataError, RunError: a run cannot begin, or its folder belongs to another run.
    """
    scores: dict[str, list[float]] = {"before": [], "after": []}
    for seed in seeds:
        for name, loaded in (("before", before), ("after", after)):
            seeded = load_text(apply_patch(loaded.text, {"train.seed": seed}), loaded.path)
            if name == "before" and finished is not None and _is_of(finished, seeded):
                scores[name].append(_score(finished.read_json(finished.report)))
            else:
                title = f"{name}-seed{seed}"
                scores[name].append(_trained(seeded, folder / title, watch(title)))
    return Comparison(list(seeds), scores["before"], scores["after"])


def _is_of(run: RunFolder, loaded: Loaded) -> bool:
    return run.report.is_file() and load_recipe(run.recipe).recipe == loaded.recipe


def _trained(loaded: Loaded, path: Path, watch: Watch | None) -> float:
    """Return the validation NMSE [dB] of a run, trained here, resumed or finished before."""
    has_begun = (path / "plan.json").is_file()
    try:
        return _score(train(loaded, path, resume=has_begun, watch=watch))
    except FindingError:  # train.on_finding stop: only complete runs are compared
        loaded = load_text(apply_patch(loaded.text, {"train.on_finding": "warn"}), loaded.path)
        return _trained(loaded, path, watch)
    except DivergedError:
        return SILENCE_DB


def _score(report: dict[str, Any]) -> float:
    value = chosen(report["splits"]["val"])["nmse_db"]
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else SILENCE_DB

"""What a row of the board is made of: folders `NAME-seedN` with `recipe.yaml`, `model.safetensors` and `entry.json`.

`entry.json` holds what recipe and weights do not say: `minutes` of training, `machine`, the `plugins` that its kind
comes from (paths from the root of the repository), and of a predistorter the sha256 of the PA model that it was trained
`through`. The predistorters of benchmarks/arena and benchmarks/fixed_point are entries without one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.arena.judge import SEED, TRAINING
from benchmarks.common import ROOT
from dpdrun.models import _saved
from dpdrun.models._base import BehaviouralModel
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import Loaded, load_recipe
from dpdrun.run.files import sha256_of

BOARD = Path(__file__).parent
STUDIES = (ROOT / "benchmarks" / "arena" / "models", ROOT / "benchmarks" / "fixed_point" / "models")
ABOUT = "entry.json"


@dataclass(frozen=True)
class Entry:
    """One trained model of the board; those whose names differ only in `-seedN` are one row."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def row(self) -> str:
        """The name without its seed."""
        return SEED.sub("", self.name)

    @cached_property
    def about(self) -> dict[str, Any]:
        """The content of entry.json; of the studies' predistorters, what their training.json has."""
        path = self.folder / ABOUT
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        run = json.loads(TRAINING.read_text())["runs"].get(self.name, {})
        return {"minutes": run["seconds"] / 60} if run else {}

    @cached_property
    def loaded(self) -> Loaded:
        """Its recipe; the plug-ins that it needs are loaded first. Raises RecipeError, PluginError."""
        plugins.load_files(ROOT / path for path in self.about.get("plugins", ()))
        return load_recipe(self.folder / "recipe.yaml")

    @property
    def weights(self) -> Path:
        """Its model.safetensors."""
        return self.folder / "model.safetensors"

    def model(self) -> BehaviouralModel:
        """Load the model, in `eval` mode. Raises RunError."""
        return _saved.load(self.weights, self.loaded.recipe.model, described_by=self.folder / "recipe.yaml")

    def digest(self) -> str:
        """The hash of what decides its scores."""
        return sha256_of(self.weights)[:16] + sha256_of(self.folder / "recipe.yaml")[:16]


def found_in(folders: Iterable[Path]) -> list[Entry]:
    """Return the entries in some folders, by name."""
    paths = (path.parent for folder in folders for path in folder.glob("*/model.safetensors"))
    return [Entry(path) for path in sorted(paths, key=lambda path: path.name)]

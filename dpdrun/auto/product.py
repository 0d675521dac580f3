"""The folder of `dpdrun auto`: the names of its files, and auto.json: from what it was made, and what is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dpdrun.auto.budget import Budget, budget_text
from dpdrun.auto.reading import Reading
from dpdrun.errors import RunError
from dpdrun.recipe.problems import first_problem, listed
from dpdrun.run.environment import environment
from dpdrun.run.files import Json, json_text, make_folder, write_text
from dpdrun.run.folder import RunFolder, require_free
from dpdrun.run.symlinks import reject_escaping_dirs

SCHEMA_VERSION = 1
MOST_S = 1e9  # a folder that has been worked on for so long is damaged
STEPS = ("pa", "judge", "dpd_gmp", "dpd")  # of the pipeline, and the names of their run folders


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        budget: of the predistorter.
        minutes: of trials and scores.
        to: format of the export.
        fixed: bits of weights and activations; None = floating point.
    """

    budget: Budget
    minutes: float
    to: str
    fixed: int | None


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Exported(_Strict):
    path: str = ""


class _MadeFrom(_Strict):
    budget: dict[str, int]


class _State(_Strict):
    """What the next call takes from auto.json."""

    schema_version: Literal[1]
    made_from: _MadeFrom
    seconds: float = Field(ge=0, le=MOST_S)
    searched_minutes: dict[str, float]
    exported: _Exported = _Exported()


class Product:
    """Paths and files of one folder.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    state = property(lambda self: self.path / "auto.json")
    page = property(lambda self: self.path / "report.html")
    pipeline = property(lambda self: self.path / "pipeline.yaml")
    searches = property(lambda self: self.path / "search")
    exports = property(lambda self: self.path / "export")

    def recipe(self, name: str) -> Path:
        """Return the path of the recipe of a step or of a search."""
        return self.path / "recipes" / f"{name}.yaml"

    def step(self, name: str) -> RunFolder:
        """Return the run folder of a step."""
        return RunFolder(self.path / name)

    def read(self) -> Json:
        """Return the content of auto.json; empty where there is none. Raises RunError, for links out of it too."""
        reject_escaping_dirs(self.path, depth=2)
        if not self.state.is_file():
            return {}
        content = RunFolder(self.path).read_json(self.state)
        try:
            _State.model_validate(content)
        except ValidationError as error:
            raise RunError(
                f"{self.state}: damaged: {first_problem(error)}; bring a copy of it back, or give another -o"
            ) from None
        return content

    def write(self, content: Mapping[str, Any]) -> None:
        """Write auto.json, unless it holds the same. Raises RunError."""
        before, now = ({**each, "environment": None} for each in (self.read(), content))
        if json_text(before) == json_text(now):
            return
        RunFolder(self.path).write_json(self.state, {**content, "environment": environment()})

    def begin(self, reading: Reading, options: Options) -> Json:
        """Return the content of auto.json for this capture and these options; nothing is written yet.

        Raises:
            RunError: the folder holds something else, or was made from another capture or budget.
        """
        made_from = {
            "data_sha256": reading.capture.sha256,
            "sample_rate_hz": reading.capture.sample_rate_hz,
            "bandwidth_hz": reading.capture.bandwidth_hz,
            "budget": options.budget,
        }
        before = self.read()
        if not before:
            require_free(self.path)
            return {"schema_version": SCHEMA_VERSION, "made_from": made_from, "seconds": 0.0, "searched_minutes": {}}
        old = before.get("made_from", {})
        if changed := [name for name, value in made_from.items() if old.get(name) != value]:
            raise RunError(
                f"{self.path}: this folder was made from {listed([_named(name, old) for name in changed], 'and')}, "
                f"and now there is {listed([_named(name, made_from) for name in changed], 'and')}; give another -o"
                + (f", or score it with that band:\n  dpdrun evaluate {self.step('dpd').path} --bandwidth-hz "
                   f"{reading.capture.bandwidth_hz:.12g}" if changed == ["bandwidth_hz"] else "")
            )  # fmt: skip
        return before

    def write_recipe(self, name: str, text: str) -> None:
        """Write the recipe of a step or of a search."""
        path = self.recipe(name)
        make_folder(path.parent)
        write_text(path, text)


def _named(name: str, made_from: Mapping[str, Any]) -> str:
    value = made_from.get(name)
    if name == "budget" and isinstance(value, dict):
        return f"a budget of {budget_text(value)}"
    if name == "data_sha256":
        return f"a capture with samples {str(value)[:12]}..."
    words = name.removesuffix("_hz").replace("_", " ")
    return f"a {words} of {value / 1e6:.10g} MHz" if isinstance(value, int | float) else f"no {words}"

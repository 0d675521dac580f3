"""What commands take from plan.json and report.json by themselves, checked where a run folder is read.

A run folder may come from anybody. `plan.plan.Plan` checks the rest of a plan.json, and a table of scores the rest of a
report.json. Keys that are missing or unknown are passed over: the files of other versions have others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from dpdrun.errors import RunError
from dpdrun.recipe.problems import first_problem
from dpdrun.run.files import Json

Number = int | float | Literal["nan", "inf", "-inf"]


class _Plugin(BaseModel):
    group: Literal["models", "losses", "optimizers", "formats"]
    name: str
    plugin: str
    version: str | None
    file: str
    sha256: str
    installed: bool


class _Plan(BaseModel):
    recipe: dict[str, Any] = {}
    data_sha256: str | None = None
    dpdrun: str = ""
    plugins: list[_Plugin] = []


class _Scores(BaseModel):
    nmse_db: Number | None = None
    objective_db: Number | None = None
    with_past: _Scores | None = None


class _Capture(BaseModel):
    name: str = ""
    sha256: str = ""


class _PA(BaseModel):
    path: str = ""
    nmse_db: dict[str, Number | None] | None = None


class _Report(BaseModel):
    capture: _Capture = _Capture()
    splits: dict[str, _Scores] = {}
    baselines: dict[str, dict[str, Any]] = {}
    pa: _PA | None = None
    floor: dict[str, Any] = {}
    finish: dict[str, Any] | None = None
    seconds: Number | None = None
    steps: int | None = None
    parameters: int | None = None
    macs_per_sample: int | None = None


_MODELS: dict[str, type[BaseModel]] = {"plan.json": _Plan, "report.json": _Report}


def require_types(path: Path, content: Json) -> None:
    """Raise RunError where a plan.json or a report.json holds values of other types than dpdrun writes."""
    if path.name not in _MODELS:
        return
    try:
        _MODELS[path.name].model_validate(content)
    except ValidationError as error:
        remedy = "; delete it and recreate it with `dpdrun train --resume`" if path.name == "report.json" else ""
        raise RunError(f"{path} is damaged, or of another version of dpdrun: {first_problem(error)}{remedy}") from None

"""Read a pipeline file and the recipes that it names; every problem of all of them is reported at once.

    task: pipeline
    steps:
      pa: my_pa.yaml                  # name of the step: its recipe, next to this file
      judge: {recipe: my_pa.yaml, set: [train.seed=1]}
      other: runs/pa-sweep            # a PA model that is trained: a finished run, or the best run of a sweep
      dpd: my_dpd.yaml                # learns through the step that its `pa:` names: runs/my_pa, or the step's name
    evaluate: [val, test]

Steps run in the order of the file. Every predistorter is scored through every PA model of the pipeline, so a PA step
that nothing learns through is a reference. A pipeline file has no other keys: what a step is, its recipe says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from dpdrun.errors import RecipeError, RunError
from dpdrun.recipe import shipped, yaml12
from dpdrun.recipe.fields import OFF
from dpdrun.recipe.loader import Loaded, load_text, read_text
from dpdrun.recipe.problems import Mark, Problem, closest, listed, recipe_error
from dpdrun.recipe.schema import GIVEN
from dpdrun.recipe.yaml12 import Node, SyntaxProblemError
from dpdrun.run.files import expand_user, is_there
from dpdrun.run.folder import RunFolder
from dpdrun.run.sweeps import best_run

Split = Literal["train", "val", "test"]
TASK = "pipeline"
KEYS = ("task", "steps", "evaluate")
STEP_KEYS = ("recipe", "set")
EVALUATION = "evaluation"  # the folder of the scores, next to those of the steps
SPLITS: tuple[Split, ...] = ("val", "test")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")


@dataclass(frozen=True)
class Step:
    """One run of a pipeline.

    Attributes:
        name: of the step, and of its folder.
        loaded: its recipe, with the overrides of the step.
        through: of task dpd, the name of the PA step that it learns through; None for task pa.
        source: what the file of the pipeline names: a recipe, or the folder of a finished run or of a sweep.
        finished: the run in that folder, which is used as it is; None = the step trains its recipe.
    """

    name: str
    loaded: Loaded
    through: str | None
    source: Path
    finished: Path | None = None

    def folder(self, pipeline: Path) -> Path:
        """Return the run folder of the step in the folder of a pipeline."""
        return self.finished or pipeline / self.name


@dataclass(frozen=True)
class Pipeline:
    """Steps in the order in which they run, and the splits of the capture that are scored at the end."""

    path: Path
    steps: tuple[Step, ...]
    splits: tuple[Split, ...]

    def step(self, name: str) -> Step:
        """Return a step by its name."""
        return next(step for step in self.steps if step.name == name)


def is_pipeline(path: Path) -> bool:
    """Return whether a file says `task: pipeline`; False also where it cannot be read: `load_recipe` then says why."""
    path = shipped.find(path)
    try:
        root, _ = yaml12.parse(read_text(path), str(path))
    except (RecipeError, SyntaxProblemError):
        return False
    task = root.value.get("task") if root is not None and isinstance(root.value, dict) else None
    return task is not None and task.node.value == TASK


def load_pipeline(path: Path, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline file and the recipes that it names.

    Args:
        path: a YAML file, or the name of a pipeline of the package.
        overrides: `step.key=value` pairs such as `dpd.optim.lr=1e-3`, as `--set` takes them.

    Raises:
        RecipeError: the file, a recipe or an override is wrong; the message lists every problem.
    """
    path = shipped.find(path)
    try:
        root, problems = yaml12.parse(read_text(path), str(path))
    except SyntaxProblemError as error:
        raise recipe_error([error.problem]) from None
    if root is None or not isinstance(root.value, dict):
        raise RecipeError(f"{path}: a pipeline is a mapping with the keys {listed(KEYS, 'and')}")
    reading = _Reading(path, list(problems))
    pipeline = reading.pipeline(root, overrides)
    if reading.problems or reading.of_recipes:
        own = [str(recipe_error(reading.problems))] if reading.problems else []
        raise RecipeError("\n".join([*own, *dict.fromkeys(reading.of_recipes)]))
    return pipeline


class _Reading:
    """Reads a pipeline, and collects the problems of its file and of the recipes that it names."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path, self.problems = path, problems
        self.of_recipes: list[str] = []

    def pipeline(self, root: Node, overrides: Sequence[str]) -> Pipeline:
        """Return as much of the pipeline as can be read."""
        self._unknown(root, "", KEYS)
        extra = self._by_step(root, overrides)
        entry = root.value.get("steps")
        steps: list[Step] = []
        if entry is None or not isinstance(entry.node.value, dict) or not entry.node.value:
            mark = entry.mark if entry else Mark(str(self.path), 1, 1, 1, root.mark.source)
            self._add("steps", "steps: list the recipes of the pipeline, one per line: `pa: my_pa.yaml`", mark)
            return Pipeline(self.path, (), SPLITS)
        complete = True
        for name, each in entry.node.value.items():
            self._check_name(name, each.mark)
            folder, sets = self._folder(each.node), extra.get(name, [])
            step = (
                self._trained(name, each.mark, each.node, sets, steps)
                if folder is None else self._finished(name, each.node.mark, folder, sets)
            )  # fmt: skip
            complete = complete and step is not None
            steps += [] if step is None else [step]
        for task, what in (("pa", "a PA model"), ("dpd", "a predistorter")):
            if complete and not any(step.loaded.recipe.task == task for step in steps):
                self._add("steps", f"steps: no recipe here has task {task}; a pipeline trains {what}", entry.mark)
        return Pipeline(self.path, tuple(steps), self._splits(root))

    def _folder(self, node: Node) -> Path | None:
        """Return the folder that a step names instead of a recipe: next to the pipeline, or in the current folder."""
        named = expand_user(node.value) if isinstance(node.value, str) else None
        return None if named is None else next((p for p in (self.path.parent / named, named) if p.is_dir()), None)

    def _finished(self, name: str, mark: Mark, folder: Path, extra: list[str]) -> Step | None:
        """Return a step that is the finished run in a folder, or the best run of a sweep; None where it is unusable."""
        try:
            run = RunFolder.open(best_run(folder))
            loaded = load_text(read_text(run.recipe), run.recipe)
        except (RunError, RecipeError) as error:
            self._add(name, f"steps.{name}: {error}", mark)
            return None
        problem = ""
        if loaded.recipe.task != "pa":
            problem = f"{run.path} is of task {loaded.recipe.task}; a finished run stands for a PA model"
        elif not (run.report.is_file() and run.model.is_file()):
            problem = f"{run.path}: this run is not finished; continue it with:\n  {run.resume_command}"
        elif extra:
            problem = f"{run.path} is finished: --set {name}.{extra[0]} cannot change it; name its recipe instead"
        if problem:
            self._add(name, f"steps.{name}: {problem}", mark)
            return None
        return Step(name, loaded, None, folder, run.path)

    def _trained(self, name: str, mark: Mark, node: Node, extra: list[str], before: list[Step]) -> Step | None:
        """Return a step that trains a recipe; None where something is wrong with it."""
        loaded = self._recipe(name, mark, node, extra)
        if loaded is None:
            return None
        through = self._through(loaded, before, node.mark) if loaded.recipe.task == "dpd" else None
        return Step(name, loaded, through, loaded.path)

    def _check_name(self, name: str, mark: Mark) -> None:
        if not _NAME.match(name) or name == EVALUATION:
            why = "is reserved for the scores" if name == EVALUATION else "is not a valid folder name"
            self._add(name, f"steps.{name}: {name!r} {why}; use letters, digits, _ and -", mark)

    def _recipe(self, name: str, mark: Mark, node: Node, extra: list[str]) -> Loaded | None:
        """Return the recipe of a step; None where something is wrong with it."""
        file, sets = node, list[str]()
        if isinstance(node.value, dict):
            self._unknown(node, f"steps.{name}.", STEP_KEYS)
            if "recipe" not in node.value:
                self._add(name, f"missing steps.{name}.recipe: the file of this step", mark)
                return None
            file = node.value["recipe"].node
            sets = self._texts(node, name)
        if not isinstance(file.value, str):
            self._add(name, f"steps.{name}: write the file of its recipe, next to this file: {name}.yaml", file.mark)
            return None
        path = self.path.parent / expand_user(file.value)
        if not is_there(path):  # a copied pipeline may name recipes of the package
            named = shipped.find(file.value)
            path = named if named.is_file() else path
        if not is_there(path):
            near = closest(path.name, (each.name for each in path.parent.glob("*.yaml") if each.name != self.path.name))
            hint = f"; did you mean {Path(file.value).parent / near}?" if near else ""
            self._add(name, f"steps.{name}: no such recipe: {path}{hint}", file.mark)
            return None
        try:
            return load_text(read_text(path), path, [*sets, *extra])
        except RecipeError as error:
            self.of_recipes.append(str(error))
            return None

    def _texts(self, node: Node, name: str) -> list[str]:
        """Return the overrides of a step in the file."""
        if "set" not in node.value:
            return []
        found = node.value["set"].node
        if not isinstance(found.value, list) or not all(isinstance(item.value, str) for item in found.value):
            self._add(name, f"steps.{name}.set: a list of key=value, such as [train.seed=1]", found.mark)
            return []
        return [item.value for item in found.value]

    def _through(self, loaded: Loaded, before: list[Step], mark: Mark) -> str | None:
        """Return the PA step that a predistorter's recipe names: by its own name, or as the run of its recipe."""
        pa = loaded.recipe.pa
        amplifiers = [step for step in before if step.loaded.recipe.task == "pa"]
        known = listed((f"{step.name} ({step.source.name})" for step in amplifiers), "and") or "none"
        where = f"{loaded.path}: pa: {pa}"
        if pa in (OFF, GIVEN):
            names = amplifiers[0].source.stem if amplifiers else "<name>"
            message = f"{where}: a pipeline trains and scores through its own PA models; write pa: runs/{names}"
            self._add("pa", message, mark)
            return None
        wanted = Path(pa).name
        by_name = {step.name: step for step in amplifiers}
        by_source = {step.source.name.removesuffix(".yaml"): step for step in reversed(amplifiers)}  # the first wins
        found = by_name.get(wanted) or by_source.get(wanted)
        if found is not None:
            return found.name
        self._add("pa", f"{where} is not the run of an earlier PA step; there are: {known}", mark)
        return None

    def _splits(self, root: Node) -> tuple[Split, ...]:
        if "evaluate" not in root.value:
            return SPLITS
        node, known = root.value["evaluate"].node, get_args(Split)
        items = node.value if isinstance(node.value, list) else [node]
        for item in items:
            if item.value not in known:
                guess = closest(item.raw, known)
                hint = f"; did you mean '{guess}'?" if guess else ""
                self._add(
                    "evaluate", f"evaluate: splits of the capture, of {listed(known)}; got {item.raw}{hint}", item.mark
                )
        if not items:
            self._add("evaluate", f"evaluate: nothing to score; name splits of {listed(known)}", node.mark)
        return tuple(dict.fromkeys(split for split in known if split in [item.value for item in items]))

    def _by_step(self, root: Node, overrides: Sequence[str]) -> dict[str, list[str]]:
        """Return the overrides by step, without its name."""
        entry = root.value.get("steps")
        names = list(entry.node.value) if entry is not None and isinstance(entry.node.value, dict) else []
        found: dict[str, list[str]] = {}
        for override in overrides:
            name, dot, rest = override.partition(".")
            if name in names and dot:
                found.setdefault(name, []).append(rest)
                continue
            example = f"{names[-1] if names else 'dpd'}.{override if '=' in override else 'train.max_steps=100'}"
            message = f"in a pipeline a key starts with the name of a step ({listed(names)}): --set {example}"
            self.problems.append(Problem("", message, Mark(f"--set {override}")))
        return found

    def _unknown(self, node: Node, prefix: str, known: Iterable[str]) -> None:
        for name, entry in node.value.items():
            if name not in known:
                guess = closest(name, known)
                hint = f"did you mean '{guess}'?" if guess else f"known here: {listed(known, 'and')}"
                self._add(prefix + name, f"unknown key {prefix}{name}; {hint}", entry.mark)

    def _add(self, key: str, message: str, mark: Mark) -> None:
        self.problems.append(Problem(key, message, mark))

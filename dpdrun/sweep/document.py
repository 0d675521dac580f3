"""Read a sweep: a file, or a recipe with flags; every problem is reported at once, with line and column.

    recipe: quickstart.yaml           # next to this file, or the name of a recipe of the package
    set: [train.max_steps=500]
    over:
      model.d_model: [8, 16, 32]
      optim.lr: log:3e-3..1e-1:5
    seeds: 3
    objectives: [val_nmse_db, macs_per_sample]
    search: grid                      # grid | random | tpe | nsga2
    budget: {trials: 40, core_hours: 2}
    prune: findings                   # off | findings | median | halving

Flags are written into the same tree, so that both have the same rules and the same messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from dpdrun.errors import RecipeError
from dpdrun.recipe import shipped, yaml12
from dpdrun.recipe.check import check_section
from dpdrun.recipe.loader import Loaded, load_text, read_text
from dpdrun.recipe.patch import render
from dpdrun.recipe.problems import Mark, Problem, closest, listed, recipe_error
from dpdrun.recipe.schema import Count, Section, Text
from dpdrun.recipe.yaml12 import Entry, Node, SyntaxProblemError
from dpdrun.run.files import expand_user, is_there
from dpdrun.sweep.space import EXAMPLE, Dimension, Range, dimension_of, grid_size

Search = Literal["grid", "random", "tpe", "nsga2"]
Prune = Literal["off", "findings", "median", "halving"]
OBJECTIVES = ("val_nmse_db", "val_objective_db", "parameters", "macs_per_sample", "seconds")
TASK = "sweep"
FLAGS = {
    "objectives": "objective",
    "budget": "trials",
    "core_hours": "core-hours",
}  # where a flag has another name than its key
MOST_POINTS = 10_000  # of a grid; more is a slip, or wants a search
MOST_SEEDS = 1000
MOST_SHOWN = 100  # characters of a flag in a message


class BudgetSection(Section):
    """What a search may use; it ends at the first of these."""

    trials: Count | None = Field(None, description="configurations to try, each with every seed")
    core_hours: Annotated[float, Field(gt=0)] | None = Field(None, description="time of all workers together [h]")


class SweepSection(Section):
    """The file of a sweep."""

    task: Literal["sweep"] = Field("sweep", description="distinguishes a sweep from a recipe; may be omitted")
    recipe: Text = Field(description="the recipe that all runs are made from")
    set: Any = Field(None, description="overrides of the recipe, a list of key=value")
    over: Any = Field(None, description="the fields to sweep, with their values")
    seeds: Any = Field(1, description="seeds of each configuration: a number of them, or a list")
    objectives: Any = Field(None, description="what to minimize, one or several")
    search: Search = Field("grid", description="how configurations are chosen")
    budget: BudgetSection = Field(BudgetSection.model_validate({}), description="what a search may use")
    prune: Prune = Field("findings", description="which runs end early")


@dataclass(frozen=True)
class Sweep:
    """A sweep, as it was read.

    Attributes:
        path: of its file, or of the recipe.
        base: the recipe with the overrides of the sweep.
        over: the swept fields.
        seeds: of every configuration.
        objectives: what is minimized; the first one decides between equals.
    """

    path: Path
    base: Loaded
    over: tuple[Dimension, ...]
    seeds: tuple[int, ...]
    objectives: tuple[str, ...]
    search: Search = "grid"
    prune: Prune = "findings"
    budget: BudgetSection = field(default_factory=lambda: BudgetSection.model_validate({}))

    @property
    def text(self) -> str:
        """Return the sweep as a file that names `recipe.yaml`, the text of `base`, next to it."""
        over = [f"  {each.key}: {render(each.written())}" for each in self.over]
        budget = {key: value for key, value in self.budget.model_dump().items() if value is not None}
        lines = [
            *("task: sweep", "recipe: recipe.yaml", "over:" if over else "over: {}", *over),
            *(f"seeds: {render(list(self.seeds))}", f"objectives: {render(list(self.objectives))}"),
            *(f"search: {self.search}", f"prune: {self.prune}"),
            *([f"budget: {render(budget)}"] if budget else []),
        ]
        return "\n".join(lines) + "\n"


def is_sweep(path: Path) -> bool:
    """Return whether a file is that of a sweep; False also where it cannot be read."""
    try:
        root, _ = yaml12.parse(read_text(shipped.find(path)), str(path))
    except (RecipeError, SyntaxProblemError):
        return False
    if root is None or not isinstance(root.value, dict):
        return False
    task = root.value.get("task")
    return task.node.value == TASK if task is not None else bool({"recipe", "over"} & set(root.value))


def load_sweep(path: Path, flags: Mapping[str, Any] | None = None, sets: Sequence[str] = ()) -> Sweep:
    """Read a sweep.

    Args:
        path: the file of a sweep, or a recipe, or the name of one of the package.
        flags: settings that were given on the command line, by key of the file: `over` as `{key: text}`, the others as
            text. They override the file.
        sets: overrides of the recipe, as `--set` takes them.

    Raises:
        RecipeError: the file, its recipe or a flag is wrong; the message lists every problem.
    """
    path = shipped.find(path)
    problems: list[Problem] = []
    if is_sweep(path):
        root, problems = yaml12.parse(read_text(path), str(path))
        assert root is not None
        recipe = None
    else:
        root, recipe = Node({}, Mark(str(path), 1)), path
        root.value["recipe"] = Entry(root.mark, Node(str(path), root.mark, str(path)))
    _write_flags(root, flags or {}, problems)
    reading = _Reading(path, problems)
    return reading.sweep(root, recipe, sets)


def _write_flags(root: Node, flags: Mapping[str, Any], problems: list[Problem]) -> None:
    """Write flags into the tree, with marks that name them."""
    for name, value in flags.items():
        if name != "over":
            mark = Mark(f"--{FLAGS.get(name, name)}")
            root.value[name] = Entry(mark, Node(value, mark, str(value)) if not isinstance(value, list | dict) else
                                     _tree(value, mark))  # fmt: skip
            continue
        mark = Mark("--over")
        if "over" not in root.value or not isinstance(root.value["over"].node.value, dict):
            root.value["over"] = Entry(mark, Node({}, mark))
        for key, text in value.items():
            here = Mark(f"--over {key}={text[:MOST_SHOWN]}{'...' if text[MOST_SHOWN:] else ''}")
            try:
                parsed, found = yaml12.parse(f"[{text}]", here.name)
            except SyntaxProblemError as error:
                problems.append(Problem(key, error.problem.message, here))
                continue
            problems += [Problem(key, each.message, here) for each in found]
            items = [] if parsed is None else [_moved(item, here) for item in parsed.value]
            if len(items) == 1 and isinstance(items[0].value, list):  # written as in a file
                items = items[0].value
            root.value["over"].node.value[key] = Entry(here, Node(items, here, text))


def _tree(value: Any, mark: Mark) -> Node:
    if isinstance(value, dict):
        marks = {key: Mark(f"--{FLAGS.get(key, key)}") for key in value}
        return Node({key: Entry(marks[key], _tree(item, marks[key])) for key, item in value.items()}, mark)
    if isinstance(value, list):
        return Node([_tree(item, mark) for item in value], mark)
    return Node(value, mark, str(value))


def _moved(node: Node, mark: Mark) -> Node:
    """Return a tree with every mark set to one."""
    if isinstance(node.value, dict):
        return Node({key: Entry(mark, _moved(entry.node, mark)) for key, entry in node.value.items()}, mark)
    if isinstance(node.value, list):
        return Node([_moved(item, mark) for item in node.value], mark)
    return Node(node.value, mark, node.raw)


class _Reading:
    """Reads a sweep, and collects the problems of its file and of its recipe."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path, self.problems = path, problems
        self.of_recipe = ""

    def sweep(self, root: Node, recipe: Path | None, sets: Sequence[str]) -> Sweep:
        """Return the sweep. Raises RecipeError with every problem."""
        checked = check_section(root, SweepSection)
        self.problems += checked.problems
        over = self._over(root.value.get("over"))
        objectives = self._objectives(root.value.get("objectives"))
        base = self._recipe(root, recipe, sets)
        first = 0 if base is None else base.recipe.train.seed
        seeds = self._seeds(root.value.get("seeds"), first)
        search = checked.values.get("search", "grid")
        self._fits(search, over, root)
        if base is not None:
            objectives = objectives or (("val_nmse_db",) if base.recipe.task == "pa" else ("val_objective_db",))
            if base.recipe.task == "pa" and "val_objective_db" in objectives:
                mark = root.value["objectives"].mark
                self._add("objectives", "val_objective_db is the objective of task dpd; use val_nmse_db", mark)
        if self.problems or self.of_recipe or base is None:
            own = [str(recipe_error(self.problems))] if self.problems else []
            error = RecipeError("\n".join([*own, *([self.of_recipe] if self.of_recipe else [])]))
            error.problems = tuple(self.problems)
            raise error
        budget = BudgetSection.model_validate(
            {name: checked.values.get(f"budget.{name}") for name in BudgetSection.model_fields}
        )
        prune = checked.values.get("prune", "findings")
        return Sweep(self.path, base, over, seeds, objectives, search, prune, budget)

    def _recipe(self, root: Node, recipe: Path | None, sets: Sequence[str]) -> Loaded | None:
        """Return the recipe with the overrides of file and command; None where something is wrong with it."""
        own = self._sets(root.value.get("set"))
        if recipe is None:
            entry = root.value.get("recipe")
            if entry is None or not isinstance(entry.node.value, str):
                return None  # reported already
            recipe = self.path.parent / expand_user(entry.node.value)
            if not is_there(recipe):
                named = shipped.find(entry.node.value)
                if not is_there(named):
                    near = closest(recipe.name, (each.name for each in recipe.parent.glob("*.yaml")))
                    hint = f"; did you mean {near}?" if near else ""
                    self._add("recipe", f"recipe: no such file: {recipe}{hint}", entry.node.mark)
                    return None
                recipe = named
        try:
            return load_text(read_text(recipe), recipe, [*own, *sets])
        except RecipeError as error:
            self.of_recipe = str(error)
            return None

    def _sets(self, entry: Entry | None) -> list[str]:
        if entry is None:
            return []
        node = entry.node
        if not isinstance(node.value, list) or not all(isinstance(item.value, str) for item in node.value):
            self._add("set", "set: a list of key=value, such as [train.max_steps=500]", node.mark)
            return []
        return [item.value for item in node.value]

    def _over(self, entry: Entry | None) -> tuple[Dimension, ...]:
        if entry is None:
            return ()
        if not isinstance(entry.node.value, dict):
            message = f"over: fields of the recipe with their values, one per line: `optim.lr: {EXAMPLE}`"
            self._add("over", message, entry.node.mark)
            return ()
        found = []
        for key, each in entry.node.value.items():
            if isinstance(each.node.value, dict):
                message = f"over.{key}: write each field with its section: `{key}.{next(iter(each.node.value), '')}:`"
                self._add(key, message, each.mark)
                continue
            dimension, problems = dimension_of(key, each.mark, each.node)
            self.problems += problems
            found += [dimension] if dimension is not None else []
        return tuple(found)

    def _seeds(self, entry: Entry | None, first: int) -> tuple[int, ...]:
        if entry is None:
            return (first,)
        value = entry.node.plain()
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SEEDS:
            return tuple(range(first, first + value))
        whole = isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
        if whole and 1 <= len(value) == len(set(value)) <= MOST_SEEDS:
            return tuple(value)
        message = f"seeds: expected a whole number from 1 to {MOST_SEEDS:,}, or a list of different seeds"
        self._add("seeds", message, entry.node.mark)
        return (first,)

    def _objectives(self, entry: Entry | None) -> tuple[str, ...]:
        if entry is None or entry.node.value is None:
            return ()
        items = entry.node.value if isinstance(entry.node.value, list) else [entry.node]
        for item in items:
            if item.value not in OBJECTIVES:
                guess = closest(str(item.raw), OBJECTIVES)
                hint = f"; did you mean '{guess}'?" if guess else ""
                self._add("objectives", f"objectives: one of {listed(OBJECTIVES)}; got {item.raw}{hint}", item.mark)
        if not items:
            self._add("objectives", f"objectives: nothing to minimize; name {listed(OBJECTIVES)}", entry.node.mark)
        return tuple(dict.fromkeys(str(item.value) for item in items))

    def _fits(self, search: str, over: Sequence[Dimension], root: Node) -> None:
        """Refuse a grid over a range without a count, and one that is too large."""
        if search != "grid":
            if "budget" not in root.value:
                message = f"search: {search} needs a budget, such as budget: {{trials: 40}} (or --trials 40)"
                self._add("search", message, root.value["search"].mark)
            if not over:
                mark = root.value["search"].mark
                self._add("over", f"search: {search} draws from the values of `over`, and there are none", mark)
            return
        open_ranges = [each for each in over if isinstance(each.values, Range) and each.values.count is None]
        for each in open_ranges:
            message = f"over.{each.key}: a grid needs the number of values: {each.values}:5 (or search: tpe)"
            self._add(each.key, message, each.marks[0])
        if not open_ranges and (size := grid_size(over)) > MOST_POINTS:
            shown = f"{size:,}" if size < 10**15 else "more than 10^15"
            message = f"over: a grid of {shown} configurations; at most {MOST_POINTS:,}: use search: random or tpe"
            self._add("over", message, root.value["over"].mark)

    def _add(self, key: str, message: str, mark: Mark) -> None:
        self.problems.append(Problem(key, message, mark))

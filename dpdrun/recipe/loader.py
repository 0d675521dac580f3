"""Load a recipe: read the file, apply overrides, check it, and report every problem at once with its line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dpdrun.errors import RecipeError
from dpdrun.recipe import shipped, yaml12
from dpdrun.recipe.check import check_tree
from dpdrun.recipe.describe import sections_of
from dpdrun.recipe.mapping import node_of, written
from dpdrun.recipe.patch import apply_patch, render
from dpdrun.recipe.problems import Mark, Problem, nearest_mark, recipe_error
from dpdrun.recipe.schema import DataSection, Recipe, Section, SourceFiles
from dpdrun.recipe.yaml12 import Entry, Node, SyntaxProblemError

NAME = "recipe"  # of one that is passed from Python
OTHER_FILES = {"pipeline": "train", "sweep": "sweep"}  # kinds of file that are no recipe, and the commands for them
MAX_BYTES = 1 << 18  # a recipe is a page; a larger file was named by mistake


@dataclass(frozen=True)
class Loaded:
    """A recipe and the text that it was loaded from.

    `given` holds the dotted keys that the user wrote, in the file or by `--set`; all others are defaults.
    `text` is the text of the file, without the overrides. A recipe that was passed from Python (`in_python`) has no
    file: its `text` is written from the values, and its marks are key paths.
    """

    recipe: Recipe
    path: Path
    text: str
    overrides: tuple[str, ...]
    marks: dict[str, Mark]
    in_python: bool = False

    def __repr__(self) -> str:
        return f"Loaded({str(self.path)!r}, task {self.recipe.task}, {self.recipe.model.kind})"

    @property
    def given(self) -> frozenset[str]:
        """Return the dotted keys that the user wrote, sections included."""
        return frozenset(self.marks)

    def mark_of(self, key: str) -> Mark:
        """Return where a key was given; for a default, the section around it."""
        start = Mark(str(self.path), 1, 1, 1, yaml12.split_lines(self.text)[0])
        return nearest_mark(self.marks, key, Mark(NAME) if self.in_python else start)

    def line_of(self, key: str) -> tuple[int, int]:
        """Return line and column, from 1, of a key in the file, or of its section for a default."""
        mark = self.mark_of(key)
        while not mark.line and key:  # given by --set: the file may have its section
            key = key.rpartition(".")[0]
            mark = self.mark_of(key)
        return (mark.line, mark.column) if mark.line else (1, 1)

    @property
    def effective_text(self) -> str:
        """Return the file with the overrides written into it, comments kept."""
        text = self.text
        for override in self.overrides:
            key, _, value = override.partition("=")
            text = apply_patch(text, {key.strip(): _value(value.strip(), Mark(override)).plain()})
        return text

    def with_data(self, section: DataSection) -> Loaded:
        """Return the recipe on another capture: its `data` section is replaced; other values keep their marks."""
        return self._with("data", section, "capture")

    def with_model(self, section: Section) -> Loaded:
        """Return the recipe with another model, likewise."""
        return self._with("model", section, "model")

    def _with(self, name: str, section: Section, origin: str) -> Loaded:
        root, _ = yaml12.parse(self.effective_text, str(self.path))
        values: dict[str, Any] = {} if root is None else root.plain()
        content = section.model_dump(mode="json", exclude_defaults=True)
        marks = {key: mark for key, mark in self.marks.items() if key != name and not key.startswith(f"{name}.")}
        marks |= dict.fromkeys([name, *(f"{name}.{key}" for key in content)], Mark(origin))
        recipe = self.recipe.model_copy(update={name: section})
        return replace(self, recipe=recipe, text=written(values | {name: content}), overrides=(), marks=marks)

    def error(self, conflicts: Iterable[tuple[str, str]]) -> RecipeError:
        """Return the error that reports (dotted key, message) pairs at their lines in this recipe."""
        return recipe_error(Problem(key, message, self.mark_of(key), True) for key, message in conflicts)


def load_recipe(
    recipe: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()
) -> Loaded:
    """Read a recipe.

    Args:
        recipe: a YAML file, the name of a recipe of the package, such as `quickstart`, or the recipe as a dict.
        overrides: `key=value` pairs such as `optim.lr=1e-3`, as `--set` takes them, or values by dotted key; later ones
            win.

    Raises:
        RecipeError: the file cannot be read or the recipe is wrong; the message lists every problem with its line, or
            of a dict with its path of keys.
    """
    pairs = overrides_of(overrides)
    if isinstance(recipe, Mapping):
        node, problems = node_of(recipe, NAME)
        text = "" if problems else written(node.plain())
        return replace(_checked(node, problems, Path(NAME), text, pairs), in_python=True)
    path = shipped.find(recipe)
    return load_text(read_text(path), path, pairs)


def overrides_of(overrides: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Return overrides as `key=value` pairs. Raises RecipeError where a value is none that a recipe holds."""
    if not isinstance(overrides, Mapping):
        pairs = [overrides] if isinstance(overrides, str) else overrides
        if not isinstance(pairs, Sequence) or not all(isinstance(pair, str) for pair in pairs):
            raise RecipeError("overrides: pass a dict of values by dotted key, or a list of `key=value`")
        return list(pairs)
    node, problems = node_of(overrides, "overrides")
    if problems:
        raise recipe_error(problems)
    return [f"{key}={render(value)}" for key, value in node.plain().items()]


def load_text(text: str, path: str | os.PathLike[str] = "recipe.yaml", overrides: Sequence[str] = ()) -> Loaded:
    """Load a recipe from text; `path` is the file name in messages."""
    name = str(path)
    try:
        root, problems = yaml12.parse(text, name)
    except SyntaxProblemError as error:
        raise recipe_error([error.problem]) from None
    if root is None:
        raise RecipeError(f"{name}: the recipe is empty; create one with `dpdrun recipe new -o {name}`")
    if not isinstance(root.value, dict):
        message = "a recipe is a mapping of keys (task, data, model, optim, train)"
        raise recipe_error([*problems, Problem("", message, root.mark)])
    task, over = root.value.get("task"), root.value.get("over")
    kind = task.node.value if task is not None else "sweep" if over is not None else None
    entry = task or over
    if entry is not None and isinstance(kind, str) and kind in OTHER_FILES:
        message = f"this is a {kind}, not a recipe; `dpdrun {OTHER_FILES[kind]}` runs it"
        raise recipe_error([Problem("task", message, entry.node.mark)])
    return _checked(root, problems, Path(path), text, overrides)


def _checked(root: Node, problems: list[Problem], path: Path, text: str, overrides: Sequence[str]) -> Loaded:
    """Check a tree of values with its overrides. Raises RecipeError."""
    problems = list(problems)
    for override in overrides:
        problems.extend(_override(root, override))
    check = check_tree(root)
    refused = {problem.mark for problem in problems}  # one complaint is enough where the YAML itself is refused
    problems.extend(problem for problem in check.problems if problem.mark not in refused)
    if problems or check.recipe is None:
        raise recipe_error(problems)
    return Loaded(check.recipe, path, text, tuple(overrides), check.given)


def source_of(text: str) -> str | SourceFiles:
    """Return a source as the command line has it: a name or a path, or `{input: FILE, output: FILE}`.

    Raises:
        RecipeError: it begins with a brace and is no such section.
    """
    if not text.startswith("{"):
        return text
    try:
        value = _value(text, Mark(text)).plain()
        return SourceFiles.model_validate(value)
    except SyntaxProblemError as error:
        raise recipe_error([error.problem]) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise RecipeError(
            f"{text}: {where}: {first['msg']}; write '{{input: FILE, output: FILE}}', of raw files with dtype: cf32"
        ) from None


def is_read_once(path: Path) -> bool:
    """Return whether a recipe comes from a pipe, which can be read once: `-`, /dev/stdin, `<(...)`."""
    with suppress(OSError, ValueError):
        return str(path) == "-" or (path.exists() and not path.is_file() and not path.is_dir())
    return False


def _read_once(path: Path) -> bytes:
    """Return the content of a pipe, also where it has been read before."""
    with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
        # inode and device: another pipe may come to have the same name
        pipe = file if str(path) == "-" else os.fstat(file.fileno())[1:3]
        if path not in _PIPES or _PIPES[path][0] != pipe:
            _PIPES[path] = pipe, file.read(MAX_BYTES + 1)
    return _PIPES[path][1]


_PIPES: dict[Path, tuple[object, bytes]] = {}  # what has been read of pipes, by path


def read_text(path: Path) -> str:
    """Return the text of a recipe file, or of standard input for `-`. Raises RecipeError where it cannot be read."""
    try:
        if is_read_once(path):
            data = _read_once(path)
        else:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise RecipeError(f"{path}: this is a folder; name the recipe file in it") from None
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file; {shipped.missing_hint(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecipeError(f"{path}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{path}: larger than {MAX_BYTES // 1024} KiB, so not a recipe; name the YAML file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecipeError(f"{path}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}); save it as UTF-8") from None


def _override(root: Node, override: str) -> list[Problem]:
    """Write one `key=value` into the tree; return its problems."""
    mark = Mark(f"--set {override}")
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        return [Problem("", "write key=value, for example --set optim.lr=1e-3", mark)]
    try:
        node = _value(text.strip(), mark)
    except SyntaxProblemError as error:
        return [error.problem]
    annotation: object = Recipe
    at = root
    for depth, part in enumerate(parts[:-1]):
        annotation = _annotation(annotation, part)
        entry = at.value.get(part)
        if entry is None or not isinstance(entry.node.value, dict):
            if annotation is not None and not sections_of(annotation):
                return [Problem(key, f"{'.'.join(parts[: depth + 1])} is a value, not a section", mark)]
            entry = at.value[part] = Entry(mark, Node({}, mark))
        at = entry.node
    at.value[parts[-1]] = Entry(mark, node)
    return []


def _value(text: str, mark: Mark) -> Node:
    """Parse the value of an override: YAML where it begins like a collection or a quote, else one scalar."""
    if text[:1] not in ("{", "[", '"', "'"):
        return Node(yaml12.scalar(text), mark, text)
    try:
        parsed, problems = yaml12.parse(text, mark.name)
    except SyntaxProblemError as error:
        raise SyntaxProblemError(Problem("", error.problem.message, mark)) from None
    if problems or parsed is None:
        message = problems[0].message if problems else "the value is empty"
        raise SyntaxProblemError(Problem("", message, mark))
    return _moved(parsed, mark)


def _annotation(annotation: object, name: str) -> object:
    """Return the type of a field in the first section that has it, or None."""
    for section in sections_of(annotation).values():
        if name in section.model_fields:
            return section.model_fields[name].annotation
    return None


def _moved(node: Node, mark: Mark) -> Node:
    """Return the tree with every mark set to that of the override."""
    if isinstance(node.value, dict):
        return Node({key: Entry(mark, _moved(entry.node, mark)) for key, entry in node.value.items()}, mark)
    if isinstance(node.value, list):
        return Node([_moved(item, mark) for item in node.value], mark)
    return Node(node.value, mark, node.raw)

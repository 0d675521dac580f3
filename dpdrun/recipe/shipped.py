"""The recipes that come with the package: found by name, so that they work without a clone of the repository."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from dpdrun.errors import RecipeError
from dpdrun.recipe.problems import closest

_PACKAGE = Path(__file__).parents[1]
# In an installed wheel the recipes are part of the package; in a clone they are at the top of the repository.
FOLDER = _PACKAGE / "recipes" if (_PACKAGE / "recipes").is_dir() else _PACKAGE.parent / "recipes"
SUFFIX = ".yaml"
SHOWN = 20  # files of the working folder that a message lists
_SCHEMA = "# yaml-language-server"


@dataclass(frozen=True)
class Shipped:
    """A recipe of the package: its name, its file and the comment at its top, without the launch line."""

    name: str
    path: Path
    about: str

    def copied(self) -> str:
        """Return the text for a file of the user: without the line that names a schema next to the original."""
        text = self.path.read_text(encoding="utf-8")
        return text.partition("\n")[2] if text.startswith(_SCHEMA) else text


def shipped() -> list[Shipped]:
    """Return the recipes of the package, by name."""
    return [_read(name) for name in _names()]


def find(path: str | os.PathLike[str]) -> Path:
    """Return the file of a recipe: the path itself, or for a bare name that is no file here, the shipped recipe."""
    given = Path(path)
    if given.parent != Path() or given.suffix not in ("", SUFFIX) or os.path.lexists(given):
        return given
    return FOLDER / f"{given.stem}{SUFFIX}" if given.stem in _names() else given


def by_name(name: str) -> Shipped:
    """Return the shipped recipe of this name, given with or without its suffix. Raises RecipeError."""
    names = _names()
    if name.removesuffix(SUFFIX) in names:
        return _read(name.removesuffix(SUFFIX))
    near = closest(name, names)
    hint = f"did you mean {near!r}?" if near else f"`dpdrun recipe list` shows them: {', '.join(names)}"
    raise RecipeError(f"no recipe {name!r} in the package; {hint}")


def at_hand() -> str:
    """Return the recipes of the working folder and of the package, as lines of a message."""
    here = [
        path for folder in (Path(), Path("recipes")) if folder.is_dir() for path in sorted(folder.glob(f"*{SUFFIX}"))
    ]
    lines = ["  dpdrun train " + shlex.quote(str(path)) for path in here[:SHOWN]]
    lines += [f"  and {len(here) - SHOWN} more here"] if len(here) > SHOWN else []
    names = ", ".join(_names())
    return "\n".join([*lines, f"  dpdrun train NAME, of the package: {names}", "  `dpdrun recipe new` writes a recipe"])


def missing_hint(path: Path) -> str:
    """Return what to do about a recipe file that does not exist."""
    name = path.name.removesuffix(SUFFIX)
    names = _names()
    if name in names:  # `recipes/quickstart.yaml`, as the documentation has it, typed outside of a clone
        return f"`dpdrun recipe copy {name}` copies the recipe of that name that comes with the package"
    if path.parent == Path() and (near := closest(name, names)):
        return f"did you mean {near!r}, which comes with the package? `dpdrun recipe list` shows all of them"
    return f"create one with `dpdrun recipe new -o {path}`"


def _names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def _read(name: str) -> Shipped:
    path = FOLDER / f"{name}{SUFFIX}"
    return Shipped(name, path, _about(path))


def _about(path: Path) -> str:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith((_SCHEMA, "#  ")):
            lines.append(line.removeprefix("# ").strip())
        elif lines:
            break  # the launch line ends the description; the result follows
    return " ".join(lines)

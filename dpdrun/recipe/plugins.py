"""The registry of plug-ins: kinds of model, losses, optimizers, formats and rules, ours and those of others.

A plug-in is a Python file that the user names (`--plugin FILE.py`), or an entry point of an installed package in one of
GROUPS. A recipe names a kind, a loss or an optimizer; it can never name code to import, so that running a third-party
recipe never runs third-party code. What a plug-in file may define:

    Config, Model       one kind of model; MODELS = [(Config, Model), ...] for several
    LOSSES, OPTIMIZERS, FORMATS = {name: object}
    rules               declared by `dpdrun.rules.declare`, which enters them

An entry point names a module with Config and Model (`dpdrun.models`), an object (`dpdrun.losses`, `dpdrun.optimizers`,
`dpdrun.formats`), or a module that declares rules (`dpdrun.rules`). Nothing is imported before it is needed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Union, get_args

from dpdrun.errors import DpdrunError, RunError, reason_of
from dpdrun.recipe import schema, yaml12
from dpdrun.recipe.plugin_contract import PluginError as PluginError
from dpdrun.recipe.plugin_contract import require_defaults, usable
from dpdrun.recipe.schema import Section

GROUPS = ("models", "losses", "optimizers", "formats", "rules")
NAMED = {"losses": "LOSSES", "optimizers": "OPTIMIZERS", "formats": "FORMATS"}  # what a file calls them
ENTRY_POINTS = "dpdrun."
OUR_FORMATS = {  # by module and function; which of them a file is in, data/formats/detect.py finds out
    "npz": "numpy_file:read_npz", "npy": "numpy_file:read_npy", "matlab": "matlab:read_matlab",
    "hdf5": "hdf5:read_hdf5", "sigmf": "sigmf:read_sigmf", "sigmf-archive": "sigmf:read_archive",
    "sigmf-collection": "sigmf:read_collection", "wv": "rs_waveform:read_wv", "iq-tar": "iq_tar:read_iq_tar",
    "tdms": "tdms:read_tdms", "wav": "wav:read_wav", "text": "text_table:read_table", "raw": "raw:read_raw",
}  # fmt: skip
WORDS = {"models": "model.kind", "losses": "train.loss", "optimizers": "optim.name", "formats": "the format"}
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
SHOWN = 12  # digits of a hash


class MissingPluginError(RunError):
    """A run was made with a plug-in that is not loaded."""


@dataclass(frozen=True)
class Origin:
    """Where a plug-in is from.

    Attributes:
        name: of the file without its suffix, or of the installed package.
        version: of the package; of a file its `__version__`, if it has one.
        path: of the file.
        sha256: of its content.
        installed: whether an entry point names it.
    """

    name: str
    version: str | None
    path: str
    sha256: str
    installed: bool = False

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"plug-in {self.name}{version} ({Path(self.path).name}, sha256 {self.sha256[:SHOWN]})"


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
        section: its section of the recipe.
        model: a class, or "module:name" of one that is imported when a model is built.
    """

    section: type[Section]
    model: Any

    def model_class(self) -> Any:
        """Return the class of the model: called with the section, and the scales if it is a `BehaviouralModel`."""
        return _imported(self.model)


def _imported(value: Any) -> Any:
    """Return an object, imported if "module:name" stands for it."""
    if not isinstance(value, str):
        return value
    module, _, name = value.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class Entry:
    """A plug-in, or something of ours in the same place; `origin` is None for ours."""

    group: str
    name: str
    value: Any
    origin: Origin | None = None

    def load(self) -> Any:
        """Return the object; one of ours is imported now."""
        return _imported(self.value)


_ENTRIES: dict[str, dict[str, Entry]] = {group: {} for group in GROUPS}
_FILES: dict[Path, Origin] = {}  # that were loaded, by their real path


def add(group: str, name: str, value: Any, origin: Origin | None = None) -> None:
    """Enter something under a name.

    Args:
        group: one of GROUPS.
        name: what a recipe writes.
        value: a `Kind`, a loss, a factory of optimizers, a format; see docs/plugins.md.
        origin: of a plug-in; None for what dpdrun brings.

    Raises:
        PluginError: the name is taken, or not a name.
    """
    where = f"{origin.path}: " if origin else ""
    if not is_name(name):
        raise PluginError(f"{where}{name!r} is no name of a plug-in: use lower-case letters, digits and underscores")
    if origin is not None:
        value = usable(group, name, value, where)
    if (other := _ENTRIES[group].get(name)) is not None:
        raise PluginError(f"{where}{group}: the name {name!r} is taken by {other.origin or 'dpdrun'}")
    _ENTRIES[group][name] = Entry(group, name, value, origin)
    if isinstance(value, Kind):
        set_kinds([entry.value.section for entry in _ENTRIES["models"].values()])


def is_name(name: object) -> bool:
    """Return whether a recipe can write a name: `true` and `null` it reads as values."""
    return isinstance(name, str) and NAME.match(name) is not None and yaml12.scalar(name) == name


def set_kinds(sections: Sequence[type[Section]]) -> None:
    """Let recipes have these kinds of model: validation, `--set`, the JSON Schema and the docs follow from them."""
    schema.Recipe.model_fields["model"].annotation = Union[tuple(sections)]  # type: ignore[assignment]  # noqa: UP007
    schema.Recipe.model_rebuild(force=True)


def find(group: str, name: str) -> Entry | None:
    """Return what has a name, of ours, of a loaded file or of an installed package; None if there is nothing.

    Raises:
        PluginError: the plug-in of that name is broken.
    """
    if name not in _ENTRIES[group] and name in _installed()[group]:
        _load_entry_point(group, _installed()[group][name])
    return _ENTRIES[group].get(name)


def names(group: str) -> list[str]:
    """Return all names of a group, ours first; those of installed packages are not imported for it."""
    return list(dict.fromkeys([*_ENTRIES[group], *sorted(_installed()[group])]))


def entries(group: str) -> list[Entry]:
    """Return everything of a group, installed packages included. Raises PluginError as `find`."""
    return [entry for name in names(group) if (entry := find(group, name)) is not None]


def foreign(group: str) -> list[Entry]:
    """Return what plug-ins bring to a group. Raises PluginError as `find`."""
    return [entry for entry in entries(group) if entry.origin is not None]


def load_files(paths: Iterable[str | Path]) -> list[Origin]:
    """Load plug-in files; one that is loaded already is left as it is.

    Raises:
        PluginError: a file is missing or broken, or has nothing of a plug-in.
    """
    return [_load_file(Path(path)) for path in paths]


def loaded_files() -> list[Path]:
    """Return the files that were loaded, for a process that is to load the same."""
    return list(_FILES)


def _load_file(path: Path) -> Origin:
    try:
        real, content = path.resolve(), path.read_bytes()
    except OSError as error:
        raise PluginError(f"--plugin {path}: cannot be read: {error.strerror}; give a Python file") from None
    if real in _FILES:
        return _FILES[real]
    digest = hashlib.sha256(content).hexdigest()
    module = ModuleType(f"dpdrun_plugin_{real.stem}_{digest[:8]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where pydantic looks up the names of annotations
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
        version = getattr(module, "__version__", None)
        origin = Origin(real.stem, str(version) if isinstance(version, str | int | float) else None, str(path), digest)
        has_entries = _enter(module, origin)
    except (KeyboardInterrupt, PluginError):
        raise
    except DpdrunError as error:
        raise PluginError(f"{_place(error, str(path))}{error}") from None
    except BaseException as error:  # sys.exit() too, which would end the command as if it had succeeded
        raise PluginError(f"{_place(error, str(path))}{type(error).__name__}: {reason_of(error)}") from None
    if not has_entries:
        raise PluginError(
            f"{path}: not a plug-in: it defines neither Config and Model nor {', '.join(['MODELS', *NAMED.values()])}, "
            "and declares no rules; `dpdrun plugins new NAME` writes one"
        )
    _FILES[real] = origin
    return origin


def blamed(error: BaseException) -> PluginError | None:
    """Return what a user is shown of an exception that arose in a plug-in while it ran; None of any other."""
    found = [entry.origin for group in _ENTRIES.values() for entry in group.values()]
    origins = {origin.path: origin for origin in found if origin is not None}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in origins]
    if not frames:
        return None
    place, origin = f"{frames[-1].filename}:{frames[-1].lineno}", origins[frames[-1].filename]
    return PluginError(f"{place}: {type(error).__name__}: {reason_of(error)} ({origin})")


def _place(error: BaseException, path: str) -> str:
    """Return where in a plug-in an exception arose: its innermost line there."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{path}:{error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{path}:{lines[-1]}: " if lines else f"{path}: "


def _enter(module: ModuleType, origin: Origin) -> bool:
    """Enter everything that a module of a plug-in defines; returns whether there was anything."""
    found = False
    for config, model in _kinds_of(module):
        name = _name_of(config, model, origin)
        add("models", name, Kind(config, model), origin)
        found = True
    for group, attribute in NAMED.items():
        offered = getattr(module, attribute, {})
        if not isinstance(offered, Mapping):
            raise PluginError(f"{origin.path}: {attribute} must be a dictionary of names and objects")
        for name, value in offered.items():
            add(group, name, value, origin)
            found = True
    rules = _rules_of(module.__name__)
    _ENTRIES["rules"].update({code: Entry("rules", code, (code,), origin) for code in rules})
    return found or bool(rules)


def _rules_of(module: str) -> list[str]:
    """Return the codes of the rules that a module, or one within it, has declared."""
    engine = sys.modules.get("dpdrun.rules.engine")  # imported by what declares rules
    rules = {} if engine is None else engine._RULES
    return [code for code, rule in rules.items() if rule.location.startswith((f"{module}:", f"{module}."))]


def _kinds_of(module: ModuleType) -> Sequence[tuple[Any, Any]]:
    several = getattr(module, "MODELS", None)
    if several is not None:
        if not isinstance(several, list | tuple) or not all(isinstance(e, tuple) and len(e) == 2 for e in several):
            raise PluginError(f"{module.__file__}: MODELS must be a list of pairs (Config, Model)")
        return several
    config, model = getattr(module, "Config", None), getattr(module, "Model", None)
    if (config is None) != (model is None):
        missing = "Model" if model is None else "Config"
        raise PluginError(f"{module.__file__}: {missing} is missing: a kind of model is a Config and a Model")
    return [] if config is None else [(config, model)]


def _name_of(config: Any, model: Any, origin: Origin) -> str:
    """Return the name of a kind. Raises PluginError unless its Config can be a section of a recipe."""
    shown = f"{origin.path}: {getattr(config, '__name__', config)}"
    if not (isinstance(config, type) and issubclass(config, Section)):
        raise PluginError(f"{shown} must be a class derived from dpdrun.plugins.Section")
    if not (callable(model) or isinstance(model, str)):
        raise PluginError(f"{origin.path}: the Model of {config.__name__} must be a class, or 'module:name' of one")
    kind = config.model_fields.get("kind")
    words = get_args(kind.annotation) if kind is not None else ()
    if len(words) != 1 or not isinstance(words[0], str):
        raise PluginError(f'{shown} needs a field with its name: kind: Literal["my_net"] = Field(description="...")')
    require_defaults(config, shown)
    return words[0]


@functools.cache
def _installed() -> Mapping[str, Mapping[str, EntryPoint]]:
    """Return the entry points of installed packages, by group and name."""
    found = entry_points()
    return {group: {each.name: each for each in found.select(group=f"{ENTRY_POINTS}{group}")} for group in GROUPS}


def _load_entry_point(group: str, point: EntryPoint) -> None:
    package, version = (point.dist.name, point.dist.version) if point.dist else (point.module, None)
    shown = f"{package}, entry point {ENTRY_POINTS}{group}: {point.name} = {point.value}"
    try:
        value = point.load()
    except DpdrunError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
        raise PluginError(f"{place}{type(error).__name__}: {reason_of(error)} (plug-in {shown})") from None
    path = Path(str(sys.modules[point.module].__file__))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    origin = Origin(package, version, str(path), digest, installed=True)
    if group == "rules":
        if not (codes := tuple(_rules_of(point.module))):
            raise PluginError(f"{shown}: it declares no rules")
        _ENTRIES[group][point.name] = Entry(group, point.name, codes, origin)
    elif group != "models":
        add(group, point.name, value, origin)
    else:
        kinds = [(config, model) for config, model in _kinds_of(value) if _name_of(config, model, origin) == point.name]
        if not kinds:
            raise PluginError(f"{shown}: it has no Config and Model of kind {point.name!r}")
        add("models", point.name, Kind(*kinds[0]), origin)


def recorded(recipe: schema.Recipe, formats: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return the plug-ins that decide what a recipe trains, and those that read its capture, for plan.json."""
    loss = recipe.train.loss
    chosen = [
        ("models", recipe.model.kind),
        ("optimizers", recipe.optim.name),
        *(("formats", name) for name in formats),
    ]
    chosen += [("losses", loss)] if isinstance(loss, str) else []
    found = []
    for group, name in chosen:
        entry = _ENTRIES[group].get(name)
        if entry is not None and entry.origin is not None:
            origin = entry.origin
            found.append({
                "group": group, "name": name, "plugin": origin.name, "version": origin.version,
                "file": Path(origin.path).name, "sha256": origin.sha256, "installed": origin.installed,
            })  # fmt: skip
    return found


def require(plan: Mapping[str, Any]) -> None:
    """Load the installed plug-ins that a plan.json names, and refuse one that is missing.

    Raises:
        MissingPluginError: it is not there; the message names it.
    """
    for each in missing(plan):
        version = f" {each['version']}" if each["version"] else ""
        remedy = f"install {each['plugin']}{version}" if each["installed"] else f"add --plugin {each['file']}"
        raise MissingPluginError(
            f"this run was made with {WORDS[each['group']]} {each['name']} of plug-in {each['plugin']}{version} "
            f"({each['file']}, sha256 {each['sha256'][:SHOWN]}), which is not loaded; {remedy}"
        )


def missing(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a plan.json records of the plug-ins that are missing; the installed ones are loaded."""
    return [each for each in plan.get("plugins", ()) if find(each["group"], each["name"]) is None]


def changed(plan: Mapping[str, Any]) -> list[str]:
    """Return for each plug-in of a plan.json whose file is another one now, what differs."""
    found = []
    for each in plan.get("plugins", ()):
        entry = find(each["group"], each["name"])
        if entry is not None and entry.origin is not None and entry.origin.sha256 != each["sha256"]:
            found.append(
                f"{WORDS[each['group']]} {each['name']}: made with {each['file']}, sha256 {each['sha256'][:SHOWN]}; "
                f"{entry.origin.path} is {entry.origin.sha256[:SHOWN]}"
            )
    return found


def _enter_ours() -> None:
    """Enter what dpdrun brings, by the same names; what needs torch is imported when it is used."""
    for section in schema.KINDS:
        kind = get_args(section.model_fields["kind"].annotation)[0]
        _ENTRIES["models"][kind] = Entry("models", kind, Kind(section, f"dpdrun.models.{kind}:Model"))
    for name, reader in OUR_FORMATS.items():
        _ENTRIES["formats"][name] = Entry("formats", name, f"dpdrun.data.formats.{reader}")
    _ENTRIES["losses"]["time"] = Entry("losses", "time", "dpdrun.training.loss:squared_error")
    _ENTRIES["optimizers"]["adamw"] = Entry("optimizers", "adamw", "dpdrun.training.optimizer:adamw")


_enter_ours()

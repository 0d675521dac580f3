"""Check a tree of values against the schema: every problem in one pass, with its line and what to write instead.

pydantic validates each value; the tree is walked here. Its own list of all errors of a recipe would do as well, but its
locations name the types of a union among the keys: mapping them back to lines takes more code than the walk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dpdrun.recipe import plugins, yaml12
from dpdrun.recipe.conflicts import conflicts_among
from dpdrun.recipe.describe import adapter, expected, field_docs, is_section, sections_of, words
from dpdrun.recipe.plugin_contract import wrong_samples
from dpdrun.recipe.problems import Mark, Problem, closest, listed, nearest_mark, shortened
from dpdrun.recipe.renamed import REMOVED, RENAMED
from dpdrun.recipe.schema import GIVEN, Recipe, Section
from dpdrun.recipe.yaml12 import Node

# Names of other tools for the same thing (transformers, Lightning, torchtune, OpenDPD), too far apart to be spelling.
_ELSEWHERE = {
    "optim.lr": "learning_rate max_lr",
    "optim.lr_end": "min_lr",
    "optim.weight_decay": "wd",
    "optim.clip_norm": "grad_clip grad_clip_val gradient_clip_val max_grad_norm",
    "optim.warmup": "warmup_ratio warmup_steps warmup_fraction",
    "optim.schedule": "scheduler lr_scheduler lr_scheduler_type",
    "train.epochs": "num_train_epochs n_epochs",
    "train.max_steps": "steps",
    "train.accumulate": "grad_accum gradient_accumulation_steps accumulate_grad_batches",
    "train.frame": "frame_length seq_len",
    "model.heads": "nhead n_heads num_heads",
    "model.layers": "n_layers num_layers",
    "model.hidden": "hidden_size",
    "model.positions": "pos_encoding",
    "data.sample_rate_hz": "fs sample_rate",
    "data.source": "dataset dataset_name",
}
SYNONYMS = {name: key for key, names in _ELSEWHERE.items() for name in names.split()}

_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([kMG])?\s*(?:Hz|HZ|hz|sps|S/s|Sps)?\Z")
_SCALE = {None: "", "k": "e3", "M": "e6", "G": "e9"}


NAMES_OF_PLUGINS = ("optim.name", "train.loss")


@dataclass
class Check:
    """The result of a check: the problems, or the recipe; the values that are right; the keys that the user wrote."""

    problems: list[Problem] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Mark] = field(default_factory=dict)
    recipe: Recipe | None = None


def check_tree(root: Node) -> Check:
    """Check a tree against the schema, then look for impossible combinations among the values that are right."""
    result = Check()
    _section(result, root, Recipe, "", None)
    for key, message in conflicts_among(result.values, frozenset(result.given)):
        result.problems.append(Problem(key, message, nearest_mark(result.given, key, root.mark), True))
    if not result.problems:
        try:
            result.recipe = Recipe.model_validate(root.plain())
        except ValidationError as error:  # of a validator that a plug-in has written; fields alone were right
            result.problems += [_of_validator(result, each, root.mark) for each in error.errors()]
    if result.recipe is not None:
        entry = plugins.find("models", result.recipe.model.kind)
        foreign = entry is not None and entry.origin is not None
        if foreign and (wrong := wrong_samples(result.recipe.model)):
            mark, result.recipe = nearest_mark(result.given, "model", root.mark), None
            result.problems.append(Problem("model", f"model: with these values its {wrong}", mark))
    return result


def check_section(node: Node, section: type[Section], prefix: str = "") -> Check:
    """Check a mapping against one section, without a recipe; `prefix` begins the keys, as `data.`."""
    result = Check()
    _section(result, node, section, prefix, None)
    return result


def _of_validator(result: Check, error: Any, fallback: Mark) -> Problem:
    """Return what a validator of a section says, at its field or else at the section."""
    kind = result.values.get("model.kind")
    key = ".".join(str(part) for part in error["loc"] if part != kind)
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    is_section = key in ("", "model") or isinstance(error["input"], Section | dict)
    got = "" if is_section else f"; got {shortened(repr(error['input']))}"
    return Problem(key, f"{key}: {message}{got}", nearest_mark(result.given, key, fallback))


def _section(result: Check, node: Node, section: type[Section], prefix: str, kind: str | None) -> None:
    fields = section.model_fields
    for name, entry in node.value.items():
        if name not in fields:
            result.problems.append(Problem(prefix + name, _unknown(name, section, prefix, kind), entry.mark))
    for name, info in fields.items():
        key = prefix + name
        entry = node.value.get(name)
        if entry is None:
            if info.is_required():
                mark = nearest_mark(result.given, prefix.rstrip("."), Mark(node.mark.name, min(1, node.mark.line)))
                result.problems.append(Problem(key, _missing(key, info), mark))
            elif not sections_of(info.annotation):
                result.values[key] = info.get_default(call_default_factory=True)
            continue
        result.given[key] = entry.mark
        _field(result, entry.node, info, key)


def _field(result: Check, node: Node, info: FieldInfo, key: str) -> None:
    inner = sections_of(info.annotation)
    if inner and isinstance(node.value, dict):
        section, kind = next(iter(inner.values())), None
        if None not in inner:
            chosen = node.value.get("kind")
            kind = str(chosen.node.value) if chosen is not None else None
            if kind is not None and kind not in inner and plugins.find("models", kind):  # of an installed package
                inner = sections_of(Recipe.model_fields[key].annotation)
            if kind not in inner:
                result.problems.append(_kind_problem(chosen.node if chosen else None, list(inner), key, result))
                return
            section = inner[kind]
        _section(result, node, section, key + ".", kind)
    elif inner and is_section(info):
        names = listed((n for n in next(iter(inner.values())).model_fields), "and") if None in inner else "kind first"
        got = "is empty" if node.value is None else f"is a section, not {_got(node)}"
        result.problems.append(Problem(key, f"{key} {got}; write its keys under it ({names})", node.mark))
    else:
        try:
            result.values[key] = adapter(info).validate_python(node.plain())
        except ValidationError:
            result.problems.append(Problem(key, f"{key}: {_wrong(node, info, key)}", node.mark))


def _kind_problem(node: Node | None, kinds: list[str | None], key: str, result: Check) -> Problem:
    known = [name for name in dict.fromkeys([*map(str, kinds), *plugins.names("models")]) if name != GIVEN]
    if node is None:
        return Problem(f"{key}.kind", f"missing {key}.kind; one of {listed(known)}", result.given[key])
    if node.value == GIVEN:
        message = f"{key}.kind: given: this model is a module passed from Python: dpdrun.train(recipe, model=...)"
        return Problem(f"{key}.kind", message, node.mark)
    guess = closest(str(node.value), known)
    hint = f"; did you mean '{guess}'?" if guess else "; a kind of a plug-in needs --plugin FILE.py (docs/plugins.md)"
    return Problem(f"{key}.kind", f"unknown {key}.kind {_got(node)}; one of {listed(known)}{hint}", node.mark)


def _unknown(name: str, section: type[Section], prefix: str, kind: str | None) -> str:
    message, key = f"unknown key {prefix}{shortened(name)}", f"{prefix}{name}"
    if key in RENAMED:
        return f"{message}: it is now {RENAMED[key]}"
    if key in REMOVED:
        return f"{message}: it was removed, {REMOVED[key]}; delete this line"
    docs = [doc for doc in field_docs() if doc.key == key]
    if "." in name and docs:
        return f"{message}; write {docs[0].name} under {key.removesuffix(f'.{docs[0].name}')}:"
    if docs:
        owners, have = [str(doc.kind) for doc in docs], "has" if len(docs) == 1 else "have"
        return f"{message}; model.kind {kind} has no {name}, {listed(owners, 'and')} {have}"
    if (target := SYNONYMS.get(name.lower())) is not None and target != key:
        own = target.rpartition(".")[0] + "." == prefix
        if not own or target.rpartition(".")[2] in section.model_fields:
            return f"{message}; did you mean {repr(target.rpartition('.')[2]) if own else target}?"
    elsewhere = [doc.key for doc in field_docs() if doc.name == name and doc.key.count(".") <= 1]
    if elsewhere:
        return f"{message}; did you mean {elsewhere[0]}?"
    if guess := closest(name, section.model_fields):
        return f"{message}; did you mean '{guess}'?"
    far = closest(name, {doc.name for doc in field_docs()})
    if far is not None:
        return f"{message}; did you mean {next(doc.key for doc in field_docs() if doc.name == far)}?"
    return f"{message}; known here: {listed(section.model_fields, 'and')}"


def _missing(key: str, info: FieldInfo) -> str:
    inner = sections_of(info.annotation) if is_section(info) else {}
    if inner and None not in inner:
        return f"missing section {key}; it starts with kind: {listed(str(kind) for kind in inner if kind != GIVEN)}"
    if inner:
        required = [name for name, f in next(iter(inner.values())).model_fields.items() if f.is_required()]
        return f"missing section {key}; it needs {listed(required, 'and')}"
    return f"missing {key} ({info.description}); write {expected(info)}"


def _got(node: Node) -> str:
    if node.value is None:
        return "nothing (null)"
    if isinstance(node.value, (dict, list)):
        return "a section" if isinstance(node.value, dict) else "a list"
    raw = shortened(node.raw)
    return repr(raw) if isinstance(node.value, str) else raw


def _wrong(node: Node, info: FieldInfo, key: str) -> str:
    takes, allowed = expected(info), words(info)
    choice = "one of " if takes == listed(allowed) and len(allowed) > 1 else ""
    hint = _hint(node, takes, allowed, key)
    return f"expected {choice}{takes}; got {_got(node)}" + (f"; {hint}" if hint else "")


def _hint(node: Node, takes: str, allowed: tuple[str, ...], key: str) -> str:
    """Return what to write instead; nothing where there is no telling."""
    value = node.value
    switches = [word for word in ("auto", "off", "on") if word in allowed]
    if value is None:
        return f"write {listed(switches)}" if switches else "write a value"
    if isinstance(value, bool):
        word = "on" if value else "off"
        return f"write {word}" if word in allowed else ""
    if isinstance(value, (int, float)):
        return _number_hint(value, takes, allowed)
    if not isinstance(value, str):
        return ""
    if takes.startswith("text") and not value.isprintable():
        return "write it without control characters"
    if guess := closest(value, allowed):
        return f"did you mean '{guess}'?"
    if key in NAMES_OF_PLUGINS:
        return "a name of a plug-in needs --plugin FILE.py (docs/plugins.md)"
    if "number" not in takes:
        return f"write {value}%" if "percentage" in takes and re.fullmatch(_NUMBER, value) else ""
    if "whole number" not in takes or re.fullmatch(r"[0-9]+", value):
        if isinstance(yaml12.scalar(value.strip()), (int, float)):
            return f"write it without quotes: {value.strip()}"
        if value.endswith("%") and "percentage" not in takes and re.fullmatch(_NUMBER, value[:-1].strip()):
            return f"write {float(value[:-1]) / 100:g}"
    plain = re.sub(r"(?<=[0-9])[_,' ](?=[0-9]{3})", "", value)
    if plain != value and re.fullmatch(_NUMBER, plain):
        return f"write {plain}"
    if key.endswith("_hz") and (match := _QUANTITY.match(value.strip())):
        return f"the unit is Hz; write {match.group(1)}{_SCALE[match.group(2)]}"
    return ""


def _number_hint(value: float, takes: str, allowed: tuple[str, ...]) -> str:
    if "percentage" in takes and 0 < value <= 100 and not ("whole number" in takes and value == int(value)):
        return f"write {value * 100:.10g}%" if value < 1 else f"write {value:.10g}%"
    if "percentage" in takes and value == 0 and "whole number" not in takes:
        return "write 0%"
    if value == 0 and "off" in allowed:
        return "write off"
    if value == -1 and (switches := [word for word in ("auto", "off", "full") if word in allowed]):
        return f"write {listed(switches)}"
    if "whole number" in takes and isinstance(value, float) and abs(value) < 2**53 and value == int(value):
        return f"write {int(value)}"
    return ""

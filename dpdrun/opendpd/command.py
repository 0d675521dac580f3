"""Translate an OpenDPD command line, or a script with one in it, to a recipe. Nothing of it is run.

translation = translate("python main.py --step train_pa --PA_backbone gru --dataset_name DPA_200MHz")
translation.text       # the recipe, as YAML with comments
translation.remarks    # what differs from OpenDPD
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from pydantic import ValidationError

from dpdrun.data.formats.opendpd_wheel import DATASETS
from dpdrun.data.splits import known_train_samples
from dpdrun.errors import DataError, RecipeError
from dpdrun.opendpd.arguments import Arguments, parse
from dpdrun.opendpd.recipe import Data, flag_text, recipe_lines
from dpdrun.opendpd.shell.script import Command, commands
from dpdrun.opendpd.shell.values import Unknown
from dpdrun.recipe.schema import DataSection
from dpdrun.run.files import is_there

PROGRAMS = frozenset({"main.py", "opendpd-cli"})
STEP = "train_pa"
GIVEN = "command"  # the name of a command that stands in no script

# Training samples of the captures in the wheel (its sha256 is pinned), cut as OpenDPD cuts them, without guards.
TRAIN_SAMPLES = {
    "APA_200MHz": 58_980,
    "APA_200MHz_b": 58_980,
    "DPA_160MHz": 294_912,
    "DPA_200MHz": 23_040,
    "MyCustomPA": 61_440,
}


@dataclass(frozen=True)
class Translation:
    """A recipe made from a command.

    Attributes:
        text: the recipe, YAML with comments.
        remarks: what differs from OpenDPD or does not do what it seems to, a line each; they are in the text too.
        where: `train.sh:12`, or `command:1`.
        dialect: the version of OpenDPD whose flags and defaults were used.
    """

    text: str
    remarks: tuple[str, ...]
    where: str
    dialect: str

    @property
    def shown(self) -> str:
        """`train.sh:12`, or that the command was given as it is."""
        return "the command" if self.where.startswith(f"{GIVEN}:") else self.where


def translate(
    script: str,
    name: str = GIVEN,
    *,
    source: str | None = None,
    frames: int | None = None,
    pick: int | None = None,
    rules: str = "measured",
    stated: Mapping[str, float] | None = None,
    also: Sequence[str] = (),
) -> Translation:
    """Translate the one `train_pa` command of a script.

    Args:
        script: shell text: one command, or a whole script.
        name: of the script, for messages.
        source: `data.source` in place of what the command names.
        frames: training frames in one pass; without it, the data are read to count them.
        pick: which of several commands, from 1.
        rules: the recipe's `rules`.
        stated: `sample_rate_hz` and `bandwidth_hz` of data that do not state them.
        also: words to append to the command, such as `["--n_epochs", "50"]`; the last of a repeated flag counts.

    Raises:
        RecipeError: no such command, several and no `pick`, an unknown flag or variable, a model without counterpart.
        DataError: the data that determine the number of steps cannot be read.
    """
    line, words = _chosen(commands(script, name), name, pick)
    where = f"{name}:{line}"
    arguments = parse([*words, *also], where)
    data = _data(arguments, where, source, frames, stated or {})
    sections, remarks = recipe_lines(arguments, data, where)
    command = "this OpenDPD command" if name == GIVEN else f"the OpenDPD command in {name}, line {line}"
    head = [
        f"Translated by dpdrun from {command}; defaults are those of {arguments.version.name}.",
        "OpenDPD: main.py " + " ".join(words),
        *(["overridden by: " + " ".join(also)] if also else []),
        *remarks,
    ]
    text = flag_text(sections, [_ascii(line) for line in head], rules)
    return Translation(text, tuple(remarks), where, arguments.version.name)


def _chosen(found: Sequence[Command], name: str, pick: int | None) -> tuple[int, list[str]]:
    """Return line and flags of the command to translate."""
    candidates: list[tuple[int, tuple[str | Unknown, ...]]] = []
    unclear_step: list[tuple[int, tuple[str | Unknown, ...]]] = []  # an unknown word may hold the --step
    others: list[str] = []
    before: Command | None = None
    for command in found:
        flags = _flags_of(command)
        if flags is None and before is not None and _is_flag(command.words[:1]):
            raise RecipeError(
                f"{name}:{command.line}: this line begins with a flag; the line before must end in a backslash with "
                "nothing after it"
            )
        before = command if flags is not None else None
        if flags is None:
            continue
        step = _step(flags)
        if step == STEP or isinstance(step, Unknown):
            candidates.append((command.line, flags))
        elif step is None and any(isinstance(word, Unknown) for word in flags):
            unclear_step.append((command.line, flags))
        else:
            others.append("run_dpd (OpenDPD's default)" if step is None else step)
    candidates = candidates or unclear_step
    if not candidates:
        raise RecipeError(_nothing(name, others))
    if pick is not None and not 1 <= pick <= len(candidates):
        raise RecipeError(f"--pick {pick}: {name} has {len(candidates)} {STEP} commands")
    if pick is None and len({flags for _, flags in candidates}) > 1:
        raise RecipeError(_several(name, candidates))
    line, chosen = candidates[(pick or 1) - 1]
    unclear = [word for word in chosen if isinstance(word, Unknown)]
    if unclear:
        shown = "\n".join(dict.fromkeys(f"{name}:{line}: {word.why}" for word in unclear))
        raise RecipeError(f"{shown}\n  set it at the top of the script, or put its value into the command")
    return line, [word for word in chosen if isinstance(word, str)]


def _flags_of(command: Command) -> tuple[str | Unknown, ...] | None:
    """Return the words after main.py, None where this is not OpenDPD; flags alone count as a command."""
    for place, word in enumerate(command.words):
        if isinstance(word, str) and PurePath(word).name in PROGRAMS:
            return command.words[place + 1 :]
    if _is_flag(command.words[:1]) and any(isinstance(w, str) and w.startswith("--step") for w in command.words):
        return command.words
    return None


def _is_flag(words: Sequence[str | Unknown]) -> bool:
    return bool(words) and isinstance(words[0], str) and words[0].startswith("--")


def _step(flags: Sequence[str | Unknown]) -> str | Unknown | None:
    """Return the value of the last --step; None without one."""
    step: str | Unknown | None = None
    for word, after in zip(flags, [*flags[1:], ""], strict=True):
        flag, equals, value = word.partition("=") if isinstance(word, str) else ("", "", "")
        if flag in ("--step", "--ste"):
            step = value if equals else after
    return step


def _nothing(name: str, others: Sequence[str]) -> str:
    if others:
        steps = ", ".join(dict.fromkeys(others))
        return f"{name}: only commands with --step {STEP} can be translated; this has --step {steps}"
    return f"{name}: no OpenDPD command (python main.py --step {STEP} ...) found"


def _several(name: str, candidates: Sequence[tuple[int, tuple[str | Unknown, ...]]]) -> str:
    common = set.intersection(*(set(_pairs(flags)) for _, flags in candidates))
    lines = [f"{name}: {len(candidates)} {STEP} commands; choose one with --pick N:"]
    for number, (line, flags) in enumerate(candidates, 1):
        own = [pair for pair in _pairs(flags) if pair not in common]
        lines.append(f"  {number}: line {line}: {' '.join(own)}")
    return "\n".join(lines)


def _pairs(flags: Sequence[str | Unknown]) -> list[str]:
    """Return the flags with their values, to compare commands."""
    words = [word if isinstance(word, str) else "?" for word in flags]
    pairs: list[str] = []
    for word in words:
        if pairs and not word.startswith("--"):
            pairs[-1] += f" {word}"
        else:
            pairs.append(word)
    return pairs


def _data(
    arguments: Arguments, where: str, source: str | None, frames: int | None, stated: Mapping[str, float]
) -> Data:
    name, flag = (source, "--data") if source is not None else _source(arguments, where)
    if frames is not None or arguments["PA_backbone"] == "gmp":
        return Data(name, flag, frames=frames)
    samples = TRAIN_SAMPLES.get(name.removeprefix("opendpd/"))
    if samples is None:
        try:
            section = DataSection.model_validate({"source": name, **stated})
        except ValidationError:
            raise RecipeError(f"{where}: {flag} {name!r}: neither a name nor a path of data") from None
        samples = known_train_samples(section) or _read(section, where)
    return Data(name, flag, train_samples=samples)


def _source(arguments: Arguments, where: str) -> tuple[str, str]:
    path, dataset = arguments["dataset_path"], arguments["dataset_name"]
    if path:
        return path, "--dataset_path"
    if not dataset:
        raise RecipeError(f"{where}: the command names no data, and OpenDPD has no default; add --data SOURCE")
    flag = "--dataset_name" if "dataset_name" in arguments.given else f"default of {arguments.version.name}"
    return (f"opendpd/{dataset}" if dataset in DATASETS else f"datasets/{dataset}"), flag


def _read(section: DataSection, where: str) -> int:
    """Return the number of training samples of the user's own capture."""
    from dpdrun.data.sources import load_capture  # loads numpy

    try:
        return len(load_capture(section).train)
    except DataError as error:
        here = "" if is_there(Path(str(section.source))) else " (from the folder of OpenDPD, its own data are found)"
        raise DataError(
            f"{where}: the number of optimizer steps needs the length of the data{here}: {error}\n"
            "  name other data with --data SOURCE, or give the frames of one pass with --samples N"
        ) from None


def _ascii(line: str) -> str:
    return line.encode("ascii", "backslashreplace").decode().replace("\n", " ")

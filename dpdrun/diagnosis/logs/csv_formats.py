"""CSV files of known programs, by their header: what wrote them, and columns that are combined."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from dpdrun.diagnosis.logs import csv_log, long_table, nameless, opendpd_log
from dpdrun.diagnosis.logs.cells import number
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import Asked, meaning_of
from dpdrun.diagnosis.logs.rows import Empty, Rows

TENSORBOARD = ["Wall time", "Step", "Value"]
MOST_ROWS = 2000  # that show which columns without names mean something
MILLISECONDS = 1e12  # no step, but a time since 1970
TAG = re.compile(r"(?:^|[-_])tag-(.+)$")  # run-<run>-tag-<tag>.csv, a slash in the tag written as _
PARTS = ("train", "val")
HEADS = ("box", "cls", "dfl", "obj", "seg", "pose", "kobj")  # whose losses YOLO adds up


@dataclass(frozen=True)
class CsvFormat:
    """A CSV format.

    Attributes:
        name: in words.
        program: a name of `programs.PROGRAMS`; empty where any may have written it.
        is_one: whether a header is of this format.
        known, empty: as in `Rows`.
        notes: what holds for every log of this format.
    """

    name: str
    program: str
    is_one: Callable[[Sequence[str]], bool]
    known: dict[str, str] = field(default_factory=dict)
    empty: Empty = "end"
    notes: tuple[str, ...] = ()


def _is_lightning(names: Sequence[str]) -> bool:
    """CSVLogger sorts its names, and adds epoch and step."""
    marks = any(name.endswith(("_step", "_epoch")) or name.startswith(("lr-", "grad_2")) for name in names)
    return {"epoch", "step"} <= set(names) and (marks or list(names) == sorted(names))


def _is_keras(names: Sequence[str]) -> bool:
    """CSVLogger writes epoch, then names sorted; training has no prefix and validation has `val_`."""
    rest = list(names[1:])
    plain = {"loss", "val_loss"} <= set(rest) and not any(name.startswith("train") for name in rest)
    return names[0] == "epoch" and plain and "step" not in rest and (rest == sorted(rest) or "learning_rate" in rest)


FORMATS = (
    CsvFormat("Lightning metrics.csv", "lightning", _is_lightning, known={"step": "step"}, empty="gap"),
    CsvFormat("Ultralytics results.csv", "ultralytics", lambda names: "train/box_loss" in names),
    CsvFormat("timm summary.csv", "timm", lambda names: {"train_loss", "eval_loss", "eval_top1"} <= set(names)),
    CsvFormat("Keras training log (CSV)", "keras", _is_keras),
    CsvFormat(
        "W&B export (CSV)", "", lambda names: any(name.endswith("__MIN") for name in names),
        notes=("W&B exports a sample of the steps: single spikes may be missing",),
    ),
)  # fmt: skip


def read(path: Path, asked: Asked) -> TrainingLog:
    """Read a CSV log of any program.

    Raises:
        DataError: names file, line and column.
    """
    dialect = csv_log.dialect_of(path)
    names = dialect.names
    if opendpd_log.is_one(names):
        return opendpd_log.read(path, asked)
    if names == TENSORBOARD:
        return _tensorboard(path, asked)
    if long := long_table.columns_of(names):
        return _long(path, names, asked, *long)
    this = next((each for each in FORMATS if each.is_one(names)), CsvFormat("CSV", "", lambda _: True))
    if path.name == "metrics.csv" and {"epoch", "step"} <= set(names):
        this = FORMATS[0]  # whatever the order of its columns, as in older versions
    if not dialect.has_names:
        this = _without_names(path, names)
    derived = _sums(names) if this.program == "ultralytics" else {}
    log = csv_log.read(path, asked, format_=this.name, known=this.known, empty=this.empty, derived=derived)
    log.program = this.program
    log.found |= {key: " + ".join(derived[name].parts) for key, name in log.found.items() if name in derived}
    log.notes += this.notes
    return log


def _without_names(path: Path, names: Sequence[str]) -> CsvFormat:
    """Return the format of numbers without a header, where the name of the file says what they are."""
    known: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if path.name.startswith("lcurve") and len(names) in (5, 6):  # DeePMD-kit: step, rmse, its parts, lr
        known = {"step": names[0], "loss": names[1], "lr": names[-1]}
    elif len(names) == 1 and "loss" in path.stem.lower():
        known = {"loss": names[0]}
    elif len(names) == 3 and all((number(cells[names[0]]) or 0.0) > MILLISECONDS for cells in _first(path, 2)):
        known = {"loss": names[1], "step": names[2]}  # a file of MLflow: time, value, step
    elif "acc" not in path.stem.lower():
        numbers = [[_number(cells[name]) for cells in _first(path, MOST_ROWS)] for name in names]
        found = nameless.meanings(numbers, of_losses="loss" in path.stem.lower())
        known = {key: names[at] for key, at in found.items()}
        notes = ("the columns have no names: what they are is read from how they move (--map loss=COLUMN)",)
    return CsvFormat("numbers without column names", "", lambda _: True, known, notes=notes)


def _first(path: Path, most: int) -> list[dict[str, object]]:
    return [cells for _, cells in islice(csv_log.rows_of(path), most)]


def _number(cell: object) -> float:
    """Return a cell as a number, nan where it is none."""
    try:
        value = number(cell)
    except ValueError:
        value = None
    return math.nan if value is None else value


def _long(path: Path, names: Sequence[str], asked: Asked, tag: str, value: str) -> TrainingLog:
    """Read a long table."""
    tags = long_table.names_in(csv_log.rows_of(path), tag)
    rows = Rows(path, "CSV of names and values", [*(name for name in names if name not in (tag, value)), *tags], asked)
    for line, cells in long_table.widened(csv_log.rows_of(path), tag, value):
        rows.add(line, cells)
    return rows.done()


@dataclass(frozen=True)
class Sum:
    """A column that is the sum of others; empty where one of them is."""

    parts: Sequence[str]

    def __call__(self, cells: dict[str, object]) -> object:
        """Return the value of a row."""
        values = [number(cells[name]) for name in self.parts]
        return None if None in values else sum(value for value in values if value is not None)


def _sums(names: Sequence[str]) -> dict[str, Sum]:
    """Return the losses that are sums of columns."""
    there = {part: [f"{part}/{head}_loss" for head in HEADS if f"{part}/{head}_loss" in names] for part in PARTS}
    return {f"{part}_loss": Sum(parts) for part, parts in there.items() if parts}


def _tensorboard(path: Path, asked: Asked) -> TrainingLog:
    """Read TensorBoard's download of one tag, which only the name of the file says."""
    found = TAG.search(path.stem)
    tag = found.group(1) if found else path.stem if meaning_of(path.stem) else ""
    key = meaning_of(tag)
    known = {key: "Value"} if key and key not in ("metric", "step") and not asked.columns else {}
    log = csv_log.read(path, asked, format_="TensorBoard download (CSV)", known=known)
    if not known and not asked.columns:
        log.absent["loss"] = (
            f"TensorBoard's CSV holds one tag{f' ({tag})' if tag else ''}; say what it is: --map loss=Value, or "
            "val_loss=Value, grad_norm=Value, lr=Value"
        )
    elif key in known:
        log.found[str(key)] = f"Value ({tag})"
    log.notes.append("TensorBoard downloads at most 1000 sampled points of one tag: single spikes may be missing")
    return log

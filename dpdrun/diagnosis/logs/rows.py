"""Rows of a log -> columns over rising steps: repeats, lines out of order, counters that start again every epoch."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from dpdrun.diagnosis.logs.blocks import blocks_of
from dpdrun.diagnosis.logs.cells import number
from dpdrun.diagnosis.logs.log import COLUMNS, Points, TrainingLog
from dpdrun.diagnosis.logs.names import Asked, choose_columns, eval_sets, metrics, plain_name, sides, train_metrics
from dpdrun.diagnosis.logs.parts import Part, Parts
from dpdrun.diagnosis.logs.running_sum import increments
from dpdrun.errors import DataError
from dpdrun.rules.text import pluralize

EPOCH = "epoch"
SCORES = ("val_loss", "val_nmse_db")
TRAINING = ("loss", "loss_db", "grad_norm")
LARGEST = 2.0**53  # whole numbers above are not told apart
ENOUGH = 5  # rows without a gap that show that a column is written in every row
Empty = Literal["gap", "nan", "end"]
MOSTLY = 0.5  # of the rows share a step with another: then it counts something else
MOST_METRICS = 12


@dataclass
class _Column:
    rows: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))


class Rows:
    """Collects the rows of a table, keeping only the columns that mean something; 16 bytes a number.

    Args:
        path, format: of the log.
        names: of its columns.
        asked: their meanings, from the user.
        known: meaning -> name, of a format whose names are fixed.
        empty: what an empty cell among the training numbers is: a gap (logged more seldom); a nan, which pandas writes
            so; or a nan at the end of a column that had no gap before.
        decimal_comma: `0,5` is a half.

    Raises:
        DataError: `asked` names a column that is not there.
    """

    def __init__(
        self,
        path: Path,
        format_: str,
        names: Sequence[str],
        asked: Asked,
        *,
        known: dict[str, str] | None = None,
        empty: Empty = "gap",
        decimal_comma: bool = False,
        header_line: int | None = None,
    ) -> None:
        self._decimal_comma = decimal_comma
        self._empty = empty
        where = path if header_line is None else f"{path}:{header_line}"
        chosen = choose_columns(names, asked, where, known=known)
        self.log = TrainingLog(format_, path, found=chosen.columns, names=list(names))
        self.log.notes += chosen.notes
        self.log.absent |= chosen.absent
        self._given = chosen.given
        self._heads = chosen.heads
        self.log.doubtful = chosen.doubtful
        step = chosen.columns.get("step")
        epoch = next((name for name in names if plain_name(name) == EPOCH and name != step), None)
        self._needed = {key: name for key, name in chosen.columns.items() if key != "step"}
        self._step, self._epoch = step, epoch
        self._parts = Parts(path, names, list(chosen.columns.values()))
        self._sets, self._metrics = _scores_of(names, chosen.columns)
        self._of_training = train_metrics(set(names) - {*chosen.columns.values(), *self._metrics})[:MOST_METRICS]
        self._needed |= {name: name for name in (*self._sets.values(), *self._metrics, *self._of_training)}
        self._sides = sides(names)
        self._needed |= self._sides
        self._read: dict[Part, dict[str, str]] = {
            "training": self._needed,
            "validation": self._scores() if self._parts.part else {},
            "other": {},
        }
        self._columns = {key: _Column() for columns in self._read.values() for key in columns}
        self._steps, self._epochs = array("d"), array("d")
        self._superseded: set[int] = set()  # rows
        self._lines = array("q")

    def add(self, line: int, cells: dict[str, object]) -> None:
        """Take one row.

        Raises:
            DataError: a cell is no number; names file, line and column.
        """
        step = self._number(line, self._step, cells) if self._step else None
        if self._step and step is None:
            return
        columns = self._read[self._parts.of(line, cells)]
        if self._heads:
            values = [self._number(line, name, cells) for name in self._heads]
            cells = cells | {self.log.found["loss"]: None if None in values else math.fsum(filter(None, values))}
        row = len(self._lines)
        found = False
        for key, name in columns.items():
            value = self._number(line, name, cells)
            if value is not None:
                column = self._columns[key]
                column.rows.append(row)
                column.values.append(value)
                found = True
        if found or self._empty == "nan":
            self._lines.append(line)
            self._steps.append(float("nan") if step is None else step)
            epoch = self._number(line, self._epoch, cells) if self._epoch else None
            self._epochs.append(float("nan") if epoch is None else epoch)

    def _scores(self) -> dict[str, str]:
        """Return the columns to read in a row of validation, where `loss` is the validation loss."""
        found = {key: name for key, name in self._needed.items() if key in SCORES and name}
        for score, training in (("val_loss", "loss"), ("val_nmse_db", "loss_db")):
            if training in self._needed:
                found.setdefault(score, self._needed[training])
        return found

    def _number(self, line: int, name: str, cells: dict[str, object]) -> float | None:
        try:
            return number(cells.get(name), decimal_comma=self._decimal_comma)
        except ValueError as error:
            if name in (*self._metrics, *self._of_training, *self._sides.values()):
                return None  # such as a table of scores by class
            key = next((k for k, v in self.log.found.items() if v == name), EPOCH)
            raise DataError(
                f"{self.log.path}:{line}: column {name!r} (read as {key}): {error}"
                + ("" if key in self._given else f"; if it is not the {COLUMNS.get(key, key)}, set --map {key}=COLUMN")
            ) from None

    def done(self) -> TrainingLog:
        """Return the log.

        Raises:
            DataError: steps that are no whole numbers.
        """
        self._parts.check()
        for key, name in self._read["validation"].items():
            if key not in self._needed and len(self._columns[key].rows):
                self.log.found[key] = f"{name} where {self._parts.part} is validation"
        self._without_other_rows()
        steps = self._counted()
        self._unsum()
        judged = self._judged(steps)
        for key, column in self._columns.items():
            self._fill(key, column)
            pairs = zip(column.rows, column.values, strict=True)
            kept = ((steps[row], value) for row, value in pairs if row in judged and row not in self._superseded)
            self.log.columns[key] = points(kept)
        self.log.epochs = self._passes(judged)
        self.log.eval_losses = {key: self.log.columns.pop(name) for key, name in self._sets.items()}
        self.log.eval_metrics = {name: self.log.columns.pop(name) for name in self._metrics}
        self.log.train_metrics = {name: self.log.columns.pop(name) for name in self._of_training}
        self.log.adversaries = {side: self.log.columns.pop(side) for side in self._sides}
        return self.log

    def _counted(self) -> list[int]:
        """Return the step of every row."""
        name = self._step
        if name is None:
            self.log.notes.append("no step column: lines are counted instead (--map step=COLUMN)")
            self.log.unit = "line"
            return list(range(1, len(self._steps) + 1))
        is_epoch = plain_name(name) == EPOCH or plain_name(name) == "epochs"
        for line, step in zip(self._lines, self._steps, strict=True):
            if not (abs(step) < LARGEST and step == int(step)):  # nan is caught too
                if "step" not in self._given:
                    why = f"{name} is {step:g} in line {line}, not a whole number"
                    return self._count_rows("the lines have no step" if is_epoch else why, passes=is_epoch)
                raise DataError(f"{self.log.path}:{line}: column {name!r} (the step): {step:g} is not a whole number")
        steps = [int(step) for step in self._steps]
        paced = self._paced()
        training = [steps[row] for row in paced.rows] if paced else steps
        changes = 1 + sum(b != a for a, b in pairwise(training))
        if is_epoch and training and changes <= MOSTLY * len(training) and "step" not in self._given:
            return self._count_rows(f"{name} does not count the lines", passes=True)
        if is_epoch:
            self.log.unit = "epoch"
        return self._through_epochs(steps)

    def _count_rows(self, why: str, *, passes: bool) -> list[int]:
        """Count rows instead of the steps, which were epochs where they are `passes`."""
        if passes:
            self._epochs = self._steps
        del self.log.found["step"]
        self.log.unit = "line"
        self.log.notes.append(f"{why}: lines are counted instead (--map step=COLUMN)")
        return list(range(1, len(self._steps) + 1))

    def _through_epochs(self, steps: list[int]) -> list[int]:
        """Return the steps, counted through where they start again with every epoch."""
        backward = [i for i in range(1, len(steps)) if steps[i] < steps[i - 1]]
        rising = [i for i in backward if self._epochs[i] > self._epochs[i - 1]]
        if not backward or len(rising) < len(backward) or self.log.unit == "epoch":
            return steps
        first = min(steps)
        through: list[int] = []
        offset = 0
        restarts = set(backward)
        for i, step in enumerate(steps):
            if i in restarts:
                offset = through[-1] + 1 - first if first <= 1 else through[-1]
            through.append(offset + step)
        self.log.notes.append(f"{self._step} restarts with every {self._epoch}: counted continuously")
        return through

    def _without_other_rows(self) -> None:
        """Leave out the nan of a table whose rows hold either a loss or a score, and nan for the other."""
        loss, score = (self._columns.get(key, _Column()) for key in ("loss", "val_loss"))
        missing = [{row for row, value in zip(c.rows, c.values, strict=True) if value != value} for c in (loss, score)]
        if loss.rows != score.rows or not all(missing) or not missing[0].isdisjoint(missing[1]):
            return
        for column, rows in zip((loss, score), missing, strict=True):
            pairs = [(row, value) for row, value in zip(column.rows, column.values, strict=True) if row not in rows]
            column.rows, column.values = array("q", [r for r, _ in pairs]), array("d", [v for _, v in pairs])

    def _unsum(self) -> None:
        """Read a loss that is a sum over the batches of an epoch as what each line adds."""
        column = self._columns.get("loss", _Column())
        added = increments(column.values, [self._epochs[row] for row in column.rows])
        if added is None:
            return
        column.rows = array("q", [column.rows[at] for at, _ in added])
        column.values = array("d", [value for _, value in added])
        name = self.log.found["loss"]
        self.log.notes.append(f"{name} is a sum that starts again with every epoch: read as what each line adds to it")

    def _fill(self, key: str, column: _Column) -> None:
        """Make nan of the cells that stand for one; see `empty`."""
        if key not in TRAINING or self._empty == "gap" or not column.rows:
            return
        present = set(column.rows)
        others = [c for k, c in self._columns.items() if k in (*TRAINING, "lr") and k != key]
        alive = {row for other in others for row in other.rows}
        if self._empty == "end":
            last = column.rows[-1]
            gapless = len(column.rows) == last + 1 >= ENOUGH
            alive = {row for row in alive if row > last} if gapless else set()
        missing = sorted(alive - present)
        if not missing:
            return
        self.log.notes.append(
            f"{self.log.found[key]} is empty in {pluralize(len(missing), 'row')}, first in line "
            f"{self._lines[missing[0]]}, where others are not: read as nan, which pandas writes so"
        )
        pairs = [*zip(column.rows, column.values, strict=True), *((row, math.nan) for row in missing)]
        pairs.sort(key=lambda pair: pair[0])
        column.rows = array("q", [row for row, _ in pairs])
        column.values = array("d", [value for _, value in pairs])

    def _passes(self, judged: range) -> float | None:
        """Return the passes over the data that the rows cover; epochs that are whole numbers may count from 0."""
        epochs = [self._epochs[row] for row in judged if math.isfinite(self._epochs[row])]
        if not epochs or max(epochs) <= 0.0:
            return None
        from_zero = min(epochs) == 0.0 and all(epoch == int(epoch) for epoch in epochs)
        return max(epochs) + from_zero

    def _paced(self) -> _Column | None:
        """Return the training column with the most values; of a log without one, that of the scores."""
        for keys in (TRAINING, (*SCORES, *self._sets.values()), self._metrics):
            columns = [self._columns[key] for key in keys if key in self._columns and self._columns[key].rows]
            if columns:
                return max(columns, key=lambda each: len(each.rows))
        return None

    def _judged(self, steps: Sequence[int]) -> range:
        """Return the rows to judge: all, or those of the last run in the file; and note where steps go back."""
        column = self._paced()
        if column is None:
            return range(len(steps))
        ours = [steps[row] for row in column.rows]
        blocks = blocks_of(ours)
        if not blocks.back and not blocks.repeated:
            return range(len(steps))
        lines = [self._lines[row] for row in column.rows]
        self.log.notes += filter(None, [blocks.note(lines)])
        self.log.lines = list(zip(ours, column.values, strict=True))
        for part in blocks.superseded(ours):
            self._superseded |= {*range(column.rows[part.start], column.rows[part.stop])}
        if blocks.kind != "runs":
            return range(len(steps))
        first, last = column.rows[blocks.first], column.rows[blocks.last]
        while first > 0 and steps[first - 1] <= steps[first] and blocks.first:
            first -= 1  # a score before the first step of this run
        while last + 1 < len(steps) and steps[last + 1] >= steps[last]:
            last += 1
        return range(first, last + 1)


def _scores_of(names: Sequence[str], columns: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the columns of several evaluation sets, where there is no validation loss, and those of other scores."""
    taken = set(columns.values())
    free = [name for name in names if name not in taken]
    sets = eval_sets(free) if not {"val_loss", "val_nmse_db"} & set(columns) else {}
    return sets, [name for name in metrics(free) if name not in sets.values()][:MOST_METRICS]


def points(pairs: Iterable[tuple[int, float]]) -> Points:
    """Return pairs sorted by step; of values at one step the last counts."""
    pairs = list(pairs)
    if any(b[0] <= a[0] for a, b in pairwise(pairs)):
        pairs = sorted(dict(pairs).items())
    return Points([step for step, _ in pairs], [value for _, value in pairs])

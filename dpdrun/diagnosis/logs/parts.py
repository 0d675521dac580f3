"""Rows of training and of validation in one table, distinguished by a column such as `split`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dpdrun.diagnosis.logs.cells import shortened
from dpdrun.diagnosis.logs.names import plain_name
from dpdrun.errors import DataError

Part = Literal["training", "validation", "other"]
PARTS = frozenset({"split", "phase", "mode", "stage", "subset"})
WORDS: dict[str, Part] = {"val": "validation", "eval": "validation", "dev": "validation", "test": "other"}
RUNS = frozenset({"run", "run id", "run name", "seed", "trial", "experiment", "fold", "replicate"})
MOST_NAMED = 4


class Parts:
    """Assigns rows by a column such as `split`, and checks that they are of one run.

    Args:
        path: of the log, for messages.
        names: of its columns.
        taken: those that mean something else.
    """

    def __init__(self, path: Path, names: Sequence[str], taken: Sequence[str]) -> None:
        self._path = path
        free = [name for name in names if name not in taken]
        self.part = next((name for name in free if plain_name(name) in PARTS), None)
        self.run = next((name for name in free if plain_name(name) in RUNS), None)
        self._runs: dict[str, int] = {}

    def of(self, line: int, cells: dict[str, object]) -> Part:
        """Return what a row belongs to: training, unless it states another part."""
        if self.run is not None and cells.get(self.run) not in (None, ""):
            self._runs.setdefault(str(cells[self.run]), line)
        if self.part is None:
            return "training"
        word = str(cells.get(self.part) or "").strip().lower()
        return next((part for start, part in WORDS.items() if word.startswith(start)), "training")

    def check(self) -> None:
        """Raise DataError where the rows are of several runs."""
        if len(self._runs) < 2:
            return
        named = ", ".join(shortened(run) for run in list(self._runs)[:MOST_NAMED])
        more = ", ..." if len(self._runs) > MOST_NAMED else ""
        second = list(self._runs.values())[1]
        raise DataError(
            f"{self._path}:{second}: column {self.run!r} tells {len(self._runs)} runs apart ({named}{more}); "
            "put the rows of one run into a separate file"
        )

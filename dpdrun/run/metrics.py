"""`metrics.jsonl`: a line per optimizer step, evaluation, epoch and adaptation; the one source of diagnosis.

Lines are appended; a torn last line (after a crash) is ignored by the reader and cut off on resume.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pydantic_core import from_json

from dpdrun.errors import RunError
from dpdrun.run.files import Json, decode_numbers, encode_numbers, sync_folder, unwritable, write_text
from dpdrun.run.folder import RunFolder


@dataclass
class Metrics:
    """The lines of `metrics.jsonl` by kind, in the order they were written: steps, evaluations, epochs, adaptations,
    and scorings of `optim.refine`.

    An adaptation (`train.on_finding: adapt`) rolls back to the step `to_step`: earlier lines of later steps no longer
    count, and are left out.
    """

    steps: list[Json] = field(default_factory=list)
    evals: list[Json] = field(default_factory=list)
    epochs: list[Json] = field(default_factory=list)
    adapts: list[Json] = field(default_factory=list)
    refinements: list[Json] = field(default_factory=list)

    def add(self, line: Json) -> None:
        """Add one line; kinds of a later version are ignored."""
        match line["kind"]:
            case "step":
                self.steps.append(line)
            case "eval":
                self.evals.append(line)
            case "epoch":
                self.epochs.append(line)
            case "finish":
                self.refinements.append(line)
            case "adapt":
                for lines in (self.steps, self.evals, self.epochs):
                    while lines and lines[-1]["step"] > line["to_step"]:
                        lines.pop()
                self.adapts.append(line)

    def lr_factor(self, step: int) -> float:
        """Return the factor by which adaptations had lowered the planned learning rate of a step."""
        return next((float(line["lr_factor"]) for line in reversed(self.adapts) if line["to_step"] < step), 1.0)


class MetricsWriter:
    """Append lines to `metrics.jsonl`; a crash loses the lines since the last `flush`, a power failure since `sync`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._handle: IO[str] = path.open("a", encoding="utf-8")
            sync_folder(path.parent)  # its name, too, has to be on the disk before a checkpoint is
        except OSError as exc:
            raise unwritable(path, exc) from exc

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def write(self, line: Json) -> None:
        """Append one line."""
        try:
            text = json.dumps(line, allow_nan=False)
        except ValueError:  # a non-finite number: rare, so the walk over the line is only paid here
            text = json.dumps(encode_numbers(line), allow_nan=False)
        try:
            self._handle.write(text + "\n")
        except OSError as exc:
            raise unwritable(self._path, exc) from exc

    def flush(self) -> None:
        """Hand all lines to the operating system."""
        self._push(self._handle.flush)

    def sync(self) -> None:
        """Force all lines to the disk: after a power failure no checkpoint may be ahead of its log."""
        self.flush()
        self._push(lambda: os.fsync(self._handle.fileno()))

    def close(self) -> None:
        """Flush and close."""
        self._push(self._handle.close)  # flushes, also after an earlier flush failed, and closes even if it fails again

    def _push(self, call: Callable[[], object]) -> None:
        try:
            call()
        except OSError as exc:
            raise unwritable(self._path, exc) from exc


def _lines(path: Path, *, decode: bool = False) -> Iterator[Json]:
    """Yield the complete lines of a metrics file. A torn last line is skipped; damage elsewhere raises RunError.

    `decode` gives non-finite numbers as numbers. pydantic's JSON reader takes a third of the time of Python's, which
    counts for logs of 100,000 steps.
    """
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            if not raw.endswith(b"\n"):
                return
            try:
                line = from_json(raw)
            except ValueError as exc:
                raise RunError(f"{path}:{number}: damaged line ({exc})") from exc
            if not isinstance(line, dict) or "kind" not in line or "step" not in line:
                raise RunError(f"{path}:{number}: expected an object with the keys kind and step")
            yield decode_numbers(line) if decode and (b'nan"' in raw or b'inf"' in raw) else line


def read_metrics(folder: Path) -> Metrics:
    """Read the metrics of a run folder (also while it is being written)."""
    path = RunFolder(folder).metrics
    metrics = Metrics()
    if not path.is_file():
        raise RunError(f"{path}: missing; this run has no steps (a least-squares fit has none)")
    for line in _lines(path, decode=True):
        metrics.add(line)
    return metrics


def logged_until(folder: RunFolder, step: int, adapts: Sequence[Json] = ()) -> list[Json]:
    """Return the lines of `metrics.jsonl` that belong to a checkpoint.

    Args:
        folder: of the run.
        step: of the checkpoint.
        adapts: adaptation lines before it. Lines from before the last of them stay, as the record of what was undone;
            of the later ones those up to `step`.
    """
    kept, seen = [], 0
    for line in _lines(folder.metrics) if folder.metrics.is_file() else ():
        if line["kind"] == "adapt" and seen == len(adapts):
            break
        seen += line["kind"] == "adapt"
        if seen < len(adapts) or line["step"] <= step or line["kind"] == "adapt":
            kept.append(line)
    return kept + [encode_numbers(line) for line in adapts[seen:]]  # the checkpoint is written before the line


def truncate_metrics(folder: RunFolder, step: int, adapts: Sequence[Json] = ()) -> None:
    """Drop the lines that a resumed run will write again; arguments as of `logged_until`."""
    if folder.metrics.is_file():
        kept = logged_until(folder, step, adapts)
        write_text(folder.metrics, "".join(json.dumps(line) + "\n" for line in kept))

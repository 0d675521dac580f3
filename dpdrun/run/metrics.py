"""`metrics.jsonl`: a line per optimizer step, evaluation, epoch and adaptation; the one source of diagnosis.

Lines are appended; a torn last line (after a crash) is ignored by the reader and cut off on resume.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pydantic_core import from_json

from dpdrun.errors import RunError
from dpdrun.run.files import Json, decode_numbers, encode_numbers, unwritable, write_text
from dpdrun.run.folder import RunFolder


@dataclass
class Metrics:
    """What `metrics.jsonl` holds, in the order it was written: a dict a step, an evaluation, an epoch, an adaptation,
    a scoring of `optim.refine`.

    An adaptation (`train.on_finding: adapt`) goes back to the step `to_step`: what was written of later steps until
    then no longer counts, and is not here.
    """

    steps: list[Json] = field(default_factory=list)
    evals: list[Json] = field(default_factory=list)
    epochs: list[Json] = field(default_factory=list)
    adapts: list[Json] = field(default_factory=list)
    finish: list[Json] = field(default_factory=list)

    def add(self, line: Json) -> None:
        """Take one line; kinds of a later version are passed over."""
        match line["kind"]:
            case "step":
                self.steps.append(line)
            case "eval":
                self.evals.append(line)
            case "epoch":
                self.epochs.append(line)
            case "finish":
                self.finish.append(line)
            case "adapt":
                for lines in (self.steps, self.evals, self.epochs):
                    while lines and lines[-1]["step"] > line["to_step"]:
                        lines.pop()
                self.adapts.append(line)

    def lr_factor(self, step: int) -> float:
        """By how much adaptations had lowered the planned learning rate of a step."""
        return next((float(line["lr_factor"]) for line in reversed(self.adapts) if line["to_step"] < step), 1.0)


class MetricsWriter:
    """Appends lines to `metrics.jsonl`. `flush` pushes them to the file; a crash loses the lines since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._handle: IO[str] = path.open("a", encoding="utf-8")
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
        try:
            self._handle.flush()
        except OSError as exc:
            raise unwritable(self._path, exc) from exc

    def close(self) -> None:
        """Flush and close."""
        try:
            self._handle.close()  # flushes, also when an earlier flush has failed, and closes even if it fails again
        except OSError as exc:
            raise unwritable(self._path, exc) from exc


def _lines(path: Path, *, decode: bool = False) -> Iterator[Json]:
    """The complete lines of a metrics file. A torn last line is skipped; damage elsewhere raises RunError.

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
    """The lines of `metrics.jsonl` that belong to a checkpoint.

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
    """Drop the lines that a run resumed from a checkpoint will write again; arguments as of `logged_until`."""
    if folder.metrics.is_file():
        kept = logged_until(folder, step, adapts)
        write_text(folder.metrics, "".join(json.dumps(line) + "\n" for line in kept))

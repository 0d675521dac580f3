"""A training log of another program: columns by their meaning, single values, and what was assumed.

Every reader of a format returns one; `facts_of_log` turns it into the facts for the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dpdrun.errors import DataError


class NothingLoggedError(DataError):
    """A log that is there but holds no numbers yet; `dpdrun diagnose --follow` waits for them."""


Unit = Literal["step", "epoch", "line"]

# What a column can mean, and what `--map` can name. The order is that of messages.
COLUMNS: dict[str, str] = {
    "step": "optimizer step (or epoch)",
    "loss": "training loss, not in dB",
    "loss_db": "training loss or NMSE [dB]",
    "grad_norm": "gradient norm, before clipping",
    "lr": "learning rate",
    "lr_planned": "planned learning rate",
    "clip_norm": "clipping threshold of the norm",
    "clipped": "whether the step was clipped, 0 or 1",
    "val_nmse_db": "validation NMSE [dB]",
    "val_loss": "validation loss, not in dB",
}

# Single values that a log seldom has: `--map total_steps=5000`.
VALUES: dict[str, type] = {
    "total_steps": int,
    "warmup_steps": int,
    "peak_lr": float,
    "weight_decay": float,
    "schedule": str,
    "batch": int,
    "kind": str,
    "one_tap_db": float,
    "gmp_db": float,
    "floor_db": float,
    "eps": float,
    "beta2": float,
    "parameters": int,
    "epochs": float,
    "steps_per_epoch": float,
}


@dataclass
class Points:
    """A column as it was logged: rising steps without repeats, and a value at each; not every step needs one."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.steps)


@dataclass
class TrainingLog:
    """A log of another program, and where the facts of its diagnosis came from.

    Attributes:
        format: for output, as "OpenDPD history (CSV)".
        path: the file.
        program: that wrote it, a name of `programs.PROGRAMS`; empty where it is not known.
        columns: by meaning, a name of `COLUMNS`.
        found: the name of each of them in the log; of a constant, its value.
        names: everything the log has, for messages.
        unit: what a step of this log is.
        values: facts that are single values, a name of `VALUES`.
        notes: assumptions, one line each.
        done: steps that were taken, where the log says more than its last line.
        loss_unit: as `RunFacts.loss_unit`.
        finished: whether the log itself says that training is over.
        eval_losses: by name of the set, where the log has several evaluation sets.
        eval_metrics: by name as logged, other scores of the validation.
        train_metrics: accuracies in training.
        adversaries: losses of a GAN, of its "discriminator" and its "generator".
        lines: (step, loss) of the lines with training numbers in the order of the file, where the steps go back.
        reports_nan: numbers of the lines in which the program says that something is nan or infinite.
        epochs: passes over the data up to the last step; None where the log does not count them.
        doubtful: whether the loss is a number of training without the name of one.
        absent: why a column that was looked for is missing, where there is more to say than that.
    """

    format: str
    path: Path
    program: str = field(default="", kw_only=True)
    columns: dict[str, Points] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    unit: Unit = "step"
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    done: int | None = None
    loss_unit: str | None = None
    finished: bool | None = None
    eval_losses: dict[str, Points] = field(default_factory=dict)
    eval_metrics: dict[str, Points] = field(default_factory=dict)
    train_metrics: dict[str, Points] = field(default_factory=dict)
    adversaries: dict[str, Points] = field(default_factory=dict)
    lines: list[tuple[int, float]] = field(default_factory=list)
    reports_nan: list[int] = field(default_factory=list)
    epochs: float | None = None
    doubtful: bool = False
    absent: dict[str, str] = field(default_factory=dict)

    def column(self, key: str) -> Points:
        """Return a column; an empty one where the log has none."""
        return self.columns.get(key, Points())

    def leave_out(self, key: str, why: str) -> None:
        """Treat a column as missing, and note why."""
        del self.found[key]
        self.absent[key] = why
        self.notes.append(f"{key}: not read, since {why}")

    def to_json(self) -> dict[str, Any]:
        """Return the stable machine-readable form."""
        return {
            "format": self.format,
            "program": self.program or None,
            "path": str(self.path),
            "unit": self.unit,
            "loss_unit": self.loss_unit,
            "columns": dict(self.found),
            "notes": list(self.notes),
        }

"""Programs that keep and compare experiments, by name: a choice of `--track`, and a folder in `tracking/` of a run."""

from __future__ import annotations

import enum


class TrackerName(enum.StrEnum):
    """Trackers that `training.trackers` can log to."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"

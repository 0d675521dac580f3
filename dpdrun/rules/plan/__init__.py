"""Rules about a plan, one family a file: 0xx derives a recipe value, 1xx checks one (the linter)."""

from dpdrun.rules.plan import (
    batching,
    clipping,
    framing,
    learning_rate,
    length,
    model,
    optimizer,
    plug_in,
    precision,
    regularization,
    schedule,
    scoring,
    sizing,
    splitting,
    warmup,
)

__all__ = [
    "batching",
    "clipping",
    "framing",
    "learning_rate",
    "length",
    "model",
    "optimizer",
    "plug_in",
    "precision",
    "regularization",
    "schedule",
    "scoring",
    "sizing",
    "splitting",
    "warmup",
]

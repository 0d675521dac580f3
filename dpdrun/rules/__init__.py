"""The rules: one family a file. Importing this package enters all of them into the catalogue.

Codes: a family (LR, WU, CL, ...) and three digits, never reused. 0xx derives a recipe value, 1xx checks a plan, 2xx
diagnoses a run.
"""

from dpdrun.rules import (
    batching,
    clipping,
    domain,
    gradient,
    learning_rate,
    length,
    loss,
    model,
    optimizer,
    regularization,
    schedule,
    warmup,
)

__all__ = [
    "batching",
    "clipping",
    "domain",
    "gradient",
    "learning_rate",
    "length",
    "loss",
    "model",
    "optimizer",
    "regularization",
    "schedule",
    "warmup",
]

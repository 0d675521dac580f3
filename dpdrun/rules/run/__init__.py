"""Rules about a run and its signals, one family a file: 2xx diagnoses."""

from dpdrun.rules.run import (
    adapted,
    clipping,
    divergence,
    domain,
    gradient,
    loss,
    pace,
    precision,
    ranks,
    schedule,
    signal,
    signal_shape,
    spikes,
    updates,
    validation,
    warmup,
)

__all__ = [
    "adapted",
    "clipping",
    "divergence",
    "domain",
    "gradient",
    "loss",
    "pace",
    "precision",
    "ranks",
    "schedule",
    "signal",
    "signal_shape",
    "spikes",
    "updates",
    "validation",
    "warmup",
]

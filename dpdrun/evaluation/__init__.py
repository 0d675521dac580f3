"""Scoring a model on a capture: every score beside baselines on the same samples, the noise floor, what it costs.

A predistorter is scored in front of its PA model, beside what that PA does without it at the same output power.
"""

from dpdrun.evaluation.assessment import Assessment, assess, evaluate
from dpdrun.evaluation.baselines import THROUGH_A_MODEL, floor_of, gmp_baseline, one_tap_baseline
from dpdrun.evaluation.prediction import (
    ALONE,
    CHUNK_SAMPLES,
    WHOLE_RECORD_SAMPLES,
    Sharing,
    Split,
    part_of,
    piece_of,
    predict,
)

__all__ = [
    "ALONE",
    "CHUNK_SAMPLES",
    "THROUGH_A_MODEL",
    "WHOLE_RECORD_SAMPLES",
    "Assessment",
    "Sharing",
    "Split",
    "assess",
    "evaluate",
    "floor_of",
    "gmp_baseline",
    "one_tap_baseline",
    "part_of",
    "piece_of",
    "predict",
]

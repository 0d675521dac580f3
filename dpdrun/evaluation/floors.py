"""What is left to the noise floor of an amplifier, by every method that can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture
from dpdrun.evaluation.prediction import Split, part_of
from dpdrun.rf.floor import noise_floor
from dpdrun.rf.floor_estimates import Estimate, by_repeats, by_smallest_inputs
from dpdrun.rf.metrics import nmse_db


def floor_estimates(
    capture: Capture, split: Split, prediction: NDArray[np.complex128], others: Mapping[str, NDArray[np.complex128]]
) -> list[dict[str, Any]]:
    """Every estimate, with what the score of a part has left to it: `Estimate.to_json`.

    Args:
        capture: the pair; repeats and the quiet band are looked for in its training part.
        split: the part that was scored.
        prediction: its scored output, (N,) complex128.
        others: outputs of other models, by name, which may show less noise.
    """
    part = part_of(capture, split)
    known = capture.noise_floor_db
    found = [] if known is None else [Estimate("known", known, None, "the generator of this capture added it")]
    quiet = noise_floor(capture)
    bound = None if quiet["nmse_db"] is not None else quiet["bound_db"]
    found += [
        by_repeats(capture.train.x, capture.train.y),
        Estimate("quiet band", quiet["nmse_db"], bound, quiet["caveat"]),
        Estimate("smallest inputs", None, None, "cannot be told from samples that the model was trained on")
        if split == "train"
        else by_smallest_inputs(part.x, part.y, {"this model": prediction, **others}),
    ]
    return [each.to_json(nmse_db(part.y, prediction)) for each in found]

"""Records that consist of frames, each played in a loop while it was measured.

Some captures are not one long recording: a generator looped a short frame, one period of it was kept, and the frames of
many such measurements were put one after the other (the DPA captures of OpenDPD: 2,560 and 16,384 samples). Then the
first samples of a frame follow its own last samples, not those of the frame before, and a model that is given the
record as it stands sees false memory at every splice.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.continuity import predictor, splice_error_db

LOOKED_AT = 12  # frames
SPLICE_DB = 20.0  # error of predicting across a splice over that within a frame; 50 to 75 dB in the captures here
RUNS_ON_DB = 10.0  # -10 to 2 dB in the captures here


def is_cyclic_frames(x: NDArray[np.complex128], frame: int) -> bool:
    """Return whether the record jumps from frame to frame, while each frame continues from its end to its own start.

    Args:
        x: input, (N,) complex, beginning with a frame.
        frame: supposed length of a frame [samples].
    """
    count = min(LOOKED_AT, len(x) // frame)
    if count < 2:
        return False
    frames = x[: count * frame].reshape(count, frame)
    taps = predictor(frames[0])
    if taps is None:
        return False
    onward = [splice_error_db(taps, a, b) for a, b in pairwise(frames)]
    around = [splice_error_db(taps, a, a) for a in frames]
    return bool(np.median(onward) > SPLICE_DB and np.median(around) < RUNS_ON_DB)

from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.metrics import padded_segments


def test_the_last_segment_is_filled_up() -> None:
    found = padded_segments(np.arange(1, 8) + 0j, 3)
    assert found.tolist() == [[1, 2, 3], [4, 5, 6], [7, 0, 0]]


def test_whole_segments_need_no_filling() -> None:
    assert padded_segments(np.ones(6) + 0j, 3).tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(("x", "nperseg"), [(np.zeros(0) + 0j, 4), (np.ones((2, 2)) + 0j, 4), (np.ones(4) + 0j, 0)])
def test_nothing_to_cut(x: np.ndarray, nperseg: int) -> None:
    with pytest.raises(ValueError, match="need a"):
        padded_segments(x, nperseg)

"""The recipe section cuts the capture where the Arena does, and dpdrun's own target gain and limit are the Arena's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.arena.board import DATA, GAIN, PARTS, PEAK
from dpdrun.data.capture import Capture
from dpdrun.data.formats import opendpd_wheel
from dpdrun.data.sources import load_capture
from dpdrun.recipe.schema import DataSection

pytestmark = pytest.mark.skipif(not opendpd_wheel.wheel_path().is_file(), reason="the opendpd wheel is not here")


@pytest.fixture(scope="module")
def capture() -> Capture:
    return load_capture(DataSection.model_validate(DATA))


def test_the_parts_are_the_arenas(capture: Capture) -> None:
    whole = load_capture(DataSection.model_validate({"source": DATA["source"]}))
    record = np.concatenate([whole.train.x, whole.val.x, whole.test.x])
    assert len(record) == PARTS["test"][1]
    for name, (first, last) in PARTS.items():
        np.testing.assert_array_equal(getattr(capture, name).x, record[first:last], err_msg=name)


def test_gain_and_limit_come_out_of_the_training_part(capture: Capture) -> None:
    peak_in, peak_out = (float(np.abs(each).max()) for each in (capture.train.x, capture.train.y))
    assert peak_in == pytest.approx(PEAK, abs=1e-6)
    assert peak_out / peak_in == pytest.approx(GAIN, abs=1e-6)

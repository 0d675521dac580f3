"""What is left to the noise floor, by every method."""

from __future__ import annotations

import numpy as np
import pytest

from dpdrun.data.capture import Capture
from dpdrun.data.sources import load_capture
from dpdrun.data.synthetic import PRESETS, generate
from dpdrun.evaluation.baselines import floor_estimates
from dpdrun.evaluation.prediction import SplitOutput
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.metrics import nmse_db


@pytest.fixture(scope="module")
def mild() -> Capture:
    return load_capture(DataSection(source="synthetic/mild"))


def test_the_methods_agree_where_the_floor_is_known(mild: Capture) -> None:
    """A model that knows the amplifier but for a small error at large inputs."""
    x, clean = generate(PRESETS["mild"], noise=False)
    at = int(np.flatnonzero(x == mild.test.x[0])[0])
    assert np.array_equal(x[at : at + len(mild.test)], mild.test.x)
    prediction = clean[at : at + len(mild.test)] + 0.03 * mild.test.x * np.abs(mild.test.x) ** 2
    score = nmse_db(mild.test.y, prediction)
    found = {each["method"]: each for each in floor_estimates(mild, "test", SplitOutput(prediction), {})}
    assert list(found) == ["known", "repeats", "quiet band", "smallest inputs"]
    assert found["known"]["nmse_db"] == mild.noise_floor_db == -42.0
    assert found["known"]["left_db"] == pytest.approx(score + 42.0)
    assert found["quiet band"]["nmse_db"] == pytest.approx(-42.0, abs=0.3)
    assert found["quiet band"]["at_most_db"] is None
    assert found["smallest inputs"]["nmse_db"] is None
    assert -42.1 < found["smallest inputs"]["at_most_db"] < -41.3
    assert found["smallest inputs"]["left_at_least_db"] < found["known"]["left_db"]
    assert found["repeats"]["nmse_db"] is None
    assert all(each["caveat"] for each in found.values())


def test_another_model_may_show_less_noise(mild: Capture) -> None:
    bad = SplitOutput(1.05 * mild.test.y)
    alone, with_other = (
        floor_estimates(mild, "test", bad, others)[-1] for others in ({}, {"the gmp": SplitOutput(1.001 * mild.test.y)})
    )
    assert "the gmp" in with_other["caveat"]
    assert with_other["at_most_db"] < (alone["at_most_db"] or 0.0) - 10


def test_the_training_part_shows_no_noise(mild: Capture) -> None:
    """A model may have overfitted its noise."""
    found = floor_estimates(mild, "train", SplitOutput(1.01 * mild.train.y), {})[-1]
    assert (found["nmse_db"], found["at_most_db"]) == (None, None)
    assert "trained on" in found["caveat"]

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.data.align.stages import ORDER, decide, with_floors
from dpdrun.rf.synchronization import Synchronization
from tests.data.flawed import hard, received

N = 20_000


def applied(**flaws: Any) -> tuple[set[str], float]:
    """Names of the corrections that a flawed record gets, and the polynomial's NMSE after them [dB]."""
    decision = decide(hard()[0][:N], received(N + 1500, **flaws))
    assert decision is not None
    assert tuple(stage.name for stage in decision.stages) == ORDER
    for stage in decision.stages:
        assert stage.applied == (stage.why == "")
        assert stage.applied == (stage.name in decision.without)
    return {stage.name for stage in decision.stages if stage.applied}, decision.after.polynomial_db


@pytest.mark.parametrize(
    ("flaws", "needed"),
    [
        ({}, set()),
        ({"delay": 0.02}, set()),
        ({"gain": 1e4j}, set()),
        ({"delay": 1}, {"coarse delay"}),
        ({"delay": 0.498}, {"fractional delay"}),
        ({"ppm": 60}, {"sample clock"}),
        ({"offset": 1e-5}, {"frequency offset"}),
        ({"dc": 0.1}, {"DC"}),
        ({"mirror": "swap"}, {"conjugation"}),
        (
            {"delay": 953, "offset": 0.3, "ppm": -150, "dc": 0.3, "mirror": "swap"},
            set(ORDER) - {"fractional delay", "receiver image", "gain"},
        ),
        ({"offset": 0.1, "image": 0.02j}, {"frequency offset", "receiver image"}),
        ({"offset": -0.32, "image": 0.02j, "dc": 0.1, "mirror": "conjugate"},
         {"frequency offset", "receiver image", "DC", "conjugation"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # sets have no order
)  # fmt: skip
def test_only_what_helps_is_applied(flaws: dict[str, Any], needed: set[str]) -> None:
    names, polynomial_db = applied(**flaws)
    assert names - {"coarse delay"} == needed - {"coarse delay"}
    assert "coarse delay" in names or "coarse delay" not in needed or "sample clock" in needed
    assert polynomial_db < -37.1  # of the good record: -37.41


@pytest.mark.parametrize(
    ("flaws", "estimate", "why"),
    [
        (
            {"offset": 0.1, "transmitter_image": 0.02},
            "transmitter's, left to the model: -34.",
            "within its uncert",
        ),
        ({"image": 0.02}, "receiver and transmitter together: -34.", "may be the transmitter's"),
    ],
    ids=("turns not with the offset", "no offset"),
)
def test_an_image_of_the_transmitter_is_left_to_the_model(flaws: dict[str, Any], estimate: str, why: str) -> None:
    decision = decide(hard()[0][:N], received(N + 1500, **flaws))
    assert decision is not None
    stage = next(stage for stage in decision.stages if stage.name == "receiver image")
    assert estimate in stage.estimate
    assert not stage.applied
    assert why in stage.why
    assert decision.found.image == 0


def test_a_good_record_is_left_unchanged() -> None:
    x, y = (side[:N] for side in hard())
    decision = decide(x, y)
    assert decision is not None
    assert decision.found == Synchronization()
    assert decision.before == decision.after
    assert "models" in decision.stages[-1].why or "model" in decision.stages[-1].why


def test_each_correction_shows_what_it_gains() -> None:
    x, y = hard()[0][:N], received(N + 1500, delay=11, dc=0.1)
    decision = decide(x, y)
    assert decision is not None
    stages = {stage.name: stage for stage in with_floors(decision, x, y).stages}
    for name in ("coarse delay", "DC"):
        without, with_it = stages[name].without, stages[name].with_it
        assert without is not None
        assert with_it is not None
        assert without.polynomial_db > with_it.polynomial_db + 5
        assert stages[name].floor_at_most_db[1] == pytest.approx(-44.5, abs=1.0)
    assert stages["coarse delay"].estimate == "+11 samples"
    assert stages["DC"].estimate.startswith("-20.")
    assert stages["sample clock"].floor_at_most_db == (None, None)


def test_unrelated_records_have_no_alignment() -> None:
    x, y = hard()
    assert decide(x[:N], np.random.default_rng(0).permutation(y[:N])) is None

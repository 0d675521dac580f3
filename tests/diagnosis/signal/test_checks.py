"""All facts of one prediction, against numpy and against what was put in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dpdrun.diagnosis.signal.checks import can_be_judged, signal_facts

Signal = NDArray[np.complex128]


def noise(count: int, seed: int) -> Signal:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(count) + 1j * rng.standard_normal(count)


X = np.convolve(noise(4009, 0), np.hanning(9) / 4, mode="valid")
Y = 2.0 * X * (1 - 0.05 * np.abs(X) ** 2)
E = 0.05 * noise(len(Y), 1)


def db(ratio: float) -> float:
    return 10 * math.log10(ratio)


def power(x: Signal) -> float:
    return float(np.sum(np.abs(x) ** 2))


def test_scores_are_those_of_the_definition() -> None:
    p = 1.3 * np.exp(0.2j) * Y + E
    facts = signal_facts(Y, p, X)
    assert facts.samples == len(Y)
    assert facts.nmse_db == facts.judged_nmse_db == pytest.approx(db(power(p - Y) / power(Y)))
    h = np.vdot(Y, p) / power(Y)
    assert (facts.gain_db, facts.gain_deg) == pytest.approx((db(abs(h) ** 2), np.degrees(np.angle(h))))
    g = np.linalg.lstsq(p[:, None], Y, rcond=None)[0][0]
    assert facts.gain_nmse_db == pytest.approx(db(power(Y - g * p) / power(Y)))


def test_facts_are_plain_numbers() -> None:
    """A rule sees floats and ints, and so does json."""
    facts = signal_facts(Y, Y + E, X, frame=200, piece=200, model={"full_attention": True, "features": "iq"})
    values = [item for value in facts.to_json().values() for item in (value if isinstance(value, list) else [value])]
    assert len(values) > 50
    assert {type(value) for value in values} <= {int, float, bool, str, type(None)}
    assert (facts.frame, facts.piece, facts.full_attention, facts.features) == (200, 200, True, "iq")


def test_without_the_input_there_are_no_gains() -> None:
    facts = signal_facts(Y, Y + E)
    assert facts.target_gain_db == facts.model_gain_db == ()
    assert facts.level_share is None
    assert facts.linear_nmse_db is None
    assert facts.lag_samples == pytest.approx(0.0, abs=1e-3)


def test_perfect_prediction() -> None:
    facts = signal_facts(Y, Y.copy(), X)
    assert facts.nmse_db == -math.inf
    assert (facts.rise_db, facts.period) == (None, None)
    assert facts.model_gain_db == pytest.approx(facts.target_gain_db)


def test_better_pieces_are_what_the_rest_is_about() -> None:
    garbage = np.roll(Y, 900)
    facts = signal_facts(Y, garbage, X, frame=200, in_pieces=1.5 * Y)
    assert facts.nmse_db > 0
    assert facts.pieces_nmse_db == facts.judged_nmse_db == pytest.approx(db(0.25))
    assert facts.gain_db == pytest.approx(db(2.25))
    worse = signal_facts(Y, 1.5 * Y, X, frame=200, in_pieces=garbage)
    assert worse.judged_nmse_db == worse.nmse_db == pytest.approx(db(0.25))


def test_target_of_a_predistorter_is_separated_from_an_amplifier() -> None:
    assert signal_facts(Y, Y + E, X).wanted_gain_db is None
    assert signal_facts(4j * X, Y, X).wanted_gain_db == pytest.approx(db(16.0))


@pytest.mark.parametrize(
    ("y", "p", "fine"),
    [
        (Y, Y, True),
        (Y[:900], Y[:900], False),
        (Y, np.zeros_like(Y), False),
        (np.zeros_like(Y), Y, False),
        (Y, np.where(np.arange(len(Y)) == 7, np.nan, Y), False),
    ],
    ids=["sound", "short", "silent", "silent target", "nan"],
)
def test_what_can_be_checked(y: Signal, p: Signal, fine: bool) -> None:
    assert can_be_judged(y, p) is fine


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        signal_facts(Y, Y[:-1])
    with pytest.raises(ValueError, match="one shape"):
        signal_facts(Y, Y, X[:-1])


def test_target_that_comes_before_its_input() -> None:
    early = signal_facts(np.roll(Y, -6), Y, X)
    assert early.lead_samples == 6
    assert early.present_nmse_db is not None
    assert early.ahead_nmse_db is not None
    assert early.present_nmse_db > -1
    assert early.ahead_nmse_db < -15
    for other in (signal_facts(Y, Y + E, X), signal_facts(np.roll(Y, 6), Y, X), signal_facts(np.roll(Y, -6), Y)):
        assert other.lead_samples is None

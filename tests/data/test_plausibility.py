from __future__ import annotations

import numpy as np
import pytest

from dpdrun.data import synthetic
from dpdrun.data.plausibility import check_rates, occupied_widths
from dpdrun.data.sources import load_capture
from dpdrun.errors import DataError
from dpdrun.recipe.schema import DataSection

RATE = 983.04e6


@pytest.fixture(scope="module")
def hard() -> np.ndarray:
    return synthetic.generate(synthetic.PRESETS["hard"])[0][:60_000]


def test_both_widths_of_carriers_are_their_width(hard: np.ndarray) -> None:
    core, wide = occupied_widths(hard, RATE) or (0.0, 0.0)
    assert core == pytest.approx(200e6, rel=0.02)
    assert wide == pytest.approx(200e6, rel=0.02)


@pytest.mark.parametrize("bandwidth_hz", [None, 200e6, 180e6, 240e6])
def test_a_bandwidth_that_fits(hard: np.ndarray, bandwidth_hz: float | None) -> None:
    check_rates(hard, RATE, bandwidth_hz, "a.npz")


@pytest.mark.parametrize("bandwidth_hz", [100e6, 400e6, 200.0, 200e3, 200e9])
def test_a_bandwidth_that_contradicts_the_spectrum_is_a_question(hard: np.ndarray, bandwidth_hz: float) -> None:
    with pytest.raises(
        DataError, match=r"(?s)a\.npz: the bandwidth is stated as .*--bandwidth-hz 19[89](\.\d)?e6.*no-check-rates"
    ):
        check_rates(hard, RATE, bandwidth_hz, "a.npz")


@pytest.mark.parametrize("rate", [200.0, 983.04, 1.0])
def test_a_rate_in_other_units_is_a_question(hard: np.ndarray, rate: float) -> None:
    with pytest.raises(DataError, match=rf"is its sample rate really {rate:g} Hz, or {rate:g} MHz\?.*{rate:g}e6"):
        check_rates(hard, rate, None, "a.npz")


def test_a_spectrum_without_edges_contradicts_nothing() -> None:
    rng = np.random.default_rng(0)
    white = rng.standard_normal(20_000) + 1j * rng.standard_normal(20_000)
    tone = np.exp(0.3j * np.arange(20_000))
    falling = np.convolve(white, np.hanning(9), mode="same")
    for x in (white, tone):
        assert occupied_widths(x, 1e6) is None
    for bandwidth_hz in (0.2e6, 0.5e6):
        check_rates(falling, 1e6, bandwidth_hz, "a.npz")


def test_the_user_may_insist(tmp_path: object) -> None:
    section = DataSection(source="synthetic/hard", check_rates="off")
    assert load_capture(section).bandwidth_hz == 200e6

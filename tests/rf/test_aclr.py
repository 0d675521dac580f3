"""Leakage of tones at known levels: with a Hann window a tone in the middle of a bin fills three bins and no more."""

from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.aclr import CONVENTIONS, aclr, bands, caveat

RATE = 1024e6  # with 1024 samples a segment, bins of 1 MHz
NPERSEG = 1024
BAND = 200e6


def tones(levels_db: dict[float, float], samples: int = 8192) -> np.ndarray:
    """Tones by frequency [Hz] at levels of power [dB]."""
    time = np.arange(samples) / RATE
    return np.sum([10 ** (db / 20) * np.exp(2j * np.pi * f * time) for f, db in levels_db.items()], axis=0)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_tones_at_known_levels(convention: str) -> None:
    y = tones({20e6: 0.0, -120e6: -40.0, 130e6: -50.0})
    found = aclr(y, RATE, BAND, convention=convention, carriers=1, spacing_hz=BAND, nperseg=NPERSEG)
    assert found.left_dbc == pytest.approx(-40.0, abs=1e-9)
    assert found.right_dbc == pytest.approx(-50.0, abs=1e-9)
    assert found.worse_dbc == found.left_dbc
    assert found.average_dbc == pytest.approx(-45.0, abs=1e-9)
    assert found.convention == convention
    assert "1,024 samples" in found.window


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_what_the_leakage_is_compared_with(convention: str) -> None:
    """Of four carriers the strongest, or all of them together."""
    levels = {-75e6: -3.0, -25e6: 0.0, 25e6: -3.0, 75e6: -3.0}
    y = tones({**levels, -125e6: -33.0, 125e6: -39.0})
    main = sum(10 ** (db / 10) for db in levels.values()) if convention == "general-v1" else 1.0
    found = aclr(y, RATE, BAND, convention=convention, carriers=4, spacing_hz=BAND / 4, nperseg=NPERSEG)
    assert found.left_dbc == pytest.approx(-33.0 - 10 * np.log10(main), abs=1e-9)
    assert found.right_dbc == pytest.approx(-39.0 - 10 * np.log10(main), abs=1e-9)


def test_bands_are_stated() -> None:
    y = tones({-25e6: 0.0, 25e6: -6.0, 75e6: -3.0, -75e6: -3.0})
    general, spectral, legacy = (
        aclr(y, RATE, BAND, convention=name, carriers=4, nperseg=NPERSEG)
        for name in ("general-v1", "opendpd-spectral-v2", "opendpd-legacy-v1")
    )
    assert general.left_hz == (-300e6, -100e6)
    assert general.right_hz == (100e6, 300e6)
    assert general.main_hz == (-100e6, 100e6)
    assert spectral.left_hz == (-150e6, -100e6)
    assert spectral.right_hz == (100e6, 150e6)
    assert spectral.main_hz == (-50e6, 0.0)
    assert legacy.left_hz == (-150.5e6, -100.5e6)
    assert legacy.right_hz == (99.5e6, 149.5e6)  # one bin early: its first bin is the last one of the main band
    assert legacy.main_hz == (-50.5e6, -0.5e6)


def test_the_right_neighbour_of_the_legacy_convention_begins_a_bin_early() -> None:
    """A tone on the last bin of the band, +B/2: two thirds of it in that bin, a sixth on each side."""
    y = tones({20e6: 0.0, 100e6: -20.0})
    legacy = aclr(y, RATE, BAND, convention="opendpd-legacy-v1", nperseg=NPERSEG)
    general = aclr(y, RATE, BAND, convention="general-v1", nperseg=NPERSEG)
    above = 10 * np.log10(0.01 * (2 / 3 + 1 / 6) / (1 + 0.01 / 6))  # the sixth below is in the main band
    assert legacy.right_dbc == pytest.approx(above, abs=1e-9)
    assert legacy.right_hz[0] == 99.5e6
    assert general.right_dbc == pytest.approx(above, abs=1e-9)  # half open: +B/2 is outside of its main band
    beyond = aclr(tones({20e6: 0.0, 299e6: -20.0}), RATE, BAND, convention="opendpd-legacy-v1", nperseg=NPERSEG)
    assert beyond.right_dbc == pytest.approx(10 * np.log10(0.01 * (2 / 3 + 1 / 6)), abs=1e-9)  # nor does it reach 300


def test_the_legacy_convention_fills_the_last_segment_up() -> None:
    y = tones({20e6: 0.0, -120e6: -40.0, 120e6: -40.0})
    whole = aclr(y, RATE, BAND, convention="opendpd-legacy-v1", nperseg=NPERSEG)
    cut = aclr(y[:-500], RATE, BAND, convention="opendpd-legacy-v1", nperseg=NPERSEG)
    assert cut.left_dbc > whole.left_dbc + 1  # the edge splatters, which spectral-v2 was made to avoid
    assert aclr(y[:-500], RATE, BAND, nperseg=NPERSEG).left_dbc == pytest.approx(-40.0, abs=1e-9)


def test_a_record_shorter_than_a_segment() -> None:
    y = tones({20e6: 0.0, -120e6: -40.0, 120e6: -40.0}, samples=512)
    found = aclr(y, RATE, BAND, nperseg=NPERSEG)
    assert "512 samples" in found.window
    assert found.left_dbc == pytest.approx(-40.0, abs=1e-9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"convention": "general"}, "no ACLR convention 'general'; there are: general-v1, "),
        ({"carriers": 0}, "positive bandwidth and a carrier"),
        ({"bandwidth_hz": 400e6}, r"\+-600 MHz, outside the captured \+-512 MHz"),
        ({"bandwidth_hz": 400e6, "convention": "opendpd-legacy-v1"}, r"\+-600 MHz, outside the captured \+-512 MHz"),
        ({"convention": "opendpd-legacy-v1", "nperseg": 1023}, "even segment length"),
        ({"convention": "opendpd-legacy-v1", "carriers": 500}, "narrower than a bin"),
        ({"carriers": 500}, "no bin of the spectrum"),
        ({"convention": "channel-spacing-v1"}, "needs the channel spacing"),
        ({"spacing_hz": 190e6}, "190 MHz does not fit one carrier in 200 MHz, each 200 MHz wide"),
        ({"spacing_hz": 200e6, "carriers": 2}, "does not fit 2 carriers in 200 MHz, each 0 MHz wide"),
        ({"spacing_hz": 412.5e6}, r"\+-512\.5 MHz, outside the captured \+-512 MHz"),
    ],
)
def test_no_number_is_better_than_a_wrong_one(options: dict[str, object], said: str) -> None:
    arguments: dict[str, object] = {"bandwidth_hz": BAND, "nperseg": NPERSEG, **options}
    with pytest.raises(ValueError, match=said):
        aclr(tones({0.0: 0.0}), RATE, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_silence_has_no_leakage(convention: str) -> None:
    with pytest.raises(ValueError, match="no power in the main channel"):
        aclr(np.zeros(4096) + 0j, RATE, BAND, convention=convention, spacing_hz=BAND, nperseg=NPERSEG)


def test_neighbours_lie_on_the_grid_of_stated_channels() -> None:
    """As in TS 38.104: the offset is the channel spacing, the filter as wide as what a carrier occupies."""
    one = bands("channel-spacing-v1", RATE, 98e6, 1, 100e6)
    assert (one.left_hz, one.channels_hz, one.right_hz) == ((-149e6, -51e6), ((-49e6, 49e6),), (51e6, 149e6))
    three = bands("channel-spacing-v1", RATE, 298e6, 3, 100e6)
    assert three.channels_hz == ((-149e6, -51e6), (-49e6, 49e6), (51e6, 149e6))
    assert three.right_hz == (151e6, 249e6)
    skirt = tones({0.0: 0.0, 50e6: -20.0, 100e6: -50.0})  # the signal's own roll-off, between the channels
    assert aclr(skirt, RATE, 96e6, nperseg=NPERSEG).right_dbc == pytest.approx(-20.0, abs=0.01)
    found = aclr(skirt, RATE, 96e6, spacing_hz=100e6, nperseg=NPERSEG)
    assert (found.convention, found.right_dbc) == ("channel-spacing-v1", pytest.approx(-50.0, abs=0.01))


def test_neighbours_touch_the_band() -> None:
    found = bands("opendpd-spectral-v2", RATE, BAND, 5)
    assert found.left_hz[1] == found.channels_hz[0][0] == -100e6
    assert found.right_hz[0] == found.channels_hz[-1][1] == 100e6
    assert len(found.channels_hz) == 5


@pytest.mark.parametrize(("own_db", "leak_db", "words"), [
    (-60.0, -40.0, None),
    (-41.5, -40.0, "the left channel of the wanted signal is itself at -41.5 dBc"),
    (-40.0, -41.5, "the left channel of the wanted signal is itself at -40.0 dBc"),
])  # fmt: skip
def test_a_leakage_of_the_wanted_signal_itself_is_no_fault_of_the_amplifier(
    own_db: float, leak_db: float, words: str | None
) -> None:
    wanted, y = (tones({20e6: 0.0, -200e6: level, 200e6: -60.0}) for level in (own_db, leak_db))
    y = y + tones({200e6: -40.0})
    found = aclr(y, RATE, BAND, convention="general-v1", nperseg=NPERSEG)
    said = caveat(wanted, y, found, RATE, nperseg=NPERSEG)
    assert said is None if words is None else said == f"the ACLR measures the signal, not the amplifier: {words}"


def test_a_skirt_at_the_edge_of_the_band_is_no_fault_of_the_amplifier() -> None:
    """Most of the leakage lies next to the band, where the input has it too; further out the input has none."""
    levels = {20e6: 0.0, 103e6: -40.0, 200e6: -43.5}
    wanted, y = tones({**levels, 200e6: -80.0, 103e6: -41.0}), tones(levels)
    found = aclr(y, RATE, BAND, convention="general-v1", nperseg=NPERSEG)
    said = caveat(wanted, y + tones({-200e6: -40.0}), found, RATE, nperseg=NPERSEG)
    assert said is not None
    assert "right" in said
    assert "left" not in said

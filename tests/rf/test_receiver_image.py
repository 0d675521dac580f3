from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.rf.receiver_image import images
from dpdrun.rf.synchronization import Synchronization, synchronize
from tests.data.flawed import hard, received

N = 20_000
OURS = -66.0  # images of the amplifier itself and of chance, below [dB]


def db(value: complex) -> float:
    return float(20 * np.log10(abs(value)))


@pytest.mark.parametrize(
    "flaws",
    [
        {"offset": 0.1},
        {"offset": 1e-4, "ppm": 50, "delay": 3.3},
        {"offset": 0.1, "mirror": "swap", "delay": 40.3},
        {"offset": -0.32, "mirror": "conjugate", "dc": 0.1},
    ],
    ids=str,
)
def test_both_images_are_found_apart(flaws: dict[str, Any]) -> None:
    receiver, transmitter = 0.02 * np.exp(1j), 0.01 * np.exp(-2j)
    x, y = hard()[0][:N], received(N + 1500, image=receiver, transmitter_image=transmitter, **flaws)
    found = synchronize(x, y)
    assert found is not None
    seen = images(x, y, found)
    assert seen.apart
    assert db(seen.receiver - receiver) < OURS
    # the transmitter's turns with the phase of the path between both
    assert abs(seen.transmitter) == pytest.approx(0.01, rel=0.06)
    assert db(seen.error) < -75


def test_without_an_offset_there_is_one_image() -> None:
    x = hard()[0][:N]
    seen = images(x, received(N, image=0.02j), Synchronization())
    assert not seen.apart
    assert seen.receiver == 0
    assert db(seen.transmitter) == pytest.approx(db(0.02), abs=0.2)


def test_a_removed_image_is_removed() -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=50) + 1j * rng.normal(size=50)
    y = w + (0.1 - 0.05j) * np.conj(w) + 0.3
    found = Synchronization(image=0.1 - 0.05j, dc=0.3)
    np.testing.assert_allclose(found.demodulated(y), w, rtol=1e-12)
    np.testing.assert_allclose(found.restore(y, 0, 50), w, rtol=1e-12)

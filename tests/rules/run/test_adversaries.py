"""The two losses of a GAN."""

from __future__ import annotations

import math

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.facts.run import RunFacts


def gan(discriminator: list[float], generator: list[float]) -> RunFacts:
    steps = list(range(1, len(discriminator) + 1))
    losses = {"discriminator": (steps, discriminator), "generator": (steps, generator)}
    return RunFacts(adversaries=losses, loss_unit="objective")


FALLS = [0.7 * 0.5**k for k in range(12)]
FAIR = [0.6, 0.65, 0.55, 0.62, 0.58, 0.6, 0.66, 0.57, 0.61, 0.6, 0.59, 0.63]


@pytest.mark.parametrize(
    ("discriminator", "generator", "named"),
    [
        (FALLS, [2.0 + 0.5 * k for k in range(12)], "the discriminator has won"),
        ([5.0] * 12, FALLS, "the generator has won"),
        (FALLS, [8.0 * 0.7**k for k in range(12)], ""),  # a least-squares GAN whose generator keeps up
        (FAIR, [1.0] * 12, ""),
        ([2.0 * math.log(2.0) * (1.0 + 1e-3 * (-1) ** k) for k in range(12)], [0.72] * 12, "guesses"),
        ([0.3, *[math.log(2.0)] * 11], [0.72] * 12, ""),  # where a perfect training ends
        (FALLS[:7], [2.0] * 7, ""),
    ],
)
def test_one_side_without_an_opponent(discriminator: list[float], generator: list[float], named: str) -> None:
    found = {f.code: f.message for f in diagnose_facts(gan(discriminator, generator)).findings}
    assert ("LS212" in found) is bool(named)
    assert named in found.get("LS212", "")

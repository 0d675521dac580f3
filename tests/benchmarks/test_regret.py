"""The arithmetic of the regret study, on curves whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.regret.advisors import note_lr
from benchmarks.regret.curves import Curve, curves
from benchmarks.regret.law import fit
from benchmarks.regret.sweep import COARSE, REACH, refined
from benchmarks.regret.trial import valley
from benchmarks.regret.workloads import SOURCES, WORKLOADS, Workload


def curve_of(
    vertex: float, *, job: Workload = WORKLOADS[0], curvature: float = 0.5, cliff: float | None = None
) -> Curve:
    """A parabola with its best at `vertex` and -40 dB; at `cliff` and beyond, nothing is learnt."""
    exponents = np.arange(-12.0, -0.9, 0.5)
    scores = -40.0 + curvature * (exponents - vertex) ** 2
    if cliff is not None:
        scores[exponents >= cliff] = 0.0
    return Curve(job, exponents, scores, 0.1)


@pytest.mark.parametrize("vertex", [-8.3, -5.0, -4.75])
@pytest.mark.parametrize("curvature", [0.3, 1.0])
def test_oracle_is_the_vertex(vertex: float, curvature: float) -> None:
    exponent, best = curve_of(vertex, curvature=curvature).oracle
    assert exponent == pytest.approx(vertex)
    assert best == pytest.approx(-40.0)


def test_oracle_is_not_moved_by_an_adjacent_cliff() -> None:
    exponent, best = curve_of(-5.0, cliff=-4.0).oracle
    assert exponent == pytest.approx(-5.0)
    assert best == pytest.approx(-40.0)


def test_oracle_at_the_edge_of_the_grid_is_the_edge() -> None:
    rising = Curve(WORKLOADS[0], np.array([-6.0, -5.0, -4.0]), np.array([-20.0, -25.0, -27.0]), 0.1)
    assert rising.oracle == (-4.0, -27.0)


def test_regret_is_the_loss_against_the_oracle_and_never_negative() -> None:
    curve = curve_of(-5.25)
    assert curve.regret(-8.0) == pytest.approx(0.5 * 2.75**2, abs=0.01)
    losses = [curve.regret(exponent) for exponent in np.arange(-12, -1, 0.1)]
    assert 0.0 <= min(losses) < 0.05
    lucky = Curve(
        WORKLOADS[0], np.array([-6.0, -5.5, -5.0, -4.5, -4.0]), np.array([-39.0, -39.4, -39.9, -39.4, -39.0]), 0.1
    )
    assert lucky.oracle[1] > -39.9  # the fit does not believe one lucky point,
    assert lucky.regret(-5.0) == 0.0  # and nothing is better than the best


@given(best=st.floats(REACH[0] + 2, REACH[1] - 2))
def test_the_grid_finds_the_best_from_anywhere_and_refines_it(best: float) -> None:
    seen = refined(lambda exponent: abs(exponent - best))
    found = min(seen, key=lambda exponent: seen[exponent])
    assert abs(found - best) <= 0.5
    assert {found - 1, found - 0.5, found + 0.5, found + 1} <= set(seen)
    assert set(COARSE) <= set(seen)


def test_the_law_recovers_what_made_the_curves() -> None:
    jobs = [job for job in WORKLOADS if job.kind == "transformer"]
    assert len(jobs) > 10

    def truth(job: Workload) -> float:
        return -5.0 - 0.5 * math.log2(job.width / 16) - 0.25 * math.log2(job.steps / 400)

    made = [curve_of(truth(job), job=job) for job in jobs]
    law = fit(made, ("width", "steps"))
    assert max(curve.regret(law.exponent(curve.workload)) for curve in made) < 0.1
    assert law.effects["width"] == pytest.approx(-0.5, abs=0.1)


def test_the_law_stays_on_the_gentle_side_of_a_cliff() -> None:
    flat = fit([curve_of(-5.0, curvature=0.1, cliff=-4.5), curve_of(-4.0, curvature=0.1, cliff=-3.5)], ())
    assert flat.level < -4.7  # the middle of the optima is the cliff of the first


def test_valley_is_inside_the_longest_fall() -> None:
    rates = np.geomspace(1e-6, 1.0, 61)
    losses = [1.0] * 20 + list(np.linspace(1.0, 0.1, 20)) + list(np.linspace(0.2, 9.0, 21))
    assert rates[20] < valley(rates, losses) < rates[40]


def test_the_note_advises_by_its_own_rules() -> None:
    for job in WORKLOADS:
        assert note_lr(job) == (3e-4 if job.kind == "transformer" else 5e-4)


def test_the_workloads_cover_what_the_study_promises() -> None:
    assert len(WORKLOADS) >= 24
    assert len({job.name for job in WORKLOADS}) == len(WORKLOADS)
    wide = {job.width for job in WORKLOADS if job.kind == "transformer"}
    assert {16, 256} <= wide
    assert {job.layers for job in WORKLOADS} == {1, 2, 4}
    assert {job.data for job in WORKLOADS} == set(SOURCES)
    assert len({job.steps for job in WORKLOADS}) >= 2
    assert {job.batch for job in WORKLOADS} == {8, 32}


def test_only_complete_sweeps_become_curves() -> None:
    job = WORKLOADS[0]
    results = {
        f"{job.name}/lr/{exponent:g}/{seed}": {"val_nmse_db": None if exponent == -4 else -30.0 - seed}
        for exponent in (-6.0, -5.0, -4.0)
        for seed in range(job.seeds)
    }
    assert curves(results) == []
    results[f"{job.name}/schedule_free/{job.seeds - 1}"] = {"val_nmse_db": -20.0}
    (curve,) = curves(results)
    assert list(curve.median_db) == [-31.0, -31.0, 0.0]  # diverged counts as silence
    assert curve.scatter_db == 2.0

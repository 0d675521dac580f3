"""What advice loses, looked up."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.rules import regret
from dpdrun.rules.regret import band_of, groups_of, regret_of, worth_of


def table_of(median_db: list[float], p95_db: list[float], workloads: int) -> dict[str, Any]:
    octaves = {"octaves": [-2, -1, 0, 1], "tie": [-1, 0], "lost": [-1, 1]}
    return octaves | {"median_db": median_db, "p95_db": p95_db, "workloads": workloads}


def worth_in(steps: int, **more: object) -> dict[str, Any]:
    base = {"median_db": 0.2, "low_db": -0.1, "high_db": 0.4, "beyond_seeds": 2, "instead": "no warmup", "workloads": 3}
    return base | {"steps": steps} | more


TABLE: dict[str, Any] = {
    "expected": {
        "transformer": {
            "all": table_of([4, 1, 0.1, 3], [6, 2, 0.5, 20], 7),
            "400": table_of([8, 2, 0.2, 5], [9, 3, 0.6, 30], 5),
            "1600": table_of([3, 0.5, 0.0, 2], [4, 1, 0.1, 9], 2),
        }
    },
    "worth": {"gru": {"optim.warmup": {"400": worth_in(400), "1600": worth_in(1600, workloads=1, beyond_seeds=0)}}},
}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regret, "measured", lambda: TABLE)


@pytest.mark.parametrize(
    ("lr", "median", "p95"),
    [
        (1e-2, 0.1, 0.5),
        (2e-2, 3.0, 20.0),
        (2.5e-3, 4.0, 6.0),
        (1e-2 * 2**-0.5, 0.55, 1.25),
        (1e-2 * 2**0.5, 1.55, 10.25),
    ],
)
def test_between_the_octaves_it_interpolates(table: None, lr: float, median: float, p95: float) -> None:
    found = regret_of("transformer", lr, ours=1e-2)
    assert found is not None
    assert (found.median_db, found.p95_db) == (pytest.approx(median), pytest.approx(p95))


@pytest.mark.parametrize(
    ("kind", "lr"), [("gmp", 1e-2), (None, 1e-2), ("transformer", 1e-4), ("transformer", 1.0), ("transformer", 0.0)]
)
def test_silent_outside_of_what_was_swept(table: None, kind: str | None, lr: float) -> None:
    assert regret_of(kind, lr, ours=1e-2) is None


@pytest.mark.parametrize(("steps", "median"), [(100, 0.2), (799, 0.2), (801, 0.0), (6400, 0.0)])
def test_the_nearest_run_length_answers(table: None, steps: int, median: float) -> None:
    found = regret_of("transformer", 1e-2, ours=1e-2, steps=steps)
    assert found is not None
    assert found.median_db == pytest.approx(median)


@pytest.mark.parametrize("steps", [99, 6401])
def test_silent_in_runs_of_other_lengths(table: None, steps: int) -> None:
    assert regret_of("transformer", 1e-2, ours=1e-2, steps=steps) is None


def test_band(table: None) -> None:
    band = band_of("transformer", 1600)
    assert band is not None
    assert (band.tie, band.lost, band.tried) == ((-1, 0), (-1, 1), (-2, 1))
    assert band_of("transformer", 50_000) is None
    assert band_of("gmp") is None


@pytest.mark.parametrize(("steps", "length"), [(100, 400), (799, 400), (801, 1600), (6400, 1600), (6401, None)])
def test_worth_is_that_of_the_nearest_length(table: None, steps: int, length: int | None) -> None:
    worth = worth_of("gru", "optim.warmup", steps)
    assert (worth and worth.steps) == length


def test_worth(table: None) -> None:
    assert worth_of("gru", "optim.lr", 400) is None
    assert worth_of(None, "optim.lr", 400) is None
    assert worth_of("gru", "optim.warmup", None) is None
    short, long = groups_of("optim.warmup")["gru"]
    assert str(short) == "no warmup: +0.20 dB in 400 steps (3 jobs, -0.10 to +0.40; outside the spread over seeds in 2)"
    assert str(long) == "no warmup: +0.20 dB in 1,600 steps (one job, within the spread over seeds)"


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_in_the_shipped_table_our_own_lr_loses_least(kind: str) -> None:
    band = band_of(kind)
    assert band is not None
    assert band.tried[0] <= -2.0
    assert band.tried[1] >= 1.0
    ours, low, high = (regret_of(kind, 1e-2 * 2**octaves, ours=1e-2) for octaves in (0.0, *band.tried))
    assert ours is not None
    assert low is not None
    assert high is not None
    assert ours.workloads >= {"transformer": 15, "gru": 5}[kind]
    assert 0 <= ours.median_db < min(low.median_db, high.median_db)
    assert ours.median_db <= ours.p95_db

"""What advice loses, looked up."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.rules import regret
from dpdrun.rules.regret import groups_of, regret_of, swept_workloads, worth_of

TABLE: dict[str, Any] = {
    "expected": {
        "transformer": {
            "octaves": [-2, -1, 0, 1],
            "all": {"median_db": [4, 1, 0.1, 3], "p95_db": [6, 2, 0.5, 20], "workloads": 7},
            "by_steps": {
                "400": {"median_db": [8, 2, 0.2, 5], "p95_db": [9, 3, 0.6, 30], "workloads": 5},
                "1600": {"median_db": [3, 0.5, 0.0, 2], "p95_db": [4, 1, 0.1, 9], "workloads": 2},
            },
        }
    },
    "worth": {
        "gru": {
            "optim.warmup": {
                "median_db": 0.2, "low_db": -0.1, "high_db": 0.4, "scatter_db": 0.3,
                "instead": "no warmup", "workloads": 3,
            }
        }
    },
}  # fmt: skip


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


@pytest.mark.parametrize(("steps", "median"), [(200, 0.2), (799, 0.2), (801, 0.0), (3200, 0.0)])
def test_the_nearest_run_length_answers(table: None, steps: int, median: float) -> None:
    found = regret_of("transformer", 1e-2, ours=1e-2, steps=steps)
    assert found is not None
    assert found.median_db == pytest.approx(median)


@pytest.mark.parametrize("steps", [199, 3201])
def test_silent_in_runs_of_other_lengths(table: None, steps: int) -> None:
    assert regret_of("transformer", 1e-2, ours=1e-2, steps=steps) is None


def test_worth(table: None) -> None:
    worth = worth_of("gru", "optim.warmup")
    assert worth is not None
    assert worth.instead == "no warmup"
    assert worth_of("gru", "optim.lr") is None
    assert worth_of(None, "optim.lr") is None
    assert groups_of("optim.warmup") == {"gru": worth}
    assert swept_workloads("transformer") == 7
    assert swept_workloads("gmp") == 0


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_in_the_shipped_table_our_own_lr_loses_least(kind: str) -> None:
    assert swept_workloads(kind) >= {"transformer": 15, "gru": 5}[kind]
    ours, low, high = (regret_of(kind, 1e-2 * factor, ours=1e-2) for factor in (1.0, 1 / 16, 4.0))
    assert ours is not None
    assert low is not None
    assert high is not None
    assert 0 <= ours.median_db < min(low.median_db, high.median_db)
    assert ours.median_db <= ours.p95_db

"""The rules about processes, on made-up teams: what they name, and that fair draws of any size leave them silent."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_ranks, example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run.ranks import UNFAIR_Z, Lean, lean, leans


def said(**facts: Any) -> dict[str, Finding]:
    """Findings of this family by code."""
    found = diagnose_facts(example_run(**facts)).findings
    return {finding.code: finding for finding in found if finding.code.startswith("RK")}


def skipped(facts: RunFacts) -> dict[str, str]:
    return {skip.code: skip.reason for skip in diagnose_facts(facts).skipped if skip.code.startswith("RK")}


@pytest.mark.parametrize("processes", [2, 3, 8])
@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_team_is_left_alone(processes: int, seed: int) -> None:
    assert said(**example_ranks(processes=processes, seed=seed)) == {}


def test_one_process_is_no_team() -> None:
    assert skipped(example_run()) == dict.fromkeys(
        ("RK201", "RK202", "RK203", "RK204"), "needs a run of several processes"
    )


def team_of(norms: list[list[float]], reduced: list[list[float]]) -> dict[str, Any]:
    """A team whose losses carry no information."""
    facts = example_ranks(processes=len(norms[0]), steps=len(norms))
    return facts | {"rank_norm": norms, "rank_reduced": reduced}


NORMS = [[1.0 + 0.01 * step, 1.5] for step in range(40)]


@pytest.mark.parametrize(
    ("reduced", "words"),
    [
        (lambda own: own, "its norm was 1 in one process and 1.5 in another"),
        (lambda own: [sum(own)] * 2, "its norm, 2.5, is larger than the mean of the single norms, 1.25"),
        (lambda own: [own[1]] * 2, "is larger than the mean"),
        (lambda own: [own[0]] * 2, "it equals that of process 0, in 40 of 40 steps"),
        (lambda own: [0.9] * 2, None),
        (lambda own: [0.0] * 2, None),
        (lambda own: [0.9, 0.9 * (1 + 1e-6)], None),  # sums of two kinds of GPU
        (lambda own: [sum(own) / 2] * 2, None),  # gradients that agree in direction
        (lambda own: [math.nan] * 2, None),
    ],
)
def test_a_gradient_that_is_not_the_mean(reduced: Any, words: str | None) -> None:
    found = said(**team_of(NORMS, [reduced(own) for own in NORMS]))
    assert ("RK201" in found) is (words is not None)
    if words:
        assert words in found["RK201"].message
        assert found["RK201"].severity == "error"


def test_one_step_that_was_not_averaged_is_enough_and_is_named() -> None:
    reduced = [[0.9, 0.9] for _ in NORMS]
    reduced[16] = [0.9, 1.1]
    assert said(**team_of(NORMS, reduced))["RK201"].step == 17


def test_gradients_that_were_never_exchanged() -> None:
    found = said(**team_of([[0.0, 0.0] for _ in NORMS], [[0.9, 0.9] for _ in NORMS]))
    assert "no gradient was exchanged" in found["RK201"].message


def test_a_length_met_by_chance_is_no_finding() -> None:
    reduced = [[own[0]] * 2 if step % 2 else [0.9] * 2 for step, own in enumerate(NORMS)]
    assert "RK201" not in said(**team_of(NORMS, reduced))


@pytest.mark.parametrize(("since", "words"), [(1, "before step 1"), (101, "after step 76, before step 101")])
def test_parameters_that_part_are_placed(since: int, words: str) -> None:
    found = said(**example_ranks(differ_from=since, processes=3))
    assert list(found) == ["RK202"]
    assert found["RK202"].message.endswith(words)
    assert found["RK202"].step == since


def test_missing_averaging_explains_parameters_that_part() -> None:
    facts = example_run(**example_ranks(reduced="own", differ_from=26))
    assert [f.code for f in diagnose_facts(facts).findings if f.code.startswith("RK")] == ["RK201"]
    assert skipped(facts)["RK202"] == "RK201 applies"


@pytest.mark.parametrize(("steps", "found"), [(9, []), (10, ["RK203"]), (400, ["RK203"])])
def test_two_processes_with_the_same_frames(steps: int, found: list[str]) -> None:
    assert list(said(**example_ranks(processes=3, copied=True, steps=steps))) == found


def test_a_loss_of_nothing_is_no_copy() -> None:
    facts = example_ranks()
    facts["rank_loss"] = [[0.0, 0.0] for _ in facts["rank_loss"]]
    facts["rank_norm"] = facts["rank_reduced"] = facts["rank_loss"]
    assert said(**facts) == {}


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize(("skew", "side"), [(1.3, "larger"), (1 / 1.3, "smaller")])
def test_a_process_with_other_data(processes: int, skew: float, side: str) -> None:
    found = said(**example_ranks(processes=processes, skew=skew))
    assert list(found) == ["RK204"]
    odd = processes - 1
    if processes == 2 and skew < 1:
        odd, side, skew = 0, "larger", 1 / skew  # of two, the one that is larger is named
    assert f"process {odd} of {processes} differs from the other" in found["RK204"].message
    assert f"its loss is consistently {side}" in found["RK204"].message
    assert found["RK204"].evidence["ratio"] == pytest.approx(skew, rel=0.1)
    assert skipped(example_run(**example_ranks(skew=3.0, steps=99)))["RK204"].startswith("outside the valid range")


def test_a_process_that_is_stuck_shows_by_its_jitter() -> None:
    facts = example_ranks(steps=300)
    for step, (loss, norm) in enumerate(zip(facts["rank_loss"], facts["rank_norm"], strict=True)):
        loss[1] = math.exp(-3.0) * (1 + 1e-3 * (step % 2))  # the middle of what the other has
        norm[1] = math.sqrt(loss[1])
    facts["rank_reduced"] = [[0.9 * sum(own) / 2] * 2 for own in facts["rank_norm"]]
    found = said(**facts)["RK204"]
    assert "process 0 of 2" in found.message
    assert "its change of the loss from step to step is consistently larger" in found.message


def test_neither_noise_nor_trend_nor_heavy_tails_look_like_a_difference() -> None:
    """The ranks of a fair draw do not depend on what is drawn."""
    noise = random.Random(0)
    worst = 0.0
    for trial in range(60):
        size, steps = noise.choice((2, 3, 8)), 200
        spread = noise.choice((1e-3, 0.3, 3.0))
        rows = []
        for step in range(steps):
            common = math.exp(noise.gauss(0.0, 1.0) - 5.0 * step / steps)  # spikes and progress, alike for all
            rows.append([common * math.exp(spread * noise.gauss(0.0, 1.0) ** 3) for _ in range(size)])
        facts = example_run(**example_ranks(processes=size, steps=steps, seed=trial) | {"rank_loss": rows})
        worst = max(worst, *(abs(each.z) for each in leans(facts).values()))
    assert 2.0 < worst < UNFAIR_Z - 1.0


def test_ranks_of_ties_are_shared() -> None:
    assert lean([[1.0, 1.0, 1.0]] * 50).z == 0.0
    assert lean([[1.0, 2.0]] * 36) == Lean(1, 6.0, 36), "of two, the larger one is named"
    assert lean([[2.0, 1.0, 2.0]] * 24).process == 1


def test_steps_without_numbers_are_left_out() -> None:
    facts = example_ranks()
    facts["rank_loss"][5] = [math.nan, 1.0]
    facts["rank_loss"][6] = [math.inf, 1.0]
    assert said(**facts) == {}

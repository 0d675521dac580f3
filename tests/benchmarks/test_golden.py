"""Our scores equal OpenDPD's own: what `make golden` wrote says so, and what it made from a seed is scored again here.

Its code and data are not in the repository, so of the other pairs only the file is read.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.common import RESULTS_PAGE
from benchmarks.golden import ours
from benchmarks.golden.ours import ARENA as ARENA_PROFILE
from benchmarks.golden.ours import LEGACY, SPECTRAL
from benchmarks.golden.run import LIMIT_DB, RESULTS, table
from benchmarks.golden.signals import ARENA, CAPTURES, Case, seeded

SEEDED = list(seeded())
FULL = 14  # scores of a pair under the three profiles; the Arena adds six


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, dict[str, float]]]:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def test_every_pair_was_scored(results: dict[str, Any]) -> None:
    wanted = {f"{name}/{signal}" for name in CAPTURES for signal in ("perturbed", "perturbed, cut", "gmp")}
    wanted |= {f"Arena {ARENA}/{signal}" for signal in ("measured", "gmp", "perturbed")}
    wanted |= {case.name for case in SEEDED}
    assert len(wanted) == 17
    assert results.keys() == wanted


def test_no_two_scores_differ(results: dict[str, dict[str, dict[str, float]]]) -> None:
    scores = {f"{case}: {name}": score for case, found in results.items() for name, score in found.items()}
    assert len(scores) > 200
    for name, score in scores.items():
        # a real error or leakage: no floor, no placeholder
        assert -60 < score["opendpd"] < -5 or name.endswith("power_error_db"), name
        assert score["dpdrun"] - score["opendpd"] == score["difference_db"], name
    assert {name for name, score in scores.items() if not abs(score["difference_db"]) <= LIMIT_DB} == set()


def test_nothing_was_left_out(results: dict[str, Any]) -> None:
    """OpenDPD declines the spectrum of a record shorter than its segment: only the cut copies of APA_200MHz are."""
    for name, found in results.items():
        short = name.startswith("APA_200MHz") and name.endswith("cut")
        arena = name.startswith("Arena") or name == "seeded/perturbed"
        assert len(found) == (7 if short else FULL + 6 if arena else FULL), name
        assert f"{LEGACY}/EVM" in found
        assert (f"{SPECTRAL}/ACLR_L" in found) != short
        assert (f"{ARENA_PROFILE}/evm_db" in found) == arena


@pytest.mark.parametrize("case", SEEDED, ids=lambda case: case.name)
def test_scored_again_from_the_seed(case: Case, results: dict[str, Any]) -> None:
    again, recorded = ours.scores(case), results[case.name]
    assert again.keys() >= recorded.keys()
    assert len(recorded) >= FULL
    for name, score in recorded.items():
        assert again[name] == pytest.approx(score["opendpd"], abs=LIMIT_DB), name


def test_the_page_shows_these_results(results: dict[str, Any]) -> None:
    page = RESULTS_PAGE.read_text(encoding="utf-8")
    shown = page.partition("<!-- begin golden -->\n")[2].partition("\n<!-- end golden -->")[0]
    order = [line.split("|")[1].strip() for line in shown.splitlines()[2:]]
    assert shown == table({name: results[name] for name in order})

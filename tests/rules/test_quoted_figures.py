"""Every figure in dB that a rule quotes from our runs stands in the results that it points to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from benchmarks.regret.curves import curves
from dpdrun.recipe.loader import load_recipe
from dpdrun.rules.engine import Rule, all_rules, find_rule
from dpdrun.rules.pages import page_sections
from dpdrun.rules.regret import measured
from dpdrun.rules.run.pace import LOST_DB

STUDIES = Path(__file__).parents[2] / "benchmarks"
FIGURE = re.compile(r"[-+]?\d+(?:\.\d+)?(?= dB)")
OURS = "11_ours"

# What these rules say of the study "causes", by the name of its row: (shift of the mean over seeds, range over seeds).
CAUSES = {
    "CL001": "clip 200 instead of 1.0",
    "CL010": "clip 200 instead of 1.0",
    "CL101": "clip 200 instead of 1.0",
    "WU010": "no warmup",
    "RG001": "no weight decay",
    "RG101": "no weight decay",
}


def results(study: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((STUDIES / study / "results.json").read_text(encoding="utf-8"))
    assert content
    return content


def over_seeds(name: str) -> list[float]:
    scores = [run["test_nmse_db"] for key, run in results("case_study").items() if key.rpartition("/")[0] == name]
    assert scores, f"no result called {name}"
    return scores


def spread(scores: list[float]) -> float:
    return max(scores) - min(scores)


def text_of(rule: Rule) -> str:
    """What the rule says on its page, but for the made-up example, and in its finding."""
    sections = page_sections(rule)
    said = rule.verdict(rule.fires()) if rule.purpose == "derive" else None  # of a run they are the run's own
    pages = [text for name, text in sections.items() if name != "Example"]
    return " ".join(" ".join([*pages, "" if said is None else getattr(said, "message", "")]).split())


@pytest.mark.parametrize(("code", "cause"), CAUSES.items())
def test_shift_is_that_of_the_table(code: str, cause: str) -> None:
    scores = over_seeds(cause)
    assert len(scores) == 3
    shift = mean(scores) - mean(over_seeds(OURS))
    assert f" {shift:+.2f} dB" in text_of(find_rule(code))


@pytest.mark.parametrize(("code", "cause"), CAUSES.items())
def test_scatter_is_quoted_with_the_shift(code: str, cause: str) -> None:
    """A shift means nothing without the range of the seeds: the wider of the two that are compared."""
    scatter = max(spread(over_seeds(cause)), spread(over_seeds(OURS)))
    assert f" {scatter:.2f} dB" in text_of(find_rule(code))


def allowed_figures() -> Iterator[str]:
    """All figures of the studies, as they may be quoted."""
    names = {key.rpartition("/")[0] for key in results("case_study")}
    for name in names:
        scores = over_seeds(name)
        yield from (f"{mean(scores):.2f}", f"{mean(scores) - mean(over_seeds(OURS)):+.2f}", f"{spread(scores):.2f}")
    for run in results("learning_rate").values():
        yield f"{run['val_nmse_db']:.2f}"
    yield from oracles().values()


@lru_cache(maxsize=1)
def oracles() -> dict[str, str]:
    """The best that a learning rate can do, of every workload of the regret study [dB]."""
    found = {curve.workload.name: f"{curve.oracle[1]:.2f}" for curve in curves(results("regret"))}
    assert found
    return found


# Not from our runs: scores by definition (DM201), sizes that a loss is judged by (LR010, LR102), dropout against a
# target (RG103), a loss that is worth a word (LR204).
BY_DEFINITION = {
    "DM201": {"0", "+3"},
    "LR010": {f"{measured()['expected']['tie_db']:g}"},
    "LR102": {f"{measured()['expected']['lost_db']:g}"},
    "LR204": {f"{LOST_DB:g}"},
    "RG103": {"-10", "-30", "-35"},
}
# Their figures are generated from the study (regret.json), not written by hand.
GENERATED = {f"docs/results.md#{name}" for name in ("regret", "what-each-rule-is-worth")}
# What was measured of them is how often they are right: counts, in a table.
COUNTED = {"docs/results.md#processes-that-disagree"}


# Measured by a few commands; the figures stand in this section of docs/results.md, next to them.
BY_COMMAND = {"MD103": "Envelope of a GRU", "DM205": "PA models that judge"}


def figures_of_section(title: str) -> set[str]:
    text = (STUDIES.parent / "docs" / "results.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert section, f"docs/results.md has no section {title}"
    return {*FIGURE.findall(section), *re.findall(r"(?<=\| )[-+]?\d+\.\d+", section)}


def quoting() -> list[str]:
    codes = [code for code, rule in all_rules().items() if rule.evidence == "measured"]
    assert codes
    return sorted({*codes, *CAUSES})


@pytest.mark.parametrize("code", quoting())
def test_no_figure_is_quoted_that_no_study_has(code: str) -> None:
    known = {*allowed_figures(), *BY_DEFINITION.get(code, set())}
    if code in BY_COMMAND:
        known |= figures_of_section(BY_COMMAND[code])
    quoted = FIGURE.findall(text_of(find_rule(code)))
    assert quoted or find_rule(code).results in GENERATED | COUNTED
    assert [figure for figure in quoted if figure not in known] == []


@pytest.mark.parametrize(
    ("name", "figure"), [("00_as_it_was", "5.85"), ("01_lr_runs", "-1.90"), ("02_scored_as_trained", "-14.41")]
)
def test_failed_transformer_is_that_of_the_case_study(name: str, figure: str) -> None:
    assert f"{mean(over_seeds(name)):.2f}" == figure
    assert f"{figure} dB" in text_of(find_rule("DM201"))


@pytest.mark.parametrize(
    ("code", "workloads"),
    [
        ("SZ011", [f"apa-transformer-d{width}-l2-t400-b8" for width in (8, 32, 64)]),
        ("SZ013", [f"apa-transformer-d16-l{layers}-t400-b8" for layers in (1, 2, 4)]),
        ("SZ016", [f"apa-gru-h{units}-l1-t400-b32" for units in (8, 16, 32, 64)]),
    ],
)
def test_sizes_are_those_of_the_regret_study(code: str, workloads: list[str]) -> None:
    assert find_rule(code).results is not None
    quoted = FIGURE.findall(text_of(find_rule(code)))
    assert [figure for figure in quoted if figure in {oracles()[name] for name in workloads}] == [
        oracles()[name] for name in workloads
    ]


def test_steps_of_the_shipped_recipes() -> None:
    files = [path for path in (STUDIES.parent / "recipes").glob("*.yaml") if path.name != "pipeline.yaml"]
    recipes = [load_recipe(path).recipe.train.max_steps for path in files]
    steps = [each for each in recipes if isinstance(each, int)]
    assert len(steps) > 3
    assert f"{min(steps)} to {max(steps):,} steps" in text_of(find_rule("TL001"))

"""What holds for every rule: a page, a source, examples that fire and stay silent, patches that the schema knows."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.describe import field_docs
from dpdrun.recipe.schema import GRUModel, Recipe
from dpdrun.rules import pages
from dpdrun.rules.advice import advised_sizes, derivable, derive
from dpdrun.rules.engine import HEADINGS, Finding, Rule, all_rules, evaluate_rules
from dpdrun.rules.facts.plan import KEY_OF, SIZE_KEY_OF, PlanFacts
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.rules.facts.words import PLUG_IN

ROOT = Path(__file__).parents[1]
RULES = list(all_rules().values())
FIELDS = {doc.key for doc in field_docs()}

# A slug names the decision or the problem, never the cure.
FORBIDDEN = ("use_*", "set_*", "fix_*", "lower_*", "raise_*", "increase_*", "reduce_*", "add_*", "check_*", "avoid_*")

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)


@each_rule
def test_code_says_the_purpose(rule: Rule) -> None:
    assert re.fullmatch(r"[A-Z]{2}[0-2][0-9]{2}", rule.code)
    assert bool(rule.sets) == (rule.purpose == "derive")


@each_rule
def test_slug_names_the_problem(rule: Rule) -> None:
    assert not any(fnmatch.fnmatch(rule.slug, pattern) for pattern in FORBIDDEN)


def test_slugs_are_unique() -> None:
    slugs = [rule.slug for rule in RULES]
    assert len(slugs) == len(set(slugs))


@each_rule
def test_page_has_every_heading_in_order(rule: Rule) -> None:
    text = pages.page_sections(rule)
    assert tuple(text) == ("", *HEADINGS)
    assert all(text.values()), "an empty section"
    assert text[""] == rule.summary, "the text before the first heading is one line"
    assert rule.summary.endswith(".")


@each_rule
def test_has_a_source(rule: Rule) -> None:
    assert len(rule.source) > 10


@each_rule
def test_measured_points_into_the_results(rule: Rule) -> None:
    if rule.evidence != "measured":
        assert rule.results is None
        return
    assert rule.results is not None
    file, _, anchor = rule.results.partition("#")
    assert file == "docs/results.md"
    section = _sections_of_results().get(anchor)
    assert section is not None, f"{file} has no section #{anchor}"
    assert ROWS.search(section), f"{file}#{anchor} has no table row: run its study"


def test_generated_tables_are_filled() -> None:
    """docs/results.md gets its tables from the studies; one that was never written must not look like a result."""
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    tables = dict(re.findall(r"<!-- begin ([a-z-]+) -->\n(.*?)<!-- end \1 -->", text, flags=re.DOTALL))
    assert {"case-study", "case-study-causes", "learning-rate", "recipes"} <= set(tables)
    assert [name for name, table in tables.items() if not ROWS.search(table)] == []


ROWS = re.compile(r"^\|---.*\n\| *\S", flags=re.MULTILINE)  # the line under a header, and a row below it


def _sections_of_results() -> dict[str, str]:
    """docs/results.md by the anchor of each heading of level 2."""
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    anchors = [re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in parts[1::2]]
    return dict(zip(anchors, parts[2::2], strict=True))


@each_rule
def test_example_fires(rule: Rule) -> None:
    outcome, _ = evaluate_rules([rule], rule.fires())
    assert [finding.code for finding in outcome.findings] == [rule.code]
    assert outcome.findings[0].message


@each_rule
@pytest.mark.parametrize("kind", ["gru", PLUG_IN])
def test_advice_names_no_field_that_the_kind_lacks(rule: Rule, kind: str) -> None:
    """Unless it says of which kind a field is."""
    if rule.purpose == "diagnose":
        outcome, _ = evaluate_rules([rule], replace(rule.fires(), kind=kind))
        advice = " ".join(finding.advice or "" for finding in outcome.findings)
        fields_named = set(re.findall(r"model\.([a-z_]+)", advice)) - {"kind"}
        known = set(GRUModel.model_fields) if kind == "gru" else set()
        assert fields_named <= known or "transformer" in advice, advice


@each_rule
def test_example_stays_silent(rule: Rule) -> None:
    outcome, _ = evaluate_rules([rule], rule.silent())
    assert not outcome.findings


@each_rule
def test_silent_diagnosis_has_looked(rule: Rule) -> None:
    """A rule about a run or a plan is silent because it looked, not because a fact was missing."""
    if rule.purpose != "derive":
        outcome, _ = evaluate_rules([rule], rule.silent())
        assert outcome.silent == [rule.code], outcome.skipped


@each_rule
def test_facts_are_those_of_the_purpose(rule: Rule) -> None:
    kind = RunFacts if rule.purpose == "diagnose" else PlanFacts
    assert isinstance(rule.fires(), kind)
    assert isinstance(rule.silent(), kind)


@each_rule
def test_every_fact_that_it_takes_has_its_words(rule: Rule) -> None:
    facts = rule.fires()
    for name in (*rule.needs, *rule.uses):
        assert facts.words(name)
        facts.get(name)


def test_every_fact_is_declared_with_words() -> None:
    for kind in (PlanFacts, RunFacts, SignalFacts):
        assert fields(kind)
        assert [field.name for field in fields(kind) if not field.metadata.get("words")] == []
    assert not {field.name for field in fields(RunFacts)} & {field.name for field in fields(SignalFacts)}


@each_rule
def test_page_names_the_note_before_it_says_the_note(rule: Rule) -> None:
    text = " ".join(f"{rule.summary} {rule.source} {rule.doc}".split())
    first = re.search(r"\b[Nn]ote\b(?!`)", text)
    assert first is None or text[: first.end()].lower().endswith("the founding transformer note"), text[: first.end()]


@each_rule
def test_requirements_exist_and_have_the_same_purpose(rule: Rule) -> None:
    known = all_rules()
    assert all(known[code].purpose == rule.purpose for code in rule.requires)


@each_rule
def test_patch_is_in_the_schema(rule: Rule) -> None:
    finding = _fired(rule)
    assert set(finding.patch) <= FIELDS
    if rule.purpose == "derive":
        assert list(finding.patch) == [rule.sets]
    else:
        assert rule.sets is None
        assert (rule.fix == "none") == (not finding.patch), "a fix is a patch and a patch is a fix"


@each_rule
def test_patch_is_a_value_that_the_schema_accepts(rule: Rule) -> None:
    finding = _fired(rule)
    of_kind = {"gru": {"hidden": 4}, "gmp": dict[str, int]()}
    kind = rule.fires().get("kind") if rule.fires().get("kind") in of_kind else "transformer"
    sizes = of_kind.get(kind, {"d_model": 8, "layers": 1, "heads": 1, "window": 4})
    content: dict[str, Any] = {"data": {"source": "x"}, "model": {"kind": kind, **sizes}}
    for key, value in finding.patch.items():
        *sections, leaf = key.split(".")
        at = content
        for section in sections:
            at = at.setdefault(section, {})
        at[leaf] = value
    recipe = Recipe.model_validate({"task": "pa", **content})
    assert all(values_of(recipe)[key] == value for key, value in finding.patch.items())


@each_rule
def test_check_rules_name_the_fields_that_they_judge(rule: Rule) -> None:
    assert set(rule.about) <= FIELDS
    assert bool(rule.about) == (rule.purpose == "check"), "a linter has to know the line"


@each_rule
def test_warnings_say_what_to_do(rule: Rule) -> None:
    finding = _fired(rule)
    if rule.purpose != "derive":
        assert finding.advice
    else:
        assert finding.severity == "info"


JOBS = [
    PlanFacts(kind=kind, layers=layers, samples=samples, batch=batch, epochs=epochs, **size)
    for (kind, layers, size), samples, batch, epochs in product(
        [
            *(
                ("transformer", 2, {"d_model": d, "window": 32, "conv": 4})
                for d in (1, 8, 16, 32, 100, 200, 511, 512, 4096)
            ),
            *(("gru", 1, {"hidden": h}) for h in (1, 8, 23, 32, 33, 1000)),
            ("transformer", 1, {"d_model": 64, "window": float("inf")}),
        ],
        (600, 58_980, 2_000_000),
        (None, 1, 256),
        (None, 0.5, 300.0),
    )
]


@pytest.mark.parametrize("profile", ["note", "measured"])
def test_every_field_is_set_by_exactly_one_rule(profile: str) -> None:
    assert JOBS
    for facts in JOBS:
        advice = derive(facts, profile)  # raises where two rules set one field
        given = {KEY_OF[name] for name in ("batch", "epochs") if facts.get(name) is not None}
        assert set(advice.opinions) == set(derivable()) - given, facts


# Before anything but the data is known: what the rules on sizes are for.
LOOKED_AT = [
    PlanFacts(kind=kind, samples=samples, memory=memory, ahead=ahead, polynomial_db=-38.0, noise_floor_db=floor)
    for kind, samples, memory, ahead, floor in product(
        ("transformer", "gru"), (300, 58_980), (1, 20, 2048), (0, 6), (None, -38.1, -45.0)
    )
]


def test_data_settle_every_size_by_exactly_one_rule() -> None:
    assert LOOKED_AT
    for facts in LOOKED_AT:
        advice = derive(facts, "measured")
        assert set(advice.opinions) == {*advised_sizes(facts.kind), *derivable()}, facts
        assert not derive(facts, "note").opinions.keys() & set(SIZE_KEY_OF.values())


@pytest.mark.parametrize("profile", ["note", "measured"])
def test_every_derive_rule_is_used_somewhere(profile: str) -> None:
    unknown_length = PlanFacts(kind="transformer", d_model=512)
    used = {
        opinion.rule
        for facts in [*JOBS, *LOOKED_AT, unknown_length, PlanFacts(kind="gmp", memory=16), PlanFacts(kind=PLUG_IN)]
        for opinion in derive(facts, profile).opinions.values()
    }
    asked = {rule.code for rule in RULES if rule.purpose == "derive" and rule.profile in (profile, "both")}
    assert used == asked


def test_docs_are_current() -> None:
    folder = ROOT / "docs" / "rules"
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    assert on_disk == pages.pages(), "run: make docs"


def _fired(rule: Rule) -> Finding:
    outcome, _ = evaluate_rules([rule], rule.fires())
    return outcome.findings[0]

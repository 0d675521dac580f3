"""Findings at their lines, and fixes: what is changed, in which order, and that nothing is left to fix."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dpdrun.errors import RecipeError
from dpdrun.pipeline.document import is_pipeline
from dpdrun.plan.lint import Lint, LintFinding, count, fix, lint, locate_findings, reaches
from dpdrun.plan.plan import make_plan
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.loader import Loaded, load_recipe, load_text
from dpdrun.recipe.patch import render
from dpdrun.rules.advice import derive, opinion_on
from dpdrun.rules.engine import Finding, all_rules
from dpdrun.rules.facts.plan import PlanFacts

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if not is_pipeline(path))
CASE_STUDY = sorted((ROOT / "recipes" / "case_study").glob("*.yaml"))
APA_SAMPLES = 58_980

FAULTY = """\
# my amplifier
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 32, layers: 2, heads: 4, window: 32, dropout: 0.2}  # from a book

optim:
  lr: 1e-4        # never higher
  clip_norm: 200  # as before
  weight_decay: 0.01
  warmup: 600
train:
  max_steps: 2000
"""


def codes(found: Lint) -> list[str]:
    return [finding.code for finding in found.findings]


def look(samples: int | None = APA_SAMPLES) -> Callable[[Loaded], Lint]:
    return lambda loaded: lint(loaded, PlanFacts.of_recipe(loaded.recipe, samples))


def test_each_finding_is_placed_at_its_key() -> None:
    found = lint(load_text(FAULTY, "r.yaml"))
    places = {(f.code, f.key): (f.path, f.line, f.column) for f in found.findings}
    assert places["RG103", "model.dropout"] == ("r.yaml", 4, 74)
    assert places["CL101", "optim.clip_norm"] == ("r.yaml", 8, 3)
    assert places["WU101", "optim.warmup"] == ("r.yaml", 10, 3)
    lines = [finding.line for finding in found.findings]
    assert lines == sorted(lines)


def test_a_finding_about_a_default_is_placed_at_its_section() -> None:
    text = FAULTY.replace("window: 32", "window: full, positions: none").replace("2000", "2000\n  frame: 200")
    finding = next(f for f in lint(load_text(text)).findings if f.code == "EV101")
    assert (finding.line, finding.key) == (4, "model.window"), "eval_on is not in the file"
    text = FAULTY.replace("  max_steps: 2000\n", "  seed: 1\n").replace("warmup: 600", "warmup: 7%")
    facts = PlanFacts.of_recipe(load_text(text).recipe, 1)
    finding = next(f for f in lint(load_text(text), replace(facts, epochs=1)).findings if f.code == "TL101")
    assert (finding.line, finding.column) == (11, 1), "train:"


def test_finding_has_the_source_of_its_rule() -> None:
    found = lint(load_text(FAULTY)).findings
    assert found
    assert all(finding.source == all_rules()[finding.code].source for finding in found)
    content = found[0].to_json()
    assert {"code", "severity", "message", "patch", "fix", "path", "line", "column", "key", "source"} <= set(content)


def test_what_the_rules_set_themselves_is_not_fixed() -> None:
    said = Finding("m", {"optim.weight_decay": "off"}, code="RG101", fix="safe")
    for by_rules, expected in (({"optim.weight_decay"}, "none"), (set(), "safe")):
        (finding,) = locate_findings(load_text(FAULTY), [said], by_rules)
        assert finding.fix == expected


def test_override_is_not_fixed_in_the_file() -> None:
    loaded = load_text(FAULTY, "r.yaml", ["optim.warmup=700"])
    found = {f.code: f for f in lint(loaded).findings}
    assert "700 of 2000" in found["WU101"].message
    assert found["WU101"].fix == "none"
    assert found["CL101"].fix == "unsafe"


def test_patch_that_makes_no_recipe_is_no_fix() -> None:
    text = FAULTY.replace("window: 32", "window: full, positions: none")
    patch = {"model.positions": "relative"}
    (finding,) = locate_findings(load_text(text), [Finding("m", patch, "warning", code="MD102", fix="unsafe")], set())
    assert finding.fix == "none", "relative positions need a window"
    assert finding.patch == patch


def test_safe_fixes_change_nothing_else() -> None:
    done = fix(load_text(FAULTY), look())
    assert [f.code for f in done.applied] == ["RG101"]
    assert done.loaded.text == FAULTY.replace("weight_decay: 0.01", "weight_decay: off")
    assert count(done.left.findings, "safe") == 0
    assert count(done.left.findings, "unsafe") == 4


def test_unsafe_fixes_keep_comments_and_order() -> None:
    done = fix(load_text(FAULTY), look(), unsafe=True)
    expected = FAULTY
    for old, new in {
        "dropout: 0.2}  # from": "dropout: off}  # dropout was 0.2: from",
        "lr: 1e-4        # never": f"lr: {done.loaded.recipe.optim.lr}        # was 1e-4: never",
        "clip_norm: 200  # as": "clip_norm: 1  # was 200: as",
        "warmup: 600": "warmup: 5%",
    }.items():
        expected = expected.replace(old, new)
    assert done.loaded.text == expected
    assert [f.fix for f in done.left.findings if f.fix != "none"] == []


def test_more_severe_goes_first_then_the_lower_code() -> None:
    done = fix(load_text(FAULTY.replace("600", "2000")), look(), unsafe=True)
    assert [f.code for f in done.applied] == ["WU101", "CL101", "LR102", "RG103"]
    assert done.applied[0].severity == "error"


def test_a_second_fix_of_a_key_is_decided_again() -> None:
    """Two rules would lower the same clip; after the first one the other is asked again."""
    asked: list[float] = []

    def both(loaded: Loaded) -> Lint:
        clip = values_of(loaded.recipe)["optim.clip_norm"]
        asked.append(clip)
        findings = [
            Finding("m", {"optim.clip_norm": new}, severity, code=code, fix="unsafe")
            for code, severity, limit, new in (("CL101", "warning", 100.0, 90.0), ("BT101", "info", 50.0, 40.0))
            if clip > limit
        ]
        return Lint("", locate_findings(loaded, findings, set()), [])  # type: ignore[arg-type]

    done = fix(load_text(FAULTY), both, unsafe=True)
    assert [(f.code, f.patch["optim.clip_norm"]) for f in done.applied] == [("CL101", 90.0), ("BT101", 40.0)]
    assert asked == [200.0, 90.0, 40.0]


OPENDPD_LIKE = """\
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 512, layers: 1, heads: 8, window: 32}
optim: {lr: 1e-4, beta2: 0.999, warmup: 1000}
train: {max_steps: 2000, batch_size: 256}
"""


def test_consequences_of_other_fixes_are_reported() -> None:
    """With a warmup of 1000 AdamW's memory is no matter; once that is 150 steps, it is."""
    loaded = load_text(OPENDPD_LIKE)
    assert "WU104" not in codes(look()(loaded))
    done = fix(loaded, look(), unsafe=True)
    assert [finding.code for finding in done.followed] == ["WU104"]
    assert "WU104" in [finding.code for finding in done.applied]
    assert fix(load_text(FAULTY), look(), unsafe=True).followed == []


def test_after_the_fixes_the_rules_would_set_the_same() -> None:
    for text in (FAULTY, OPENDPD_LIKE, OPENDPD_LIKE.replace("optim:", "rules: note\noptim:")):
        before = load_text(text)
        after = fix(before, look(), unsafe=True).loaded.recipe
        facts = PlanFacts.of_recipe(after, APA_SAMPLES)
        ours = opinion_on("optim.warmup", facts, after.rules)
        assert ours is not None
        assert ours.value == after.optim.warmup
        if after.optim.beta2 != before.recipe.optim.beta2:
            memory = opinion_on("optim.beta2", facts, after.rules)
            assert memory is not None
            assert memory.value == after.optim.beta2


def test_rules_that_undo_each_other_come_to_an_end() -> None:
    def undecided(loaded: Loaded) -> Lint:
        other = 1.0 if values_of(loaded.recipe)["optim.clip_norm"] != 1.0 else 200.0
        finding = Finding("m", {"optim.clip_norm": other}, "warning", code="CL101", fix="unsafe")
        return Lint("", locate_findings(loaded, [finding], set()), [])

    done = fix(load_text(FAULTY), undecided, unsafe=True)
    assert len(done.applied) == 1
    assert count(done.left.findings, "unsafe") == 1


def test_skipped_rules_say_what_they_lack() -> None:
    skipped = {
        skip.code: skip.reason for skip in lint(load_text(FAULTY.replace("  max_steps: 2000\n", "  seed: 1\n"))).skipped
    }
    assert skipped["TL101"] == "needs the length of the run"


def test_reaches() -> None:
    found = lint(load_text(FAULTY))
    assert reaches(found.findings, "warning")
    assert not reaches(found.findings, "error")
    assert reaches(lint(load_text(FAULTY.replace("600", "2000"))).findings, "error")
    assert not reaches([], "info")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_have_no_findings(path: Path) -> None:
    assert len(SHIPPED) > 5
    loaded = load_recipe(path)
    for samples in (20_000, APA_SAMPLES):
        assert lint(loaded, PlanFacts.of_recipe(loaded.recipe, samples)).findings == []


def test_a_remark_on_a_fixed_value_says_of_which_value_it_was() -> None:
    text = fix(load_text(FAULTY), look(), unsafe=True).loaded.text
    assert "  # was 200: as before" in text
    assert "  # dropout was 0.2: from a book" in text
    assert text.count("was 200") == 1


def test_case_study_loses_its_faults_step_by_step() -> None:
    """What each step of docs/results.md removed is found before it, and not after it."""
    steps = {path.name[:2]: set(codes(look()(load_recipe(path)))) for path in CASE_STUDY}
    assert len(steps) == 12
    assert {"MD102", "RG103", "EV101", "OP101"} <= steps["00"]
    for code, gone in {"EV101": "02", "MD102": "03", "RG103": "06", "SC102": "09", "OP101": "11"}.items():
        before = f"{int(gone) - 1:02d}"
        assert code in steps[before], code
        assert [step for step in steps if step >= gone and code in steps[step]] == [], code
    assert not steps["11"], "ours"


# A recipe of any values, each field there or not, as YAML.
MODELS = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("transformer"),
            "d_model": st.sampled_from([4, 16, 64, 512, 2048]),
            "layers": st.integers(1, 6),
            "heads": st.just(2),
            "window": st.integers(1, 300) | st.just("full"),
            "positions": st.sampled_from(["none", "sinusoidal"]),
        },
        optional={
            "dropout": st.sampled_from(["off", 0.1, 0.5]),
            "embedding": st.sampled_from(["linear", "layernorm_mlp"]),
            "conv": st.integers(0, 9),
        },
    ),
    st.fixed_dictionaries({"kind": st.just("gru"), "hidden": st.sampled_from([2, 23, 500])}),
)
OPTIM = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.sampled_from([1e-6, 3e-4, 1e-3, 2e-2, 1.0]),
        "beta2": st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999]) | st.floats(0.0, 0.9999),
        "eps": st.sampled_from([1e-12, 1e-8, 1e-5, 1e-3]),
        "weight_decay": st.sampled_from(["off", 1e-4, 0.01, 1.0, 100.0]),
        "clip_norm": st.sampled_from(["off", 1e-6, 0.01, 1.0, 50.0, 200.0]),
        "warmup": st.sampled_from(["off", "0%", "0.1%", "2%", "7.5%", "10%", "60%", "100%"]) | st.integers(1, 3000),
        "schedule": st.sampled_from(["cosine", "linear", "plateau", "constant", "inverse_sqrt"]),
    },
)
LENGTH = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"max_steps": st.sampled_from([1, 5, 19, 20, 37, 199, 200, 500, 2000, 50_000])}),
    st.fixed_dictionaries({"epochs": st.sampled_from([0.5, 3, 20, 100, 1000])}),
)
TRAIN = st.fixed_dictionaries(
    {},
    optional={
        "batch_size": st.sampled_from([1, 8, 64, 256]),
        "frame": st.sampled_from([2, 17, 64, 200, 256, 1000, 4096]),
        "burn_in": st.sampled_from([0, 1, 16, 64, 300]),
        "eval_every": st.sampled_from([1, 20, 400]),
        "eval_on": st.sampled_from(["record", "frame"]),
        "precision": st.sampled_from(["fp32", "bf16"]),
    },
)
GUARDS = st.sampled_from([None, 0, 10, 256])


def recipe_text(rules: str, guard: int | None, sections: dict[str, dict[str, Any]]) -> str:
    lines = ["# a recipe", "task: pa", f"rules: {rules}  # which", "data:", "  source: x"]
    if guard is not None:
        lines += ["  split:", f"    guard: {guard}  # apart"]
    for name, content in sections.items():
        lines += [f"{name}:  # {name}"] if content else []
        lines += [
            f"  {key}: {value if value in ('on', 'off') else render(value)}  # {key}" for key, value in content.items()
        ]
    return "\n".join(lines) + "\n"


@settings(max_examples=100)
@given(
    model=MODELS,
    optim=OPTIM,
    length=LENGTH,
    train=TRAIN,
    guard=GUARDS,
    rules=st.sampled_from(["measured", "note"]),
    samples=st.sampled_from([None, 600, 5000, APA_SAMPLES]),
    unsafe=st.booleans(),
)
def test_after_fixing_there_is_nothing_to_fix(
    model: dict[str, Any],
    optim: dict[str, Any],
    length: dict[str, Any],
    train: dict[str, Any],
    guard: int | None,
    rules: str,
    samples: int | None,
    unsafe: bool,
) -> None:
    text = recipe_text(rules, guard, {"model": model, "optim": optim, "train": length | train})
    try:
        loaded = load_text(text)
    except RecipeError:
        assume(False)
    done = fix(loaded, look(samples), unsafe=unsafe)
    again = look(samples)(load_text(done.loaded.text))
    assert again.to_json() == done.left.to_json()
    wanted = ("safe", "unsafe") if unsafe else ("safe",)
    assert [finding for finding in again.findings if finding.fix in wanted] == []
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    kept = [line.partition("#")[2] for line in done.loaded.text.splitlines() if "#" in line]
    assert [re.sub(r"^ (\w+ )?was [^:]+:", "", comment) for comment in kept] == comments
    if samples is not None and _plans(loaded, samples):
        assert _plans(done.loaded, samples), "a fix must not break a plan"


def _plans(loaded: Loaded, samples: int) -> bool:
    try:
        make_plan(loaded.recipe, samples, given=loaded.given)
    except RecipeError:
        return False
    return True


def test_a_finding_of_a_rule_without_a_field_is_placed_at_the_top() -> None:
    (finding,) = locate_findings(load_text(FAULTY), [Finding("m", code="LR001")], set())
    assert isinstance(finding, LintFinding)
    assert (finding.line, finding.column, finding.fix) == (1, 1, "none")


SIZES: list[dict[str, Any]] = [
    *({"kind": "transformer", "d_model": d, "layers": 2, "window": 32, "conv": 4} for d in (8, 64, 256, 512, 2048)),
    *({"kind": "gru", "hidden": h, "layers": 1} for h in (8, 23, 500)),
]


@pytest.mark.parametrize("steps", [1000, 1954, 8000])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_rules_do_not_warn_of_what_rules_set(size: dict[str, Any], steps: int) -> None:
    facts = PlanFacts(**size, max_steps=steps, patience=5, eval_on="record", dropout=0.0, precision="fp32")
    assert derive(facts, "note").warnings == [], "the note is kept exactly"
    ours = derive(facts, "measured").warnings
    assert [finding for finding in ours if finding.severity != "info"] == []
    assert {finding.code for finding in ours} <= {"RG101", "LR103"}, "where all we have is the note's"

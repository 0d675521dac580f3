"""How a finding is shown: its line, its text, and the entries that every format prints."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from rich.console import Console

from dpdrun.plan.lint import LintFinding
from dpdrun.report.findings import (
    COLOUR,
    EVIDENCE_STYLE,
    STYLE,
    by_reason,
    finding_entries,
    finding_head,
    finding_line,
    finding_text,
    finding_view,
    named,
    numbers_of,
    patch_text,
    severity_counts,
    why_of,
)  # fmt: skip
from dpdrun.rules.engine import SEVERITIES, Finding, Skipped, all_rules

CLIMBS = Finding(
    "the norm [seen] climbs", {"optim.lr": 5e-3}, "warning", 21, {"value": 0.6}, "lower optim.lr", "GN201",
    "gradient_norm_climbs",
)  # fmt: skip
LINTED = LintFinding(
    "it does nothing", {"optim.weight_decay": "off"}, advice="switch it off", code="RG101", slug="idle", fix="safe",
    path="r.yaml", line=7, column=3, source="a paper",
)  # fmt: skip


def printed(renderable: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_line_has_when_what_and_the_advice_if_there_is_one() -> None:
    line = finding_line(CLIMBS, "epoch 7")
    what = "warning GN201 gradient_norm_climbs: the norm [seen] climbs"
    assert line.plain == f"epoch 7: {what}; advice: lower optim.lr" == CLIMBS.as_line("epoch 7")
    assert finding_line(replace(CLIMBS, advice="")).plain == what


def test_only_the_severity_is_coloured() -> None:
    for where in ("", "step 1"):
        line = finding_line(CLIMBS, where)
        assert [line.plain[span.start : span.end] for span in line.spans] == ["warning"]


def test_the_text_of_a_run_has_evidence_reason_advice_and_recipe() -> None:
    first, evidence, why, advice, recipe = finding_text(CLIMBS, "epoch").plain.split("\n")
    assert first == "warning GN201 gradient_norm_climbs: the norm [seen] climbs (from epoch 21)"
    assert evidence == "  evidence: value 0.6"
    assert why == f"  why: {why_of('GN201', sentences=2)}"
    assert advice == "  advice: lower optim.lr"
    assert recipe == "  recipe: optim.lr: 5e-3"


def test_the_text_of_a_recipe_begins_with_the_place_and_ends_with_the_fix() -> None:
    assert finding_text(LINTED).plain.split("\n") == [
        "r.yaml:7:3: info RG101 idle: it does nothing",
        "  advice: switch it off",
        "  source: a paper",
        "  safe fix: optim.weight_decay: off",
    ]
    assert "fix" not in "".join(finding_entries(replace(LINTED, fix="none")))


def test_a_view_has_the_words_of_the_text_and_continues_indented() -> None:
    lines = printed(finding_view(CLIMBS), width=40).splitlines()
    assert " ".join(" ".join(lines).split()) == " ".join(finding_text(CLIMBS).plain.split())
    entries = lines[next(i for i, line in enumerate(lines) if "evidence" in line) :]
    assert len(entries) > 4
    assert all(re.match(r"  \S", line) for line in entries)


def test_a_finding_about_the_complete_run_has_no_step() -> None:
    assert "from" not in finding_head(replace(CLIMBS, step=None)).plain


def test_counts_are_from_the_worst() -> None:
    findings = [replace(CLIMBS, severity=each) for each in ("info", "warning", "error", "warning", "info")]
    assert severity_counts(findings).plain == "1 error, 2 warnings, 2 info"
    assert not severity_counts([])


def test_every_severity_and_every_evidence_has_a_colour() -> None:
    assert set(SEVERITIES) == set(COLOUR) <= set(STYLE)
    assert {rule.evidence for rule in all_rules().values()} <= set(EVIDENCE_STYLE)


def test_numbers_are_short() -> None:
    finding = Finding("x", evidence={"value": 0.123456, "p": 1e-20, "n": 400, "worst_step": 7, "pattern": "stuck"})
    assert numbers_of(finding) == "value 0.1235, p < 0.0001, n 400, worst step 7, pattern stuck"


def test_why_is_of_the_page() -> None:
    rules = [rule for rule in all_rules().values() if rule.purpose == "diagnose"]
    assert len(rules) > 5
    for rule in rules:
        long, short = why_of(rule.code), why_of(rule.code, sentences=1)
        assert long
        assert "\n" not in long
        assert short.endswith(".")
        assert long.startswith(short.removesuffix("."))
    assert why_of("XX999", sentences=1) == "", "the rule of another version"


def test_patch_and_name() -> None:
    assert patch_text(Finding("x", {"optim.lr": 3e-3, "optim.clip_norm": 1.0})) == "optim.lr: 3e-3, optim.clip_norm: 1"
    assert patch_text(Finding("x")) == ""
    assert named("GN201") == "GN201 gradient_norm_climbs"


def test_skipped_rules_of_one_reason_stand_together() -> None:
    skipped = [Skipped("a", "X1"), Skipped("b", "X2"), Skipped("a", "X3")]
    assert by_reason(skipped) == {"a": ["X1", "X3"], "b": ["X2"]}

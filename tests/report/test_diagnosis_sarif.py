"""SARIF 2.1.0: the properties that the standard requires (section numbers of the OASIS text)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.diagnose import diagnose_any, diagnose_facts
from dpdrun.report.diagnosis_sarif import diagnosis_sarif
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts

RUN = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, clip_norm=200.0)


def check(log: dict[str, Any]) -> list[dict[str, Any]]:
    """Asserts the required structure; returns the results."""
    json.dumps(log, allow_nan=False)
    assert log["version"] == "2.1.0"  # 3.13.2
    assert log["$schema"].startswith("https://")  # 3.13.3
    (run,) = log["runs"]  # 3.13.4
    driver = run["tool"]["driver"]  # 3.14.6, 3.18.2
    assert driver["name"] == "dpdrun"  # 3.19.8
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", driver["semanticVersion"])  # 3.19.12
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")  # 3.14.17
    assert all(type(call["executionSuccessful"]) is bool for call in run["invocations"])  # 3.20.14
    ids = [rule["id"] for rule in driver["rules"]]  # 3.49.3
    assert len(ids) == len(set(ids)) > 0
    for rule in driver["rules"]:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", rule["name"])  # 3.49.7: an identifier that people can read
        for key in ("shortDescription", "fullDescription", "help"):  # 3.12: each is a message with text
            assert rule[key]["text"]
    results: list[dict[str, Any]] = run["results"]  # 3.14.23
    for result in results:
        assert result["message"]["text"]  # 3.27.11
        assert result["level"] in ("none", "note", "warning", "error")  # 3.27.10
        assert ids[result["ruleIndex"]] == result["ruleId"]  # 3.27.5, 3.27.6
        for location in result["locations"]:  # 3.27.12
            physical = location["physicalLocation"]
            uri = physical["artifactLocation"]["uri"]  # 3.4.3: a valid URI reference
            assert re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", uri)
            assert all(type(n) is int and n >= 1 for n in physical.get("region", {}).values())  # 3.30.5
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())  # 3.27.17
    return results


def test_findings_of_facts(tmp_path: Path) -> None:
    this = diagnose_facts(RUN)
    results = check(diagnosis_sarif(this, tmp_path / "a run"))
    assert [result["ruleId"] for result in results] == [finding.code for finding in this.findings]
    by_code = {result["ruleId"]: result for result in results}
    assert by_code["GN201"]["level"] == "warning"
    assert by_code["CL202"]["level"] == "note"
    assert by_code["GN201"]["properties"]["step"] == 21
    assert "lower optim.lr" in by_code["GN201"]["message"]["text"]


def test_a_finding_of_a_run_lies_at_its_recipe_line(tmp_path: Path) -> None:
    recipe = (
        "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\noptim:\n  clip_norm: 1\n  lr: 0.01\n"
    )
    (tmp_path / "recipe.yaml").write_text(recipe)
    results = check(diagnosis_sarif(diagnose_facts(RUN), tmp_path))
    place = next(result for result in results if result["ruleId"] == "GN201")["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("/recipe.yaml")
    assert place["region"]["startLine"] == 6


def test_a_log_is_its_own_place(tmp_path: Path) -> None:
    path = tmp_path / "my log.csv"
    rows = [f"{s},{RUN.loss[i]},{RUN.grad_norm[i]},{RUN.lr[i]}" for i, s in enumerate(RUN.step)]
    path.write_text("step,loss,grad_norm,lr\n" + "\n".join(rows) + "\n")
    results = check(diagnosis_sarif(diagnose_any(path), path))
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("/my%20log.csv")


def test_a_run_that_cannot_be_judged(tmp_path: Path) -> None:
    log = diagnosis_sarif(diagnose_facts(RunFacts()), tmp_path)
    assert check(log) == []
    assert log["runs"][0]["properties"]["verdict"] == "unknown"

"""A diagnosis as SARIF 2.1.0, which code-scanning pages and editors read.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", 27 March 2020.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dpdrun import __version__
from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import RecipeError
from dpdrun.recipe.loader import Loaded, load_recipe
from dpdrun.report.finding_text import numbers_of, why_of
from dpdrun.rules.engine import Finding, Rule, all_rules
from dpdrun.run.files import encode_numbers
from dpdrun.run.folder import RunFolder

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVEL = {"info": "note", "warning": "warning", "error": "error"}


def diagnosis_sarif(this: Diagnosis, run: Path) -> dict[str, Any]:
    """The log as nested dicts, ready for JSON. A result lies at the recipe line it would change, where there is one.

    Args:
        this: the diagnosis.
        run: the run folder or log that was diagnosed.
    """
    codes = sorted({*(f.code for f in this.findings), *this.healthy, *(s.code for s in this.skipped)})
    rules = all_rules()
    loaded = _recipe_of(run) if this.log is None else None
    log = {
        "version": "2.1.0",
        "$schema": SCHEMA,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "dpdrun",
                        "semanticVersion": __version__,
                        "rules": [_rule(rules[code]) for code in codes],
                    }
                },
                "invocations": [{"executionSuccessful": True}],
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, codes.index(finding.code), run, loaded) for finding in this.findings],
                "properties": {
                    "verdict": this.verdict,
                    "healthy": list(this.healthy),
                    "skipped": [skip.to_json() for skip in this.skipped],
                },
            }
        ],
    }
    encoded: dict[str, Any] = encode_numbers(log)
    return encoded


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.slug.split("_")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": why_of(rule.code) or rule.summary},
        "help": {"text": f"dpdrun explain {rule.code}"},
        "properties": {"evidence": rule.evidence, "source": rule.source},
    }


def _result(finding: Finding, index: int, run: Path, loaded: Loaded | None) -> dict[str, Any]:
    uri = _uri(run if loaded is None else loaded.path)
    said = [finding.message, f"Advice: {finding.advice}" if finding.advice else "", numbers_of(finding)]
    location: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if loaded is not None and finding.patch:
        line, column = loaded.line_of(next(iter(finding.patch)))
        location["region"] = {"startLine": line, "startColumn": column}
    same = hashlib.sha256(f"{finding.code}:{uri}".encode()).hexdigest()
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": LEVEL[finding.severity],
        "message": {"text": ". ".join(part for part in said if part)},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"dpdrunFinding/v1": same},
        "properties": {key: value for key, value in finding.to_json().items() if key not in ("code", "message")},
    }


def _recipe_of(run: Path) -> Loaded | None:
    """The recipe of a run folder, None where there is none that can be read."""
    try:
        return load_recipe(RunFolder(run).recipe)
    except RecipeError:
        return None


def _uri(path: Path) -> str:
    """A path as a relative URI where it can be one."""
    try:
        return quote(path.resolve().relative_to(Path.cwd()).as_posix())
    except ValueError:
        return path.resolve().as_uri()

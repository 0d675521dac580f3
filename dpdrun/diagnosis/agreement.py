"""One report, one number: findings that advise the same setting agree on its value.

The first finding decides, as `diagnose --fix` does: the worst, and of those the one that began first. Where a later
finding points the other way, its advice waits for the first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dpdrun.rules.engine import Finding

RATE = "optim.lr"


def agreed(findings: Sequence[Finding], *, rate: float, given: float | None = None) -> list[Finding]:
    """Return the findings with one value for each setting.

    Args:
        findings: in the order of the report.
        rate: learning rate of the run, which tells lower from higher; 0 where it is not known.
        given: learning rate that the rules on recipes advise; it replaces the numbers of the findings that point there.
    """
    decided: dict[str, tuple[Any, str]] = {}
    seen: list[Finding] = []
    for finding in findings:
        this = finding
        for key, value in finding.patch.items():
            first, code = decided.setdefault(key, (_first(key, value, rate, given), finding.code))
            if first == value:
                continue
            if key == RATE and _same_side(first, value, rate):
                this = _with_rate(this, value, first)
            else:
                this = _postponed(this, key, code)
        seen.append(this)
    return seen


def _first(key: str, value: Any, rate: float, given: float | None) -> Any:
    return given if key == RATE and given is not None and _same_side(given, value, rate) else value


def _same_side(one: float, other: float, rate: float) -> bool:
    """Return whether two rates are both above, or both below, that of the run."""
    return rate <= 0.0 or (one - rate) * (other - rate) > 0.0


def _with_rate(finding: Finding, old: float, new: float) -> Finding:
    """Return a finding that advises another learning rate."""
    words = rf"(?:{re.escape(RATE)}|learning rate)(?: from [^ ,;]+)?(?: up)?(?: to)? "
    number = re.compile(rf"({words}){re.escape(f'{old:g}')}(?![\d.]*\d)")
    advice = number.sub(lambda match: f"{match.group(1)}{new:g}", finding.advice)
    return replace(finding, patch=finding.patch | {RATE: new}, advice=advice)


def _postponed(finding: Finding, key: str, code: str) -> Finding:
    """Return a finding without its change of a setting that an earlier one changes otherwise."""
    patch = {name: value for name, value in finding.patch.items() if name != key}
    advice = finding.advice if patch else f"{code} comes first; diagnose again after its change of {key}"
    return replace(finding, patch=patch, advice=advice, fix=finding.fix if patch else "none")

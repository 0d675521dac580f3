"""What a finding says, in pieces of text that every format prints: numbers, reason, change of the recipe."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from dpdrun.recipe.patch import render
from dpdrun.rules.engine import Finding, Skipped, all_rules
from dpdrun.rules.pages import written

SMALLEST_P = 1e-4  # a smaller one says nothing more
SENTENCE = re.compile(r"(?<=[a-z0-9)])\.\s+(?=[A-Z])")


def named(code: str) -> str:
    """`GN201 gradient_norm_climbs`."""
    return f"{code} {all_rules()[code].slug}"


def numbers_of(finding: Finding) -> str:
    """The evidence: `value 0.62, threshold 0.5, n 380`; the step where it began comes apart."""
    return ", ".join(f"{key.replace('_', ' ')} {_short(key, value)}" for key, value in finding.evidence.items())


def _short(key: str, value: Any) -> str:
    if key == "p" and value < SMALLEST_P:
        return f"< {SMALLEST_P:g}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def why_of(code: str, *, sentences: int | None = None) -> str:
    """Why it matters, from the page of the rule: all of it, or its first sentences."""
    text = " ".join(written(all_rules()[code]).get("Why", "").split())
    if sentences is None:
        return text
    parts = SENTENCE.split(text)
    short = ". ".join(parts[:sentences])
    return short if short.endswith(".") else f"{short}."


def patch_of(finding: Finding) -> str:
    """The change of the recipe: `optim.lr: 3e-3`; empty where there is none."""
    return ", ".join(f"{key}: {render(value)}" for key, value in finding.patch.items())


def by_reason(skipped: Iterable[Skipped]) -> dict[str, list[str]]:
    """Codes of the rules that were skipped, by why."""
    found: dict[str, list[str]] = {}
    for skip in skipped:
        found.setdefault(skip.reason, []).append(skip.code)
    return found

"""English in the messages of rules."""

from __future__ import annotations


def pluralize(number: int, noun: str) -> str:
    """Return a count with its noun: `1 step`, `2 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def two_digits(value: float) -> float:
    """Return a number with two significant digits, as one writes it into a recipe."""
    return float(f"{value:.2g}")

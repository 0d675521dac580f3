"""Layouts that several reports share."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dpdrun.report.layout import activity


def shown(*names: str, terminal: bool, lines: bool = False) -> str:
    """What `activity` writes while these are done."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80)
    with activity(console, "evaluate", lines=lines) as doing:
        for name in names:
            doing(name)
    return out.getvalue()


def test_an_activity_is_named_on_a_terminal_and_nowhere_else() -> None:
    text = shown("fitting the baselines", "scoring test", terminal=True)
    assert "evaluate" in text
    assert text.index("fitting the baselines") < text.index("scoring test")
    assert shown("fitting the baselines", terminal=False) == ""


def test_elsewhere_a_line_is_written_where_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter((0.0, 0.1, 0.5, 2.0, 2.1))
    monkeypatch.setattr("dpdrun.report.layout.time.monotonic", lambda: next(seconds))
    assert (
        shown("reading", "rounding", "scoring", terminal=False, lines=True) == "evaluate: reading\nevaluate: scoring\n"
    )


def test_nothing_is_shown_before_there_is_something_to_name() -> None:
    """The live view of a training comes first, and only one thing can redraw a terminal."""
    assert shown(terminal=True).strip() == ""

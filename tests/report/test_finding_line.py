"""A finding on one line."""

from __future__ import annotations

from dpdrun.report.finding_line import event_line
from dpdrun.rules.engine import Finding


def test_a_line_has_when_what_and_the_advice_if_there_is_one() -> None:
    finding = Finding("[seen] 3 times", severity="error", code="AA201", slug="too_many", advice="do less")
    assert event_line(finding, "epoch 7").plain == "epoch 7: error AA201 too_many: [seen] 3 times; advice: do less"
    bare = Finding("seen", severity="warning", code="AA201", slug="too_many")
    assert event_line(bare, "step 1").plain == "step 1: warning AA201 too_many: seen"

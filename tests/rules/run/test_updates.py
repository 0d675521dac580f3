"""How far steps move the weights, and which parts move at all."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_parts, example_run


def findings(*, run: dict[str, Any] | None = None, **parts: Any) -> dict[str, Finding]:
    facts = example_run(**(run or {}), **example_parts(**parts))
    return {f.code: f for f in diagnose_facts(facts).findings if f.code.startswith("UP")}


@pytest.mark.parametrize(("ratio", "codes"), [(0.3, ["UP201"]), (0.05, []), (1e-3, []), (1e-4, ["UP202"])])
def test_updates_compared_with_weights(ratio: float, codes: list[str]) -> None:
    assert list(findings(ratio=ratio)) == codes


def test_weights_that_grew_do_not_hide_large_updates() -> None:
    """Steps of 1 % look sound, but the weights are twenty times as large as they were."""
    assert findings(ratio=0.01) == {}
    parts = example_parts(ratio=0.01)
    for name, norms in parts["group_weight"].items():
        parts["group_weight"][name] = [norm * (1.0 if i == 0 else 20.0) for i, norm in enumerate(norms)]
        parts["group_update"][name] = [0.01 * norm for norm in parts["group_weight"][name]]
    finding = next(f for f in diagnose_facts(example_run(**parts)).findings if f.code == "UP201")
    assert finding.patch == {"optim.lr": 1e-3}
    assert "20% of the size" in finding.message
    assert "grown 20.0 times" in finding.message


def test_large_updates_lower_the_lr_to_the_swept_one_or_by_how_large_they_are() -> None:
    assert findings(ratio=0.3)["UP201"].patch == {"optim.lr": 1e-3}
    assert findings(ratio=0.9)["UP201"].patch == {"optim.lr": 3.3e-4}
    assert findings(run={"swept_lr": 4e-3}, ratio=0.9)["UP201"].patch == {"optim.lr": 4e-3}
    assert findings(run={"swept_lr": 4e-2}, ratio=0.9)["UP201"].patch == {"optim.lr": 3.3e-4}  # not a higher one


@pytest.mark.parametrize(("rms", "named"), [(1.2, True), (0.7, False), (0.15, False)])
def test_weights_that_begin_large(rms: float, *, named: bool) -> None:
    """No usual initialisation draws weights that large."""
    parts = example_parts()
    parts["group_weight"]["blocks.0"] = [rms * 1000**0.5] * len(parts["group_step"])
    found = {f.code: f for f in diagnose_facts(example_run(**parts)).findings}
    assert ("UP206" in found) is named
    assert not named or (found["UP206"].severity == "warning" and "blocks.0" in found["UP206"].message)


def test_the_first_steps_are_skipped() -> None:
    """Weights that start small grow into their size: 5 % a step up to step 70, then 0.5 %."""
    parts = example_parts()
    for name in parts["group_update"]:
        parts["group_update"][name] = [0.05 if step <= 70 else 0.005 for step in parts["group_step"]]
    assert "UP201" not in {f.code for f in diagnose_facts(example_run(**parts)).findings}


def test_a_low_rate_says_nothing_about_the_peak() -> None:
    """Only looks at half of the highest rate or more count; a run that has just begun has none."""
    skipped = {s.code: s.reason for s in diagnose_facts(example_run(steps=60, **example_parts(steps=60))).skipped}
    assert "fewer than 3 measurements" in skipped["UP201"]


def test_short_distances_are_checked_at_the_end() -> None:
    assert "UP202" not in findings(run={"total": 500}, ratio=1e-4)
    finding = findings(ratio=1e-4)["UP202"]
    assert finding.patch == {"optim.lr": 0.1}
    assert "4.0%" in finding.message


def test_frozen_tensors_are_named() -> None:
    every = range(1, 400, 25)
    finding = findings(still={f"blocks.0.w{n}": every for n in range(6)})["UP203"]
    assert finding.severity == "error"
    named = "blocks.0.w0, blocks.0.w1, blocks.0.w2, blocks.0.w3 and 2 more"
    assert f"{named} did not change at any of 15 measurements" in finding.message


def test_a_tensor_that_moved_once_is_alive() -> None:
    assert findings(still={"head.bias": range(1, 360, 25)}) == {}


def test_steps_at_lr_zero_move_nothing() -> None:
    found = findings(run={"realised": 0.0, "lr_planned": []}, ratio=0.0, still={"head.weight": range(1, 400, 25)})
    assert "UP203" not in found


def test_one_group_with_all_of_the_gradient_is_information() -> None:
    finding = findings(shares=(0.99, 0.006, 0.004))["UP204"]
    assert finding.severity == "info"
    assert finding.message.startswith("head has 99.0%")
    assert findings(shares=(0.99, 0.01)) == {}  # of two parts one always dominates


def test_logs_without_parts_skip_these_rules_by_name() -> None:
    reasons = {s.code: s.reason for s in diagnose_facts(example_run()).skipped}
    assert {"UP201", "UP202", "UP203", "UP204"} <= set(reasons)
    assert "updates of the parts of the network" in reasons["UP201"]


@pytest.mark.parametrize(("decay", "patch"), [(0.01, None), (0.3, None), (3.0, 0.09), (10.0, 0.09)])
def test_decay_compared_with_the_steps(decay: float, patch: float | None) -> None:
    """Steps of half a percent at a rate of 1 % and less: the decay of a step is 0.01 x its weight_decay at most."""
    finding = findings(run={"weight_decay": decay}, ratio=5e-3).get("UP205")
    assert (finding.patch if finding else None) == (None if patch is None else {"optim.weight_decay": patch})
    if finding:
        assert f"lower optim.weight_decay from {decay:g} to {patch:g}" in finding.advice


def test_decay_is_skipped_before_three_checks_after_the_warmup() -> None:
    parts = example_parts(ratio=5e-3)
    facts = example_run(weight_decay=10.0, **(parts | {"group_step": [i + 1 for i in range(len(parts["group_step"]))]}))
    reasons = {skip.code: skip.reason for skip in diagnose_facts(facts).skipped}
    assert reasons["UP205"] == "fewer than 3 measurements of the parts after the warmup"

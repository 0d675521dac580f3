"""What a run did on its own."""

from __future__ import annotations

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.examples import example_run


def test_adaptations_are_reported_and_the_rate_that_worked_is_advised() -> None:
    run = example_run(adapted=[(150, 100), (300, 50)], lr_factor=0.05, peak_lr=5e-4)
    this = diagnose_facts(run)
    finding = next(each for each in this.findings if each.code == "AD201")
    assert (finding.severity, finding.step, finding.patch) == ("info", 100, {"optim.lr": 5e-4})
    assert "rolled back 2 times (from step 150 to step 100, from step 300 to step 50)" in finding.message
    assert "0.05 times" in finding.message


def test_a_run_that_never_went_back_is_healthy() -> None:
    assert "AD201" in diagnose_facts(example_run()).healthy

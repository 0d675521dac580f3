"""What an evaluation says of its progress."""

from __future__ import annotations

from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.progress import doing, progress_to
from tests.evaluation.cases import capture_of, plan_of, random_model


def test_an_evaluation_names_what_it_does_and_only_while_it_is_listened_to() -> None:
    names: list[str] = []
    plan, capture = plan_of(), capture_of()
    doing("before anyone listens")
    with progress_to(names.append):
        evaluate(random_model(plan), plan, capture)
    doing("after")
    assert names == ["fitting the baselines", "scoring val", "scoring test", "estimating the noise floor"]

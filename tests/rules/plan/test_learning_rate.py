"""The learning rates: the note's bands, the law of our sweeps inside its box, and what checks them."""

from __future__ import annotations

import math

import pytest

from dpdrun.rules import sources
from dpdrun.rules.advice import Opinion, derive
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import law_of, swept_lr
from dpdrun.rules.plan import learning_rate
from dpdrun.rules.regret import band_of
from dpdrun.rules.regret import measured as study

JOB = {"layers": 2, "window": 32, "batch": 8, "max_steps": 1600}


def advice(profile: str = "measured", **facts: object) -> dict[str, Opinion]:
    return derive(PlanFacts(**facts), profile).opinions  # type: ignore[arg-type]


def checked(profile: str = "measured", **facts: object) -> dict[str, Finding]:
    return {each.code: each for each in derive(PlanFacts(**facts), profile).warnings}  # type: ignore[arg-type]


@pytest.mark.parametrize("d_model", [8, 16, 32, 64, 128, 256])
def test_rate_of_a_swept_width_is_the_laws(d_model: int) -> None:
    lr = advice(kind="transformer", d_model=d_model, **JOB)["optim.lr"]
    law = study()["law"]["transformer"]
    octaves = law["level"] + law["effects"]["width"] * math.log2(d_model / 16)
    octaves += law["effects"]["steps"] * 2 + law["effects"]["layers"]
    assert (lr.rule, lr.evidence) == ("LR010", "measured")
    assert lr.value == pytest.approx(2.0**octaves, rel=0.05)  # two digits
    assert lr.detail.get("low", lr.value) <= lr.value <= lr.detail.get("high", lr.value)
    assert f"width {d_model}, 1,600 steps, batch 8, layers 2" in lr.why


def test_boxes_are_what_was_swept() -> None:
    widths = {kind: study()["law"][kind]["swept"]["width"] for kind in ("transformer", "gru")}
    assert (widths["transformer"][0], widths["transformer"][-1]) == sources.MEASURED_WIDTHS
    assert (widths["gru"][0], widths["gru"][-1]) == sources.MEASURED_UNITS


@pytest.mark.parametrize(
    ("d_model", "lr"), [(7, 3e-4), (257, 3e-4), (511, 3e-4), (512, 1e-4), (1023, 1e-4), (1024, 7.1e-5)]
)
def test_widths_that_were_not_swept_have_the_notes_rate(d_model: int, lr: float) -> None:
    opinion = advice(kind="transformer", d_model=d_model, **JOB)["optim.lr"]
    assert (opinion.value, opinion.rule, opinion.evidence) == (lr, "LR001", "cited")


def test_full_attention_has_the_notes_rate() -> None:
    given = JOB | {"window": math.inf}
    assert advice(kind="transformer", d_model=32, **given)["optim.lr"].rule == "LR001"


@pytest.mark.parametrize(("d_model", "like"), [(11, 8), (12, 16), (22, 16), (23, 32), (45, 32), (46, 64)])
def test_nearest_swept_width_answers(d_model: int, like: int) -> None:
    near, there = (advice(kind="transformer", d_model=each, **JOB)["optim.lr"] for each in (d_model, like))
    assert near.value == there.value
    assert f"width {like}," in near.why


def test_a_job_beyond_the_sweeps_is_taken_at_their_end_and_says_so() -> None:
    most = study()["law"]["transformer"]["swept"]["steps"][-1]
    far = advice(kind="transformer", d_model=16, **JOB | {"max_steps": 100 * most})["optim.lr"]
    end = advice(kind="transformer", d_model=16, **JOB | {"max_steps": most})["optim.lr"]
    assert far.value == end.value
    assert f"the nearest to {100 * most} steps" in far.why
    assert "nearest" not in end.why


def test_unknown_length_takes_the_lower_rate() -> None:
    law = law_of("transformer")
    known = [law.lr(PlanFacts(kind="transformer", d_model=16, batch=8, layers=2, max_steps=n)) for n in (1, 10**9)]
    assert law.lr(PlanFacts(kind="transformer", d_model=16, batch=8, layers=2)) == min(known)


@pytest.mark.parametrize(("hidden", "code"), [(7, "LR002"), (8, "LR011"), (23, "LR011"), (64, "LR011"), (65, "LR002")])
def test_grus_have_their_own_rates(hidden: int, code: str) -> None:
    assert advice(kind="gru", hidden=hidden)["optim.lr"].rule == code


def test_log_midpoint_has_two_digits() -> None:
    assert learning_rate.log_midpoint(5e-5, 1e-4) == 7.1e-5
    assert learning_rate.log_midpoint(1e-3, 1e-1) == 1e-2


@pytest.mark.parametrize(
    ("d_model", "lr", "flagged"),
    [(256, 3e-4, False), (256, 3.1e-4, True), (512, 3e-4, True), (512, 1e-4, False), (2048, 5e-5, False),
     (2048, 1e-4, False), (2048, 4.9e-5, True), (2048, 1.1e-4, True)],
)  # fmt: skip
def test_rates_outside_the_notes_band(d_model: int, lr: float, flagged: bool) -> None:
    found = checked("note", kind="transformer", d_model=d_model, lr=lr)
    assert ("LR101" in found) is flagged
    assert "LR101" not in checked("measured", kind="transformer", d_model=d_model, lr=lr)


@pytest.mark.parametrize(
    ("kind", "steps"), [("transformer", 400), ("transformer", 1600), ("transformer", 6400), ("gru", 400)]
)
def test_rates_outside_the_band_of_the_sweeps(kind: str, steps: int) -> None:
    size = {"transformer": {"d_model": 16} | JOB, "gru": {"hidden": 16, "batch": 32}}[kind] | {"max_steps": steps}
    ours = advice(kind=kind, **size)["optim.lr"].value
    band = band_of(kind, steps)
    assert band is not None
    down, up = band.lost
    cases = ((down - 0.1, True), (down + 0.1, False), (0.0, False), (up - 0.1, False), (up + 0.1, True))
    for octaves, flagged in cases:
        found = checked(kind=kind, lr=ours * 2**octaves, **size)
        assert ("LR102" in found) is flagged, octaves
        assert "LR102" not in checked("note", kind=kind, lr=ours * 2**octaves, **size)
        if flagged:
            assert found["LR102"].patch == {"optim.lr": ours}


def test_the_loss_that_it_names_is_the_measured_one_and_more_than_the_limit() -> None:
    message = checked(kind="transformer", d_model=16, lr=3e-4, **JOB)["LR102"].message
    table = study()["expected"]["transformer"]["1600"]["median_db"]
    loss = float(message.split("lost ")[1].split(" dB")[0])
    assert study()["expected"]["lost_db"] < loss <= max(table)


def test_a_rate_that_no_sweep_tried_is_outside() -> None:
    assert (
        "outside the rates that were swept"
        in checked(kind="gru", hidden=16, lr=5.0, max_steps=400, batch=32)["LR102"].message
    )


def test_runs_of_other_lengths_are_skipped() -> None:
    assert "LR102" not in checked(kind="transformer", d_model=16, lr=3e-3, **JOB | {"max_steps": 90_000})


@pytest.mark.parametrize("facts", [{"d_model": 512}, {"d_model": 32, "window": math.inf}])
def test_the_band_is_skipped_where_nothing_was_swept(facts: dict[str, float]) -> None:
    assert "LR102" not in checked(kind="transformer", lr=3e-4, **JOB | facts)


@pytest.mark.parametrize(
    ("facts", "flagged"),
    [
        ({"d_model": 300}, True),
        ({"d_model": 512}, True),
        ({"d_model": 513}, False),
        ({"d_model": 256}, False),  # LR102's
        ({"d_model": 4}, True),
        ({"d_model": 3}, False),
        ({"d_model": 300, "window": math.inf}, False),
        ({"d_model": 300, "lr": 1e-2}, False),
    ],
)
def test_a_low_rate_outside_the_sweeps_is_reported(facts: dict[str, float], flagged: bool) -> None:
    found = checked(kind="transformer", **JOB | {"lr": 3e-4, "max_steps": 400} | facts)
    assert ("LR103" in found) is flagged
    if flagged:
        assert (found["LR103"].severity, found["LR103"].patch) == ("info", {})


@pytest.mark.parametrize(
    ("steps", "rule", "label"),
    [(400, "LR011", "measured"), (1600, "LR011", "assumed"), (1601, "LR013", "cited"), (1_100_000, "LR013", "cited")],
)
def test_a_gru_outside_of_the_swept_length_says_so(steps: int, rule: str, label: str) -> None:
    lr = advice(kind="gru", hidden=16, batch=32, max_steps=steps)["optim.lr"]
    assert (lr.rule, lr.evidence) == (rule, label)
    assert (lr.value == 5e-3) is (rule == "LR013")
    assert ("not swept" in lr.why or "not measured here" in lr.why) is (label != "measured")
    assert "label" not in lr.detail


def test_a_long_gru_of_another_size_gets_opendpds_rate() -> None:
    assert advice(kind="gru", hidden=512, max_steps=90_000)["optim.lr"].rule == "LR002"
    assert "optim.lr" in advice("note", kind="gru", hidden=16, max_steps=90_000)


def test_no_swept_rate_is_compared_with_a_gru_that_runs_far_longer() -> None:
    assert swept_lr(PlanFacts(kind="gru", hidden=16, max_steps=400)) is not None
    assert swept_lr(PlanFacts(kind="gru", hidden=16, max_steps=90_000)) is None

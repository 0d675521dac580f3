"""Trials that end early: against others at the same step, never those of the rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dpdrun.run.files import Json
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.prune import verdict
from dpdrun.training.job import load_run


@pytest.mark.parametrize(
    ("rule", "best", "others", "reason"),
    [
        ("median", -19.0, [-20.0, -30.0, -10.0, -25.0], "-19.00 dB, worse than the median -22.50 dB of 4 trials"),
        ("median", -23.0, [-20.0, -30.0, -10.0, -25.0], ""),
        ("median", 5.0, [-20.0, -30.0, -10.0], ""),  # too few to say
        ("halving", -19.0, [-20.0, -30.0, -10.0, -25.0, -9.0], "-19.00 dB, rank 4 of 6 trials"),
        ("halving", -22.0, [-20.0, -30.0, -10.0, -25.0, -9.0], ""),
        ("median", float("inf"), [-20.0, -30.0, -10.0, -25.0], "inf dB, worse than the median -22.50 dB of 4 trials"),
    ],
)
def test_the_verdict_at_a_rung(rule: str, best: float, others: list[float], reason: str) -> None:
    assert verdict(rule, best, others) == reason  # type: ignore[arg-type]


def test_bad_rates_end_early_and_say_so(
    read: Callable[..., Sweep], done: Callable[..., tuple[SweepFolder, Json]]
) -> None:
    # the good rates first, so that there is something to be worse than
    over = {"optim.lr": "3e-2,4e-2,5e-2,6e-2,1e-6,2e-6"}
    folder, content = done(read("train.max_steps=16", over=over, prune="halving"))
    by_lr = {each["config"]["optim.lr"]: each for each in content["points"]}
    for lr in ("1e-6", "2e-6"):
        assert by_lr[lr]["status"] == "pruned"
        assert by_lr[lr]["reason"].startswith("step ")
        assert by_lr[lr]["objectives"] == {}
        run = folder.run(by_lr[lr]["trials"][0]["id"])
        assert not run.report.is_file()
        load_run(run.path)  # with its best weights so far
    assert by_lr["auto"]["status"] == "finished"
    assert [each["number"] for each in content["points"] if each["status"] == "pruned"] == [5, 6]

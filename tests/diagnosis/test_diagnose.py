"""A run folder -> facts -> findings."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from dpdrun.diagnosis.diagnose import COURSE, Diagnosis, diagnose, diagnose_any, diagnose_facts, facts_of_run
from dpdrun.errors import EXIT_BAD_INPUT, RunError
from dpdrun.plan.plan import make_plan
from dpdrun.recipe.schema import Recipe
from dpdrun.rules.engine import all_rules
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, MetricsWriter

MODEL = {"kind": "transformer", "d_model": 32, "layers": 2, "heads": 4, "window": 32}
REPORT = {
    "baselines": {"one_tap": {"val": {"nmse_db": -20.0}}, "gmp": {"val": {"nmse_db": -38.0}}},
    "floor": {"nmse_db": None, "method": "unknown", "caveat": ""},
}


def write_run(path: Path, run: RunFacts, *, report: dict[str, Any] | None = None, repeat: int = 0) -> Path:
    """A run folder that holds what the facts say; the first `repeat` steps are written twice, as by a resumed run."""
    train = {"max_steps": run.total_steps}
    optim = {"lr": run.peak_lr, "warmup": run.warmup_steps}
    content = {"task": "pa", "data": {"source": "synthetic/mild"}, "model": MODEL, "train": train, "optim": optim}
    folder = RunFolder.create(path)
    folder.write_json(folder.plan, make_plan(Recipe.model_validate(content), 58_980).to_json())
    writer = MetricsWriter(folder.metrics)
    names = ("lr", "lr_planned", "loss", "grad_norm", "clip_norm", "clipped")
    for i in (*range(repeat), *range(len(run.step))):
        line = {name: getattr(run, name)[i] for name in names}
        writer.write({"kind": "step", "step": run.step[i], "samples": 0, "step_s": 0.1, "data_s": 0.0, **line})
    for step, value in zip(run.eval_step, run.eval_nmse_db, strict=True):
        writer.write({"kind": "eval", "step": step, "val_nmse_db": value, "seconds": 1.0})
    writer.close()
    if report is not None:
        folder.write_json(folder.report, report)
    return path


def codes(this: Diagnosis) -> list[str]:
    return [finding.code for finding in this.findings]


def test_folder_gives_the_same_as_the_facts(tmp_path: Path) -> None:
    run = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, eval_step=[200, 400], eval_nmse_db=[-10.0, -12.0],
                      one_tap_db=-20.0, gmp_db=-38.0)  # fmt: skip
    seen = diagnose(write_run(tmp_path / "run", run, report=REPORT))
    planned = ("eps", "beta2", "max_steps", "steps_per_epoch", "loss_is_nmse", "swept_lr", "settings")
    direct = diagnose_facts(replace(run, **{name: getattr(seen.facts, name) for name in planned}))
    assert "GN201" in codes(seen)
    assert "DM201" in codes(seen)
    assert seen.to_json() == direct.to_json()


def test_steps_written_twice_count_once(tmp_path: Path) -> None:
    run = example_run(steps=100)
    once = diagnose(write_run(tmp_path / "once", run))
    twice = diagnose(write_run(tmp_path / "twice", run, repeat=60))
    assert twice.facts.step == list(range(1, 101))
    assert once.to_json() == twice.to_json()


def test_non_finite_numbers_come_through(tmp_path: Path) -> None:
    run = example_run(steps=60, warmup=3, loss=lambda t: math.nan if t == 1.0 else 0.1, clip_norm=math.inf)
    seen = diagnose(write_run(tmp_path / "run", run))
    assert (seen.verdict, codes(seen)) == ("error", ["LS201"])
    assert seen.facts.clip_norm[0] == math.inf


def test_running_run_has_no_report_and_says_what_that_costs(tmp_path: Path) -> None:
    seen = diagnose(write_run(tmp_path / "run", example_run(steps=100, total=1000)))
    assert seen.verdict == "healthy"
    reasons = {skip.code: skip.reason for skip in seen.skipped}
    assert "report.json" in reasons["DM201"]
    assert "report.json" in reasons["DM202"]


def test_unknown_floor_is_unknown() -> None:
    recipe = Recipe.model_validate({"task": "pa", "data": {"source": "x"}, "model": MODEL})
    facts = facts_of_run(Metrics(), make_plan(recipe, 58_980), REPORT)
    assert (facts.one_tap_db, facts.gmp_db, facts.floor_db) == (-20.0, -38.0, None)


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        (example_run(), "healthy"),
        (example_run(norm=0.05, clip_norm=200.0), "healthy"),  # a note does not make a run ill
        (example_run(norm=lambda t: 0.1 * 10**t, loss=0.1), "warning"),
        (example_run(realised=0.0), "error"),
    ],
    ids=["healthy", "info", "warning", "error"],
)
def test_verdict_is_the_worst_finding(run: RunFacts, verdict: str) -> None:
    this = diagnose_facts(run)
    assert this.verdict == verdict
    assert this.reaches("error") is (verdict == "error")
    assert this.reaches("warning") is (verdict in ("warning", "error"))


def test_worst_comes_first() -> None:
    run = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, clip_norm=200.0, realised=1e-5, total_steps=4000)
    severities = [finding.severity for finding in diagnose_facts(run).findings]
    assert severities == ["error", "warning", "info"]


def test_every_rule_is_accounted_for() -> None:
    this = diagnose_facts(example_run())
    said = [*codes(this), *this.healthy, *(skip.code for skip in this.skipped)]
    of_a_training = [rule for rule in all_rules().values() if "deployment" not in rule.needs]
    assert sorted(said) == [rule.code for rule in of_a_training if rule.purpose == "diagnose"]


def test_json_is_stable(tmp_path: Path) -> None:
    content = json.loads(json.dumps(diagnose(write_run(tmp_path / "run", example_run(realised=0.0))).to_json()))
    assert list(content) == ["schema_version", "verdict", "findings", "healthy", "skipped"]
    assert list(content["findings"][0]) == [
        "code", "slug", "severity", "step", "message", "evidence", "advice", "patch", "fix"
    ]  # fmt: skip
    assert list(content["skipped"][0]) == ["code", "reason"]


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        diagnose(tmp_path / "nothing")


def test_run_without_a_step_is_not_healthy(tmp_path: Path) -> None:
    seen = diagnose(write_run(tmp_path / "run", RunFacts(total_steps=100, warmup_steps=5, peak_lr=1e-2)))
    assert (seen.verdict, seen.findings, seen.healthy) == ("unknown", [], [])
    assert seen.to_json()["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("run", "helps"),
    [
        (RunFacts(step=[1, 2], grad_norm=[0.5, 0.4]), "the loss: log the training loss"),
        (RunFacts(step=[1, 2], loss=[0.5, 0.4]), "more lines with a loss: there are 2, 8 are needed"),
    ],
)
def test_a_run_whose_loss_could_not_be_judged_is_not_healthy(run: RunFacts, helps: str) -> None:
    this = diagnose_facts(run)
    assert (this.verdict, this.would_help) == ("too little to judge", helps)
    assert this.to_json()["would_help"] == helps
    assert not this.reaches("warning")


def test_a_finding_is_worth_more_than_that_little_could_be_judged() -> None:
    assert diagnose_facts(RunFacts(step=[1, 2], loss=[0.5, math.nan])).verdict == "error"
    assert "would_help" not in diagnose_facts(example_run()).to_json()


@pytest.mark.parametrize("severity", ["warning", "error"])
def test_a_run_that_cannot_be_diagnosed_passes_no_gate(severity: Literal["warning", "error"]) -> None:
    with pytest.raises(RunError, match="nothing in this run could be checked") as error:
        diagnose_facts(RunFacts()).reaches(severity)
    assert error.value.exit_code == EXIT_BAD_INPUT


def solved(path: Path, val_nmse_db: float | None, floor_db: float | None = None) -> Diagnosis:
    """The diagnosis of a finished gmp run, which logs no metrics."""
    content = {"task": "pa", "data": {"source": "synthetic/mild"}, "model": {"kind": "gmp"}}
    folder = RunFolder.create(path)
    folder.write_json(folder.plan, make_plan(Recipe.model_validate(content), 58_980).to_json())
    if val_nmse_db is not None:
        scores = {"splits": {"val": {"nmse_db": val_nmse_db}}, "floor": {"nmse_db": floor_db}}
        folder.write_json(folder.report, REPORT | scores)
    return diagnose(path)


def test_gmp_is_diagnosed_from_its_report(tmp_path: Path) -> None:
    good = solved(tmp_path / "good", -38.0)
    assert (good.verdict, codes(good)) == ("healthy", [])
    assert "DM201" in good.healthy
    assert {skip.code: skip.reason for skip in good.skipped}["DM202"] == "the model of this run is a GMP"
    bad = solved(tmp_path / "bad", -12.0)
    assert (bad.verdict, codes(bad)) == ("error", ["DM201"])
    assert "model.delays" in bad.findings[0].advice
    assert bad.findings[0].step is None
    floor = solved(tmp_path / "floor", -38.0, floor_db=-38.2)
    assert (floor.verdict, codes(floor)) == ("healthy", ["DM203"])
    assert "step" not in floor.findings[0].message


def test_gmp_without_a_report_is_unknown(tmp_path: Path) -> None:
    assert solved(tmp_path / "run", None).verdict == "unknown"


def test_foreign_metrics_are_refused_by_name(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", example_run(steps=60))
    (path / "metrics.jsonl").write_text('{"kind": "step", "step": 1}\n', encoding="utf-8")
    with pytest.raises(RunError, match="'lr'"):
        diagnose(path)


def test_parts_of_the_network_are_read_from_the_steps_that_have_them(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", example_run(steps=60))
    with MetricsWriter(RunFolder(path).metrics) as writer:
        for step, still in ((61, ["head.bias"]), (62, [])):
            line = {"step": step, "lr": 1e-3, "lr_planned": 1e-3, "loss": 0.1, "grad_norm": math.inf, "clip_norm": 1.0}
            parts: dict[str, Any] = {"group_norms": {"head": math.inf}, "group_updates": {"head": 0.1, "skip": 0.0}}
            parts |= {"group_weights": {"head": 2.0, "skip": 1.0}, "group_sizes": {"head": 10, "skip": 4}}
            writer.write({"kind": "step", "clipped": True, **line, **parts, **({"still": still} if still else {})})
    facts = diagnose(path).facts
    assert (facts.group_step, facts.group_size, facts.parameters) == ([61, 62], {"head": 10, "skip": 4}, 14)
    assert facts.group_grad["head"] == [math.inf, math.inf]
    assert all(math.isnan(norm) for norm in facts.group_grad["skip"])  # it has no gradient
    assert facts.group_update == {"head": [0.1, 0.1], "skip": [0.0, 0.0]}
    assert facts.still == {"head.bias": [61]}
    assert (facts.eps, facts.max_steps, facts.epochs, facts.loss_is_nmse) == (1e-8, 60, None, True)


def test_facts_of_processes_are_read_from_the_last_group(tmp_path: Path) -> None:
    """A run of three processes that went on with two, then alone for a step."""
    path = write_run(tmp_path / "run", example_run(steps=60))
    with MetricsWriter(RunFolder(path).metrics) as writer:
        for step, losses in enumerate(([0.1, 0.2, 0.3], [0.1, 0.2], [math.nan, 0.2], None), start=61):
            line = {"step": step, "lr": 1e-3, "lr_planned": 1e-3, "loss": 0.1, "grad_norm": 1.0, "clip_norm": 1.0}
            names = ("rank_losses", "rank_grad_norms", "rank_reduced_norms")
            ranks: dict[str, Any] = dict.fromkeys(names, losses) if losses else {}
            looked = {"rank_checksums": [7] * len(losses or [0])} if step != 62 else {}
            writer.write({"kind": "step", "clipped": False, **line, **ranks, **looked})
    facts = diagnose(path).facts
    assert (facts.rank_step, facts.rank_steps) == ([62, 63], 2)
    assert (facts.checksum_step, facts.rank_checksum) == ([63], [[7, 7]])
    for rows in (facts.rank_loss, facts.rank_norm, facts.rank_reduced):
        assert rows[0] == [0.1, 0.2]
        assert math.isnan(rows[1][0])
    assert diagnose(write_run(tmp_path / "alone", example_run(steps=60))).facts.rank_steps is None


@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_a_finding_speaks_the_language_of_the_log(unit: str, tmp_path: Path) -> None:
    rows = [f"{n},{'nan' if n > 7 else 0.1}" for n in range(1, 11)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join([f"{unit},train_loss", *rows, ""]))
    (finding,) = [each for each in diagnose_any(path).findings if each.code == "LS201"]
    assert finding.message == f"loss nan at {unit} 8 (3 of 10 {unit}s are not finite)"


def test_the_peak_rate_of_a_run_that_adapted_is_the_lowered_one() -> None:
    plan = make_plan(Recipe.model_validate({"task": "pa", "data": {"source": "x"}, "model": MODEL}), 58_980)
    log = Metrics()
    assert facts_of_run(log, plan).peak_lr == plan.lr
    log.add({"kind": "adapt", "step": 9, "to_step": 4, "lr_factor": 0.5})
    assert facts_of_run(log, plan).peak_lr == 0.5 * plan.lr


def test_the_swept_rate_is_the_one_that_the_rules_set() -> None:
    content: dict[str, Any] = {"task": "pa", "data": {"source": "x"}, "model": MODEL, "train": {"max_steps": 400}}
    plan = make_plan(Recipe.model_validate(content), 58_980)
    assert facts_of_run(Metrics(), plan).swept_lr == plan.lr
    by_hand = make_plan(Recipe.model_validate(content | {"optim": {"lr": 1e-4}}), 58_980)
    assert facts_of_run(Metrics(), by_hand).swept_lr == plan.lr
    full = content | {"model": MODEL | {"window": "full", "positions": "sinusoidal"}}
    assert facts_of_run(Metrics(), make_plan(Recipe.model_validate(full), 58_980)).swept_lr is None


def test_course_rules_are_in_the_catalogue() -> None:
    assert set(COURSE) <= all_rules().keys()

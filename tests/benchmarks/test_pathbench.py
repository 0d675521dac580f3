"""The arithmetic of pathbench, and that its runs are what they claim to be; nothing is trained here but a few steps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmarks.pathbench import patches
from benchmarks.pathbench.cells import CELL_OF, CELLS, Cell
from benchmarks.pathbench.faults import FAULTS, Fault
from benchmarks.pathbench.healthy import HEALTHY, TWIN
from benchmarks.pathbench.logs import Logs, pack, prefix, unpack
from benchmarks.pathbench.report import SECTION, TABLES, gain_db, summary_table
from benchmarks.pathbench.rivals import RIVALS, quietly
from benchmarks.pathbench.score import Case, Judged, cases, shown_at, wilson
from benchmarks.pathbench.trace import FLOORS, departs, traces
from benchmarks.pathbench.trial import loaded, mutated, trial
from benchmarks.pathbench.variant import Variant
from benchmarks.pathbench.work import JOBS, all_trials, trials
from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.plan.lint import lint
from dpdrun.plan.plan import make_plan
from dpdrun.rules.engine import all_rules
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.facts.run import RunFacts
from dpdrun.training import checkpoint, loop, step, task

DIAGNOSES = {code: rule for code, rule in all_rules().items() if rule.purpose == "diagnose"}
PAIRS = [(cell, each) for cell in CELLS for each in (*HEALTHY, *FAULTS) if cell.kind in each.kinds]
SMALL = CELL_OF["hard-transformer"]
SHORT = ("train.max_steps=12", "train.eval_every=4", "train.batch_size=2")


# --- arithmetic


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(counts: tuple[int, int]) -> None:
    theirs = binomtest(*counts).proportion_ci(method="wilson")
    assert wilson(*counts) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_loss_shows_a_fault_when_it_stays_twice_as_high() -> None:
    healthy = [1.0] * 100
    assert shown_at(healthy, healthy) is None
    assert shown_at([1.0] * 40 + [9.0] + [1.0] * 59, healthy) is None, "a single batch shows nothing"
    late = shown_at([1.0] * 40 + [2.1] * 60, healthy)
    assert late is not None
    assert 40 < late < 55
    assert shown_at([1.9] * 100, healthy) is None
    assert shown_at([1.0] * 40 + [math.nan], healthy) == 41, "the run ended there"


def test_a_trace_lies_outside_the_healthy_range_by_its_width_and_more_than_the_floor() -> None:
    healthy = [{"loss_end_db": value} for value in (-36.0, -35.0, -35.5)]
    assert departs({"loss_end_db": -34.2}, healthy) == []
    assert departs({"loss_end_db": -33.9}, healthy) == ["loss_end_db"]
    assert departs({"loss_end_db": -37.1}, healthy) == ["loss_end_db"]
    same = [{"loss_end_db": -36.0}] * 3
    assert departs({"loss_end_db": -36.0 + 0.9 * FLOORS["loss_end_db"]}, same) == []
    assert departs({"update": 1.0}, same) == [], "nothing to compare with"


def test_traces_have_floors() -> None:
    run = example_run()
    found = traces(run)
    assert len(found) > 8
    assert set(found) <= set(FLOORS)


@pytest.mark.parametrize(
    ("result", "gain"),
    [
        ({"before_db": -20.0, "after_db": -33.0, "patches": {"LR202": {}}}, 13.0),
        ({"before_db": None, "after_db": -33.0, "patches": {"LR202": {}}}, 33.0),
        ({"before_db": 4.0, "after_db": 2.0, "patches": {"LR202": {}}}, 0.0),
        ({"before_db": -20.0}, None),
    ],
)
def test_gain_counts_silence_as_zero(result: dict[str, object], gain: float | None) -> None:
    assert gain_db(result) == gain


# --- what counts as naming a fault


def judged(name: str, val_db: float, facts: RunFacts) -> Judged:
    return Judged(name, val_db, facts)


def spiked() -> RunFacts:
    """A run whose one spike is an info finding, SK201."""
    found = DIAGNOSES["SK201"].fires()
    assert isinstance(found, RunFacts)
    assert [each.severity for each in diagnose_facts(found).findings if each.code == "SK201"] == ["info"]
    return found


def test_an_info_finding_names_a_fault_only_where_it_did_no_harm() -> None:
    twin = judged(f"hard-gru/healthy/{TWIN}/0", -35.0, example_run())
    cheap = Case(judged("hard-gru/faults/outlier-batch/0", -34.9, spiked()), twin, ("loss_top_db",))
    dear = Case(judged("hard-gru/faults/outlier-batch/0", -25.0, spiked()), twin, ("loss_top_db",))
    assert (cheap.is_harmful, cheap.is_revealed, cheap.is_named) == (False, True, True)
    assert (dear.is_harmful, dear.is_revealed, dear.is_named) == (True, True, False)


def test_harm_must_exceed_what_seeds_do() -> None:
    twin = judged(f"hard-gru/healthy/{TWIN}/0", -35.0, example_run())
    trial = judged("hard-gru/faults/lr-x10/0", -34.0, example_run())
    assert Case(trial, twin, (), scatter_db=0.3).is_harmful
    assert not Case(trial, twin, (), scatter_db=0.6).is_harmful


def test_cases_pair_a_fault_with_the_plain_run_of_its_cell_and_seed() -> None:
    runs = [judged(f"hard-gru/healthy/{TWIN}/{seed}", -35.0 - seed, example_run()) for seed in range(3)]
    runs += [judged(f"apa-gru/healthy/{TWIN}/1", -30.0, example_run())]
    runs += [judged("hard-gru/faults/lr-x10/1", -20.0, spiked()), judged("hard-gru/faults/lr-x10/7", -20.0, spiked())]
    (case,) = cases(runs)
    assert case.twin.name == f"hard-gru/healthy/{TWIN}/1"
    assert case.cost_db == 16.0
    assert case.scatter_db == 1.0


def test_the_summary_counts_by_part() -> None:
    twin = judged(f"hard-gru/healthy/{TWIN}/0", -35.0, example_run())
    found = [
        Case(judged("hard-gru/faults/outlier-batch/0", -34.9, spiked()), twin, ("loss_top_db",)),
        Case(judged("hard-gru/faults/lr-x10/0", -20.0, example_run()), twin),
        Case(judged("hard-gru/faults/never-shuffled/0", -35.1, example_run()), twin),
    ]
    rows = [line.split(" | ") for line in summary_table(found, [twin]).splitlines()]
    said = {row[0].strip("| "): row[1:] for row in rows if len(row) > 2}
    assert said["detected, of faults with a cost or trace"][0].startswith("50.0 %")
    assert said["detected, of faults with a cost or trace"][0].endswith("of 2")
    assert said["detected, of faults that cost 0.5 dB or more"][0].startswith("0.0 %")
    assert said["faulty runs without cost or trace"][0] == "1"
    assert said["detected, of faults with a cost or trace"][1].startswith("none yet")


def test_the_section_has_a_place_for_every_table() -> None:
    assert len(TABLES) == 4
    for name in TABLES:
        assert SECTION.count(f"<!-- begin {name} -->\n<!-- end {name} -->") == 1


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_understand_what_they_are_given(name: str) -> None:
    pytest.importorskip(name)
    assert quietly(RIVALS[name], example_run(loss=lambda t: 0.5 * math.exp(-3 * t) + 0.01)) is not None
    broken = example_run()
    broken = replace(broken, loss=[*broken.loss[:-20], *[math.nan] * 20])
    assert quietly(RIVALS[name], broken), "nan in the loss is the least that they find"


# --- the list of runs


def test_parts_share_no_data_and_no_model() -> None:
    parts = {part: [cell for cell in CELLS if cell.part == part] for part in ("tune", "score")}
    assert all(parts.values())
    assert sum(map(len, parts.values())) == len(CELLS)
    for one, other in [("tune", "score")]:
        data = [{source for cell in parts[part] for source in (cell.data, cell.other)} for part in (one, other)]
        assert not data[0] & data[1]
        models = [{(cell.kind, cell.model) for cell in parts[part]} for part in (one, other)]
        assert not models[0] & models[1]
        assert {kind for kind, _ in models[0]} == {kind for kind, _ in models[1]} == {"transformer", "gru"}


def test_the_study_is_as_large_as_promised() -> None:
    names = all_trials()
    assert len(names) == len(set(names))
    assert sum("/healthy/" in name for name in names) >= 200
    assert len(JOBS) == 2 * len(CELLS)
    for cell in CELLS:
        assert sum(cell.kind in fault.kinds for fault in FAULTS) >= 20
    for fault in FAULTS:
        held_out = [name for name in names if f"/faults/{fault.name}/" in name and name.startswith("apa")]
        assert len(held_out) >= 10


def test_every_fault_has_its_twin() -> None:
    names = set(all_trials())
    faulty = [name.split("/") for name in names if "/faults/" in name]
    assert faulty
    assert all(f"{cell}/healthy/{TWIN}/{seed}" in names for cell, _, _, seed in faulty)


def test_names_are_unique_and_jobs_resume_by_them() -> None:
    assert len({each.name for each in (*FAULTS, *HEALTHY)}) == len(FAULTS) + len(HEALTHY)
    first = [seed for _, _, seed in trials(CELLS[0], "faults")]
    assert first == sorted(first), "all faults once, before the second seed of one"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_codes_of_a_fault_are_diagnoses(fault: Fault) -> None:
    assert fault.codes
    assert fault.codes <= set(DIAGNOSES)


@pytest.mark.parametrize(("cell", "variant"), PAIRS, ids=lambda each: each.name)
def test_every_mutation_is_a_recipe_with_a_plan(cell: Cell, variant: Variant) -> None:
    recipe = loaded(cell, variant, 3).recipe
    plan = make_plan(recipe, 60_000)
    assert recipe.train.seed == 3
    assert plan.total_steps >= 150
    plain = make_plan(loaded(cell, Variant(name="x"), 3).recipe, 60_000)
    assert plan.lr == pytest.approx(plain.lr * variant.lr)
    if not (variant.data or variant.patch or variant.stop or variant.other or variant.name == TWIN):
        assert replace(plan, warnings=[], provenance={}) != replace(plain, warnings=[], provenance={})


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_recipe_of_a_cell_has_nothing_to_repair(cell: Cell) -> None:
    recipe = loaded(cell, Variant(name="x"), 0)
    plan = make_plan(recipe.recipe, 60_000)
    found = lint(recipe, PlanFacts.of_recipe(recipe.recipe, frames=plan.frames_per_epoch)).findings
    assert [each.code for each in found if each.severity != "info"] == []


# --- logs


@pytest.mark.parametrize("code", [code for code, rule in DIAGNOSES.items() if "deployment" not in rule.needs])
def test_a_packed_log_gives_the_same_findings(code: str) -> None:
    facts = DIAGNOSES[code].fires()
    assert isinstance(facts, RunFacts)
    before, after = diagnose_facts(facts), diagnose_facts(unpack(pack(facts)))
    assert before.findings
    said = [[(each.code, each.severity, each.step) for each in found.findings] for found in (before, after)]
    assert said[0] == said[1]
    assert before.healthy == after.healthy


def test_packing_twice_changes_nothing_and_is_small() -> None:
    run = example_run()
    once = unpack(pack(run))
    assert unpack(pack(once)) == once
    assert len(pack(run)) < 16 * len(run.step)


def test_numbers_that_are_none_survive() -> None:
    run = replace(example_run(), loss=[math.nan, math.inf, *example_run().loss[2:]], floor_db=-math.inf)
    back = unpack(pack(run))
    assert math.isnan(back.loss[0])
    assert back.loss[1] == math.inf
    assert back.floor_db == -math.inf


def test_a_prefix_knows_nothing_of_what_comes_later() -> None:
    whole = DIAGNOSES["UP203"].fires()
    assert isinstance(whole, RunFacts)
    assert whole.still
    whole = replace(whole, eval_step=whole.step[9::10], eval_nmse_db=[-20.0] * len(whole.step[9::10]))
    step = whole.step[len(whole.step) // 2]
    part = prefix(whole, step)
    assert part.step[-1] == part.step[len(part.loss) - 1] == step
    assert all(each <= step for seen in part.still.values() for each in seen)
    assert {len(values) for values in part.group_update.values()} <= {len(part.group_step)}
    assert 0 < len(part.eval_step) == len(part.eval_nmse_db) < len(whole.eval_step)
    assert part.signal is None
    assert prefix(prefix(whole, step), step // 2) == prefix(whole, step // 2)
    later = replace(whole, loss=[*whole.loss[:-1], math.nan])
    assert prefix(later, step) == part


def test_the_later_log_of_a_name_counts_and_a_torn_line_does_not(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "logs.tar.xz")
    first, second = example_run(), example_run(loss=0.01)
    logs.add("hard-gru/faults/lr-x10/0", pack(first))
    logs.add("hard-gru/faults/lr-x10/0", pack(second))
    with (tmp_path / "logs.jsonl").open("a") as file:
        file.write(json.dumps({"name": "hard-gru/faults/lr-x10/0", "log": pack(first)})[:50])
    assert logs.facts("hard-gru/faults/lr-x10/0") == unpack(pack(second))
    with pytest.raises(KeyError):
        logs.facts("hard-gru/faults/lr-x10/1")


def test_sealed_logs_are_one_archive_and_can_be_added_to(tmp_path: Path) -> None:
    path, names = tmp_path / "logs.tar.xz", ["hard-gru/faults/b/0", "hard-gru/faults/a/0"]
    for name, loss in zip(names, (0.01, 0.02), strict=True):
        logs = Logs(path)
        logs.add(name, pack(example_run(loss=loss)))
        logs.seal()
    assert [each.name for each in tmp_path.iterdir()] == ["logs.tar.xz"]
    for name, loss in zip(names, (0.01, 0.02), strict=True):
        assert Logs(path).facts(name) == unpack(pack(example_run(loss=loss)))


# --- the patches of the training code


@pytest.mark.parametrize("variant", [each for each in (*FAULTS, *HEALTHY) if each.patch], ids=lambda each: each.name)
def test_patches_are_taken_back(variant: Variant) -> None:
    places = [(loop, "build_optimizer"), (loop, "schedule_of"), (step, "squared_error")]
    places += [(torch.nn.utils, "clip_grad_norm_"), (task, "predict"), (checkpoint, "restore")]
    before = [getattr(*place) for place in places]
    with mutated(SMALL, variant):
        pass
    assert [getattr(*place) for place in places] == before


def test_a_scheduler_stepped_twice_is_seen_in_the_log() -> None:
    wrong = unpack(trial(SMALL, Variant(name="x", sets=SHORT, patch=patches.realised(patches.twice)), 0)["log"])
    assert wrong.lr[1] == pytest.approx(wrong.lr_planned[3])
    assert wrong.lr[-1] == pytest.approx(wrong.lr_planned[-1])
    assert wrong.lr[5] == pytest.approx(wrong.lr_planned[11])


def test_a_run_that_was_stopped_and_resumed_is_the_uninterrupted_one() -> None:
    whole, parts = (trial(SMALL, Variant(name="x", sets=SHORT, stop=stop), 0) for stop in (0, 5))
    assert whole["ended"] == parts["ended"] == "done"
    assert unpack(parts["log"]).loss == unpack(whole["log"]).loss
    assert parts["val_nmse_db"] == whole["val_nmse_db"]


def test_a_batch_that_is_no_number_ends_the_run_with_its_finding() -> None:
    bad = Variant(name="x", sets=SHORT, patch=patches.batches(lambda step: step == 9, patches.not_a_number))
    result = trial(SMALL, bad, 0)
    assert result["ended"] == "diverged"
    said = {(each.code, each.severity, each.step) for each in diagnose_facts(unpack(result["log"])).findings}
    assert ("LS201", "error", 9) in said

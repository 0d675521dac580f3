"""`optim.refine: lm` as a part of a job: what it gains, what it leaves unchanged, and how it resumes."""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpdrun.data.capture import Capture
from dpdrun.data.sources import load_capture
from dpdrun.diagnosis.diagnose import diagnose
from dpdrun.errors import RecipeError, RunError, StoppedError
from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.prediction import predict
from dpdrun.plan import prepare as preparation
from dpdrun.recipe.loader import Loaded, load_recipe
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.run.scores import chosen, validation_db
from dpdrun.training import checkpoint, job
from dpdrun.training.lm import refine as refine_module
from dpdrun.training.lm.levenberg_marquardt import LevenbergMarquardt
from dpdrun.training.task import Score
from dpdrun.training.telemetry import Silent


@pytest.fixture
def loaded(here: Path) -> Loaded:
    return load_recipe("job.yaml")


_STRAIGHT: list[Path] = []


@pytest.fixture
def straight(loaded: Loaded, here: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nothing interrupts: trained once, copied for each test."""
    if not _STRAIGHT:
        _STRAIGHT.append(tmp_path_factory.mktemp("refine") / "straight")
        job.train(loaded, _STRAIGHT[0])
    shutil.copytree(_STRAIGHT[0], here / "straight")
    return RunFolder(here / "straight")


class AtIteration:
    """`LevenbergMarquardt.iterate` that does something before an iteration, counted from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
        iterate = LevenbergMarquardt.iterate

        def wrapped(solver: LevenbergMarquardt) -> Any:
            if solver.count + 1 == number:
                act()
            return iterate(solver)

        monkeypatch.setattr(LevenbergMarquardt, "iterate", wrapped)


class KilledError(BaseException):
    """The end of a process that nothing catches."""


def kill() -> None:
    raise KilledError


def lines_of(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of the refinement without their times."""
    return [
        {key: value for key, value in line.items() if key != "seconds"} for line in read_metrics(run.path).refinements
    ]


def report_of(run: RunFolder) -> dict[str, Any]:
    """report.json without its times."""
    report = run.read_json(run.report)
    report["finish"].pop("seconds")
    return {key: value for key, value in report.items() if key not in ("seconds", "samples_per_s", "environment")}


def assert_same(run: RunFolder, straight: RunFolder) -> None:
    assert run.model.read_bytes() == straight.model.read_bytes()
    assert run.best.read_bytes() == straight.best.read_bytes()
    assert lines_of(run) == lines_of(straight) != []
    assert report_of(run) == report_of(straight)


def test_it_takes_the_model_of_adamw_on(straight: RunFolder) -> None:
    metrics, report = read_metrics(straight.path), straight.read_json(straight.report)
    adamw = min(validation_db(line) for line in metrics.evals)
    found, kept = report["finish"], chosen(report["splits"]["val"])["nmse_db"]
    assert kept < adamw - 6
    assert kept == pytest.approx(found["best_db"], abs=1e-9)
    assert found["loss_db"] < found["loss_before_db"] - 6
    assert (found["iterations"], found["ended"]) == (12, "all iterations done")
    assert (report["steps"], len(metrics.steps)) == (8, 8), "the course of AdamW is as without it"
    assert report["best_step"] in (4, 8)
    assert "lines" not in found
    assert "stuck" not in found


def test_an_interrupted_one_is_kept_as_a_run_of_fewer_iterations(
    loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = load_recipe("job.yaml", ["optim.refine_iterations=5"])
    job.train(shorter, here / "straight")
    with monkeypatch.context() as patch:
        AtIteration(patch, 8, kill)
        with pytest.raises(KilledError):
            job.train(loaded, here / "long")
    long, kept = RunFolder(here / "long"), RunFolder(here / "kept")
    assert refine_module.refined_so_far(long).scored == 5
    refine_module.shorten(long, kept, shorter)
    job.train(shorter, kept.path, resume="auto")
    assert_same(kept, RunFolder(here / "straight"))
    with pytest.raises(RunError, match="5 iterations of its refinement were scored"):
        refine_module.shorten(long, RunFolder(here / "other"), load_recipe("job.yaml", ["optim.refine_iterations=6"]))


def test_each_scoring_is_a_line(straight: RunFolder) -> None:
    lines = lines_of(straight)
    assert [(line["iteration"], line["step"]) for line in lines] == [(5, 13), (10, 18), (12, 20)]
    for line in lines:
        assert {"kind", "loss", "damping", "gain_ratio", "val_nmse_db", "best_db"} <= set(line)
        assert line["damping"] > 0
    best = min(lines, key=validation_db)
    found = straight.read_json(straight.report)["finish"]
    assert (found["best_db"], found["best_iteration"]) == (validation_db(best), best["iteration"])
    assert [line["loss"] for line in lines] == sorted((line["loss"] for line in lines), reverse=True)
    assert found["loss_db"] == pytest.approx(10 * math.log10(lines[-1]["loss"]))


def test_what_is_kept_is_the_best_by_validation_and_not_the_last(
    loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([-10.0, -20.0, -30.0, -25.0, math.nan])  # two of AdamW, three of the refinement

    def scored(*_: Any) -> Score:
        return Score(*[next(scores)] * 2)

    monkeypatch.setattr("dpdrun.training.task.evaluate_split", scored)
    kept: list[bytes] = []
    save = checkpoint.save_model

    def saved(path: Path, *args: Any) -> None:
        save(path, *args)
        kept.append(path.read_bytes())

    monkeypatch.setattr(checkpoint, "save_model", saved)
    report = job.train(loaded, here / "run")
    run = RunFolder(here / "run")
    assert (report["finish"]["best_db"], report["finish"]["best_iteration"]) == (-30.0, 5)
    assert len(kept) == 4, "two bests of AdamW, one of the refinement, and the model of the run"
    tensors, header = checkpoint.read(run.best)
    assert header["step"] == "finish 5"
    final, _ = checkpoint.read(run.model)
    assert all(np.array_equal(tensors[name], final[name]) for name in final)


def test_where_nothing_is_better_the_model_of_adamw_stays(
    loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([-10.0, -40.0, -30.0, -31.0, -32.0])
    monkeypatch.setattr("dpdrun.training.task.evaluate_split", lambda *_: Score(*[next(scores)] * 2))
    report = job.train(loaded, here / "run")
    assert (report["finish"]["best_db"], report["finish"]["best_iteration"], report["best_step"]) == (-40.0, 0, 8)
    tensors, header = checkpoint.read(RunFolder(here / "run").best)
    assert header["step"] == "8"
    final, _ = checkpoint.read(RunFolder(here / "run").model)
    assert all(np.array_equal(tensors[name], final[name]) for name in final)


def test_it_ends_when_no_step_is_left(loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpdrun.training.lm.levenberg_marquardt.TRIALS", 0)
    report = job.train(loaded, here / "run")
    assert report["finish"]["iterations"] == refine_module.STUCK == 3
    assert report["finish"]["ended"] == "no step lowers the loss any more"
    assert report["finish"]["loss_db"] == report["finish"]["loss_before_db"]
    assert [line["iteration"] for line in lines_of(RunFolder(here / "run"))] == [3]


@pytest.mark.parametrize("iteration", [1, 3, 5, 11, 12])
def test_sigterm_and_resume_end_in_the_same_bits(
    iteration: int, loaded: Loaded, here: Path, straight: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(here / "run")
    with monkeypatch.context() as patch:
        AtIteration(patch, iteration, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(
            StoppedError, match=f"after iteration {iteration} of 12 of optim.refine; continue"
        ) as caught:
            job.train(loaded, run.path)
    assert str(caught.value).endswith(run.resume_command)
    assert not run.report.exists()
    again = load_recipe(run.recipe)
    job.train(again, run.path, resume=True)
    assert_same(run, straight)


def test_ctrl_c_writes_its_state_first(
    loaded: Loaded, here: Path, straight: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        AtIteration(patch, 7, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt, match=r"after iteration 7 of 12 of optim\.refine; a checkpoint was"):
            job.train(loaded, here / "run")
    job.train(loaded, here / "run", resume=True)
    assert_same(RunFolder(here / "run"), straight)


@pytest.mark.parametrize("iteration", [1, 4, 8])
def test_a_kill_costs_no_more_than_the_iterations_since_the_last_scoring(
    iteration: int, loaded: Loaded, here: Path, straight: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        AtIteration(patch, iteration, kill)
        with pytest.raises(KilledError):
            job.train(loaded, here / "run")
    job.train(loaded, here / "run", resume=True)
    assert_same(RunFolder(here / "run"), straight)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_kill_after_the_best_model_and_before_the_state(
    after: int, loaded: Loaded, here: Path, straight: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """best.safetensors is ahead of finish.safetensors then, and so is metrics.jsonl. `after` states were written."""
    run, written, save = RunFolder(here / "run"), [0], refine_module._save

    def dying(*args: Any) -> None:
        if written[0] == after:
            raise KilledError
        written[0] += 1
        save(*args)

    with monkeypatch.context() as patch:
        patch.setattr(refine_module, "_save", dying)
        with pytest.raises(KilledError):
            job.train(loaded, run.path)
    assert checkpoint.read_header(run.best)["step"].startswith("finish")
    job.train(loaded, run.path, resume=True)
    assert_same(run, straight)


def test_a_kill_before_the_first_state(
    loaded: Loaded, here: Path, straight: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(here / "run")
    with monkeypatch.context() as patch:
        patch.setattr(refine_module, "_save", lambda *_: kill())
        with pytest.raises(KilledError):
            job.train(loaded, run.path)
    assert not run.refinement.exists()
    job.train(loaded, run.path, resume=True)
    assert_same(run, straight)


def test_a_kill_before_the_report(loaded: Loaded, here: Path, straight: RunFolder) -> None:
    run = RunFolder(here / "run")
    job.train(loaded, run.path)
    run.report.unlink()
    run.model.unlink()
    job.train(loaded, run.path, resume=True)
    assert_same(run, straight)


def test_a_stop_in_the_steps_leads_to_the_same_finish(
    loaded: Loaded, here: Path, straight: RunFolder, stop_at: Callable[..., job.Watch]
) -> None:
    with pytest.raises(StoppedError):
        job.train(loaded, here / "run", watch=stop_at(3))
    job.train(loaded, here / "run", resume=True)
    assert_same(RunFolder(here / "run"), straight)


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _of_another_plan(path: Path) -> None:
    tensors, header = checkpoint.read(path)
    checkpoint.write(path, tensors, header | {"plan_hash": "0" * 64})


def _of_another_kind(path: Path) -> None:
    path.write_bytes((path.parent / "best.safetensors").read_bytes())


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (_torn, "damaged or not a safetensors file"),
        (_of_another_plan, "made by another recipe or other data"),
        (_of_another_kind, "not a resumable checkpoint"),
    ],
)
def test_a_state_that_cannot_be_used_is_named(
    harm: Callable[[Path], None], why: str, straight: RunFolder, loaded: Loaded
) -> None:
    straight.report.unlink()
    harm(straight.refinement)
    with pytest.raises(RunError, match=rf"finish\.safetensors: {why}"):
        job.train(loaded, straight.path, resume=True)


def test_the_watcher_sees_every_scoring(loaded: Loaded, here: Path) -> None:
    seen: list[tuple[int, int]] = []

    class Watcher(Silent):
        def refinement(self, line: dict[str, Any], iterations: int) -> None:
            seen.append((line["iteration"], iterations))

    job.train(loaded, here / "run", watch=lambda _: nullcontext(Watcher()))
    assert seen == [(5, 12), (10, 12), (12, 12)]


def test_dropout_is_off_in_it(loaded: Loaded, here: Path) -> None:
    report = job.train(load_recipe("job.yaml", ["model.dropout=0.3"]), here / "run")
    model, plan, run = job.load_run(here / "run")
    assert report["finish"]["loss_db"] < report["finish"]["loss_before_db"] - 3
    best = min(lines_of(run), key=lambda line: line["val_nmse_db"])
    assert report["finish"]["best_iteration"] == best["iteration"]
    again = evaluate(model, plan, load_capture(plan.recipe.data), ("val",))["splits"]["val"]["nmse_db"]
    assert again == pytest.approx(best["val_nmse_db"], abs=1e-9)


def test_the_diagnosis_judges_the_model_that_was_kept(straight: RunFolder) -> None:
    this, found = diagnose(straight.path), straight.read_json(straight.report)["finish"]
    assert this.facts.best_nmse_db == found["best_db"]
    assert this.facts.eval_step == [4, 8], "the course of training is that of AdamW"
    assert this.facts.step[-1] == 8


def test_a_long_record_is_thinned_to_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine_module, "BLOCK", 10)
    record = torch.arange(203.0).view(1, -1, 1).expand(-1, -1, 2)  # 20 blocks of 10 scored samples after 3 of memory
    kept = refine_module.evenly_spaced(record, 31, memory=3)
    assert kept.shape == (4, 13, 2), "a block is complete"
    assert kept[:, 0, 0].tolist() == [20, 70, 120, 170]
    assert (kept.diff(dim=1) == 1).all(), "and contiguous"
    assert refine_module.evenly_spaced(record, 200, memory=3) is record


def test_short_loops_are_kept_as_they_are() -> None:
    loops = torch.arange(60.0).view(6, 10, 1).expand(-1, -1, 2)
    kept = refine_module.evenly_spaced(loops, 21, memory=3)
    assert [loop[:, 0].tolist() for loop in kept] == [list(range(10 * row, 10 * row + 10)) for row in (1, 3, 5)]


@pytest.mark.parametrize(("setting", "is_thinned"), [("1", True), ("all", False), ("1000000", False)])
def test_a_recipe_says_how_many_samples_it_learns_from(
    setting: str, is_thinned: bool, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refine_module, "BLOCK", 100)
    seen: list[tuple[int, Any]] = []

    def solver(model: Any, x: Any, *_: Any) -> Any:
        seen.append((sum(each.numel() for each in model.parameters()), x.shape))
        raise KilledError

    monkeypatch.setattr(refine_module, "LevenbergMarquardt", solver)
    loaded = load_recipe("job.yaml", [f"optim.refine_samples_per_parameter={setting}"])
    with pytest.raises(KilledError):
        job.train(loaded, here / "run")
    [(parameters, shape)] = seen
    records = math.ceil(parameters / 100) if setting == "1" else 1
    assert shape[0] == records
    assert (shape[1] < len(load_capture(loaded.recipe.data).train)) == is_thinned


def test_a_loop_is_a_record_of_its_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three loops side by side, and none shorter than what the model sees."""
    loaded = load_recipe("job.yaml", ["data.split={train: 60%, val: 20%, test: 20%, guard: 0}"])
    _, whole = job.prepare_training(loaded)
    assert len(whole.train) == 1800
    looped = Capture(**{**vars(whole), "loop_samples": 600})
    monkeypatch.setattr(preparation, "load_capture", lambda _: looped)
    shapes: list[tuple[int, ...]] = []
    begin = LevenbergMarquardt.__init__

    def begun(solver: LevenbergMarquardt, model: Any, x: Any, *args: Any) -> None:
        shapes.append(tuple(x.shape))
        begin(solver, model, x, *args)

    monkeypatch.setattr(LevenbergMarquardt, "__init__", begun)
    report = job.train(loaded, here / "run")
    assert shapes == [(3, 600, 2)]
    assert report["finish"]["loss_db"] < report["finish"]["loss_before_db"] - 3
    monkeypatch.setattr(preparation, "load_capture", lambda _: Capture(**{**vars(whole), "loop_samples": 40}))
    with pytest.raises(RecipeError, match=r"depends on 77 samples, but a record has 40; shorten model.window"):
        job.prepare_training(load_recipe("job.yaml", ["model.layers=15", "data.split={guard: 0}"]))


DPD_MODEL = "model={kind: transformer, d_model: 4, layers: 1, heads: 2, window: 6, conv: 2, ff_mult: 0.5, lookahead: 1}"


@pytest.mark.parametrize("learning", ["ilc", "indirect"])
def test_a_predistorter_is_chosen_by_its_objective(bench: Any, tmp_path: Path, learning: str) -> None:
    finish = ("optim.refine=lm", "optim.refine_iterations=10", f"dpd.learning={learning}", DPD_MODEL)
    report = job.train(bench.recipe(*finish), tmp_path / "run")
    metrics = read_metrics(tmp_path / "run")
    assert [line["iteration"] for line in metrics.refinements] == [5, 10]
    held = [line for line in (*metrics.evals, *metrics.refinements) if abs(line["power_db"]) <= 0.5]
    assert held
    best = min(held, key=lambda line: line["objective_db"])
    assert best["kind"] == "finish"
    assert report["finish"]["best_iteration"] == best["iteration"]
    assert report["splits"]["val"]["objective_db"] == pytest.approx(best["objective_db"], abs=1e-6)
    assert best["objective_db"] < min(line["objective_db"] for line in metrics.evals) - 3


SPECTRAL = ("data.bandwidth_hz=1.5e5", "data.check_rates=off", "train.loss={in_band: 1, out_of_band: 4, beyond: 0.1}")


def test_the_weights_of_the_loss_are_those_of_the_finish(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of its loss is the weighted error over the whole training part, taken here with NumPy."""
    scores = iter([-10.0, -11.0, -12.0, -13.0, -14.0])  # so the model that is kept is that of the last line
    with monkeypatch.context() as patch:
        patch.setattr("dpdrun.training.task.evaluate_split", lambda *_: Score(*[next(scores)] * 2))
        report = job.train(load_recipe("job.yaml", SPECTRAL), here / "run")
    found = report["finish"]
    assert (found["iterations"], found["best_iteration"]) == (12, 12)
    assert found["loss_db"] < found["loss_before_db"] - 6
    model, plan, _ = job.load_run(here / "run")
    part = load_capture(plan.recipe.data).train
    error = (predict(model, part.x) - part.y)[model.context :]
    f = np.abs(np.fft.fftfreq(len(error)))
    weight = np.select([f <= 0.075, f <= 0.225], [1.0, 4.0], 0.1)
    power = np.mean(np.abs(np.fft.fft(error, norm="ortho")) ** 2 * weight) / np.mean(np.abs(part.y) ** 2)
    assert 10 * math.log10(power) == pytest.approx(found["loss_db"], abs=0.01)


def test_a_weighted_finish_resumes_with_the_same_bits(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_recipe("job.yaml", SPECTRAL)
    job.train(loaded, here / "straight")
    with monkeypatch.context() as patch:
        AtIteration(patch, 7, kill)
        with pytest.raises(KilledError):
            job.train(loaded, here / "run")
    job.train(loaded, here / "run", resume=True)
    assert_same(RunFolder(here / "run"), RunFolder(here / "straight"))


def test_out_of_band_weights_lower_the_leakage_of_a_predistorter(bench: Any, tmp_path: Path) -> None:
    finish = ("optim.refine=lm", "optim.refine_iterations=15", "dpd.learning=ilc", DPD_MODEL)
    scores = {}
    for name, loss in (("time", ()), ("beside", ("train.loss={in_band: 0.05, out_of_band: 1, beyond: 0.05}",))):
        scores[name] = job.train(bench.recipe(*finish, *loss), tmp_path / name)["splits"]["val"]
    assert scores["beside"]["aclr_worse_db"] < scores["time"]["aclr_worse_db"] - 0.5
    assert scores["beside"]["in_band_db"] > scores["time"]["in_band_db"]

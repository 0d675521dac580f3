"""A whole job: what it leaves, what it refuses before it writes anything, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dpdrun.data.capture import Capture
from dpdrun.errors import DataError, DpdrunError, FindingError, RecipeError, RunError, StoppedError
from dpdrun.evaluation.assessment import evaluate
from dpdrun.plan import prepare as preparation
from dpdrun.plan.plan import Plan
from dpdrun.recipe.loader import Loaded, load_recipe
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import job
from dpdrun.training.telemetry import Silent

WatchAt = Callable[..., job.Watch]

RECIPE = """\
# a comment that stays
task: pa
data:
  source: {source}
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}}
optim:
  lr: 1e-2  # tried
train: {{max_steps: 8, batch_size: 4, frame: 32, burn_in: 8, eval_every: 4, checkpoint_every: 4, compile: off}}
"""
GMP = "task: pa\ndata: {{source: {source}}}\nmodel: {{kind: gmp, order: 3, delays: 2, cross: 0}}\n"


class Folder:
    """A folder with a capture and recipes for it."""

    def __init__(self, path: Path, capture: Capture) -> None:
        self.path = path
        x, y = (np.concatenate([getattr(p, side) for p in capture.parts.values()]) for side in "xy")
        np.savez(path / "capture.npz", x=x, y=y, sample_rate_hz=1e6)

    def recipe(self, *overrides: str, text: str = RECIPE) -> Loaded:
        file = self.path / "job.yaml"
        file.write_text(text.format(source=self.path / "capture.npz"))
        return load_recipe(file, overrides)

    @property
    def run(self) -> Path:
        return self.path / "runs" / "one"


@pytest.fixture
def at(tmp_path: Path, capture: Capture) -> Folder:
    return Folder(tmp_path, capture)


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


class ThreadsSeen(Silent):
    """A monitor that notes how many threads torch has at each step."""

    def __init__(self) -> None:
        self.counts: set[int] = set()

    def step(self, line: dict[str, Any]) -> None:
        self.counts.add(torch.get_num_threads())


def test_a_job_runs_in_the_threads_of_its_plan_and_leaves_those_of_its_caller(at: Folder) -> None:
    before, seen, chosen = torch.get_num_threads(), ThreadsSeen(), ThreadsSeen()
    report = job.train(at.recipe("train.threads=3"), at.run, watch=lambda _: nullcontext(seen))
    assert (seen.counts, report["threads"]) == ({3}, 3)
    plan = Plan.from_json(RunFolder(at.run).read_json(RunFolder(at.run).plan))
    assert plan.recipe.train.threads == 3
    report = job.train(at.recipe(), at.path / "auto", watch=lambda _: nullcontext(chosen))
    assert (chosen.counts, report["threads"]) == ({1}, 1)
    assert torch.get_num_threads() == before


def test_a_job_leaves_everything_that_a_run_folder_has(at: Folder) -> None:
    report = job.train(at.recipe(), at.run)
    folder = RunFolder.open(at.run)
    assert set(contents(at.run)) == {
        "recipe.yaml", "plan.json", "metrics.jsonl", "audit.json", "model.safetensors", "report.json",
        "heartbeat.json",
        "checkpoints/last.safetensors", "checkpoints/best.safetensors",
    }  # fmt: skip
    assert folder.read_json(folder.report) == report
    assert (report["steps"], len(read_metrics(at.run).steps)) == (8, 8)
    assert report["best_step"] in (4, 8)
    assert report["samples_per_s"] == pytest.approx(8 * 4 * 32 / report["seconds"])
    best = min(line["val_nmse_db"] for line in read_metrics(at.run).evals)
    assert report["splits"]["val"]["nmse_db"] == pytest.approx(best, abs=1e-9)


def test_a_run_can_be_loaded_and_scores_the_same(at: Folder) -> None:
    report = job.train(at.recipe(), at.run)
    model, plan, _ = job.load_run(at.run)
    assert not model.training
    again = evaluate(model, plan, job.load_capture(plan.recipe.data))
    assert again == {key: report[key] for key in again}
    costs = {"processes", "threads", "device", "seconds", "steps", "best_step", "samples_per_s"}
    assert set(report) - set(again) == costs | {"environment"}


def test_the_watcher_sees_the_job_and_every_step(at: Folder) -> None:
    seen: list[Any] = []

    class Watcher(Silent):
        def step(self, line: dict[str, Any]) -> None:
            seen.append(line["step"])

    def watch(this: job.Job) -> Any:
        seen.append((this.parameters, this.plan.total_steps, this.run.path, len(this.capture.train)))
        return nullcontext(Watcher())

    report = job.train(at.recipe(), at.run, watch=watch)
    assert seen[0] == (report["parameters"], 8, at.run, 1770)  # 60 % of 3000 less the guard of 1 %
    assert seen[1:] == list(range(1, 9))


def test_the_recipe_is_kept_with_overrides_written_in_and_comments_kept(at: Folder) -> None:
    loaded = at.recipe("optim.lr=2e-2", "train.max_steps=4", "optim.warmup=25%")
    job.train(loaded, at.run)
    kept = (at.run / "recipe.yaml").read_text()
    assert "# a comment that stays" in kept
    assert "lr: 2e-2  # tried" in kept or "lr: 0.02  # tried" in kept
    assert load_recipe(at.run / "recipe.yaml").recipe == loaded.recipe
    assert Plan.from_json(RunFolder(at.run).read_json(at.run / "plan.json")).lr == 2e-2


@pytest.mark.parametrize(
    ("overrides", "error", "why"),
    [
        (["data.source=nowhere.npz"], DataError, "nowhere"),
        (["train.frame=5000"], RecipeError, r"--set train\.frame=5000: train\.frame 5000 is longer than"),
        (["data.split={train: 50%, val: 30%, test: 20%}", "train.frame=1600"], RecipeError, "frame 1600"),
        (["model.window=full", "model.positions=relative"], RecipeError, r"model\.positions"),
    ],
)
def test_nothing_is_written_for_a_job_that_cannot_be_done(
    overrides: list[str], error: type[DpdrunError], why: str, at: Folder
) -> None:
    with pytest.raises(error, match=why):
        job.train(at.recipe(*overrides), at.run)
    assert not at.run.parent.exists()


def test_what_does_not_fit_the_data_is_shown_at_its_line(at: Folder) -> None:
    long = RECIPE.replace("frame: 32", "frame: 5000")
    with pytest.raises(RecipeError, match=r"job\.yaml:8:\d+: train\.frame 5000 is longer than the training split"):
        job.prepare_training(at.recipe(text=long))


@pytest.mark.parametrize("resume", [False, True])
def test_a_place_that_cannot_be_used_is_refused_before_data_are_read(
    resume: bool, at: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(section: Any) -> Capture:
        raise AssertionError("the data were read")

    loaded = at.recipe()
    other, file, run = at.path / "other", at.path / "file", at.path / "run"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    file.write_text("mine")
    job.train(loaded, run)
    (run / "report.json").unlink()
    (run / "checkpoints" / "last.safetensors").unlink()
    before = contents(at.path)
    for owner in (job, preparation):
        monkeypatch.setattr(owner, "load_capture", never)
    cases = {
        other: "not a run folder" if resume else "not empty",
        file: "not a run folder" if resume else "is a file",
        file / "below": "no such run folder" if resume else "file is a file",
        run: "nothing to resume from" if resume else "--resume to continue",
        at.path / "new": "no such run folder" if resume else None,
    }
    for path, why in cases.items():
        with pytest.raises(RunError if why else AssertionError, match=why or "the data were read"):
            job.train(loaded, path, resume=resume)
    assert contents(at.path) == before


def test_an_empty_folder_may_be_filled(at: Folder) -> None:
    at.run.mkdir(parents=True)
    job.train(at.recipe(), at.run)
    assert (at.run / "report.json").is_file()


def weights(path: Path) -> torch.Tensor:
    tensors = load_file(path / "model.safetensors")
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def test_a_stopped_job_resumes_to_the_same_end(at: Folder, stop_at: WatchAt) -> None:
    loaded = at.recipe()
    straight = job.train(loaded, at.path / "straight")
    with pytest.raises(StoppedError):
        job.train(loaded, at.run, watch=stop_at(3))
    assert not (at.run / "report.json").exists()
    # as the message of StoppedError says: with the recipe in the folder; and checkpoints may be written more often
    kept = load_recipe(at.run / "recipe.yaml", ["train.checkpoint_every=2"])
    resumed = job.train(kept, at.run, resume=True)
    assert torch.equal(weights(at.run), weights(at.path / "straight"))
    assert resumed["splits"] == straight["splits"]


def test_a_job_that_ended_between_its_last_step_and_its_report_resumes(at: Folder) -> None:
    loaded = at.recipe()
    report = job.train(loaded, at.run)
    for name in ("report.json", "model.safetensors", "audit.json"):
        (at.run / name).unlink()
    assert job.train(loaded, at.run, resume=True)["splits"] == report["splits"]
    assert (at.run / "model.safetensors").is_file()


def test_resume_of_a_finished_job_changes_nothing(at: Folder) -> None:
    loaded = at.recipe()
    report = job.train(loaded, at.run)
    before = contents(at.run)
    assert job.train(loaded, at.run, resume=True) == report
    assert contents(at.run) == before


@pytest.mark.parametrize("finished", [False, True])
def test_resume_with_another_recipe_names_what_differs(finished: bool, at: Folder, stop_at: WatchAt) -> None:
    if finished:
        job.train(at.recipe(), at.run)
    else:
        with pytest.raises(StoppedError):
            job.train(at.recipe(), at.run, watch=stop_at(2))
    before = contents(at.run)
    with pytest.raises(RunError) as caught:
        job.train(at.recipe("optim.lr=2e-2", "train.max_steps=16", "optim.warmup=10%"), at.run, resume=True)
    text = str(caught.value)
    for part in ("optim.lr 0.01 -> 0.02", "train.max_steps 8 -> 16", "optim.warmup auto -> 10%",
                 f"dpdrun train {at.run}/recipe.yaml --run-dir {at.run} --resume"):  # fmt: skip
        assert part in text
    assert "seed" not in text
    other = GMP.replace("order: 3", "order: 4")
    with pytest.raises(RunError, match=r"model\.kind transformer -> gmp.* and \d+ more"):
        job.train(at.recipe(text=other), at.run, resume=True)
    assert contents(at.run) == before


def test_resume_on_other_data_is_refused(at: Folder, stop_at: WatchAt) -> None:
    with pytest.raises(StoppedError):
        job.train(at.recipe(), at.run, watch=stop_at(2))
    with np.load(at.path / "capture.npz") as archive:
        arrays = dict(archive)
    np.savez(at.path / "capture.npz", **{**arrays, "y": 1.1 * arrays["y"]})
    before = contents(at.run)
    with pytest.raises(RunError, match="has changed since this run was started"):
        job.train(at.recipe(), at.run, resume=True)
    assert contents(at.run) == before


def test_a_gmp_is_fitted_without_steps(at: Folder) -> None:
    report = job.train(at.recipe(text=GMP), at.run)
    assert (report["steps"], report["samples_per_s"], report["rules"]) == (0, None, {})
    assert report["splits"]["test"]["nmse_db"] < report["baselines"]["one_tap"]["test"]["nmse_db"] - 10
    assert set(contents(at.run)) == {
        "recipe.yaml", "plan.json", "model.safetensors", "report.json", "heartbeat.json",
    }  # fmt: skip
    model, plan, _ = job.load_run(at.run)
    again = evaluate(model, plan, job.load_capture(plan.recipe.data))
    assert again == {key: report[key] for key in again}
    (at.run / "report.json").unlink()
    with pytest.raises(RunError, match="a least-squares fit has no checkpoints"):
        job.train(at.recipe(text=GMP), at.run, resume=True)


def test_a_run_without_a_model_and_one_that_resumes(at: Folder) -> None:
    job.train(at.recipe(), at.run)
    (at.run / "model.safetensors").unlink()
    model, _, _ = job.load_run(at.run)  # the best so far
    best = load_file(at.run / "checkpoints" / "best.safetensors")
    assert all(torch.equal(value, best[name]) for name, value in model.state_dict().items())
    (at.run / "checkpoints" / "best.safetensors").unlink()
    with pytest.raises(RunError, match="no model yet"):
        job.load_run(at.run)


def test_a_model_file_that_is_damaged_or_of_another_shape_is_refused(at: Folder) -> None:
    job.train(at.recipe(), at.run)
    path = at.run / "model.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-5], b"\xff" * 200):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"model\.safetensors: damaged"):
            job.load_run(at.run)
    path.write_bytes(whole)
    tensors = load_file(path)
    for changed, why in (
        ({**tensors, "head.weight": torch.zeros(2, 9)}, r"tensor head\.weight is \(2, 9\), expected \(2, 8\)"),
        ({**tensors, "extra": torch.zeros(1)}, "it has an unexpected tensor extra"),
        ({name: value for name, value in tensors.items() if name != "scale_x"}, "it has no tensor scale_x"),
    ):
        save_file(changed, path)
        with pytest.raises(RunError, match=why):
            job.load_run(at.run)


def test_half_an_environment_is_refused_before_anything_is_written(at: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(RunError, match="MASTER_ADDR, MASTER_PORT is not set; use --processes or a launcher"):
        job.train(at.recipe(), at.run)
    assert not at.run.exists()


WILD = ("optim.lr=3e-2", "optim.clip_norm=off", "optim.warmup=off", "train.max_steps=70")


@pytest.fixture
def diverging(runaway: Callable[[float], None]) -> None:
    """The run of `WILD` diverges in its first steps, where the rate is above this."""
    runaway(2e-2)


@pytest.mark.usefixtures("diverging")
def test_a_job_that_adapted_says_so_in_its_report(at: Folder) -> None:
    report = job.train(at.recipe(*WILD, "train.on_finding=adapt"), at.run)
    log = read_metrics(at.run)
    assert report["adaptations"] == log.adapts
    assert [line["step"] for line in log.adapts] == [50]
    assert report["steps"] == len(log.steps) == 70


@pytest.mark.usefixtures("diverging")
def test_a_job_stopped_by_a_finding_resumes_on_request(at: Folder) -> None:
    with pytest.raises(FindingError, match="stopped after step 50 of 70"):
        job.train(at.recipe(*WILD, "train.on_finding=stop"), at.run)
    with pytest.raises(RunError, match=r"train\.on_finding stop -> adapt"):
        job.train(load_recipe(at.run / "recipe.yaml", ["train.on_finding=adapt"]), at.run, resume=True)
    report = job.train(load_recipe(at.run / "recipe.yaml", ["train.on_finding=warn"]), at.run, resume=True)
    whole = job.train(at.recipe(*WILD), at.path / "whole")
    assert report["splits"] == whole["splits"]
    assert "adaptations" not in report

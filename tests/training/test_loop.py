"""The loop: it learns, repeats itself to the bit, resumes to the bit, and stops before harm is done."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.errors import AuditError, RunError, StoppedError
from dpdrun.plan.plan import Plan
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, read_metrics
from dpdrun.training import checkpoint, loop, task
from dpdrun.training.loop import TrainingOutcome, fit
from dpdrun.training.schedule import schedule_of
from dpdrun.training.telemetry import Silent

PlanMaker = Callable[..., Plan]
MonitorAt = Callable[..., Silent]


def run_fit(
    plan: Plan, capture: Capture, path: Path, *, resume: bool = False, monitor: Any = None
) -> tuple[torch.nn.Module, TrainingOutcome, Metrics]:
    torch.manual_seed(plan.recipe.train.seed)
    model = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    folder = RunFolder(path) if resume else RunFolder.create(path)
    outcome = fit(model, plan, capture, folder, monitor or Silent(), resume=resume)
    return model, outcome, read_metrics(path)


def parameters(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trace(metrics: Metrics) -> list[tuple[float, float, float]]:
    return [(line["loss"], line["grad_norm"], line["lr"]) for line in metrics.steps]


def test_training_improves_on_one_complex_gain(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    from dpdrun.rf.metrics import nmse_db, one_tap_gain

    gain = one_tap_gain(capture.train.x, capture.train.y)
    one_tap = nmse_db(capture.val.y, gain * capture.val.x)
    _, outcome, metrics = run_fit(plan("train.max_steps=200", "train.eval_every=50"), capture, tmp_path / "run")
    assert outcome.best_db < one_tap - 3
    assert outcome.steps == len(metrics.steps) == 200
    assert outcome.best_db == min(line["val_nmse_db"] for line in metrics.evals)


def test_the_same_recipe_gives_the_same_bits(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    first, _, one = run_fit(plan(), capture, tmp_path / "a")
    second, _, two = run_fit(plan(), capture, tmp_path / "b")
    _, _, three = run_fit(plan("train.seed=1"), capture, tmp_path / "c")
    assert trace(one) == trace(two)
    assert torch.equal(parameters(first), parameters(second))
    assert trace(one) != trace(three)


@pytest.mark.parametrize("extra", [(), ("model.dropout=0.1",), ("optim.schedule=plateau",)])
def test_resume_equals_the_uninterrupted_run_to_the_bit(
    extra: tuple[str, ...], plan: PlanMaker, capture: Capture, tmp_path: Path, signal_at: MonitorAt
) -> None:
    straight, _, whole = run_fit(plan(*extra), capture, tmp_path / "straight")
    with pytest.raises(StoppedError, match=r"after step 7 of 12(.|\n)*--resume"):
        run_fit(plan(*extra), capture, tmp_path / "broken", monitor=signal_at(7))
    with (tmp_path / "broken" / "metrics.jsonl").open("a") as handle:  # a step that the checkpoint does not know
        handle.write('{"kind": "step", "step": 8, "loss": 0.0, "grad_norm": 0.0}\n')
    resumed, _, joined = run_fit(plan(*extra), capture, tmp_path / "broken", resume=True)
    assert trace(joined) == trace(whole)
    assert [e["val_nmse_db"] for e in joined.evals] == [e["val_nmse_db"] for e in whole.evals]
    assert joined.epochs == whole.epochs
    assert torch.equal(parameters(straight), parameters(resumed))


def test_a_checkpoint_of_another_plan_is_refused(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    run_fit(plan(), capture, tmp_path / "run")
    with pytest.raises(RunError, match="made by another recipe or other data"):
        run_fit(plan("optim.lr=2e-2"), capture, tmp_path / "run", resume=True)


def test_a_non_finite_batch_stops_before_the_step(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    x = capture.train.x.copy()
    x[1000] = np.nan
    poisoned = replace(capture, train=Part(x, capture.train.y))
    object.__setattr__(poisoned, "scale_x", capture.scale_x)  # the scale is of a capture that was still whole
    with pytest.raises(RunError, match=r"step \d+: loss nan.*\n.*training samples \d+ and \d+\n.*") as caught:
        run_fit(plan("train.max_steps=100"), poisoned, tmp_path / "run")
    assert "lower optim.lr" in str(caught.value)
    assert math.isnan(read_metrics(tmp_path / "run").steps[-1]["loss"])
    for path in (tmp_path / "run" / "checkpoints").glob("*.safetensors"):
        from dpdrun.training.checkpoint import read

        tensors, _ = read(path)
        assert all(torch.isfinite(t.float()).all() for t in tensors.values()), path


def test_lr_follows_the_plan_and_the_norm_is_taken_before_clipping(
    plan: PlanMaker, capture: Capture, tmp_path: Path
) -> None:
    this = plan("optim.clip_norm=1e-3", "optim.warmup=3")
    _, _, metrics = run_fit(this, capture, tmp_path / "run")
    schedule = schedule_of(this)
    assert [line["lr"] for line in metrics.steps] == [schedule.lr_at(n) for n in range(1, 13)]
    assert all(line["clipped"] and line["grad_norm"] > 1e-3 for line in metrics.steps)
    audit = RunFolder(tmp_path / "run").read_json(tmp_path / "run" / "audit.json")
    assert audit["agrees"] is True


def test_accumulation_gives_the_gradient_of_the_full_batch(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    _, _, one = run_fit(plan("train.max_steps=3"), capture, tmp_path / "one")
    _, _, four = run_fit(plan("train.max_steps=3", "train.accumulate=4"), capture, tmp_path / "four")
    for a, b in zip(trace(one), trace(four), strict=True):
        assert b == pytest.approx(a, rel=2e-4)


def test_an_epoch_line_has_mean_and_maximum_norm(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    this = plan("train.max_steps=60")
    _, _, metrics = run_fit(this, capture, tmp_path / "run")
    steps_per_epoch = this.frames_per_epoch / this.batch_size
    assert len(metrics.epochs) == math.floor(60 / steps_per_epoch) > 1
    first = metrics.epochs[0]
    norms = [line["grad_norm"] for line in metrics.steps if line["step"] <= first["step"]]
    assert first["grad_norm_max"] == max(norms)
    assert first["grad_norm"] == pytest.approx(sum(norms) / len(norms))


def test_group_norms_add_up_to_the_total(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    _, _, metrics = run_fit(plan(), capture, tmp_path / "run")
    line = metrics.steps[0]
    assert len(line["group_norms"]) > 2
    assert math.hypot(*line["group_norms"].values()) == pytest.approx(line["grad_norm"], rel=1e-5)


def test_looking_at_the_parts_changes_nothing(
    plan: PlanMaker, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom, _, few = run_fit(plan(), capture, tmp_path / "seldom")
    monkeypatch.setattr(loop, "GROUP_NORM_EVERY", 2)
    often, _, many = run_fit(plan(), capture, tmp_path / "often")
    looks = [sum("group_updates" in line for line in metrics.steps) for metrics in (few, many)]
    assert looks == [1, 6]
    assert trace(few) == trace(many)
    assert torch.equal(parameters(seldom), parameters(often))
    line = many.steps[6]
    assert set(line["group_updates"]) == set(line["group_weights"]) == set(line["group_norms"])
    assert sum(line["group_sizes"].values()) == sum(p.numel() for p in often.parameters())
    assert all(0.0 < line["group_updates"][part] < line["group_weights"][part] for part in line["group_norms"])


def test_best_and_last_are_different_files_and_the_best_is_kept(
    plan: PlanMaker, capture: Capture, tmp_path: Path
) -> None:
    model, outcome, _ = run_fit(plan("train.max_steps=40"), capture, tmp_path / "run")
    from dpdrun.training.checkpoint import read

    tensors, header = read(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert int(header["step"]) == outcome.best_step
    assert all(torch.equal(tensors[name], value) for name, value in model.state_dict().items())


def test_bf16_computes_coarsely_and_keeps_its_parameters_in_fp32(
    plan: PlanMaker, capture: Capture, tmp_path: Path
) -> None:
    model, _, coarse = run_fit(plan("train.precision=bf16"), capture, tmp_path / "bf16")
    _, _, fine = run_fit(plan(), capture, tmp_path / "fp32")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert trace(coarse) != trace(fine)
    losses = [[line["loss"] for line in metrics.steps] for metrics in (coarse, fine)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_rotation_changes_the_samples_and_not_the_frames(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    _, _, turned = run_fit(plan("train.phase_augment=on"), capture, tmp_path / "on")
    _, _, plain = run_fit(plan(), capture, tmp_path / "off")
    assert trace(turned) != trace(plain)
    audits = [RunFolder(tmp_path / name).read_json(tmp_path / name / "audit.json") for name in ("on", "off")]
    assert audits[0]["checks"]["frames_crc"] == audits[1]["checks"]["frames_crc"]


def test_the_loss_leaves_out_the_burn_in_alone(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    """A spike in the target where no frame is judged must not change the loss."""
    this = plan("model.lookahead=4", "train.max_steps=1", "train.batch_size=1")
    _, _, clean = run_fit(this, capture, tmp_path / "clean")
    from dpdrun.models._arrays import to_pairs
    from dpdrun.training.sampler import FrameSampler

    pairs = to_pairs(capture.train.x)
    sampler = FrameSampler(pairs, pairs, frame=this.frame, frames_per_epoch=this.frames_per_epoch, batch_size=1, seed=0)
    start = int(sampler.starts(1)[0])
    ends = {start + this.burn_in - 1: True, start + this.frame - 1: False, start + this.burn_in: False}
    for position, same in ends.items():
        y = capture.train.y.copy()
        y[position] += 0.5
        spiked = replace(capture, train=Part(capture.train.x, y))
        object.__setattr__(spiked, "scale_y", capture.scale_y)
        _, _, metrics = run_fit(this, spiked, tmp_path / f"at{position}")
        assert (metrics.steps[0]["loss"] == clean.steps[0]["loss"]) is same, position


def scripted(scores: list[float]) -> Callable[..., task.Score]:
    """A validation that says what it is told."""
    told = iter(scores)
    return lambda *_: task.Score(*[next(told)] * 2)


def test_the_best_version_is_kept_when_validation_gets_worse(
    plan: PlanMaker, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "evaluate_split", scripted([-10.0, -12.0, -11.0]))
    model, outcome, _ = run_fit(plan("train.max_steps=12", "train.eval_every=4"), capture, tmp_path / "long")
    assert (outcome.best_step, outcome.best_db) == (8, -12.0)
    tensors, header = checkpoint.read(tmp_path / "long" / "checkpoints" / "best.safetensors")
    last, _ = checkpoint.read(tmp_path / "long" / "checkpoints" / "last.safetensors")
    assert header["step"] == "8"
    assert all(torch.equal(tensors[name], value) for name, value in model.state_dict().items())
    assert any(not torch.equal(tensors[name], last[f"model.{name}"]) for name in tensors)


def test_the_best_version_is_that_of_the_score_with_past(
    plan: PlanMaker, capture: Capture, amplified: Callable[[int, int], Part], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What is before the split changes which version is kept, and no step: those are of `capture` alone."""
    this = plan("train.max_steps=12", "train.eval_every=4", "optim.schedule=plateau", "optim.plateau.patience=1")
    whole = amplified(700, 1)
    before, val = (Part(whole.x[c], whole.y[c]) for c in (slice(200), slice(200, None)))
    cold = replace(capture, val=val)
    known = replace(capture, val=replace(val, past=before))
    _, _, without = run_fit(this, cold, tmp_path / "cold")
    _, outcome, metrics = run_fit(this, known, tmp_path / "known")
    assert [line["loss"] for line in metrics.steps] == [line["loss"] for line in without.steps]
    assert [line["val_nmse_db"] for line in metrics.evals] == [line["val_nmse_db"] for line in without.evals]
    past = [line["val_nmse_with_past_db"] for line in metrics.evals]
    assert outcome.best_db == min(past)
    assert all(a != b for a, b in zip(past, [line["val_nmse_db"] for line in metrics.evals], strict=True))

    scores = iter([task.Score(-10.0, -13.0), task.Score(-12.0, -11.0), task.Score(-11.0, -12.0)])
    monkeypatch.setattr(task, "evaluate_split", lambda *_: next(scores))
    _, outcome, _ = run_fit(this, known, tmp_path / "scripted")
    assert (outcome.best_step, outcome.best_db) == (4, -13.0)


@pytest.mark.parametrize("stopped", [False, True])
def test_the_plateau_lowers_the_lr_of_later_steps_also_across_a_resume(
    stopped: bool,
    plan: PlanMaker,
    capture: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    signal_at: MonitorAt,
) -> None:
    this = plan("optim.schedule=plateau", "optim.plateau.patience=1", "optim.warmup=off", "train.eval_every=2")
    scores = [-10.0, -10.0, -10.0, -10.0, -10.0, -10.0]  # no progress from the second on: a drop after every second
    monkeypatch.setattr(task, "evaluate_split", scripted(scores))
    if stopped:
        with pytest.raises(StoppedError):
            run_fit(this, capture, tmp_path / "run", monitor=signal_at(7))
    _, _, metrics = run_fit(this, capture, tmp_path / "run", resume=stopped)
    drops = [line["lr"] / this.lr for line in metrics.steps]
    assert drops == pytest.approx([1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25])
    audit = RunFolder(tmp_path / "run").read_json(tmp_path / "run" / "audit.json")
    assert audit["agrees"], audit


def test_the_audit_sees_an_lr_that_somebody_else_wrote(
    plan: PlanMaker, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = loop.build_optimizer

    def meddled(*arguments: Any) -> torch.optim.Optimizer:
        optimizer = built(*arguments)
        step = optimizer.step

        def sabotage(*args: Any, **kwargs: Any) -> Any:
            optimizer.param_groups[-1]["lr"] /= 1000  # as a scheduler that is stepped at the wrong time would
            return step(*args, **kwargs)

        optimizer.step = sabotage  # type: ignore[method-assign]
        return optimizer

    monkeypatch.setattr(loop, "build_optimizer", meddled)
    with pytest.raises(AuditError, match=r"lr_max_relative_error: planned 0, was 0\.999"):
        run_fit(plan(), capture, tmp_path / "run")
    audit = RunFolder(tmp_path / "run").read_json(tmp_path / "run" / "audit.json")
    assert not audit["agrees"]
    assert not audit["checks"]["lr_max_relative_error"]["agrees"]

"""train.precision: what is refused, what is switched on and off again, and the loss scale of fp16."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.data.capture import Capture
from dpdrun.diagnosis.diagnose import facts_of_run
from dpdrun.errors import DivergedError, StoppedError
from dpdrun.plan.plan import Plan
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics
from dpdrun.training import checkpoint, precision, step, task
from dpdrun.training.precision import LossScale, impossible, tensor_cores, without_effect
from dpdrun.training.probe import ProbeRun
from dpdrun.training.schedule import schedule_of
from dpdrun.training.telemetry import Silent
from tests.training.test_loop import parameters, run_fit, trace

PlanMaker = Callable[..., Plan]
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="of a machine without a GPU")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
MANY = 2.0**20  # a scale at which the gradients of these tests overflow in fp16


def flags() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


class Flags(Silent):
    """Notes the arithmetic that is on while a step is taken."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, bool]] = set()

    def step(self, line: dict[str, Any]) -> None:
        self.seen.add(flags())


@NO_GPU
@pytest.mark.parametrize("how", [("--dry-run",), ("--run-dir", "run")])
def test_fp16_without_a_gpu_is_refused_where_it_is_written(
    how: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(
        "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 4}\n"
        "train:\n  max_steps: 4\n  precision: fp16\n"
    )
    result = CliRunner().invoke(app, ["train", "r.yaml", *how])
    assert result.exit_code == 2
    assert "r.yaml:6:3: train.precision fp16" in result.output
    assert "needs a GPU" in result.output
    assert "bf16" in result.output
    assert not (tmp_path / "run").exists()


def test_what_a_machine_cannot_do_depends_on_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def machine(capability: tuple[int, int] | None) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "this one")

    machine(None)
    assert "needs a GPU" in (impossible("fp16") or "")
    assert [impossible(name) for name in ("fp32", "tf32", "bf16")] == [None] * 3
    assert "no GPU" in (without_effect("tf32") or "")
    machine((7, 5))
    assert impossible("fp16") is None
    assert "this one has no TF32" in (without_effect("tf32") or "")
    machine((8, 0))
    assert [without_effect(name) for name in ("fp32", "tf32", "bf16", "fp16")] == [None] * 4


def test_tf32_settings_are_restored_after_a_block() -> None:
    before = flags()
    with tensor_cores(True):
        assert flags() == ("high", True)
        with tensor_cores(False):
            assert flags() == ("highest", False)
        assert flags() == ("high", True)
    assert flags() == before


@pytest.mark.parametrize(("asked", "on"), [("fp32", ("highest", False)), ("tf32", ("high", True))])
def test_steps_are_in_the_precision_of_the_recipe_and_scores_in_fp32(
    asked: str, on: tuple[str, bool], plan: PlanMaker, capture: Capture, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """torch itself leaves TF32 on for cuDNN, which is what a GRU runs on."""
    score, scored, monitor, before = task.evaluate_split, set(), Flags(), flags()

    def noted(*arguments: Any) -> task.Score:
        scored.add(flags())
        return score(*arguments)

    monkeypatch.setattr(task, "evaluate_split", noted)
    _, _, metrics = run_fit(plan(f"train.precision={asked}"), capture, tmp_path / "run", monitor=monitor)
    assert monitor.seen == {on}
    assert scored == {("highest", False)}
    assert flags() == before
    if not torch.cuda.is_available():
        _, _, plain = run_fit(plan(), capture, tmp_path / "plain")
        assert trace(metrics) == trace(plain)


def test_scores_of_a_bf16_run_are_those_of_the_model_that_it_leaves(
    plan: PlanMaker, capture: Capture, tmp_path: Path
) -> None:
    this = plan("train.precision=bf16")
    model, outcome, _ = run_fit(this, capture, tmp_path / "run")
    assert task.evaluate_split(model, capture, this).selection_db == outcome.best_db


class Scaler:
    """As torch's, for a gradient that overflows at the steps `bad`, counted from 0."""

    def __init__(self, bad: set[int], scale: float = 8.0) -> None:
        self.scale, self._bad, self._step = scale, bad, 0

    def get_scale(self) -> float:
        return self.scale

    def update(self) -> None:
        self.scale *= 0.5 if self._step in self._bad else 1.0
        self._step += 1

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self.scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scale = state["scale"]


def test_a_drop_of_the_loss_scale_marks_a_skipped_step() -> None:
    scaler = Scaler({1, 2})
    scaling = LossScale(scaler, None)  # type: ignore[arg-type]
    lines = []
    for _ in range(4):
        scaler.update()
        lines.append(scaling.line())
    scales = [8.0, 8.0, 4.0, 2.0]
    assert [line["loss_scale"] for line in lines] == scales
    assert [line.get("skipped", False) for line in lines] == [False, True, True, False]
    assert scaling.state == {"scale": 2.0}
    assert LossScale(Scaler(set()), scaling.state).value == 2.0  # type: ignore[arg-type]


def test_only_an_overflow_that_a_lower_scale_may_cure_is_without_effect() -> None:
    scaling = LossScale(Scaler(set(), scale=2.0), None)  # type: ignore[arg-type]
    assert scaling.will_skip(0.1, math.inf)
    assert scaling.will_skip(0.1, math.nan)
    assert not scaling.will_skip(0.1, 1.0)
    assert not scaling.will_skip(math.nan, math.inf)
    assert not LossScale(Scaler(set(), scale=1.0), None).will_skip(0.1, math.inf)  # type: ignore[arg-type]
    unscaled = LossScale(None, None)
    assert not unscaled.will_skip(0.1, math.inf)
    assert (unscaled.value, unscaled.line(), unscaled.state) == (1.0, {}, None)


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """fp16 on any machine with this first loss scale: `scaled(first_scale)`."""
    made = torch.amp.GradScaler

    def use(first: float) -> None:
        monkeypatch.setattr(torch.amp, "GradScaler", lambda device: made(device, init_scale=first))

    return use


def skips(metrics: Metrics) -> list[int]:
    return [line["step"] for line in metrics.steps if line.get("skipped")]


def test_a_step_that_overflows_is_skipped_and_nothing_else_drifts(
    scaled: Callable[[float], None], plan: PlanMaker, capture: Capture, tmp_path: Path
) -> None:
    scaled(MANY)
    this = plan("train.precision=fp16", "optim.warmup=3", "train.max_steps=26", "train.accumulate=2")
    _, _, metrics = run_fit(this, capture, tmp_path / "run")
    schedule, skipped = schedule_of(this), skips(metrics)
    assert skipped[:2] == [1, 2]
    assert len(skipped) < 20
    assert [line["step"] for line in metrics.steps if not math.isfinite(line["grad_norm"])] == skipped
    scales = [MANY / 2 ** sum(each < step for each in skipped) for step in range(1, 27)]
    assert [line["loss_scale"] for line in metrics.steps] == scales
    assert [line["lr"] for line in metrics.steps] == [schedule.lr_at(n) for n in range(1, 27)]
    assert not any("group_updates" in line or "grad_norm_applied" in line for line in metrics.steps[:2])
    assert all(math.isfinite(line["grad_norm_max"]) for line in metrics.epochs[-1:])
    run = RunFolder(tmp_path / "run")
    assert run.read_json(run.audit)["agrees"] is True
    tensors, _ = checkpoint.read(run.last)
    counts = {float(value) for name, value in tensors.items() if name.endswith(".step")}
    assert counts == {26.0 - len(skipped)}
    facts = facts_of_run(metrics, this)
    assert facts.skipped == skipped
    assert len(facts.step) == 26 - len(skipped)
    assert facts.loss_scale == metrics.steps[-1]["loss_scale"]


def test_the_norm_is_of_the_unscaled_gradient_and_clipped_once(
    scaled: Callable[[float], None], plan: PlanMaker, capture: Capture, tmp_path: Path
) -> None:
    scaled(64.0)
    coarse = run_fit(plan("train.precision=fp16", "optim.clip_norm=1e-2"), capture, tmp_path / "fp16")[2]
    fine = run_fit(plan("optim.clip_norm=1e-2"), capture, tmp_path / "fp32")[2]
    assert skips(coarse) == []
    assert trace(coarse) != trace(fine)
    for one, other in zip(coarse.steps, fine.steps, strict=True):
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=0.05)
        assert one["loss"] == pytest.approx(other["loss"], rel=0.01)
    line = coarse.steps[0]
    assert math.hypot(*line["group_norms"].values()) == pytest.approx(line["grad_norm"], rel=1e-5)
    assert line["grad_norm_applied"] == pytest.approx(1e-2, rel=1e-3)


def test_a_resumed_run_restores_its_loss_scale(
    scaled: Callable[[float], None], plan: PlanMaker, capture: Capture, tmp_path: Path, signal_at: Any
) -> None:
    scaled(MANY)
    this = plan("train.precision=fp16")
    straight, _, whole = run_fit(this, capture, tmp_path / "straight")
    assert skips(whole)[:2] == [1, 2]
    assert len(skips(whole)) < 10
    for stop in (1, 8):  # also where no step had been taken yet
        path = tmp_path / f"broken-{stop}"
        with pytest.raises(StoppedError):
            run_fit(this, capture, path, monitor=signal_at(stop))
        resumed, _, joined = run_fit(this, capture, path, resume=True)
        assert trace(joined) == trace(whole)
        assert [line["loss_scale"] for line in joined.steps] == [line["loss_scale"] for line in whole.steps]
        assert torch.equal(parameters(straight), parameters(resumed))


class Overflows(torch.autograd.Function):
    """The number itself, with an infinite gradient."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * math.inf


def test_a_gradient_that_overflows_unscaled_ends_the_run(
    scaled: Callable[[float], None], plan: PlanMaker, capture: Capture, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scaled(4.0)
    error = step.squared_error
    monkeypatch.setattr(step, "squared_error", lambda *arguments: Overflows.apply(error(*arguments)))
    with pytest.raises(DivergedError, match="step 3: loss"):
        run_fit(plan("train.precision=fp16"), capture, tmp_path / "run")


def test_a_probe_finds_its_scale_before_it_steps(
    scaled: Callable[[float], None], plan: PlanMaker, capture: Capture
) -> None:
    scaled(MANY)
    coarsely, finely = (ProbeRun(plan(f"train.precision={name}"), capture, seed=0) for name in ("fp16", "fp32"))
    for number in (1, 2):
        coarse, exact = coarsely.step(number, 1e-2), finely.step(number, 1e-2)
        assert coarse.grad_norm == pytest.approx(exact.grad_norm, rel=0.05)
        assert coarse.loss == pytest.approx(exact.loss, rel=0.01)
        assert coarse.loss != exact.loss


@GPU
@pytest.mark.parametrize("name", ["tf32", "bf16", "fp16"])
@pytest.mark.parametrize("model", ["{kind: gru, hidden: 16}", None])
def test_each_precision_on_a_gpu(
    name: str, model: str | None, plan: PlanMaker, capture: Capture, tmp_path: Path
) -> None:
    extra = () if model is None else (f"model={model}",)
    _, _, coarse = run_fit(plan(f"train.precision={name}", *extra), capture, tmp_path / name)
    _, _, fine = run_fit(plan(*extra), capture, tmp_path / "fp32")
    assert trace(coarse) != trace(fine)
    pairs = [(a["loss"], b["loss"]) for a, b in zip(coarse.steps, fine.steps, strict=True) if not a.get("skipped")]
    assert pairs
    assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], rel=0.05)
    assert all(("loss_scale" in line) is (name == "fp16") for line in coarse.steps)


def test_half_precisions_are_those_that_accelerate_knows() -> None:
    from accelerate.utils import PrecisionType

    assert set(precision.LOW) <= {str(name) for name in PrecisionType.list()}

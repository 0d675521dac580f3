"""Checkpoints: everything comes back, nothing foreign or damaged is taken, an old file survives a failed write."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn

from dpdrun.errors import RunError
from dpdrun.run.folder import RunFolder
from dpdrun.training import checkpoint
from dpdrun.training.checkpoint import Progress, TrainingState
from dpdrun.training.schedule import Plateau

Made = tuple[nn.Module, torch.optim.Optimizer]


@pytest.fixture
def made() -> Callable[[int], Made]:
    def make(seed: int) -> Made:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2)

    return make


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.randn(16, 3)).square().mean().backward()
    optimizer.step()


def progress() -> Progress:
    return Progress(5, -12.5, 4, 1.25, Plateau(0.5, 3, 0.01, best_db=-12.5, waited=2, drop=0.25))


def test_everything_that_the_next_step_depends_on_comes_back(made: Callable[[int], Made], tmp_path: Path) -> None:
    twin, twin_optimizer = made(1)
    model, optimizer = made(0)
    step(model, optimizer)
    TrainingState(model, optimizer, progress(), "abc").save(tmp_path / "c.safetensors")
    step(model, optimizer)  # draws its batch from the random state at the time of saving
    assert checkpoint.restore(tmp_path / "c.safetensors", twin, twin_optimizer, plan_hash="abc") == progress()
    step(twin, twin_optimizer)
    for (name, a), b in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_checkpoint_of_another_plan_is_refused(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, optimizer = made(0)
    TrainingState(model, optimizer, progress(), "abc").save(tmp_path / "c.safetensors")
    with pytest.raises(RunError, match="made by another recipe or other data"):
        checkpoint.restore(tmp_path / "c.safetensors", model, optimizer, plan_hash="abd")


def test_a_model_file_is_no_checkpoint(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, optimizer = made(0)
    checkpoint.save_model(tmp_path / "m.safetensors", model, {"format": "dpdrun-model-1"})
    with pytest.raises(RunError, match="not a resumable checkpoint"):
        checkpoint.restore(tmp_path / "m.safetensors", model, optimizer, plan_hash="abc")


def test_a_flipped_bit_stops_a_resume_and_changes_nothing(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, optimizer = made(0)
    path = tmp_path / "c.safetensors"
    step(model, optimizer)
    TrainingState(model, optimizer, progress(), "abc").save(path)
    content = path.read_bytes()
    before, random = everything(model, optimizer), torch.get_rng_state()
    step(*made(1))
    twin, twin_optimizer = made(1)
    fresh, random = everything(twin, twin_optimizer), torch.get_rng_state()
    rng = Random(0)
    for _ in range(100):
        at, bit = rng.randrange(len(content)), rng.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        with pytest.raises(RunError, match=r"c\.safetensors: damaged"):
            checkpoint.restore(path, twin, twin_optimizer, plan_hash="abc")
    assert equal(everything(twin, twin_optimizer), fresh)
    assert torch.equal(torch.get_rng_state(), random)
    path.write_bytes(content)
    checkpoint.restore(path, twin, twin_optimizer, plan_hash="abc")
    assert equal(everything(twin, twin_optimizer), before)


def everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    moments = {
        f"{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    return {name: value.clone() for name, value in {**model.state_dict(), **moments}.items()}


def equal(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in some.items())


NAN = torch.tensor(float("nan"))
WRONG: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor | None]]] = {
    "it has no tensor model.0.weight": ("model.0.weight", lambda _: None),
    "it has no tensor optimizer.2.bias.exp_avg": ("optimizer.2.bias.exp_avg", lambda _: None),
    "it has no tensor optimizer.2.bias.step": ("optimizer.2.bias.step", lambda _: None),
    "it has no tensor random.cpu": ("random.cpu", lambda _: None),
    "tensor model.0.weight is (2,), expected (4, 3)": ("model.0.weight", lambda _: torch.zeros(2)),
    "tensor model.0.bias is float64, expected float32": ("model.0.bias", lambda each: each.double()),
    "tensor optimizer.0.bias.exp_avg_sq is (1,), expected (4,)": (
        "optimizer.0.bias.exp_avg_sq", lambda _: torch.zeros(1),
    ),
    "tensor random.cpu is (3,), expected (5056,)": ("random.cpu", lambda _: torch.zeros(3, dtype=torch.uint8)),
    "tensor model.0.bias holds NaN": ("model.0.bias", lambda each: each + NAN),
    "tensor optimizer.0.bias.exp_avg holds NaN": ("optimizer.0.bias.exp_avg", lambda each: each + NAN),
    "it has an unexpected tensor model.9.bias": ("model.9.bias", lambda _: torch.zeros(1)),
}  # fmt: skip


@pytest.mark.parametrize("why", WRONG)
def test_tensors_that_training_cannot_resume_from_are_refused(
    why: str, made: Callable[[int], Made], tmp_path: Path
) -> None:
    model, optimizer = made(0)
    step(model, optimizer)
    path = tmp_path / "c.safetensors"
    TrainingState(model, optimizer, progress(), "abc").save(path)
    tensors, header = checkpoint.read(path)
    name, change = WRONG[why]
    changed = change(tensors.get(name, NAN))
    tensors = {**tensors, name: changed} if changed is not None else {k: v for k, v in tensors.items() if k != name}
    checkpoint.write(path, tensors, header)
    before, content = everything(model, optimizer), path.read_bytes()
    with pytest.raises(RunError, match="training cannot resume from it: " + re.escape(why)):
        checkpoint.restore(path, model, optimizer, plan_hash="abc")
    assert equal(everything(model, optimizer), before)
    assert path.read_bytes() == content


def test_a_checkpoint_of_a_step_has_a_state_of_the_optimizer(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, optimizer = made(0)
    path = tmp_path / "c.safetensors"
    TrainingState(model, optimizer, progress(), "abc").save(path)
    with pytest.raises(RunError, match="it has no optimizer state"):
        checkpoint.restore(path, model, optimizer, plan_hash="abc")
    TrainingState(model, optimizer, Progress(0, 0.0, 0, 0.0, progress().plateau), "abc").save(path)
    assert checkpoint.restore(path, model, optimizer, plan_hash="abc").step == 0


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "5", "{}", '{"step": 5}', "[" * 5000, '{"step": "5", "best_db": 1, "best_step": 1, "seconds": 1, '
     '"plateau": {"factor": 1, "patience": 1, "threshold_db": 0}}'],
)  # fmt: skip
def test_a_header_that_does_not_say_where_training_stood(
    text: str, made: Callable[[int], Made], tmp_path: Path
) -> None:
    model, optimizer = made(0)
    step(model, optimizer)
    path = tmp_path / "c.safetensors"
    TrainingState(model, optimizer, progress(), "abc").save(path)
    tensors, header = checkpoint.read(path)
    checkpoint.write(path, tensors, {**header, "progress": text})
    with pytest.raises(RunError, match="its header does not record the progress of training"):
        checkpoint.restore(path, model, optimizer, plan_hash="abc")


def test_errors_about_a_damaged_file_say_what_to_use_instead(made: Callable[[int], Made], tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "my run")
    model, optimizer = made(0)

    def remedy(path: Path) -> str:
        path.write_bytes(b"")
        with pytest.raises(RunError, match=f"{path.name}: damaged") as caught:
            checkpoint.read(path)
        return str(caught.value).partition(")")[2]

    assert remedy(run.last) == "; restore the file from a backup, or start a new run with another --run-dir"
    checkpoint.save_model(run.best, model, {"format": checkpoint.FORMAT})
    assert f"the best model so far, {run.best}, is intact" in remedy(run.last)
    for number in (50, 100, 150):
        TrainingState(model, optimizer, progress(), "abc").save(run.rollback_point(number))
    run.rollback_point(150).write_bytes(b"")
    assert remedy(run.last) == (
        f"; an earlier checkpoint, rollback-100.safetensors, is intact; to resume from it:\n"
        f"  cp '{run.rollback_point(100)}' '{run.last}'\n  {run.resume_command}"
    )
    assert "remove it to restart optim.refine from the best model" in remedy(run.refinement)
    assert remedy(run.best) == "; restore the file from a backup, or start a new run with another --run-dir"
    checkpoint.save_model(run.model, model, {})
    assert f"the model that the run ended with, {run.model}, is intact" in remedy(run.best)


def test_a_failed_write_keeps_the_older_checkpoint(
    made: Callable[[int], Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = made(0)
    path = tmp_path / "c.safetensors"
    TrainingState(model, optimizer, progress(), "abc").save(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        TrainingState(model, optimizer, progress(), "abc").save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_equal_content_gives_equal_bytes(made: Callable[[int], Made], tmp_path: Path) -> None:
    """safetensors writes several header keys in an order that differs from call to call."""
    model, _ = made(0)
    header = {f"key{n}": str(n) for n in range(8)}
    written = set()
    for n in range(6):
        checkpoint.save_model(tmp_path / "m.safetensors", model, dict(sorted(header.items(), reverse=n % 2 == 0)))
        written.add((tmp_path / "m.safetensors").read_bytes())
    assert len(written) == 1
    assert checkpoint.read_header(tmp_path / "m.safetensors") == header


def test_a_checkpoint_can_be_read_by_the_group(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, _ = made(0)
    before = os.umask(0o022)
    try:
        checkpoint.save_model(tmp_path / "m.safetensors", model, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o644

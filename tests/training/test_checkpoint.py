"""Checkpoints: everything comes back, nothing foreign or damaged is taken, an old file survives a failed write."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dpdrun.errors import RunError
from dpdrun.training import checkpoint
from dpdrun.training.checkpoint import Progress
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
    checkpoint.save(tmp_path / "c.safetensors", model, optimizer, progress(), plan_hash="abc")
    step(model, optimizer)  # draws its batch from the random state at the time of saving
    assert checkpoint.restore(tmp_path / "c.safetensors", twin, twin_optimizer, plan_hash="abc") == progress()
    step(twin, twin_optimizer)
    for (name, a), b in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_checkpoint_of_another_plan_is_refused(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, optimizer = made(0)
    checkpoint.save(tmp_path / "c.safetensors", model, optimizer, progress(), plan_hash="abc")
    with pytest.raises(RunError, match="made by another recipe or other data"):
        checkpoint.restore(tmp_path / "c.safetensors", model, optimizer, plan_hash="abd")


def test_a_model_file_is_no_checkpoint(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, optimizer = made(0)
    checkpoint.save_model(tmp_path / "m.safetensors", model, {"format": "dpdrun-model-1"})
    with pytest.raises(RunError, match="not a checkpoint that can be resumed"):
        checkpoint.restore(tmp_path / "m.safetensors", model, optimizer, plan_hash="abc")


def test_damage_is_named_and_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        checkpoint.read(path)
    path.write_bytes(b"")
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        checkpoint.read(path)
    with pytest.raises(RunError, match="missing"):
        checkpoint.read(tmp_path / "none.safetensors")


def test_a_cut_off_file_is_refused(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, optimizer = made(0)
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, model, optimizer, progress(), plan_hash="abc")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match="damaged"):
        checkpoint.restore(path, model, optimizer, plan_hash="abc")


def test_a_failed_write_keeps_the_older_checkpoint(
    made: Callable[[int], Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = made(0)
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, model, optimizer, progress(), plan_hash="abc")
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(RunError, match="No space left on device"):
        checkpoint.save(path, model, optimizer, progress(), plan_hash="abc")
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


def test_a_header_of_before_is_read_and_a_damaged_one_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"format": "dpdrun-model-1", "kind": "gru"})
    assert checkpoint.read_header(path) == {"format": "dpdrun-model-1", "kind": "gru"}
    for damaged in ("{", "[]"):
        save_file({"a": torch.zeros(1)}, path, metadata={checkpoint.HEADER: damaged})
        with pytest.raises(RunError, match="damaged or not a safetensors file"):
            checkpoint.read(path)


def test_a_checkpoint_can_be_read_by_the_group(made: Callable[[int], Made], tmp_path: Path) -> None:
    model, _ = made(0)
    before = os.umask(0o022)
    try:
        checkpoint.save_model(tmp_path / "m.safetensors", model, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o644

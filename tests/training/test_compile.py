"""torch.compile: asked for, passed over, and survived."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import checkpoint
from dpdrun.training import compile as compile_module
from dpdrun.training.compile import PAYS_AFTER_STEPS, compiled
from dpdrun.training.telemetry import Silent


class Messages(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


class Refuses(nn.Module):
    """A model whose compiled version fails."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


@pytest.fixture
def no_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile that costs nothing: these tests ask whether it is called."""
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)


@pytest.mark.usefixtures("no_inductor")
def test_on_a_cpu_only_an_explicit_wish_compiles() -> None:
    model = Refuses()
    assert compiled(model, "auto", steps=10**6, monitor=Silent()) is model
    assert compiled(model, "off", steps=10**6, monitor=Silent()) is model
    assert compiled(model, "on", steps=1, monitor=Silent()) is not model


@pytest.mark.usefixtures("no_inductor")
def test_on_an_accelerator_auto_compiles_long_runs_of_models_that_gain() -> None:
    model = Refuses().to("meta")  # any device that is no CPU
    assert compiled(model, "auto", steps=PAYS_AFTER_STEPS, monitor=Silent()) is not model
    assert compiled(model, "auto", steps=PAYS_AFTER_STEPS - 1, monitor=Silent()) is model
    model.compiles = False  # type: ignore[assignment]
    assert compiled(model, "auto", steps=10**6, monitor=Silent()) is model


def test_without_a_compiler_training_continues_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module.shutil, "which", lambda name: None)
    messages, model = Messages(), Refuses()
    assert compiled(model, "on", steps=10**6, monitor=messages) is model
    assert "no C++ compiler" in messages.texts[0]


def test_a_failed_compilation_falls_back_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(model: nn.Module, **_: object) -> object:
        def run(x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("the backend is broken\nlong trace")

        return run

    monkeypatch.setattr(torch, "compile", fails)
    messages, model = Messages(), Refuses()
    twin = compiled(model, "on", steps=1, monitor=messages)
    x = torch.randn(3, 2)
    assert torch.equal(twin(x), model(x))
    assert torch.equal(twin(x), model(x))
    assert messages.texts == ["torch.compile failed (the backend is broken): training without it"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backend='inductor' raised:\nInvalidCxxCompiler: none found\n\nSet X", "InvalidCxxCompiler: none found"),
        ("backend='x' raised:\n", "RuntimeError"),
        ("", "RuntimeError"),
        ("one line", "one line"),
    ],
)
def test_the_reason_is_the_line_that_says_something(text: str, said: str) -> None:
    assert compile_module._reason(RuntimeError(text)) == said


def test_a_fault_of_the_model_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        compiled(Refuses(), "on", steps=1, monitor=Silent())(torch.randn(3, 5))


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("train.precision=bf16",)])
def test_two_compiled_processes_train_as_an_eager_one(more: tuple[str, ...], tmp_path: Path) -> None:
    """The compiled module goes into DistributedDataParallel, as Accelerate has it; files name what the model names."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "task: pa\ndata: {source: synthetic/mild}\n"
        "model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}\noptim: {lr: 1e-2, eps: 1e-6}\n"
        "train: {max_steps: 12, batch_size: 8, frame: 64, eval_every: 6, accumulate: 2}\n"
    )

    def trained(name: str, *options: str, sets: tuple[str, ...]) -> RunFolder:
        command = [sys.executable, "-m", "dpdrun", "train", str(recipe), "--run-dir", str(tmp_path / name), *options]
        command += [part for each in sets for part in ("--set", each)]
        root = str(Path(__file__).parents[2])
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "training without" not in done.stdout
        return RunFolder(tmp_path / name)

    eager = trained("eager", sets=("train.compile=off", *more))
    compiled_run = trained("compiled", "--processes", "2", sets=("train.compile=on", *more))
    rtol = 0.02 if "train.precision=bf16" in more else 1e-5
    steps = [read_metrics(run.path).steps for run in (eager, compiled_run)]
    assert len(steps[0]) == len(steps[1]) == 12
    for key in ("loss", "grad_norm"):
        assert [line[key] for line in steps[1]] == pytest.approx([line[key] for line in steps[0]], rel=rtol)
    for one, other in zip(
        (eager.last, eager.best, eager.model), (compiled_run.last, compiled_run.best, compiled_run.model), strict=True
    ):
        assert sorted(checkpoint.read(one)[0]) == sorted(checkpoint.read(other)[0])

"""train.shard: a model in pieces trains as a whole one does, and leaves the same files."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.tensor import DTensor

from dpdrun.data.capture import Part
from dpdrun.errors import DpdrunError, LostError
from dpdrun.plan.plan import Plan
from dpdrun.recipe.conflicts import conflicts
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics
from dpdrun.training import fsdp, job, loop, recorder
from dpdrun.training.checkpoint import Progress, State
from dpdrun.training.fsdp import in_pieces, whole
from dpdrun.training.launcher_checks import ignored_settings
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.telemetry import Silent
from tests.processes import Processes
from tests.training.test_sameness import require_same

TASKS = str(Path(__file__).with_name("tasks.py"))
Of = Callable[[int], Processes]
TRANSFORMER = "kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8"
# A validation part of 331 samples: neither it nor its 21 pieces divide by two. For `eps` see test_sameness.
RECIPE = """
task: pa
data: {{source: {source}, split: {{train: 60%, val: 20%, test: 20%, guard: 0}}}}
model: {{{model}}}
optim: {{lr: 1e-2, eps: 1e-6, warmup: 3, clip_norm: 0.5{optim}}}
train: {{max_steps: 14, batch_size: 6, frame: 16, burn_in: 4, eval_every: 5, checkpoint_every: off, compile: off
         {train}}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, amplified: Callable[[int, int], Part]) -> Any:
    source = tmp_path_factory.mktemp("shards") / "pair.npz"
    part = amplified(1655, 0)
    np.savez(source, x=part.x, y=part.y, sample_rate_hz=1e6)

    def make(train: str = "", *, model: str = TRANSFORMER, optim: str = "") -> str:
        return RECIPE.format(source=source, model=model, optim=optim, train=train)

    return make


@pytest.fixture
def trained(processes: Of, tmp_path: Path) -> Any:
    names = itertools.count()

    def train(size: int, recipe: str, **more: Any) -> dict[str, Any]:
        folder = more.pop("folder", None) or str(tmp_path / f"run-{next(names)}")
        Path(folder).mkdir(exist_ok=True)
        group = processes(size).run(TASKS, "train", recipe=recipe, folder=folder, **more)
        assert [member["error"] for member in group] == [None] * size
        return group[0] | {"folder": folder}  # type: ignore[no-any-return]

    return train


@pytest.mark.parametrize(
    ("model", "passes", "eval_on"),
    [(TRANSFORMER, 1, "record"), (TRANSFORMER, 3, "frame"), ("kind: gru, hidden: 5", 1, "frame")],
)
def test_a_model_in_pieces_trains_as_a_whole_one(
    model: str, passes: int, eval_on: str, recipe: Any, trained: Any
) -> None:
    more = f", accumulate: {passes}, eval_on: {eval_on}"
    alone = trained(1, recipe(more, model=model))
    copies = trained(2, recipe(more, model=model))
    pieces = trained(2, recipe(more + ", shard: fsdp", model=model))
    require_same(alone, pieces, 1e-5)
    assert pieces["tensors"] == alone["tensors"]
    for line, other, single in zip(pieces["steps"], copies["steps"], alone["steps"], strict=True):
        assert line["rank_grad_norms"] == pytest.approx(other["rank_grad_norms"], rel=1e-4)
        assert line["rank_reduced_norms"] == pytest.approx([single["grad_norm"]] * 2, rel=1e-5)
    for key in ("group_norms", "group_updates", "group_weights", "group_sizes"):
        assert pieces["steps"][0][key] == pytest.approx(alone["steps"][0][key], rel=1e-4), key
    assert pieces["steps"][0]["rank_checksums"] == copies["steps"][0]["rank_checksums"]
    assert pieces["audit"]["agrees"] is True


def test_bf16_is_the_same_in_two_processes_up_to_its_roundings(recipe: Any, trained: Any) -> None:
    alone = trained(1, recipe(", precision: bf16"))
    exact = trained(1, recipe())
    for more in ("", ", shard: fsdp"):
        group = trained(2, recipe(", precision: bf16" + more))
        for key in ("loss", "grad_norm"):
            found, wanted, fine = ([line[key] for line in this["steps"]] for this in (group, alone, exact))
            assert wanted != fine
            np.testing.assert_allclose(found, wanted, rtol=0.02, err_msg=key)


def test_a_predistorter_too(bench: Any, trained: Any) -> None:
    """The PA model behind it is frozen, and whole in every process."""
    text = bench.recipe("train.max_steps=14", "train.eval_every=7", "optim.eps=1e-6").effective_text
    alone = trained(1, text)
    require_same(alone, trained(2, text.replace("compile: off", "compile: off, shard: fsdp")), 1e-5)


def held(group: ProcessGroup, *, recipe: str, folder: str) -> dict[str, Any]:
    """Train, and say what this process held before the last step: (own numbers, all numbers) of each kind."""
    seen: dict[str, Any] = {}
    built = loop.build_optimizer

    def size(tensors: list[Any]) -> tuple[int, int]:
        assert all(isinstance(each, DTensor) for each in tensors)
        return sum(each.to_local().numel() for each in tensors), sum(each.numel() for each in tensors)

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        seen["parameters"] = size(parameters)
        seen["gradients"] = size([each.grad for each in parameters])
        if optimizer.state:
            seen["moments"] = size([state["exp_avg_sq"] for state in optimizer.state.values()])

    def watched(*arguments: Any) -> torch.optim.Optimizer:
        optimizer = built(*arguments)
        optimizer.register_step_pre_hook(look)
        return optimizer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "build_optimizer", watched)
        patch.setattr(job, "evaluate", lambda *_, **__: {})
        job.train(load_text(recipe, Path(folder) / "recipe.yaml"), Path(folder) / "run")
    return seen


def test_each_process_holds_its_piece_alone(processes: Of, recipe: Any, tmp_path: Path) -> None:
    members = processes(2).run(__file__, "held", recipe=recipe(", shard: fsdp"), folder=str(tmp_path))
    for kind in ("parameters", "gradients", "moments"):
        total = members[0][kind][1]
        assert sum(member[kind][0] for member in members) == total > 100
        assert max(member[kind][0] for member in members) < 0.6 * total


def stopped(group: ProcessGroup, *, recipe: str, folder: str, step: int) -> int:
    """Train until SIGTERM comes to the first process after a step; the exit code."""

    class Ends(Silent):
        def step(self, line: dict[str, Any]) -> None:
            if line["step"] == step:
                os.kill(os.getpid(), signal.SIGTERM)

    try:
        loaded = load_text(recipe, Path(folder) / "recipe.yaml")
        job.train(loaded, Path(folder) / "run", watch=lambda _: nullcontext(Ends()))
    except DpdrunError as error:
        return error.exit_code
    return 0


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 2)])
def test_a_run_goes_on_in_another_number_of_pieces(
    before: int, after: int, processes: Of, recipe: Any, trained: Any, tmp_path: Path
) -> None:
    text = recipe(", shard: fsdp")
    straight = trained(before, text)
    codes = processes(before).run(__file__, "stopped", recipe=text, folder=str(tmp_path), step=7)
    assert codes == [75] * before
    resumed = trained(after, text, folder=str(tmp_path), resume=True)
    assert resumed["steps"][6]["step"] == 7
    assert len(resumed["steps"]) == 14
    for key in ("loss", "grad_norm"):
        found, wanted = ([line[key] for line in this["steps"]] for this in (resumed, straight))
        np.testing.assert_allclose(found, wanted, rtol=0 if before == after else 1e-5, err_msg=key)
    distance = np.linalg.norm(resumed["parameters"] - straight["parameters"])
    assert distance <= (0 if before == after else 1e-5 * np.linalg.norm(straight["parameters"]))


def test_the_finish_gets_a_whole_model(recipe: Any, trained: Any) -> None:
    text = recipe(", shard: fsdp", optim=", refine: lm, refine_iterations: 2")
    run = RunFolder(Path(trained(2, text)["folder"]) / "run")
    assert run.read_json(run.report)["finish"]["iterations"] == 2


def test_of_a_model_in_pieces_nothing_is_saved_when_a_process_is_lost(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, run, group = torch.nn.Linear(1, 1), RunFolder.create(tmp_path / "run"), ProcessGroup()
    progress = Progress.fresh()
    progress.step = 3
    state = State(model, torch.optim.AdamW(model.parameters()), progress, "hash")
    for divided in (True, False):
        monkeypatch.setattr(recorder, "in_pieces", lambda _, divided=divided: divided)
        with (
            pytest.raises(LostError, match="there is nothing to resume" if divided else "step 3 of 12 is saved"),
            recorder.RunRecorder(plan(), run, Silent(), state, Metrics(), {}, group) as kept,
            kept.saving_when_lost(),
        ):
            raise LostError("gone")
        assert run.last.is_file() is not divided


def test_a_plain_tensor_is_whole_already() -> None:
    tensor = torch.zeros(2)
    assert whole(tensor) is tensor
    assert not in_pieces(torch.nn.Linear(1, 1))


def test_one_process_holds_everything_and_says_so(plan: Callable[..., Plan]) -> None:
    assert "one process holds everything" in ignored_settings(plan("train.shard=fsdp"), 1)[0]
    assert ignored_settings(plan("train.shard=fsdp"), 2) == ignored_settings(plan(), 1) == []


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ("train.precision=fp16", "judge by its own piece"),
        ("train.on_finding=adapt", "goes back"),
        ("train.precision=bf16", None),
    ],
)
def test_what_does_not_go_with_pieces(other: str, why: str | None, loaded: Callable[..., Loaded]) -> None:
    if why is None:
        assert conflicts(loaded("train.shard=fsdp", other).recipe) == []
        return
    with pytest.raises(DpdrunError, match=why):
        loaded("train.shard=fsdp", other)


def test_least_squares_has_nothing_to_divide() -> None:
    with pytest.raises(DpdrunError, match=r"train.shard has no effect: kind gmp"):
        load_text("task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gmp}\ntrain: {shard: fsdp}\n")


def test_imports_of_pieces_wait_until_they_are_wanted() -> None:
    """DTensor costs seconds of start-up."""
    assert not hasattr(fsdp, "DTensor")

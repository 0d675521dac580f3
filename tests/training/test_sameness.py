"""One training, however it is divided: processes and passes change neither the schedule nor the frames nor the result.

The frames of a run are one endless stream (docs/decisions/0001), so there is no partial batch to drop or to keep; what
stands for it here is whether the length is given in epochs or in steps, and how an epoch divides into batches.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.data.capture import Part
from tests.processes import Processes

TASKS = str(Path(__file__).with_name("tasks.py"))
BATCH = 6
SAMPLES = {0: 1450, 1: 1500, BATCH - 1: 1660}  # of a capture whose epochs leave so many frames over
LENGTHS = {"epochs": "epochs: 2", "steps": "max_steps: 14"}
KINDS = {
    "transformer": "kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8",
    "gru": "kind: gru, hidden: 4",
    "dropout": "kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8, dropout: 0.2",
}
# Where a gradient is truly zero (the bias of keys), AdamW divides rounding noise by itself and eps: 1e-6 keeps it small
RECIPE = """
task: pa
data: {{source: {source}}}
model: {{{model}}}
optim: {{lr: 1e-2, eps: 1e-6, warmup: 25%, clip_norm: 0.5, schedule: {schedule}}}
train: {{{length}, batch_size: {batch}, frame: 32, burn_in: 8, eval_every: 5, checkpoint_every: off, compile: off,
         accumulate: {passes}}}
"""
RTOL = {"float64": 1e-9, "float32": 1e-5}

Of = Callable[[int], Processes]
Result = dict[str, Any]


@pytest.fixture(scope="module")
def trained(processes: Of, tmp_path_factory: pytest.TempPathFactory, amplified: Callable[[int, int], Part]) -> Any:
    """Train in so many processes and passes: (result of each process)."""
    folder = tmp_path_factory.mktemp("sameness")
    for samples in SAMPLES.values():
        part = amplified(samples, 0)
        np.savez(folder / f"{samples}.npz", x=part.x, y=part.y, sample_rate_hz=1e6)
    names = itertools.count()

    def train(
        size: int, passes: int = 1, *, kind: str = "transformer", length: str = "steps", over: int = 1,
        schedule: str = "cosine", batch: int = BATCH, **more: Any,
    ) -> list[Result]:  # fmt: skip
        own = folder / f"run-{next(names)}"
        own.mkdir()
        recipe = RECIPE.format(
            source=folder / f"{SAMPLES[over]}.npz", model=KINDS[kind], length=LENGTHS[length], passes=passes,
            schedule=schedule, batch=batch,
        )  # fmt: skip
        return processes(size).run(TASKS, "train", recipe=recipe, folder=str(own), **more)

    return train


def require_same(one: Result, other: Result, rtol: float) -> None:
    """The same training: schedule and frames to the bit, numbers up to rounding."""
    assert one["error"] is None
    assert other["error"] is None
    assert len(one["steps"]) == len(other["steps"]) > 1
    assert other["starts"] == one["starts"]
    for key in ("step", "samples", "frames_crc", "lr", "lr_planned", "clip_norm"):
        assert [line[key] for line in other["steps"]] == [line[key] for line in one["steps"]], key
    for key in ("loss", "grad_norm"):
        np.testing.assert_allclose(column(other, key), column(one, key), rtol=rtol, err_msg=key)
    np.testing.assert_allclose(scores(other), scores(one), rtol=rtol)
    distance = np.linalg.norm(other["parameters"] - one["parameters"])
    assert distance <= rtol * np.linalg.norm(one["parameters"])


def column(this: Result, key: str) -> list[float]:
    return [line[key] for line in this["steps"]]


def scores(this: Result) -> list[float]:
    """Validation NMSE as a ratio."""
    found = [10 ** (line["val_nmse_db"] / 10) for line in this["evals"]]
    assert len(found) > 1
    return found


@pytest.mark.parametrize("over", SAMPLES)
@pytest.mark.parametrize("length", LENGTHS)
def test_processes_and_passes_change_nothing(length: str, over: int, trained: Any) -> None:
    alone = trained(1, dtype="float64", length=length, over=over)[0]
    plan = alone["plan"]
    assert plan.frames_per_epoch % BATCH == over
    assert plan.total_steps == (math.ceil(2 * plan.frames_per_epoch / BATCH) if length == "epochs" else 14)
    assert any(line["clipped"] for line in alone["steps"])
    for size, passes in ((1, 3), (2, 1), (2, 3)):
        group = trained(size, passes, dtype="float64", length=length, over=over)
        require_same(alone, group[0], RTOL["float64"])
        plans = [member["plan"] for member in group]
        assert {(each.total_steps, each.warmup_steps) for each in plans} == {(plan.total_steps, plan.warmup_steps)}
        assert all(np.array_equal(member["parameters"], group[0]["parameters"]) for member in group)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_each_kind_in_each_precision(kind: str, dtype: str, trained: Any) -> None:
    alone = trained(1, kind=kind, dtype=dtype)[0]
    for size, passes in ((1, 3), (2, 1), (2, 3)):
        require_same(alone, trained(size, passes, kind=kind, dtype=dtype)[0], RTOL[dtype])


def test_a_predistorter_too(bench: Any, processes: Of, tmp_path: Path) -> None:
    text = bench.recipe(
        "optim.eps=1e-6", "train.max_steps=12", "train.eval_every=5", "train.checkpoint_every=off"
    ).effective_text
    assert "task: dpd" in text
    found = []
    for size in (1, 2):
        folder = tmp_path / str(size)
        folder.mkdir()
        found += processes(size).run(TASKS, "train", recipe=text, folder=str(folder))[:1]
    require_same(found[0], found[1], RTOL["float32"])
    assert [line["objective_db"] for line in found[1]["evals"]] == pytest.approx(
        [line["objective_db"] for line in found[0]["evals"]], rel=1e-5
    )


def test_the_gradient_is_clipped_once_a_step_and_after_it_is_averaged(trained: Any) -> None:
    one, other = trained(2, 3)
    line = one["steps"][0]
    assert line["rank_grad_norms"][0] != pytest.approx(line["rank_grad_norms"][1], rel=1e-3), "each has its own frames"
    assert one["frames"][0] != other["frames"][0]
    assert np.array_equal(one["gradient"], other["gradient"])
    assert np.linalg.norm(one["gradient"]) == pytest.approx(0.5, rel=1e-5)
    assert line["grad_norm"] > 0.5
    assert one["clips"] == other["clips"] == len(one["steps"])


def test_the_norms_of_single_processes_are_those_of_their_frames(trained: Any) -> None:
    """A run of one process with half the batch begins with the gradient that half of the group found."""
    group, alone = trained(2)[0], trained(1)[0]
    line = group["steps"][0]
    assert line["rank_reduced_norms"] == [group["steps"][0]["grad_norm"]] * 2
    assert "rank_grad_norms" not in alone["steps"][0]
    half = trained(1, batch=BATCH // 2)[0]
    assert half["starts"][0] == group["starts"][0][: BATCH // 2]
    assert half["steps"][0]["grad_norm"] == pytest.approx(line["rank_grad_norms"][0], rel=1e-5)
    assert half["steps"][0]["loss"] == pytest.approx(line["rank_losses"][0], rel=1e-5)
    assert line["loss"] == pytest.approx(np.mean(line["rank_losses"]), rel=1e-12)


def test_all_begin_with_the_same_weights(trained: Any) -> None:
    one, other = trained(2, kind="dropout")
    assert one["error"] is None
    assert np.array_equal(one["initial"], other["initial"])
    assert np.array_equal(one["parameters"], other["parameters"])


def test_files_do_not_tell_how_the_model_was_wrapped(trained: Any) -> None:
    alone, group = trained(1)[0], trained(2)[0]
    assert {"last.safetensors", "best.safetensors", "model.safetensors"} <= set(group["tensors"])
    assert group["tensors"] == alone["tensors"]
    compiled = trained(2, meddle=("compiled",))[0]
    assert compiled["tensors"] == alone["tensors"]
    names = [name for names in alone["tensors"].values() for name in names]
    assert len(names) > 20
    assert not [name for name in names if "module." in name or "_orig_mod." in name]


@pytest.mark.parametrize(
    ("meddle", "named", "code"),
    [
        ("rate", r"lr_max_relative_error: planned 0, was 0.999; lr_peak: planned 0.01, was 1e-05", "SC201"),
        ("clip", r"clip_norm: planned 0.5, was 0.25", None),
        ("frames", r"frames_crc: planned \d+.*, was \d+", None),
        ("parameters", r"different_parameters: planned 1, was 2", "RK202"),
        ("gradient", r"different_parameters: planned 1, was 2", "RK201"),
    ],
)
def test_a_run_that_strays_from_its_plan_fails(meddle: str, named: str, code: str | None, trained: Any) -> None:
    first, _ = trained(2, meddle=(meddle,))
    name, status, message = first["error"]
    assert (name, status) == ("AuditError", 1)
    assert re.search(rf"audit.json: training deviated from the plan: {named}", message), message
    assert not first["audit"]["agrees"]
    assert {each for each in first["codes"] if each.startswith(("RK", "SC2"))} == ({code} if code else set())


def test_a_frame_that_is_no_number_stops_all_before_the_step(trained: Any) -> None:
    first, last = trained(2, meddle=("nan",))
    name, code, message = first["error"]
    assert (name, code) == ("DivergedError", 2)
    assert last["error"][:2] == ("FollowedError", 2)
    own = last["frames"][4]
    assert "step 5: loss nan" in message
    assert f"batch of process 1 of 2: {len(own)} frames" in message
    assert ", ".join(map(str, own)) in message
    assert np.isfinite(last["parameters"]).all()
    assert np.array_equal(last["parameters"], first["now"])


def test_the_first_process_decides_what_is_best_and_when_progress_stops(trained: Any) -> None:
    """Scores that differ by rounding must not lead to two learning rates."""
    first, last = trained(2, schedule="plateau", meddle=("scores",))
    assert first["error"] is None
    assert [line["best_db"] for line in first["evals"]] == [-10.0, -20.0, -20.0]
    assert last["best"] == first["best"] == (-20.0, 10)
    assert np.array_equal(first["parameters"], last["parameters"])


def test_a_team_has_nothing_to_complain_of(processes: Of) -> None:
    """Their Python turns warnings into errors; here is what else libraries print."""
    assert processes(2).said() == ""

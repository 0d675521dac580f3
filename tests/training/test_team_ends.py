"""How two processes end together: a signal, a kill or a NaN in one of them, wherever it is at that moment."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import checkpoint

TERM, KILL = int(signal.SIGTERM), int(signal.SIGKILL)
RECIPE = """\
task: pa
data: {source: capture.npz}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8, dropout: 0.1}
optim: {lr: 1e-2, schedule: plateau}
train: {max_steps: 8, batch_size: 8, frame: 32, burn_in: 8, eval_every: 2, checkpoint_every: 4, compile: off}
"""
STEP, SCORE = "dpdrun.training.loop.seed_dropout", "dpdrun.training.task.evaluate_split"
WAIT, PREPARE = "dpdrun.training.process_group.ProcessGroup.barrier", "dpdrun.training.loop.sampler_of"


@pytest.fixture(scope="session")
def bench_folder(tmp_path_factory: pytest.TempPathFactory, lay_out: Callable[..., None]) -> Path:
    folder = tmp_path_factory.mktemp("team")
    lay_out(folder, job=RECIPE, gru=re.sub(r"model: .*", "model: {kind: gru, hidden: 6}", RECIPE))
    return folder


class Runs:
    """Trains the recipe in folders of their own, and compares with the run that nothing happened to."""

    def __init__(self, workers: Any, folder: Path) -> None:
        self.workers, self.folder = workers, folder
        self._count = 0
        self._straight: dict[int, RunFolder] = {}

    def fresh(self) -> RunFolder:
        self._count += 1
        return RunFolder(self.folder / f"run-{self._count}")

    def train(
        self, run: RunFolder, *more: str, faults: Any = None, processes: int = 2, recipe: str = "job.yaml"
    ) -> tuple[list[int], str]:
        """Exit codes by rank, and what both said."""
        arguments = ("train", recipe, "--run-dir", str(run.path), *more)
        if processes == 1:
            team = [self.workers.start(self.folder, *arguments, faults=(faults or {}).get(0, ()))]
        else:
            team = self.workers.group(self.folder, *arguments, faults=faults)
        return [each.wait() for each in team], "".join(each.said for each in team)

    def straight(self, processes: int = 2) -> RunFolder:
        if processes not in self._straight:
            self._straight[processes] = self.fresh()
            codes, said = self.train(self._straight[processes], processes=processes)
            assert set(codes) == {0}, said
        return self._straight[processes]

    def goes_on_as_if_nothing_had_been(self, run: RunFolder) -> None:
        codes, said = self.train(run, "--resume")
        assert codes == [0, 0], said
        whole = self.straight()
        assert run.model.read_bytes() == whole.model.read_bytes()
        assert trace(run) == trace(whole)
        assert run.read_json(run.report)["splits"] == whole.read_json(whole.report)["splits"]


def trace(run: RunFolder) -> list[dict[str, Any]]:
    """All lines of the log without their times."""
    log = read_metrics(run.path)
    times = ("seconds", "step_s", "data_s")
    return [
        {key: value for key, value in line.items() if key not in times}
        for line in (*log.steps, *log.evals, *log.epochs, *log.adapts)
    ]


@pytest.fixture(scope="session")
def runs(workers: Any, bench_folder: Path) -> Runs:
    return Runs(workers, bench_folder)


def step_of(run: RunFolder) -> int:
    return checkpoint.progress_of(run.last, checkpoint.read_header(run.last)).step


SLOW = pytest.mark.slow
DURING = {
    "a step": (STEP, 3, 3),
    "validation": (SCORE, 1, 3),
    "a checkpoint": (WAIT, 1, 5),
    "the last validation": (SCORE, 4, 8),
    "the last checkpoint": (WAIT, 2, 8),
}


@pytest.mark.parametrize(
    ("when", "rank"),
    [("a step", 1), ("validation", 1), ("the last validation", 1), ("the last checkpoint", 0)]
    + [pytest.param(when, rank, marks=SLOW) for when, rank in [
        ("a step", 0), ("validation", 0), ("a checkpoint", 0), ("a checkpoint", 1), ("the last validation", 0),
        ("the last checkpoint", 1),
    ]],
)  # fmt: skip
def test_sigterm_to_one_process_stops_both_with_a_complete_checkpoint(when: str, rank: int, runs: Runs) -> None:
    place, call, step = DURING[when]
    run = runs.fresh()
    codes, said = runs.train(run, faults={rank: [(place, call, TERM)]})
    assert codes == [75, 75], said
    assert f"stopped by SIGTERM after step {step} of 8" in said
    assert run.resume_command in said
    assert step_of(run) == step
    assert not run.report.exists()
    runs.goes_on_as_if_nothing_had_been(run)


@pytest.mark.parametrize("place", ["dpdrun.plan.prepare.load_capture", "dpdrun.training.job.floor_of"])
@pytest.mark.parametrize("rank", [pytest.param(0, marks=SLOW), 1])
def test_sigterm_to_one_process_before_the_first_step_leaves_nothing(place: str, rank: int, runs: Runs) -> None:
    run = runs.fresh()
    codes, said = runs.train(run, faults={rank: [(place, 1, TERM)]})
    assert codes == [75, 75], said
    assert "there is nothing to resume" in said
    assert not run.path.exists()


def test_sigterm_while_the_first_process_scores_alone(runs: Runs) -> None:
    run = runs.fresh()
    codes, said = runs.train(run, faults={0: [("dpdrun.training.job.evaluate", 1, TERM)]})
    assert codes == [75, 0], said  # the other had nothing left to do
    assert "stopped by SIGTERM outside the training steps" in said
    runs.goes_on_as_if_nothing_had_been(run)


def test_sigterm_to_one_process_while_a_resume_starts_leaves_the_run_as_it_was(runs: Runs) -> None:
    run = runs.fresh()
    runs.train(run, faults={1: [(STEP, 3, TERM)]})
    before = contents(run)
    for rank in (0, 1):
        codes, said = runs.train(run, "--resume", faults={rank: [("dpdrun.training.job.load_capture", 1, TERM)]})
        assert codes == [75, 75], said
        assert contents(run) == before


def contents(run: RunFolder) -> dict[str, bytes]:
    return {str(p.relative_to(run.path)): p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}


# where the other process is killed, and the last step that is finished then
LOST = {
    "a step": (STEP, 4, 3),
    "validation": (SCORE, 2, 4),
    "a checkpoint": (WAIT, 1, 4),
    "setting up": (PREPARE, 1, 0),
}


@pytest.mark.parametrize(
    "when", [pytest.param("a step", marks=SLOW), "validation", pytest.param("a checkpoint", marks=SLOW), "setting up"]
)
def test_the_first_process_saves_its_last_step_when_the_other_is_killed(when: str, runs: Runs) -> None:
    place, call, step = LOST[when]
    run = runs.fresh()
    codes, said = runs.train(run, faults={1: [(place, call, KILL)]})
    assert codes == [75, -KILL], said
    assert "lost contact with the others" in said
    if not step:
        assert not run.path.exists()
        return
    assert f"step {step} of 8 is saved; continue with" in said
    assert step_of(run) == step
    runs.goes_on_as_if_nothing_had_been(run)


def test_a_run_resumes_from_its_last_checkpoint_when_the_first_process_is_killed(runs: Runs) -> None:
    run = runs.fresh()
    codes, _ = runs.train(run, faults={0: [(STEP, 7, KILL)]})
    assert codes == [-KILL, 75]
    assert step_of(run) == 4
    runs.goes_on_as_if_nothing_had_been(run)


LOSS = "dpdrun.training.step.squared_error"


def test_a_loss_that_is_no_number_in_one_process_stops_both_before_the_step(runs: Runs) -> None:
    run = runs.fresh()
    codes, said = runs.train(run, faults={1: [(LOSS, 7, "nan")]})
    assert codes == [2, 2], said
    assert "step 7: loss nan" in said
    assert "stopped before the step" in said
    assert "batch of process 1 of 2: 4 frames of 32 samples" in said
    line = read_metrics(run.path).steps[-1]
    assert [line["step"], *np.isnan(line["rank_losses"])] == [7, False, True]
    files = sorted(run.last.parent.glob("*.safetensors"))
    assert files == [run.best, run.last]
    for path in files:
        assert all(bool(value.isfinite().all()) for value in checkpoint.read(path)[0].values()), path
    runs.goes_on_as_if_nothing_had_been(run)  # it was not the data


def test_a_loss_that_is_no_number_in_one_process_is_undone_in_both(runs: Runs) -> None:
    run = runs.fresh()
    codes, said = runs.train(run, "--set", "train.on_finding=adapt", faults={1: [(LOSS, 5, "nan")]})
    assert codes == [0, 0], said
    (line,) = read_metrics(run.path).adapts
    assert (line["code"], line["step"], line["to_step"]) == ("LS201", 5, 0)
    audit = run.read_json(run.audit)
    assert audit["agrees"], audit


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_resumes_with_another_number_of_processes(before: int, after: int, runs: Runs) -> None:
    """Dropout draws in every process for itself, so there is none here."""
    run, whole = runs.fresh(), runs.fresh()
    assert set(runs.train(whole, recipe="gru.yaml", processes=before)[0]) == {0}
    codes, said = runs.train(run, recipe="gru.yaml", processes=before, faults={before - 1: [(STEP, 5, TERM)]})
    assert codes == [75] * before, said
    codes, said = runs.train(run, "--resume", recipe="gru.yaml", processes=after)
    assert set(codes) == {0}, said
    ours, theirs = read_metrics(run.path).steps, read_metrics(whole.path).steps
    for key in ("step", "samples", "frames_crc", "lr"):
        assert [line[key] for line in ours] == [line[key] for line in theirs], key
    assert len(ours) == 8
    mine, other = (checkpoint.read(each.last)[0] for each in (run, whole))
    for name, value in other.items():
        if name.startswith("model."):
            np.testing.assert_allclose(mine[name], value, rtol=1e-5, atol=1e-7, err_msg=name)

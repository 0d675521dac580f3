"""One trial: `dpdrun train` on a variant of a cell, in this process, and what the rules see of it."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.pathbench.cells import SOURCES, VAL_SAMPLES, Cell
from benchmarks.pathbench.logs import pack
from benchmarks.pathbench.variant import Variant
from dpdrun.data.capture import Capture, Part
from dpdrun.data.sources import load_capture
from dpdrun.diagnosis.diagnose import facts_of_run
from dpdrun.errors import DivergedError, StoppedError
from dpdrun.evaluation import assessment, baselines
from dpdrun.evaluation.prediction import SplitOutput
from dpdrun.plan import prepare
from dpdrun.plan.plan import Plan
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.rules.facts.run import RunFacts
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import job, loop
from dpdrun.training.telemetry import Silent

Result = dict[str, Any]


def trial(cell: Cell, variant: Variant, seed: int) -> Result:
    """Train once.

    Returns:
        The best and the last validation NMSE [dB] (None where nothing finite was scored), how the run ended, and its
        packed log, from which the findings are made.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        with mutated(cell, variant):
            ended = train(loaded(cell, variant, seed), run, stop=variant.stop)
        facts = facts_of(run)
    scores = [score for score in facts.eval_nmse_db if math.isfinite(score)]
    return {
        "val_nmse_db": round(min(scores), 3) if scores else None,
        "last_nmse_db": round(scores[-1], 3) if scores else None,
        "ended": ended,
        "seconds": round(time.perf_counter() - began, 2),
        "log": pack(facts),
    }


def loaded(cell: Cell, variant: Variant, seed: int) -> Loaded:
    """The recipe of a trial."""
    source = cell.other if variant.other else cell.data
    text = cell.recipe.replace(SOURCES[cell.data], SOURCES[source])
    return load_text(text, f"{cell.name}.yaml", variant.overrides(cell, seed))


def train(recipe: Loaded, run: Path, *, stop: int = 0) -> str:
    """Train in a folder; with `stop` the run is stopped some steps after it, and resumed from there.

    Returns:
        "done", or "diverged" where it met numbers that are none.
    """
    try:
        if stop:
            try:
                job.train(recipe, run, watch=lambda _: _stopping(stop + 5))
            except StoppedError:
                job.train(recipe, run, resume=True)
        else:
            job.train(recipe, run)
    except DivergedError:
        return "diverged"
    return "done"


class _Stop(Silent):
    def __init__(self, after: int) -> None:
        self._after = after

    def step(self, line: dict[str, Any]) -> None:
        if line["step"] >= self._after:
            raise StoppedError("stopped by the study")


@contextmanager
def _stopping(after: int) -> Iterator[Silent]:
    yield _Stop(after)


def facts_of(run: Path) -> RunFacts:
    """What `dpdrun diagnose` sees of a run folder."""
    folder = RunFolder.open(run)
    report = folder.read_json(folder.report) if folder.report.is_file() else {}
    return facts_of_run(read_metrics(run), Plan.from_json(folder.read_json(folder.plan)), report)


@contextmanager
def mutated(cell: Cell, variant: Variant) -> Iterator[None]:
    """The data and the training code of a variant.

    The audit, which ends a run that does not do what its plan says, is left out: the study is of what a log tells.
    The test part is never scored. No gmp is fitted: to be worse than that in so short a run is true and no fault, and
    DM202, which says so, compares two numbers and has nothing that could be measured here.
    """
    capture = _capture(cell.other if variant.other else cell.data)
    if variant.data:
        capture = variant.data(capture)
    floor = baselines.floor_of(capture) if variant.data else _floor(capture)
    score = assessment.evaluate

    with ExitStack() as stack:
        for owner in (job, baselines):
            stack.enter_context(mock.patch.object(owner, "floor_of", return_value=floor))
        for owner in (prepare, job):  # at the start of a run, and of its resume
            stack.enter_context(mock.patch.object(owner, "load_capture", return_value=capture))
        stack.enter_context(
            mock.patch.object(job, "evaluate", lambda m, p, c, _splits=(), **rest: score(m, p, c, ("val",), **rest))
        )
        nothing = {"val": SplitOutput(np.full(len(capture.val), np.nan + 0j))}, 0
        stack.enter_context(mock.patch.object(baselines, "gmp_outputs", return_value=nothing))
        stack.enter_context(mock.patch.object(assessment, "floor_estimates", return_value=[]))
        stack.enter_context(mock.patch.object(loop, "audit", return_value={"agrees": True}))
        if variant.patch:
            stack.enter_context(variant.patch())
        yield


@lru_cache(maxsize=2)
def _capture(source: str) -> Capture:
    recipe = load_text(f"task: pa\ndata: {{source: {SOURCES[source]}}}\nmodel: {{kind: gmp}}\n", source, []).recipe
    capture = load_capture(recipe.data)
    loop = capture.loop_samples or 1
    kept = max(1, VAL_SAMPLES // loop) * loop
    return replace(capture, val=Part(capture.val.x[:kept], capture.val.y[:kept]))


@lru_cache(maxsize=2)
def _floor(capture: Capture) -> dict[str, Any]:
    return baselines.floor_of(capture)

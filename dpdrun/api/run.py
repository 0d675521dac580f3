"""A run as an object: its scores, its model on arrays, its findings, figures and exports."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpdrun.api.diagnosis import Diagnosis, diagnosis_of
from dpdrun.api.recipes import PathLike, require_capture
from dpdrun.api.results import Plot, Scores
from dpdrun.data.arrays import array_of, signal_of
from dpdrun.data.capture import Capture
from dpdrun.data.checks import suggestion
from dpdrun.diagnosis.diagnose import diagnose_any
from dpdrun.errors import DataError, RunError
from dpdrun.evaluation.assessment import Evaluation, evaluate_with_plots
from dpdrun.evaluation.prediction import Split, eval_frame, predict
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._given import NO_MODULES, Modules, accept, given_modules
from dpdrun.models._threads import torch_threads
from dpdrun.plan.plan import Plan
from dpdrun.plan.recorded import capture_of, plan_of, require_own_samples
from dpdrun.plan.threads import threads_to_predict
from dpdrun.recipe.given import GivenModel
from dpdrun.recipe.schema import GIVEN, KINDS, DataSection
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, read_metrics
from dpdrun.training import job

if TYPE_CHECKING:
    from torch import nn

    from dpdrun.export.job import Exported

TRAINING = "training"
PARTS = ("train", "val", "test")


class Run:
    """A run folder, as written by `dpdrun train` or `dpdrun.train`. Files are read on first use.

    Attributes:
        path: of the folder.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        capture: Capture | None = None,
        pa: nn.Module | None = None,
        modules: Modules = NO_MODULES,
    ) -> None:
        self._folder = RunFolder.open(Path(path))
        self.path = self._folder.path
        self._capture, self._pa, self._modules = capture, pa, modules
        self._evaluations: dict[str, Evaluation] = {}

    @cached_property
    def plan(self) -> Plan:
        """Every setting of the run with its origin. Raises RunError."""
        return plan_of(self._folder)

    @property
    def task(self) -> str:
        """`pa` for a PA model, `dpd` for a predistorter."""
        return self.plan.recipe.task

    @cached_property
    def model(self) -> BehaviouralModel:
        """The trained model in `eval` mode, (B, T, 2) -> (B, T, 2) in the units of the capture; a torch module.

        Of an unfinished run, the best so far. Raises RunError where there is none yet.
        """
        with given_modules(self._modules):
            return job.load_run(self.path)[0]

    @property
    def capture(self) -> Capture:
        """The capture that the run was trained on. Raises DataError where it is no longer there."""
        if self._capture is None:
            self._capture = capture_of(self._folder, self.plan)
        return self._capture

    @property
    def scores(self) -> Scores:
        """The scores at the end of the training, from report.json. Raises RunError where the run is not finished."""
        if not self._folder.report.is_file():
            raise RunError(
                f"{self.path}: this run is not finished, so it has no scores; continue it with:\n  "
                f"{self._folder.resume_command}\n  or score the best model so far with .evaluate()"
            )
        return Scores(self._folder.read_json(self._folder.report))

    @property
    def metrics(self) -> Metrics:
        """The log of the training: `steps` and `evals` are lists of dicts, one for each line of metrics.jsonl."""
        return read_metrics(self.path)

    def predict(self, x: ArrayLike) -> NDArray[Any]:
        """Return the output of the model for a record.

        Args:
            x: (N,) complex, or (N, 2) real = I, Q, of any length and type, in the units of the capture. It is taken as
                zero before and after. A PA model takes the input of the amplifier, a predistorter the wanted signal.

        Returns:
            (N,) complex128, or (N, 2) float64 for such an input; computed in single precision.

        Raises:
            DataError: of another shape or type, empty, NaN or Inf; the message names the sample.
            RunError: there is no model yet.
        """
        samples = signal_of(x, "x")
        with torch_threads(threads_to_predict(self.plan)):
            y = predict(self.model, samples, frame=eval_frame(self.plan))
        if np.iscomplexobj(array_of(x, "x")):
            return y
        return np.stack([y.real, y.imag], axis=1)

    def evaluate(self, splits: tuple[Split, ...] = ("val", "test")) -> Scores:
        """Score the model again, next to baselines on the same samples: what `dpdrun evaluate` prints.

        Args:
            splits: of `train`, `val`, `test`.

        Raises:
            DataError: the capture is no longer there, or there is no such split.
            RunError: there is no model yet, or the PA model of a predistorter is missing.
        """
        splits = (splits,) if isinstance(splits, str) else tuple(splits)
        for split in splits:
            if split not in PARTS:
                raise DataError(f"{split!r}: no such split{suggestion(str(split), PARTS)}; use train, val or test")
        if not splits:
            raise DataError("splits: name at least one of train, val and test")
        with given_modules(self._modules):
            done = evaluate_with_plots(self.model, self.plan, self.capture, splits, pa=self._pa)
        self._evaluations |= dict.fromkeys(splits, done)
        return Scores(done.report, done.plots)

    def diagnose(self) -> Diagnosis:
        """Diagnose the training: what is wrong, the evidence, and what to change. Raises RunError."""
        return diagnosis_of(diagnose_any(self.path), str(self.path))

    def plot(self, kind: str = "psd", split: Split = "test") -> Plot:
        """Draw a figure.

        Args:
            kind: psd, gain (AM/AM and AM/PM), constellation or error, of a split; or training, its curves.
            split: train, val or test.

        Raises:
            DataError: there is no such kind or split, it cannot be drawn for this capture, or matplotlib is missing.
            RunError, DataError: as `evaluate`.
        """
        from dpdrun.report.figures import FIGURES, draw, draw_curves

        kinds = (*FIGURES, TRAINING)
        if kind not in kinds:
            raise DataError(f"{kind!r}: no such plot{suggestion(kind, kinds)}; there is {', '.join(kinds)}")
        if kind == TRAINING:
            return Plot(*draw_curves({self.path.name: self.metrics}))
        if split not in self._evaluations:
            self.evaluate((split,))
        scene = next(each for each in self._evaluations[split].plots if each.split == split)
        return Plot(*draw(kind, scene))

    def export(
        self,
        to: str | None = None,
        path: PathLike | None = None,
        *,
        force: bool = False,
        fixed: bool | Mapping[str, Any] = False,
    ) -> Exported:
        """Export the model as one streaming step, for use without dpdrun; its output is compared with the run's.

        Args:
            to: onnx, torchscript, npz, c, mat, mem or qonnx (docs/export.md); default: onnx; torchscript of a module
                from Python and the kind of a plug-in, which have no other format.
            path: of the file; default: in the run folder.
            force: overwrite it.
            fixed: in integers (docs/fixed-point.md); a dict changes the quantization section of the run, such as
                `{"weights": 12, "fine_tune": 200}`. The result then has settings and costs under `fixed`.

        Raises:
            RunError, DataError: as `dpdrun export`.
        """
        from dpdrun.export.job import export

        changes = [f"{key}={value}" for key, value in fixed.items()] if isinstance(fixed, Mapping) else []
        quantization = None if fixed is False else changes
        out = None if path is None else Path(path)
        to = to or ("onnx" if isinstance(self.plan.recipe.model, KINDS) else "torchscript")
        with given_modules(self._modules):
            return export(self.path, to, out, force=force, quantization=quantization)

    def to_dict(self) -> dict[str, Any]:
        """Return the path, the plan (plan.json), and the scores (report.json), None where the run is not finished."""
        report = self._folder.read_json(self._folder.report) if self._folder.report.is_file() else None
        return {"path": str(self.path), "plan": self.plan.to_json(), "report": report}

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        state = "not finished"
        if self._folder.report.is_file():
            scores = ", ".join(f"{split} {value:.2f} dB" for split, value in self.scores.nmse_db.items())
            state = f"NMSE {scores}"
        return f"{type(self).__name__}({str(self.path)!r}, task {self.task}, {_model_name(self.plan)}: {state})"

    def _repr_html_(self) -> str:
        from dpdrun.report.notebook import html_of
        from dpdrun.report.run_report import report_table

        if not self._folder.report.is_file():
            return f"<pre>{escape(repr(self))}</pre>"
        return html_of(report_table(self._folder.read_json(self._folder.report), self.plan))


class Predistorter(Run):
    """A run of task dpd."""

    def predistort(self, x: ArrayLike) -> NDArray[Any]:
        """Return the input of the amplifier, limited in magnitude, for which its output is the wanted one.

        Args:
            x: the wanted signal at the level of the capture's input, as `predict` takes it.

        Returns:
            As `predict`. Raises DataError, RunError as it does.
        """
        return self.predict(x)


def load_run(
    path: PathLike,
    *,
    capture: Capture | None = None,
    model: nn.Module | None = None,
    pa: nn.Module | Run | None = None,
) -> Run:
    """Return a run folder as an object: a `Predistorter` where its task is dpd.

    Args:
        path: of the folder.
        capture: that the run was trained on, where its file is no longer there.
        model: a module like the one that was passed to `train(model=...)`; the weights are those of the run.
        pa: the PA model of a predistorter that was trained with `pa: given`; or the run of it, as an object, if that
            was made with a module.

    Raises:
        RunError: there is no run in this folder, or it was made with no such module, by its weights.
        DataError: the capture holds other samples than the run was trained on.
    """
    folder = RunFolder.open(Path(path))
    pa, modules = passed_as_pa(pa)
    if model is not None:
        modules = {**modules, **accept(model, recorded=given_section(folder))[1]}
    if capture is not None:
        require_own_samples(folder, DataSection(source=require_capture(capture).name), capture, named=True)
    run = run_of(Path(path), capture, pa, modules)
    if model is not None and folder.weights is not None:
        _ = run.model  # raises RunError where the module does not fit
    return run


def passed_as_pa(pa: nn.Module | Run | None) -> tuple[nn.Module | None, Modules]:
    """Return the module that `pa: given` is, if it is one, else the modules that a PA run was made with."""
    return (None, pa._modules) if isinstance(pa, Run) else (pa, NO_MODULES)


def given_section(folder: RunFolder) -> GivenModel:
    """Return what a run knows of the module it was made with. Raises RunError where it was made with none."""
    recipe = folder.read_json(folder.plan).get("recipe")
    section = recipe.get("model") if isinstance(recipe, dict) else None
    section = section if isinstance(section, dict) else {}
    if section.get("kind") != GIVEN:
        raise RunError(f"{folder.path}: this run has a {section.get('kind')}; it was not made with model=")
    return GivenModel.model_validate(section)


def _model_name(plan: Plan) -> str:
    """Return the kind of a model, and the class of one that was passed from Python."""
    model = plan.recipe.model
    return " ".join([model.kind, *([model.module] if isinstance(model, GivenModel) else [])])


def run_of(path: Path, capture: Capture | None, pa: nn.Module | None, modules: Modules) -> Run:
    """Return the run in a folder; capture, PA model and modules are those that it was trained with, if available."""
    run = Run(path, capture=capture, pa=pa, modules=modules)
    return Predistorter(path, capture=capture, pa=pa, modules=modules) if run.task == "dpd" else run

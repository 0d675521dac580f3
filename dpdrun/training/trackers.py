"""TensorBoard, Weights & Biases and MLflow behind one interface, on the trackers of Accelerate.

Each writes into `tracking/<name>/` of the run folder, and nowhere else unless the environment says so: the variables of
those programs (`WANDB_MODE`, `WANDB_API_KEY`, `MLFLOW_TRACKING_URI`, ...) mean what they always mean. Without them
nothing leaves the machine. Their packages are imported only when a run is tracked.
"""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from accelerate.state import PartialState
from accelerate.tracking import MLflowTracker, TensorBoardTracker, WandBTracker

from dpdrun.errors import RunError
from dpdrun.run.folder import RunFolder
from dpdrun.run.trackers import TrackerName

Values = Mapping[str, float]
Settings = Mapping[str, str | float]  # bool and int too
SENDING_S = 10.0  # that W&B may take at the end; what it has not sent then is kept, for `wandb sync`
SCORES = ("val/nmse_db", "test/nmse_db")  # what TensorBoard shows beside the settings of runs


class Tracker:
    """One tracker of one run. Its calls all come from one thread; it may raise anything.

    Args:
        run: folder of the run.
        settings: what the run was made with, flat.
    """

    name: ClassVar[TrackerName]

    def __init__(self, run: RunFolder, settings: Settings) -> None:
        self.folder: Path = run.tracking / self.name
        self._run, self._settings = run.path, dict(settings)
        self._tracker: Any = None
        self._lent: list[str] = []

    @property
    def look(self) -> str:
        """How to see what was tracked."""
        raise NotImplementedError

    def begin(self, step: int | None) -> None:
        """Start, or go on with what the folder holds; what is there of `step` and later will be logged again."""
        fresh = not self.folder.is_dir()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._start(step)
        if fresh:
            self._configure()

    def back_to(self, step: int) -> None:
        """The steps from this one on will be logged again."""

    def log(self, values: Values, step: int) -> None:
        """Numbers by name, such as `train/loss`, at a step."""
        self._tracker.log(dict(values), step=step)

    def note(self, name: str, text: str, step: int) -> None:
        """A text at a step."""
        self._tracker.log({name: text}, step=step)

    def end(self, *, failed: bool) -> None:
        """Write what is left, and close."""
        raise NotImplementedError

    def _start(self, step: int | None) -> None:
        raise NotImplementedError

    def _configure(self) -> None:
        self._tracker.store_init_configuration(self._settings)

    @property
    def _known_by(self) -> Path:
        """The file with the name by which the tracker knows this run, so that a resumed one goes on under it."""
        return self.folder / "run_id"

    def _lend(self, **variables: str) -> None:
        """Set variables that the environment lacks, until `_take_back`."""
        for name, value in variables.items():
            if name not in os.environ:
                os.environ[name] = value
                self._lent.append(name)

    def _take_back(self) -> None:
        while self._lent:
            os.environ.pop(self._lent.pop(), None)


class TensorBoard(Tracker):
    """Event files. Of steps that are logged again TensorBoard shows the later values."""

    name = TrackerName.TENSORBOARD

    @property
    def look(self) -> str:
        """The program, over all runs beside this one."""
        return f"tensorboard --logdir {shlex.quote(str(self._run.parent))}"

    def back_to(self, step: int) -> None:
        """A new event file, which says from which step on the others no longer count."""
        self._tracker.finish()
        self._start(step)

    def end(self, *, failed: bool) -> None:
        """Close the event file; a run that did not come to its end has no status on the page HPARAMS."""
        if not failed:
            self._tracker.writer.file_writer.add_summary(self._for_hparams()[2])
        self._tracker.finish()

    def _start(self, step: int | None) -> None:
        self._tracker = TensorBoardTracker(self.folder.name, self.folder.parent, purge_step=step)
        self._tracker.start()

    def _configure(self) -> None:
        """For the page HPARAMS. Accelerate's own way writes a folder beside, which is another run to TensorBoard."""
        for summary in self._for_hparams()[:2]:
            self._tracker.writer.file_writer.add_summary(summary)

    def _for_hparams(self) -> Sequence[Any]:
        """What is compared, what this run was made with, and that it came to its end."""
        from torch.utils.tensorboard import summary

        hparams: Any = summary.hparams  # it has no types
        return tuple(hparams(self._settings, dict.fromkeys(SCORES, 0.0)))


class WandB(Tracker):
    """Weights & Biases: offline, unless `WANDB_MODE` or `WANDB_API_KEY` is set.

    Its own step can only rise, so ours is a value among the others, and the axis of all: steps may be logged again.
    """

    name = TrackerName.WANDB

    @property
    def look(self) -> str:
        """How to send what was kept, or where it is."""
        return (
            f"wandb sync {shlex.quote(str(self.folder))}/offline-run-*"
            if self._mode == "offline"
            else "the page of the project"
        )

    @property
    def _mode(self) -> str | None:
        return None if os.environ.keys() & {"WANDB_MODE", "WANDB_API_KEY"} else "offline"

    def log(self, values: Values, step: int) -> None:
        """Numbers by name, and their step beside them."""
        self._tracker.log({**values, "step": step})

    def note(self, name: str, text: str, step: int) -> None:
        """A text, and its step beside it."""
        self._tracker.log({name: text, "step": step})

    def end(self, *, failed: bool) -> None:
        """Close; a run that did not come to its end is marked as failed."""
        try:
            self._tracker.tracker.finish(exit_code=int(failed))
        finally:
            self._take_back()

    def _start(self, step: int | None) -> None:  # noqa: ARG002 - what is logged twice does no harm here
        self._lend(WANDB_CACHE_DIR=str(self.folder / "cache"))  # of its log files, which are in the home else
        if not self._known_by.is_file():
            self._known_by.write_text(os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4), encoding="utf-8")
        self._tracker = WandBTracker(
            os.environ.get("WANDB_PROJECT", "dpdrun"),
            name=os.environ.get("WANDB_NAME", self._run.name),
            id=self._known_by.read_text(encoding="utf-8"),
            resume=None if self._mode == "offline" else "allow",
            dir=str(self.folder.parent),
            mode=self._mode,
            settings={"console": "off", "silent": True, "finish_timeout": SENDING_S},  # the terminal is ours
        )
        self._tracker.start()
        self._tracker.tracker.define_metric("*", step_metric="step")


class MLflow(Tracker):
    """MLflow: into the run folder, unless `MLFLOW_TRACKING_URI` is set."""

    name = TrackerName.MLFLOW

    @property
    def look(self) -> str:
        """The program on the folder of this run, or where else it is."""
        if "MLFLOW_TRACKING_URI" in os.environ:
            return os.environ["MLFLOW_TRACKING_URI"]
        return f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {shlex.quote(str(self.folder))}"

    def note(self, name: str, text: str, step: int) -> None:  # noqa: ARG002 - the text begins with it
        """A tag: MLflow's metrics are numbers."""
        import mlflow

        mlflow.set_tag(name, text)

    def end(self, *, failed: bool) -> None:
        """Close; a run that did not come to its end is marked as failed."""
        import mlflow

        try:
            mlflow.end_run("FAILED" if failed else "FINISHED")
        finally:
            self._take_back()

    def _start(self, step: int | None) -> None:  # noqa: ARG002 - what is logged twice does no harm here
        self._lend(
            MLFLOW_TRACKING_URI=self.folder.resolve().as_uri(),
            MLFLOW_ALLOW_FILE_STORE="true",  # a data base would need the whole of MLflow, and seconds to set up
            MLFLOW_DISABLE_TELEMETRY="true",
            MLFLOW_LOGGING_LEVEL="WARNING",
        )
        run_id = self._known_by.read_text(encoding="utf-8") if self._known_by.is_file() else None
        self._tracker = MLflowTracker("dpdrun", run_id=run_id, run_name=self._run.name)
        self._tracker.start()
        self._known_by.write_text(self._tracker.tracker.info.run_id, encoding="utf-8")


TRACKERS: Mapping[str, type[Tracker]] = {each.name: each for each in (TensorBoard, WandB, MLflow)}


def require_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker that does not exist or is not installed. Raises RunError."""
    for name in names:
        if name not in TRACKERS:
            raise RunError(f"{name}: no such tracker; there are {', '.join(TRACKERS)}")
        spec = find_spec(name)
        if spec is None or spec.origin is None:  # a folder ./wandb or ./mlflow, such as they leave, has no origin
            raise RunError(f"tracking with {name} needs its package: pip install 'dpdrun[{name}]'")


def begun_in(run: RunFolder) -> list[str]:
    """The trackers that a run has been tracked by so far."""
    return [name for name in TRACKERS if (run.tracking / name).is_dir()]


def make_ready() -> None:
    """Set up the state that the trackers of Accelerate need; a training has it, a least-squares fit has not."""
    PartialState()

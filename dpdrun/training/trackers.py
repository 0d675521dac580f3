"""TensorBoard, Weights & Biases and MLflow with one interface, on the trackers of Accelerate.

Each writes into `tracking/<name>/` of the run folder, and nowhere else unless the environment says so: the variables of
those programs (`WANDB_MODE`, `WANDB_API_KEY`, `MLFLOW_TRACKING_URI`, ...) mean what they always mean. Without them
nothing leaves the machine. Their packages, and Accelerate, are imported only when a run is tracked.
"""

from __future__ import annotations

import os
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from dpdrun.distributed.environment import environment_restored
from dpdrun.errors import RunError
from dpdrun.run.folder import RunFolder
from dpdrun.run.trackers import TrackerName

Settings = Mapping[str, str | float]  # bool and int too
UPLOAD_S = 10.0  # that W&B may take at the end; what it has not sent by then is kept, for `wandb sync`
SCORES = ("val/nmse_db", "test/nmse_db")  # that TensorBoard shows next to the settings of runs


class Tracker:
    """One tracker of one run. Its methods are all called from one thread; they may raise anything.

    Args:
        run: folder of the run.
        settings: of the run, flat.
    """

    name: ClassVar[TrackerName]

    def __init__(self, run: RunFolder, settings: Settings) -> None:
        self.folder: Path = run.tracking / self.name
        self._run, self._settings = run.path, dict(settings)
        self._tracker: Any = None
        self._held = ExitStack()  # environment variables, until the end

    @property
    def viewer(self) -> str:
        """The command or place that shows what was tracked."""
        raise NotImplementedError

    def begin(self, step: int | None) -> None:
        """Start, or continue what the folder holds; what it has of `step` and later will be logged again."""
        is_new = not self.folder.is_dir()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._start(step)
        if is_new:
            self._log_settings()

    def back_to(self, step: int) -> None:
        """Prepare for the steps from this one on to be logged again."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name, such as `train/loss`, at a step."""
        self._tracker.log(dict(values), step=step)

    def note(self, name: str, text: str, step: int) -> None:
        """Log a text at a step."""
        self._tracker.log({name: text}, step=step)

    def end(self, *, failed: bool) -> None:
        """Write what is left, and close; a run that failed is marked as such."""
        with self._held:
            self._close(failed)

    def _start(self, step: int | None) -> None:
        raise NotImplementedError

    def _log_settings(self) -> None:
        self._tracker.store_init_configuration(self._settings)

    def _close(self, failed: bool) -> None:
        raise NotImplementedError

    @property
    def _id_file(self) -> Path:
        """The file with the id of the run at the tracker, so that a resumed run continues it."""
        return self.folder / "run_id"


class TensorBoard(Tracker):
    """Event files. Of steps that are logged again TensorBoard shows the later values."""

    name = TrackerName.TENSORBOARD

    @property
    def viewer(self) -> str:
        """The program, over all runs next to this one."""
        return f"tensorboard --logdir {shlex.quote(str(self._run.parent))}"

    def back_to(self, step: int) -> None:
        """Begin a new event file, which says from which step on the others no longer count.

        It begins in another second: TensorBoard reads files in the order of their names, which start with the second.
        """
        self._tracker.finish()
        time.sleep(1.01 - time.time() % 1)
        self._start(step)

    def _start(self, step: int | None) -> None:
        from accelerate.tracking import TensorBoardTracker

        self._tracker = TensorBoardTracker(self.folder.name, self.folder.parent, purge_step=step)
        self._tracker.start()

    def _log_settings(self) -> None:
        """Add the settings to the page HPARAMS; Accelerate's own way writes a subfolder, another run to TensorBoard."""
        self._add_hparams(slice(2))

    def _close(self, failed: bool) -> None:
        if not failed:
            self._add_hparams(slice(2, 3))
        self._tracker.finish()

    def _add_hparams(self, which: slice) -> None:
        """Add summaries for the page HPARAMS: scores that it compares, settings, and that the run is done."""
        from torch.utils.tensorboard import summary

        hparams: Any = summary.hparams  # it has no types
        for each in hparams(self._settings, dict.fromkeys(SCORES, 0.0))[which]:
            self._tracker.writer.file_writer.add_summary(each)


class WandB(Tracker):
    """Weights & Biases: offline, unless `WANDB_MODE` or `WANDB_API_KEY` is set.

    Its own step can only rise, so ours is a value among the others, and the axis of all: steps may be logged again.
    """

    name = TrackerName.WANDB

    @property
    def viewer(self) -> str:
        """The command that uploads what was kept, or where it is."""
        if self._mode is None:
            return "the page of the project"
        return f"wandb sync {shlex.quote(str(self.folder))}/offline-run-*"

    @property
    def _mode(self) -> str | None:
        return None if os.environ.keys() & {"WANDB_MODE", "WANDB_API_KEY"} else "offline"

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name, with their step."""
        self._tracker.log({**values, "step": step})

    def note(self, name: str, text: str, step: int) -> None:
        """Log a text, with its step."""
        self._tracker.log({name: text, "step": step})

    def _start(self, step: int | None) -> None:  # noqa: ARG002 - steps may be logged twice here
        from accelerate.tracking import WandBTracker

        self._held.enter_context(environment_restored(WANDB_CACHE_DIR=str(self.folder / "cache")))  # else in the home
        if not self._id_file.is_file():
            self._id_file.write_text(os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4), encoding="utf-8")
        self._tracker = WandBTracker(
            os.environ.get("WANDB_PROJECT", "dpdrun"),
            name=os.environ.get("WANDB_NAME", self._run.name),
            id=self._id_file.read_text(encoding="utf-8"),
            resume=None if self._mode == "offline" else "allow",
            dir=str(self.folder.parent),
            mode=self._mode,
            settings={"console": "off", "silent": True, "finish_timeout": UPLOAD_S},  # the terminal is ours
        )
        self._tracker.start()
        self._tracker.tracker.define_metric("*", step_metric="step")

    def _close(self, failed: bool) -> None:
        self._tracker.tracker.finish(exit_code=int(failed))


class MLflow(Tracker):
    """MLflow: into the run folder, unless `MLFLOW_TRACKING_URI` is set."""

    name = TrackerName.MLFLOW

    @property
    def viewer(self) -> str:
        """The program on the folder of this run, or the server."""
        if "MLFLOW_TRACKING_URI" in os.environ:
            return os.environ["MLFLOW_TRACKING_URI"]
        return f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {shlex.quote(str(self.folder))}"

    def note(self, name: str, text: str, step: int) -> None:  # noqa: ARG002 - the text begins with it
        """Set a tag: MLflow's metrics are numbers."""
        import mlflow

        mlflow.set_tag(name, text)

    def _start(self, step: int | None) -> None:  # noqa: ARG002 - steps may be logged twice here
        from accelerate.tracking import MLflowTracker

        settings = environment_restored(
            MLFLOW_TRACKING_URI=self.folder.resolve().as_uri(),
            MLFLOW_ALLOW_FILE_STORE="true",  # a database would need all of MLflow, and seconds to set up
            MLFLOW_DISABLE_TELEMETRY="true",
            MLFLOW_LOGGING_LEVEL="WARNING",
        )
        self._held.enter_context(settings)
        run_id = self._id_file.read_text(encoding="utf-8") if self._id_file.is_file() else None
        self._tracker = MLflowTracker("dpdrun", run_id=run_id, run_name=self._run.name)
        self._tracker.start()
        self._id_file.write_text(self._tracker.tracker.info.run_id, encoding="utf-8")

    def _close(self, failed: bool) -> None:
        import mlflow

        mlflow.end_run("FAILED" if failed else "FINISHED")


TRACKERS: Mapping[str, type[Tracker]] = {each.name: each for each in (TensorBoard, WandB, MLflow)}


def require_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker that does not exist or is not installed. Raises RunError."""
    for name in names:
        if name not in TRACKERS:
            raise RunError(f"{name}: no such tracker; there are {', '.join(TRACKERS)}")
        spec = find_spec(name)
        if spec is None or spec.origin is None:  # a folder ./wandb or ./mlflow, such as they leave, has no origin
            raise RunError(f"tracking with {name} needs its package: pip install 'dpdrun[{name}]'")

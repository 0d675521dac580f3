"""The pictures of the README: what the commands really print, as SVG.

    make pictures

Trains the quickstart once and shows it, then runs the other commands on that run and on a recipe with mistakes.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchmarks.common import ROOT
from dpdrun.report.console import TrainingView
from dpdrun.report.run_report import report_table
from dpdrun.run.metrics import read_metrics
from dpdrun.training.job import load_run

IMAGES = ROOT / "docs" / "images"
WIDTH = 100

MISTAKES = """\
task: pa
data: {source: synthetic/hard}
model: {kind: transformer, d_model: 30, layers: 2, heads: 4, window: 512}
optim:
  lr: fast
  warm_up: 5%
train: {frame: 256, batch_sise: 32, burn_in: 300}
"""


def shown(name: str, *arguments: str, cwd: Path = ROOT) -> None:
    """Run a command and keep what it prints as docs/images/NAME.svg."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    program = [sys.executable, "-m", "dpdrun", *arguments]
    done = subprocess.run(program, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(Text.from_ansi((done.stdout + done.stderr).rstrip()))
    console.save_svg(str(IMAGES / f"{name}.svg"), title=f"$ dpdrun {shlex.join(arguments)}")
    console.file.close()


def training(run: Path) -> None:
    """The live panel at the end of a run and the report below it, from the run's own metrics."""
    _, plan, folder = load_run(run)
    report = folder.read_json(folder.report)
    metrics = read_metrics(run)
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w"))  # noqa: SIM115
    view = TrainingView(
        console,
        title="runs/quickstart",
        total_steps=plan.total_steps,
        samples_per_step=plan.batch_size * plan.frame,
        floor_db=report["floor"]["nmse_db"],
    )
    view.replay(metrics.steps, metrics.evals)
    console.print(view.render())
    console.print(report_table(report, plan))
    console.save_svg(str(IMAGES / "train.svg"), title="$ dpdrun train recipes/quickstart.yaml")
    console.file.close()


def main() -> None:
    """Draw all of them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "runs" / "quickstart"
        program = [sys.executable, "-m", "dpdrun", "train", "recipes/quickstart.yaml", "--run-dir", str(run)]
        subprocess.run(program, cwd=ROOT, check=True)
        training(run)
        (Path(folder) / "mistakes.yaml").write_text(MISTAKES)
        shown("recipe_check", "recipe", "check", "mistakes.yaml", cwd=Path(folder))
        shown("diagnose", "diagnose", "runs/quickstart", cwd=Path(folder))
    shown("recommend", "recommend", "--model", "transformer", "--d-model", "256", "--layers", "4", "--epochs", "50",
          "--samples", "10000", "--batch-size", "256")  # fmt: skip
    shown("inspect", "data", "inspect", "synthetic/hard")


if __name__ == "__main__":
    main()

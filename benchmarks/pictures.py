"""The pictures of the README: what the commands really print, as SVG.

    make pictures             (or: python -m benchmarks.pictures --page runs/auto)

Trains the quickstart once and shows it, then runs the other commands on that run and on a recipe with mistakes. With
--page: only the top of report.html in a folder of `dpdrun auto`, as a PNG, by headless Chromium.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from benchmarks.common import ROOT
from dpdrun.report.console import TrainingView
from dpdrun.report.run_report import report_table
from dpdrun.run.metrics import read_metrics
from dpdrun.training.job import load_run

IMAGES = ROOT / "docs" / "images"
WIDTH = 100
PAGE = (1080, 1340)  # pixels: the figures that matter, and the spectrum
COLORS = 48  # of the PNG: 100 kB instead of 400

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


def page(product: Path) -> None:
    """Keep the top of the page of a folder of `dpdrun auto` as docs/images/auto.png."""
    browser = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    if browser is None:
        raise SystemExit("--page: install Chromium")
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "page.png"
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={drawn}")
        size = "--window-size={},{}".format(*PAGE)
        where = (product / "report.html").absolute().as_uri()
        subprocess.run([browser, *options, size, where], check=True, capture_output=True)
        few = Image.open(drawn).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
        few.save(IMAGES / "auto.png", optimize=True)


def main() -> None:
    """Draw all of them, or the page."""
    parser = argparse.ArgumentParser(description="the pictures of the README")
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="only the page of this folder of dpdrun auto")
    chosen = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    if chosen.page is not None:
        return page(chosen.page)
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
    return None


if __name__ == "__main__":
    main()

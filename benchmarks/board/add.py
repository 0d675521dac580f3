"""Make an entry of the board from a finished run: its recipe, its weights, and what training took.

    python -m benchmarks.board.add RUN... [--plugin FILE.py] [--name NAME]

A plug-in file that is not in the repository is copied to benchmarks/board/plugins. Of a predistorter the path of its PA
model is left out: it is judged through the models of the board (`judges.json`).
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.board.entries import ABOUT, BOARD, Entry
from benchmarks.common import ROOT, machine
from dpdrun.errors import DpdrunError
from dpdrun.plan.recorded import plan_of
from dpdrun.recipe import plugins
from dpdrun.recipe.patch import apply_patch
from dpdrun.recipe.schema import GIVEN
from dpdrun.run.files import sha256_of
from dpdrun.run.folder import RunFolder


def add(run_dir: Path, name: str = "", plugin_files: Sequence[Path] = (), board: Path = BOARD) -> Entry:
    """File a finished run as an entry, which replaces one of the same name.

    Args:
        run_dir: of `dpdrun train`.
        name: of the row; default: that of the run folder. `-seedN` is added.
        plugin_files: that its kind comes from; others are left out.
        board: the folder with `entries` and `plugins`.

    Raises:
        RunError: the run is not finished, or its model is another than its recipe describes.
        PluginError: a plug-in is broken.
    """
    run = RunFolder.open(run_dir)
    needed = {each["sha256"] for each in run.read_json(run.plan).get("plugins") or ()}
    files = [_in_repository(path, board) for path in plugin_files if sha256_of(path) in needed]
    plugins.load_files(ROOT / path for path in files)
    plan, report = plan_of(run), run.read_json(run.report)
    recipe = run.recipe.read_text()
    if plan.recipe.task == "dpd":
        recipe = apply_patch(recipe, {"pa": GIVEN})
    row = (name or run_dir.name).removesuffix(f"-seed{plan.recipe.train.seed}")
    folder = board / "entries" / f"{row}-seed{plan.recipe.train.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(recipe)
    shutil.copyfile(run.model, folder / "model.safetensors")
    about = {
        "minutes": round((report["seconds"] + (report.get("finish") or {}).get("seconds", 0.0)) / 60, 2),
        "machine": f"{report['threads']} thread(s), {machine()}",
        **({"plugins": files} if files else {}),
        **({"through": plan.predistortion.pa_sha256} if plan.predistortion else {}),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    entry = Entry(folder)
    entry.model()  # what is filed can be read
    return entry


def _in_repository(path: Path, board: Path) -> str:
    """Return the path of a plug-in from the root of the repository, copied where it is not in it."""
    path = path.resolve()
    if not path.is_relative_to(ROOT):
        kept = board / "plugins" / path.name
        if kept.is_file() and sha256_of(kept) != sha256_of(path):
            raise SystemExit(f"{kept} is another plug-in of this name: rename {path.name}, and its kind")
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
        path = kept.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def main() -> None:
    """File the runs."""
    parser = argparse.ArgumentParser(description="add finished runs to the board")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, such as one for each seed")
    parser.add_argument("--name", default="", help="of the row; default: that of the run folder")
    parser.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE.py")
    asked = parser.parse_args()
    for run in asked.runs:
        try:
            print(add(run, asked.name, asked.plugin).folder)
        except DpdrunError as error:
            raise SystemExit(f"{error}") from None


if __name__ == "__main__":
    main()

"""Judges predistorters again with the Arena's own code, and prints the table.

make arena-judge        (or: build/arena-env/bin/python -m benchmarks.arena.judge FOLDER...)

A model is a folder with the two files that describe it, `recipe.yaml` and `model.safetensors`; without arguments, all
folders in benchmarks/arena/models. First the judge is checked: the score with no predistorter, and a least-squares row
that their code fits in seconds, must be what they publish.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections import defaultdict
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from benchmarks.arena.board import worse_aclr_db
from benchmarks.common import markdown, write_table

if TYPE_CHECKING:
    from benchmarks.arena.protocol import Arena, Score
    from dpdrun.models._base import BehaviouralModel

MODELS = Path(__file__).parent / "models"
TRAINING = Path(__file__).parent / "training.json"
SEED = re.compile(r"-seed\d+$")
# NMSE, EVM and worse-side ACLR on the test part with no predistorter, as the Arena states them [dB]
BASELINE = (-18.78, -19.88, -28.74)
LEAST_SQUARES = ("mp_ls", 250)
TOLERANCE_DB = 0.01
MAX_POWER_ERROR_DB = 0.5  # beyond it the Arena gives no score
BUDGETS = (250, 500, 1000, 2000)
SUMMARY = ["parameters", "ours", "EVM / ACLR [dB]", "best EVM published", "best ACLR published", "GRU published",
           "training [min]", "to the GRU-994 level [min]", "operations a sample", "figure of merit [dB]"]  # fmt: skip
HEADER = ["model", "parameters", "NMSE [dB]", "EVM [dB]", "ACLR, worse side [dB]", "power error [dB]", "seam [dB]"]


class JudgeError(RuntimeError):
    """The judge does not say what its authors publish: nothing that it says here would hold."""


@dataclass(frozen=True)
class Row:
    """One judged model."""

    name: str
    parameters: int
    score: Score
    seam_db: float
    operations: int  # multiplications and additions per sample


def load(folder: Path) -> BehaviouralModel:
    """The model of a folder with `recipe.yaml` and `model.safetensors`, in `eval` mode.

    Raises:
        RecipeError, RunError: a file is missing or wrong, or the tensors are not those of the recipe's model.
    """
    from dpdrun.models import _saved
    from dpdrun.recipe.loader import load_recipe

    recipe = folder / "recipe.yaml"
    return _saved.load(folder / "model.safetensors", load_recipe(recipe).recipe.model, described_by=recipe)


def check_judge(arena: Arena) -> list[str]:
    """Compare the judge with what its authors publish; returns what was compared, a line each.

    Raises:
        JudgeError: a value differs by more than 0.01 dB (the baseline) or 0.1 dB (the least-squares row).
    """
    lines = []
    found = astuple(arena.baseline)[:3]
    key, budget = LEAST_SQUARES
    fitted, count = arena.least_squares(key, budget)
    row = arena.published(key, budget)
    printed = row["metrics"]["nmse_db"], row["metrics"]["evm_db"], worse_aclr_db(row["metrics"])
    for what, here, there, tolerance in (
        ("no predistorter", found, BASELINE, TOLERANCE_DB),
        (f"{key}, {count} parameters", astuple(fitted)[:3], printed, 10 * TOLERANCE_DB),
    ):
        line = f"{what}: NMSE / EVM / ACLR {_triple(here)} here, {_triple(there)} published"
        if any(abs(a - b) > tolerance for a, b in zip(here, there, strict=True)):
            raise JudgeError(f"the judge is not the published one: {line}")
        lines.append(line)
    return lines


def judged(arena: Arena, folder: Path) -> Row:
    """Judge the model of one folder."""
    from benchmarks.arena.operations import ledger_of
    from benchmarks.arena.protocol import parameters
    from dpdrun.models.transformer import Model

    model = load(folder)
    if not isinstance(model, Model):
        raise SystemExit(f"{folder}: only the operations of Transformers are counted")
    operations = ledger_of(model.config).total()["ops"]
    return Row(folder.name, parameters(model), arena.judge(model), arena.seam_db(model), operations)


def table(rows: list[Row]) -> str:
    """A row a model, and the mean of those whose names differ only in `-seedN`."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[SEED.sub("", row.name)].append(row)
    cells = []
    for name, group in groups.items():
        cells.extend(_cells(row.name, row.parameters, astuple(row.score), row.seam_db) for row in group)
        if len(group) > 1:
            means = tuple(mean(values) for values in zip(*(astuple(row.score) for row in group), strict=True))
            seam = max(row.seam_db for row in group)
            cells.append(_cells(f"**{name}, mean of {len(group)}**", group[0].parameters, means, seam))
    return markdown(HEADER, cells)


def summary(arena: Arena, rows: list[Row], runs: dict[str, Any]) -> str:
    """A row a budget: the mean of our seeds beside the published table, and what training took.

    Args:
        arena: has the published table.
        rows: of one or more seeds for each budget.
        runs: of training.json, by the names of the rows.
    """
    cells = []
    for budget in BUDGETS:
        group = [row for row in rows if budget // 2 < row.parameters <= budget]
        if not group:
            continue
        published = arena.rows(budget)
        best = [min(published, key=lambda name, i=i: published[name][i]) for i in range(2)]
        evm, aclr = (mean(getattr(row.score, name) for row in group) for name in ("evm_db", "aclr_db"))
        took = [runs[row.name] for row in group if row.name in runs]
        levels = [run["seconds_to_gru_994"] for run in took]
        cells.append([
            f"<= {budget}", f"{group[0].parameters}", f"**{evm:.2f} / {aclr:.2f}**",
            *(f"{name} {published[name][i]:.2f}" for i, name in enumerate(best)),
            f"{published['gru'][0]:.2f} / {published['gru'][1]:.2f}",
            _minutes([run["seconds"] for run in took]), _minutes(levels) if None not in levels else "not reached",
            f"{group[0].operations:,}", f"{_merit(evm, aclr, group[0]):.2f}",
        ])  # fmt: skip
    return markdown(SUMMARY, cells)


def _merit(evm_db: float, aclr_db: float, row: Row) -> float:
    """Figure of merit of the Arena, Q - 5 log10(P / 1000) - 5 log10(OPs / 2000), of the mean scores of a group [dB]."""
    _, baseline_evm, baseline_aclr = BASELINE
    quality = (baseline_evm - evm_db + baseline_aclr - aclr_db) / 2
    return quality - 5 * math.log10(row.parameters / 1000) - 5 * math.log10(row.operations / 2000)


def _minutes(seconds: list[float]) -> str:
    return f"{min(seconds) / 60:.1f} to {max(seconds) / 60:.1f}" if seconds else ""


def _cells(name: str, count: int, score: tuple[float, ...], seam_db: float) -> list[str]:
    nmse, evm, aclr, power, _ = score
    refused = " (no score)" if abs(power) > MAX_POWER_ERROR_DB else ""
    return [name, f"{count:,}", f"{nmse:.2f}", f"{evm:.2f}", f"{aclr:.2f}", f"{power:+.3f}{refused}", f"{seam_db:.0f}"]


def _triple(values: tuple[float, ...]) -> str:
    return " / ".join(f"{value:.2f}" for value in values)


def main() -> None:
    """Check the judge, judge the folders, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="recipe.yaml and model.safetensors in each")
    folders = parser.parse_args().folders or sorted(path.parent for path in MODELS.glob("*/model.safetensors"))
    try:
        from benchmarks.arena.protocol import LABEL, Arena
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: this needs the environment of the judge; run `make arena-env`, then `make arena-judge`")
    arena = Arena()
    print(*check_judge(arena), sep="\n")
    if not folders:
        sys.exit(f"nothing to judge: {MODELS} holds no model")
    print(f"\n{LABEL}; opendpd 2.4.2, board apa-200mhz-b, windows of 200 of which the central 100 are kept\n")
    rows = [judged(arena, folder) for folder in folders]
    print(table(rows))
    if {folder.parent for folder in folders} == {MODELS}:
        runs = json.loads(TRAINING.read_text())["runs"]
        write_table("arena", f"{summary(arena, rows, runs)}\n\n{table(rows)}")


if __name__ == "__main__":
    main()

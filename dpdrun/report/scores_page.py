"""An evaluation, or a comparison of runs, as files: scores.json, and a page with tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpdrun.errors import RunError
from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.comparison import cells_of, columns_of, name_of, notes_of, one_line, settings_text, title_of
from dpdrun.report.figures import save_report
from dpdrun.report.figures.page import Table
from dpdrun.report.scores import score_tables
from dpdrun.report.scores_panel import evaluation_facts, floor_cells
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, read_metrics
from dpdrun.run.scores import as_chosen

FILE = "scores.json"


def save_evaluation(folder: Path, run: Path, report: Mapping[str, Any], scenes: Sequence[PlotData]) -> list[Path]:
    """Write the files of an evaluation, and return their paths.

    Args:
        folder: created where it does not exist; files of an earlier evaluation are replaced.
        run: the folder of the run, for its name and its training curves.
        report: of `evaluation.assess`.
        scenes: of the same evaluation.

    Raises:
        DataError: matplotlib is not installed.
        RunError: the folder cannot be written.
    """
    tables: list[Table] = [(table.caption, table.header, table.rows) for table in score_tables(report)]
    if report.get("floors"):
        split = list(report["splits"])[-1]
        rows = [[each["method"], *floor_cells(each), each["caveat"]] for each in as_chosen(report["floors"])]
        header = ["method", "NMSE [dB]", f"left, {split} [dB]", "caveat"]
        tables.append(("Noise floor of the amplifier", header, rows))
    facts = [(name, text.plain) for name, text in evaluation_facts(report)]
    what = "predistorter" if report["task"] == "dpd" else "PA model"
    title = f"{run.name}: {report['model']} {what} on {report['capture']['name']}"
    written = save_report(folder, title=title, scenes=scenes, training=curves([run]), facts=facts, tables=tables)
    return [write_scores(folder, report), *written]


def save_comparison(
    folder: Path, groups: Sequence[Mapping[str, Any]], scenes: Sequence[PlotData], runs: Mapping[str, Path]
) -> list[Path]:
    """Write the files of a comparison, and return their paths.

    Args:
        folder: created where it does not exist; files of an earlier comparison are replaced.
        groups: of `evaluation.comparison.RunGroup.to_json`.
        scenes: of the same groups.
        runs: folders of the runs by name, for their training curves.

    Raises:
        DataError: matplotlib is not installed.
        RunError: the folder cannot be written.
    """
    tables: list[Table] = []
    facts: list[tuple[str, str]] = []
    for group in as_chosen(groups):
        columns = columns_of(group)
        header = ["run", *(one_line(column.title) for column in columns)]
        tables.append((title_of(group), header, [cells for _, cells in cells_of(group, columns)]))
        facts += [(f"settings of {row['run']}", settings_text(row)) for row in group["runs"] if row["settings"]]
        facts += [(name_of(group), note) for note in notes_of(group)]
    title = f"{len(runs)} runs compared" if len(groups) > 1 else title_of(as_chosen(groups[0]))
    training = curves(list(runs.values()), list(runs))
    written = save_report(folder, title=title, scenes=scenes, training=training, facts=facts, tables=tables)
    return [write_scores(folder, {"groups": list(groups)}), *written]


def write_scores(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write scores.json into a folder, which is created where it does not exist. Raises RunError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot create the folder: {error.strerror or error}") from None
    RunFolder(folder).write_json(folder / FILE, dict(content))
    return folder / FILE


def curves(runs: Sequence[Path], names: Sequence[str] = ()) -> dict[str, Metrics]:
    """Return training metrics by name; a least-squares fit has none."""
    named = dict(zip(names or [run.name for run in runs], runs, strict=True))
    return {name: read_metrics(run) for name, run in named.items() if RunFolder(run).metrics.is_file()}

"""An evaluation, or a comparison of runs, as files: scores.json, and a page with tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dpdrun.errors import RunError
from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.comparison import cells_of, columns_of, name_of, notes_of, one_line, settings_text, title_of
from dpdrun.report.figures import save_report
from dpdrun.report.figures.page import Table
from dpdrun.report.scores import score_tables
from dpdrun.report.scores_panel import evaluation_facts, floor_cells
from dpdrun.run.environment import environment
from dpdrun.run.files import make_folder
from dpdrun.run.folder import SCHEMA_VERSION, RunFolder
from dpdrun.run.metrics import Metrics, read_metrics
from dpdrun.run.scores import as_chosen

FILE = "scores.json"


def save_evaluation(
    folder: Path, run: Path, report: Mapping[str, Any], scenes: Sequence[PlotData], *, suffix: str = ".png"
) -> list[Path]:
    """Write the files of an evaluation, and return their paths.

    Args:
        folder: created where it does not exist; files of an earlier evaluation are replaced.
        run: the folder of the run, for its name and its training curves.
        report: of `evaluation.assess`.
        scenes: of the same evaluation.
        suffix: format of the figures, of `PLOT_SUFFIXES`.

    Raises:
        RunError: the folder cannot be written.
    """
    tables: list[Table] = [(table.caption, table.header, table.rows) for table in score_tables(report)]
    if report.get("floors"):
        split = list(report["splits"])[-1]
        rows = [[each["method"], *floor_cells(each), each["caveat"]] for each in as_chosen(report["floors"])]
        header = ["method", "NMSE [dB]", f"left, {split} [dB]", "caveat"]
        tables.append(("Noise floor of the amplifier", header, rows))
    facts = [*_origin(RunFolder(run), report), *((name, text.plain) for name, text in evaluation_facts(report))]
    what = "predistorter" if report["task"] == "dpd" else "PA model"
    title = f"{run.name}: {report['model']} {what} on {report['capture']['name']}"
    written = save_report(
        folder, title=title, scenes=scenes, training=curves([run]), facts=facts, tables=tables,
        summary=result_sentence(report), suffix=suffix,
    )  # fmt: skip
    return [write_scores(folder, report), *written]


def result_sentence(report: Mapping[str, Any]) -> str:
    """Return the result of an evaluation in a sentence, with the least-squares gmp beside it."""
    shown = as_chosen(report)
    split = list(shown["splits"])[-1]
    own, gmp, none = (place[split] for place in (shown["splits"], *(shown["baselines"][n] for n in ("gmp", "one_tap"))))
    if report["task"] == "dpd":
        pairs = (("in_band_db", "in-band error"), ("aclr_worse_db", "worse-side ACLR"))
        parts = [
            f"{name} {own[key]:.1f} dB (none {none[key]:.1f}, gmp {gmp[key]:.1f})"
            for key, name in pairs
            if None not in (own[key], none[key], gmp[key])
        ]
        through = "through its PA model" if report.get("simulated") else "on the amplifier"
        return f"Predistorted, {split} split, {through}: {'; '.join(parts)}." if parts else ""
    gain = gmp["nmse_db"] - own["nmse_db"]
    against = f"{abs(gain):.1f} dB {'better' if gain >= 0 else 'worse'} than a gmp ({gmp['nmse_db']:.1f} dB)"
    return f"The model reproduces the {split} split with an NMSE of {own['nmse_db']:.1f} dB, {against}."


def _origin(run: RunFolder, report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return where an evaluation is from: time, versions, host, the files, and the verdict on the training."""
    here = environment()
    facts = [
        ("made", f"{here['date']} on {here['host']} ({here['system']})"),
        ("versions", f"dpdrun {here['dpdrun']}, torch {here['torch']}, Python {here['python']}"),
        ("run", f"{run.path}, recipe {run.recipe}"),
        ("capture", f"{report['capture']['name']}, sha256 {str(report['capture']['sha256'])[:16]}..."),
    ]
    with suppress(RunError, KeyError):
        findings = run.read_json(run.findings)
        codes = ", ".join(str(each["code"]) for each in findings["findings"])
        facts.append(("diagnosis", f"{findings['verdict']}{f' ({codes})' if codes else ''}"))
    return facts


def save_comparison(
    folder: Path, groups: Sequence[Mapping[str, Any]], scenes: Sequence[PlotData], runs: Mapping[str, Path],
    *, suffix: str = ".png",
) -> list[Path]:  # fmt: skip
    """Write the files of a comparison, and return their paths.

    Args:
        folder: created where it does not exist; files of an earlier comparison are replaced.
        groups: of `evaluation.comparison.RunGroup.to_json`.
        scenes: of the same groups.
        runs: folders of the runs by name, for their training curves.
        suffix: format of the figures, of `PLOT_SUFFIXES`.

    Raises:
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
    written = save_report(
        folder, title=title, scenes=scenes, training=training, facts=facts, tables=tables, suffix=suffix
    )
    return [write_scores(folder, {"schema_version": SCHEMA_VERSION, "groups": list(groups)}), *written]


def write_scores(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write scores.json into a folder, which is created where it does not exist. Raises RunError."""
    make_folder(folder)
    RunFolder(folder).write_json(folder / FILE, dict(content))
    return folder / FILE


def curves(runs: Sequence[Path], names: Sequence[str] = ()) -> dict[str, Metrics]:
    """Return training metrics by name; a least-squares fit has none."""
    named = dict(zip(names or [run.name for run in runs], runs, strict=True))
    return {name: read_metrics(run) for name, run in named.items() if RunFolder(run).metrics.is_file()}

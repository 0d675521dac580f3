"""A comparison as files: scores.json, and a page with its tables and overlaid figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.comparison import cells_of, columns_of, name_of, notes_of, one_line, title_of
from dpdrun.report.figures import save_report
from dpdrun.report.scores_page import Table, curves, write_scores


def save_comparison(
    folder: Path, groups: Sequence[Mapping[str, Any]], scenes: Sequence[PlotData], runs: Mapping[str, Path]
) -> list[Path]:
    """Write the files of a comparison; returns what was written.

    Args:
        folder: made where it does not exist; files of an earlier comparison are replaced.
        groups: of `evaluation.comparison.RunGroup.to_json`.
        scenes: of the same groups.
        runs: folders of the runs by name, for their training curves.

    Raises:
        DataError: matplotlib is not installed.
        RunError: the folder cannot be written.
    """
    tables: list[Table] = []
    facts: list[tuple[str, str]] = []
    for group in groups:
        columns = columns_of(group)
        header = ["run", *(one_line(column.title) for column in columns)]
        tables.append((title_of(group), header, [cells for _, cells in cells_of(group, columns)]))
        facts += [(name_of(group), note) for note in notes_of(group)]
    title = f"{len(runs)} runs compared" if len(groups) > 1 else title_of(groups[0])
    training = curves(list(runs.values()), list(runs))
    written = save_report(folder, title=title, scenes=scenes, training=training, facts=facts, tables=tables)
    return [write_scores(folder, {"groups": list(groups)}), *written]

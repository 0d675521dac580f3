"""The end of a sweep: score the test split of its front once, and write its files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

from dpdrun.data.sources import captures_kept
from dpdrun.report.sweep_page import sweep_page
from dpdrun.run.files import Json, write_text
from dpdrun.run.folder import RunFolder
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.journal import locked
from dpdrun.sweep.results import Results, compact, is_over

Say = Callable[[str], None]


def finish(folder: SweepFolder, sweep: Sweep, say: Say) -> Json:
    """Write sweep.json, sweep.csv and report.html; of a sweep that is over, score its front on the test split before.

    Several workers may do so at the same time: the first one scores, the others wait for it.

    Returns:
        The content of sweep.json.

    Raises:
        RunError: a file cannot be written, or a run of the front is damaged.
    """
    results = Results(folder, sweep)
    content = results.make(folder.journal.read())
    if is_over(folder.journal.read()) and (waiting := _unscored(content)):
        with locked(folder.final_lock):
            here = [trial for trial in waiting if folder.run(trial).model.is_file()]  # another host has the others
            with captures_kept():  # and the baselines fitted to them
                scores = {trial: compact(_score_test(folder.run(trial), say)) for trial in here}
        with folder.journal.transaction() as now:
            for trial, report in scores.items():
                now.add("tested", id=trial, report=report)
        results.forget(here)
        content = results.make(folder.journal.read())
    write(folder, content)
    return content


def write(folder: SweepFolder, content: Json) -> None:
    """Write the files of a sweep."""
    with locked(folder.final_lock):
        RunFolder(folder.path).write_json(folder.result, content)
        write_text(folder.table, table_of(content))
        write_text(folder.page, sweep_page(content))


def _unscored(content: Mapping[str, Any]) -> list[str]:
    """Return the trials of the front, and of the rules next to it, whose test split is not scored."""
    kept = [each for each in content["points"] if each["on_front"] or (each["rules"] and each["status"] == "finished")]
    trials = [trial for each in kept for trial in each["trials"]]
    return list(dict.fromkeys(trial["id"] for trial in trials if trial.get("test_db") is None))


def _score_test(run: RunFolder, say: Say) -> Json:
    """Score the test split of a trial, and add it to its report, which is returned."""
    report = run.read_json(run.report)
    if "test" not in report["splits"]:
        say(f"{run.path.name}: scoring the test split")
        from dpdrun.dpd.cascade import pa_model_of
        from dpdrun.evaluation.assessment import evaluate
        from dpdrun.plan.recorded import capture_of
        from dpdrun.training.job import load_run

        model, plan, _ = load_run(run.path)
        pa = pa_model_of(plan, None) if plan.predistortion is not None else None
        report |= evaluate(model, plan, capture_of(run, plan), pa=pa)
        run.write_json(run.report, report)
    return report


def table_of(content: Mapping[str, Any]) -> str:
    """Return the points as CSV, a row each: the swept fields, then means over seeds and the ends of their intervals."""
    keys = list(content["over"])
    names = list(dict.fromkeys(name for each in content["points"] for name in each["objectives"]))
    head = ["point", "rules", "status", "reason", "on_front", *keys]
    head += [column for name in names for column in (name, f"{name}_low", f"{name}_high")] + ["test_db", "seeds"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for each in content["points"]:
        row = [each["number"], each["rules"], each["status"], each["reason"], each["on_front"]]
        row += [each["values"].get(key, "") for key in keys]
        for name in names:
            mean = each["objectives"].get(name) or {}
            row += [mean.get(part, "") for part in ("mean", "low", "high")]
        test = each["test_db"] or {}
        writer.writerow(["" if cell is None else cell for cell in [*row, test.get("mean"), len(each["trials"])]])
    return text.getvalue()

"""The report of a finished run on the terminal: scores against baselines and noise floor, and what the run cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.errors import RunError
from dpdrun.plan.plan import Plan
from dpdrun.report import predistorter
from dpdrun.report.layout import facts_grid, framed, numbers_table
from dpdrun.report.numbers import decibels, duration
from dpdrun.report.plan import rule_settings
from dpdrun.run.scores import COLD_START, as_chosen, cold_nmse_db


def report_table(report: Mapping[str, Any], plan: Plan) -> RenderableType:
    """Return the end of a run: scores against the baselines on the same samples, noise floor, cost, and who set what.

    Args:
        report: content of report.json, or of `evaluate` alone, which has no times.
        plan: of the run, for the values that rules have set.

    Raises:
        RunError: something is missing in the report, or is not what it should be.
    """
    try:
        return _report_table(report, plan)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        what = f"{type(exc).__name__}: {exc}"
        raise RunError(
            f"report.json is damaged ({what}); delete it and recreate it with `dpdrun train --resume`"
        ) from exc


def _report_table(report: Mapping[str, Any], plan: Plan) -> RenderableType:
    report = as_chosen(report)
    if report.get("simulated"):
        facts: list[tuple[str, RenderableType]] = [*predistorter.facts(report), *predistorter.caveats(report)]
        return _panel(report, plan, predistorter.score_table(report), facts)
    return _panel(report, plan, _pair_scores(report), [("floor", Text(_floor(report)))])


def _pair_scores(report: Mapping[str, Any]) -> Table:
    """Return the NMSE of each split against the baselines and the noise floor."""
    splits: Mapping[str, Any] = report["splits"]
    baselines = report["baselines"]
    scores = numbers_table("NMSE", *splits, gap=3)

    def row(name: str, values: list[str], style: str = "") -> None:
        scores.add_row(*(Text(text, style) for text in (name, *values)))

    row("this model", [decibels(score["nmse_db"]) for score in splits.values()], "bold")
    for key, name in (("gmp", "gmp, least squares"), ("one_tap", "one complex gain")):
        row(name, [decibels(baselines[key][split]["nmse_db"]) for split in splits])
    floor = report["floor"]
    if floor["nmse_db"] is not None:
        row("noise floor", [decibels(floor["nmse_db"])] * len(splits))
    for name, each in (("this model", splits), ("gmp", baselines["gmp"])):
        cold = [cold_nmse_db(each[split]) for split in splits]
        if any(value is not None for value in cold):
            row(f"{name}, {COLD_START}", [decibels(value) for value in cold], "dim")
    as_one = [score.get("nmse_as_one_record_db") for score in splits.values()]
    if any(value is not None for value in as_one):
        row("this model, loops ignored", [decibels(value) for value in as_one], "dim")
    legacy = [score["nmse_opendpd_legacy_db"] for score in splits.values()]
    if any(value is not None for value in legacy):
        row("this model, OpenDPD's definition", [decibels(value) for value in legacy], "dim")
    gains = [score["gain_over_gmp_db"] for score in splits.values()]
    row("gain over gmp", [decibels(gain, sign=True) for gain in gains], "green" if min(gains) > 0 else "yellow")
    if floor["nmse_db"] is not None:
        row("above the noise floor", [decibels(score["db_left"]) for score in splits.values()])
    return scores


def _floor(report: Mapping[str, Any]) -> str:
    """Return how the noise floor was found."""
    splits, floor = report["splits"], report["floor"]
    how = floor["method"] + (f" ({floor['caveat']})" if floor["caveat"] else "")
    left = [score["db_left"] for score in splits.values() if score["db_left"] is not None]
    if left and min(left) < 0 and not floor["method"].startswith("known"):  # a known floor is one in the mean
        how += "; doubtful: this model scores below it"
    return how if floor["nmse_db"] is not None else f"unknown: {floor['caveat']}"


def _panel(
    report: Mapping[str, Any], plan: Plan, scores: RenderableType, notes: Sequence[tuple[str, RenderableType]]
) -> RenderableType:
    """Return the scores with their notes, the cost of the model, and who set what."""
    facts = [*notes, ("model", cost_line(report))]
    if report.get("seconds") is not None:
        facts.append(("training", training_line(report)))
    if report["rules"]:
        settings = [Text(setting) for setting in rule_settings(plan, list(report["rules"]))]
        facts.append(("rules", Columns(settings, padding=(0, 2))))
    what = f"{report['model']} predistorter" if plan.recipe.task == "dpd" else report["model"]
    return framed(f"{what} on {report['capture']['name']}", Group(scores, "", facts_grid(facts)))


def cost_line(report: Mapping[str, Any]) -> str:
    """Return what a model costs to run."""
    lookahead = {None: "needs the complete record", 0: "no look-ahead"}.get(
        report["lookahead"], f"look-ahead {report['lookahead']} samples"
    )
    return f"{report['parameters']:,} parameters, {report['macs_per_sample']:,} MAC/sample, {lookahead}"


def training_line(report: Mapping[str, Any]) -> str:
    """Return what a model cost to train."""
    if not report["steps"]:
        return f"least squares in {duration(report['seconds'])}"
    line = (
        f"{report['steps']:,} steps in {duration(report['seconds'])}, {report['samples_per_s']:,.0f} samples/s, "
        f"best at step {report['best_step']:,}"
    )
    if finish := report.get("finish"):
        kept = f"best at {finish['best_iteration']:,}" if finish["best_iteration"] else "none better than that step"
        line += f"; lm: {finish['iterations']:,} iterations in {duration(finish['seconds'])}, {kept}"
    return line

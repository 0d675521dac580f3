"""`dpdrun evaluate`: score a run again, with conventions, intervals and noise floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpdrun.commands._completion import complete_run
from dpdrun.commands._options import (
    DataOption,
    FigureFormat,
    FiguresOption,
    PluginOption,
    Split,
    TextFormat,
    argument,
    check_output,
    hertz,
    load_plugins,
    option,
    print_json,
    stated_rates,
)
from dpdrun.commands._output import say, say_findings

if TYPE_CHECKING:
    from dpdrun.evaluation.plot_data import PlotData

# what report.json adds to the scores
COSTS = ("processes", "threads", "device", "seconds", "steps", "best_step", "samples_per_s", "ilc")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path, argument(metavar="RUN", help="A run folder.", autocompletion=complete_run)],
    split: Annotated[
        list[Split] | None, typer.Option("--split", help="Split to score; repeatable.", show_default="val, test")
    ] = None,
    data: DataOption = None,
    bandwidth_hz: Annotated[
        float | None,
        option(parser=hertz, metavar="HZ", help="Score with this bandwidth, instead of the one of the run."),
    ] = None,
    channel_spacing_hz: Annotated[
        float | None,
        option(parser=hertz, metavar="HZ", help="Score ACLR with channels this far apart, instead of as in the run."),
    ] = None,
    through: Annotated[
        Path | None,
        option(
            metavar="PA_RUN",
            help="Score a predistorter through this independent PA model too (cross-model validation).",
        ),
    ] = None,
    format_: Annotated[TextFormat, typer.Option("--format", help="Output format; json has every convention.")] = (
        TextFormat.text
    ),
    save: Annotated[
        Path | None,
        option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write scores.json, report.html, figures and their curves as CSV here.",
        ),
    ] = None,
    figures: FiguresOption = FigureFormat.png,
    plugin: PluginOption = None,
) -> None:
    """Score the model of a RUN on its capture, next to baselines on the same samples.

    Prints NMSE, in-band error, ACLR, AM/AM, AM/PM, and EVM if the capture describes its OFDM symbols, each with its
    convention and 95 % interval, and the distance to the noise floor by several methods.

    The scores of a predistorter are simulated through its PA model. --through PA_RUN scores it through a second one,
    which shows how far they depend on the PA model.
    """
    load_plugins(plugin, run)
    from dpdrun.report.layout import activity
    from dpdrun.report.terminal import Terminal

    rates = stated_rates(bandwidth_hz=bandwidth_hz, channel_spacing_hz=channel_spacing_hz)
    check_output(save)
    with activity(Terminal(stderr=True), "evaluate") as doing:
        doing("loading torch")
        report, plots, costs = _evaluated(run, split, data, rates, through, doing)
        if save is not None:
            from dpdrun.report.scores_page import save_evaluation

            doing("drawing the figures")
            written = save_evaluation(save, run, report | costs, plots, suffix=f".{figures.value}")
            say(f"{len(written)} files in {save}", err=True)
    if format_ is TextFormat.json:
        print_json(report)
        return
    from dpdrun.report.scores_panel import evaluation_panel

    console = Terminal()
    console.print(evaluation_panel(report | costs, width=console.width), highlight=False)


def _evaluated(
    run: Path,
    split: list[Split] | None,
    data: str | None,
    rates: dict[str, float],
    through: Path | None,
    doing: Callable[[str], None],
) -> tuple[dict[str, Any], list[PlotData], dict[str, Any]]:
    """Return the report of an evaluation, its plots, and the costs of the training."""
    from dpdrun.evaluation.assessment import evaluate_with_plots
    from dpdrun.evaluation.deployment import deployment_findings, judge_facts, reset_facts
    from dpdrun.evaluation.prediction import eval_frame
    from dpdrun.evaluation.progress import progress_to
    from dpdrun.plan.recorded import capture_of
    from dpdrun.training.job import load_run

    model, plan, folder = load_run(run)
    before = folder.read_json(folder.report) if folder.report.is_file() else {}
    doing("reading the capture")
    capture = capture_of(folder, plan, data)
    capture = replace(
        capture,
        bandwidth_hz=rates.get("bandwidth_hz", capture.bandwidth_hz),
        channel_spacing_hz=rates.get("channel_spacing_hz", capture.channel_spacing_hz),
    )
    trained_on = before.get("capture")
    if isinstance(trained_on, dict) and trained_on.get("sha256") != capture.sha256:
        say(f"warning: {capture.name} has changed since this run was trained", err=True)
    parts: list[Any] = [part.value for part in dict.fromkeys(split)] if split else ["val", "test"]
    reference = None
    if through is not None:
        from dpdrun.evaluation.cross_model import load_reference_pa, require_independent

        reference = load_reference_pa(through, capture)
        require_independent(reference, run, plan)
    with progress_to(doing):
        evaluation = evaluate_with_plots(model, plan, capture, parts)
    report, plots = evaluation.report, evaluation.plots
    if reference is not None:
        from dpdrun.evaluation.cross_model import add_cross_model_scores, score_with_reference

        doing(f"scoring through {through}")
        cross_model = score_with_reference(model, plan, capture, parts, reference, evaluation)
        report, plots = add_cross_model_scores(evaluation, cross_model)
    facts = judge_facts(report)
    if eval_frame(plan) is not None:
        facts |= reset_facts(model, capture.val.x, report)
    say_findings(deployment_findings(**facts))
    costs = {key: before[key] for key in COSTS if key in before}
    return report, plots, costs

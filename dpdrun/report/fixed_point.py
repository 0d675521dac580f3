"""What a run in fixed point costs: its scores next to those of the run, clipped words, accumulators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from dpdrun.quantization.cost import OPERATIONS
from dpdrun.report.layout import facts_grid, framed, numbers_table

FIGURES = {
    "nmse_db": "NMSE [dB]",
    "in_band_error_db": "in-band error [dB]",
    "evm_db": "EVM [dB]",
    "aclr_worse_dbc": "ACLR, worse side [dBc]",
}
LISTED = 4  # tensors with clipped words that are named


def fixed_point_panel(settings: Mapping[str, Any], report: Mapping[str, Any]) -> RenderableType:
    """Return the cost of a run in fixed point.

    Args:
        settings: the quantization section.
        report: of `export.fixed.FixedPoint`.
    """
    parts: list[RenderableType] = []
    scores = report["scores"]
    if scores is not None and None not in scores.values():
        table = numbers_table("validation", "float", "fixed", "change")
        for name, title in FIGURES.items():
            before, after = scores["float"][name], scores["fixed"][name]
            if before is not None and after is not None:
                table.add_row(Text(title), f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}")
        parts = [table, ""]
    return framed("in fixed point", Group(*parts, facts_grid(_facts(settings, report))))


def _facts(settings: Mapping[str, Any], report: Mapping[str, Any]) -> list[tuple[str, str]]:
    accumulator, cost = report["accumulator"], report["cost"]
    widest = accumulator["widest"]
    facts = [
        ("bits", f"weights {settings['weights']}, activations {settings['activations']}, port {settings['port']}"),
        ("output", f"changes by {report['change_db']:.1f} dB of its power"),
        ("clipped", _clipped(report["saturated"])),
        ("widest sum", f"{widest}: {accumulator['bits'][widest]} bits by bound, "
                       f"{accumulator['largest_seen_bits'][widest]} seen"),
        ("a sample", _operations(cost)),
        ("memory", f"weights and tables {cost['weight_bytes']:,} bytes, state {cost['state_bytes']:,}"),
    ]  # fmt: skip
    if (tuning := report["fine_tuning"]) is not None:
        kept = "" if tuning["after_db"] < tuning["before_db"] else "; not taken"
        text = f"{tuning['steps']:,} steps, {tuning['before_db']:.1f} -> {tuning['after_db']:.1f} dB of change{kept}"
        facts.insert(2, ("fine-tuned", text))
    if report["scores"] is None:
        facts.append(("scores", "none: the PA model of this predistorter is not at hand"))
    return facts


def _operations(cost: Mapping[str, int]) -> str:
    counted = {name: cost[name] for name in OPERATIONS if cost[name]}
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counted.items())


def _clipped(saturated: Mapping[str, Any]) -> str:
    if not saturated:
        return "no word of the validation split"
    worst = sorted(saturated, key=lambda name: -saturated[name][0])
    named = ", ".join(f"{name} {saturated[name][0]:,} of {saturated[name][1]:,}" for name in worst[:LISTED])
    return named + ("" if len(worst) <= LISTED else f", and {len(worst) - LISTED} more tensors")

"""A repair of a run on the terminal: what it changes, and whether that helped."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.diagnosis.repair import Attempt, Comparison
from dpdrun.recipe.patch import diff
from dpdrun.report.findings import finding_line
from dpdrun.rules.text import pluralize


def attempt_view(attempt: Attempt) -> RenderableType:
    """Return the findings that a repair answers, those that it does not, and the change of the recipe."""
    repair = attempt.repair
    title = f"\nrepair {attempt.folder.name}: {pluralize(len(repair.applied), 'change')}"
    parts = [Text(title, "bold"), *map(finding_line, repair.applied)]
    parts += [Text(f"no recipe change fixes {each.code} {each.slug}", "dim") for each in repair.left]
    if attempt.rejected:
        parts.append(Text(f"rejected before: {', '.join(attempt.rejected)}", "dim"))
    return Group(*parts, Text(diff(repair.before.text, repair.after.text, attempt.recipe.name)))


def comparison_view(comparison: Comparison, codes: Sequence[str]) -> RenderableType:
    """Return validation NMSE by seed, the gain with its spread, and the decision."""
    table = Table(show_edge=False, pad_edge=False, box=SIMPLE_HEAD)
    for name in ("seed", "before [dB]", "after [dB]", "gain [dB]"):
        table.add_column(name, justify="right")
    rows = zip(comparison.seeds, comparison.before_db, comparison.after_db, comparison.gains_db, strict=True)
    for seed, before, after, gain in rows:
        table.add_row(str(seed), f"{before:.2f}", f"{after:.2f}", f"{gain:+.2f}")
    spread = comparison.spread_db
    spread_text = "" if spread is None else f" (standard deviation over seeds {spread:.2f})"
    verdict = Text.assemble(
        ("kept", "bold green") if comparison.kept else ("rejected", "bold red"),
        f": {', '.join(codes)} changed the validation NMSE by {-comparison.gain_db:+.2f} dB{spread_text}",
    )
    return Group("", table, verdict)

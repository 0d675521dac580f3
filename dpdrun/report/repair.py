"""Whether a repair helped, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.diagnosis.repair import Comparison


def comparison_view(this: Comparison, codes: Sequence[str]) -> RenderableType:
    """Validation NMSE by seed, the gain with its spread, and the decision."""
    table = Table(show_edge=False, pad_edge=False, box=SIMPLE_HEAD)
    for name in ("seed", "before [dB]", "after [dB]", "gain [dB]"):
        table.add_column(name, justify="right")
    for row in zip(this.seeds, this.before_db, this.after_db, this.gains_db, strict=True):
        seed, before, after, gain = row
        table.add_row(str(seed), f"{before:.2f}", f"{after:.2f}", f"{gain:+.2f}")
    spread = "" if this.spread_db is None else f" (standard deviation over seeds {this.spread_db:.2f})"
    verdict = Text.assemble(
        ("kept", "bold green") if this.kept else ("rejected", "bold red"),
        f": {', '.join(codes)} changed the validation NMSE by {-this.gain_db:+.2f} dB{spread}",
    )
    return Group("", table, verdict)

"""The alignment of a capture on the terminal, for `dpdrun data align`."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dpdrun.data.align.file import AlignedFile
from dpdrun.data.align.stages import Pair, Stage
from dpdrun.rf.memory_polynomial import Explained

CAPTION = (
    "NMSE on the last quarter of the training split, and the noise floor: without and with each correction, all others "
    "that help applied."
)


def alignment_view(aligned: AlignedFile) -> Group:
    """Return every correction with what it gained, the scores before and after, and messages."""
    decision = aligned.alignment.decision
    assert decision is not None
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for stage in decision.stages:
        table.add_row(stage.name, _line(stage))
    table.add_row("", "")
    table.add_row(Text("all together", "bold"), _scores(decision.before, decision.after, decision.floor_at_most_db))
    heading = Text.assemble((aligned.name, "bold"), f"  {aligned.sample_rate_hz / 1e6:.6g} MS/s")
    notes = [Text.assemble(("note: ", "yellow"), message) for message in aligned.messages]
    return Group(heading, Text(CAPTION, "dim"), "", table, "", *notes)


def _line(stage: Stage) -> Text:
    if not stage.applied:
        return Text.assemble(
            stage.estimate, ("" if stage.why == stage.estimate else f"; left alone: {stage.why}", "dim")
        )
    assert stage.without is not None
    assert stage.with_it is not None
    scores = _scores(stage.without, stage.with_it, stage.floor_at_most_db)
    return Text.assemble(stage.estimate, "; ", ("applied: ", "green"), scores)


def _scores(before: Explained, after: Explained, floors: Pair) -> str:
    floor = " -> ".join("unknown" if value is None else f"{value:.2f}" for value in floors)
    return (
        f"one tap {before.one_tap_db:.2f} -> {after.one_tap_db:.2f} dB, "
        f"polynomial {before.polynomial_db:.2f} -> {after.polynomial_db:.2f} dB"
        + ("" if floors == (None, None) else f", floor at most {floor} dB")
    )

"""A prediction against its target on the terminal: scores, NMSE along the record, gain by input level."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from dpdrun.report.chart import sparkline
from dpdrun.rules.facts.signal import SignalFacts

WIDE = 118  # columns; below, a label stands above its numbers


def signal_lines(facts: SignalFacts) -> list[RenderableType]:
    """Return the scores that a repair would change, and a row of ten numbers for each of error and gains."""
    return [Text("prediction compared with its target", "bold"), _scores(facts), _Rows(facts)]


def _scores(facts: SignalFacts) -> Text:
    parts = [f"NMSE {facts.nmse_db:.2f} dB over {facts.samples:,} samples"]
    if facts.pieces_nmse_db is not None:
        parts.append(f"{facts.pieces_nmse_db:.2f} dB in frames of {facts.frame}")
    if facts.gain_nmse_db is not None:
        parts.append(f"{facts.gain_nmse_db:.2f} dB after one complex gain")
    if facts.lag_nmse_db is not None and facts.lag_samples is not None:
        parts.append(f"{facts.lag_nmse_db:.2f} dB after also removing a delay of {facts.lag_samples + 0.0:.2f} samples")
    if facts.linear_nmse_db is not None and facts.polynomial_nmse_db is not None:
        parts.append(
            f"fitted to the same record, a linear filter reaches {facts.linear_nmse_db:.2f} dB and a memory polynomial "
            f"{facts.polynomial_nmse_db:.2f} dB"
        )
    return Text("; ".join(parts))


class _Rows:
    """Sparkline and numbers of each series, next to its label, or below it on a narrow terminal."""

    def __init__(self, facts: SignalFacts) -> None:
        self._rows: list[tuple[str, Sequence[float], int]] = [("NMSE from start to end [dB]", facts.position_db, 1)]
        if facts.target_gain_db:
            self._rows.append(("gain of the target from small to large |x| [dB]", facts.target_gain_db, 2))
            self._rows.append(("gain of the prediction [dB]", facts.model_gain_db, 2))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        width = max(len(values) for _, values, _ in self._rows)
        table = Table.grid(padding=(0, 1))
        if wide:
            table.add_column()
        for _ in range(width + 1 if wide else width):
            table.add_column(justify="right")
        for label, values, digits in self._rows:
            numbers = [f"{value:.{digits}f}" if math.isfinite(value) else str(value) for value in values]
            line = sparkline([round(value, digits) for value in values], width)
            if wide:
                table.add_row(Text(label, "dim"), line, *numbers)
            else:
                yield Text.assemble((label, "dim"), f" {line}")
                yield Text(" ".join(f"{number:>6}" for number in numbers))
        if wide:
            yield table

"""A prediction beside its target on the terminal: NMSE along the record, gain by input level."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.report.chart import sparkline
from dpdrun.rules.facts.signal import SignalFacts


def signal_lines(this: SignalFacts) -> list[RenderableType]:
    """The scores that a repair would change, and a row of ten numbers for each of error and gains."""
    return [Text("prediction beside its target", "bold"), _scores(this), _rows(this)]


def _scores(this: SignalFacts) -> Text:
    said = [f"NMSE {this.nmse_db:.2f} dB over {this.samples:,} samples"]
    if this.pieces_nmse_db is not None:
        said.append(f"{this.pieces_nmse_db:.2f} dB in pieces of {this.frame}")
    if this.gain_nmse_db is not None:
        said.append(f"{this.gain_nmse_db:.2f} dB after one complex gain")
    if this.lag_nmse_db is not None and this.lag_samples is not None:
        said.append(f"{this.lag_nmse_db:.2f} dB also without a delay of {this.lag_samples + 0.0:.2f} samples")
    if this.linear_nmse_db is not None and this.polynomial_nmse_db is not None:
        said.append(
            f"fitted to the same record, a linear filter reaches {this.linear_nmse_db:.2f} dB and a memory polynomial "
            f"{this.polynomial_nmse_db:.2f} dB"
        )
    return Text("; ".join(said))


def _rows(this: SignalFacts) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    rows: list[tuple[str, Sequence[float], int]] = [("NMSE from start to end [dB]", this.position_db, 1)]
    if this.target_gain_db:
        rows.append(("gain of the target from small to large |x| [dB]", this.target_gain_db, 2))
        rows.append(("gain of the prediction [dB]", this.model_gain_db, 2))
    width = max(len(values) for _, values, _ in rows)
    for _ in range(width + 1):
        table.add_column(justify="right")
    for name, values, digits in rows:
        shown = [f"{value:.{digits}f}" if math.isfinite(value) else str(value) for value in values]
        table.add_row(Text(name, "dim"), sparkline([round(v, digits) for v in values], width), *shown)
    return table

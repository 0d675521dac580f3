"""A prediction against its target on the terminal: scores, NMSE along the record, gain by input level."""

from __future__ import annotations

import math

from rich.text import Text

from dpdrun.report.chart import sparkline
from dpdrun.rules.facts.signal import SignalFacts


def signal_lines(facts: SignalFacts) -> list[Text]:
    """Return the scores that a repair would change, and a row of ten numbers for each of error and gains."""
    return [Text("prediction compared with its target", "bold"), _scores(facts), *_rows(facts)]


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


def _rows(facts: SignalFacts) -> list[Text]:
    """Return a label with a sparkline, and the numbers below it, for each series."""
    series = [("NMSE from start to end [dB]", facts.position_db, 1)]
    if facts.target_gain_db:
        series.append(("gain of the target from small to large |x| [dB]", facts.target_gain_db, 2))
        series.append(("gain of the prediction [dB]", facts.model_gain_db, 2))
    lines = []
    for label, values, digits in series:
        numbers = [f"{value:.{digits}f}" if math.isfinite(value) else str(value) for value in values]
        line = sparkline([round(value, digits) for value in values], len(values))
        lines.append(Text.assemble((label, "dim"), f" {line}"))
        lines.append(Text(" ".join(f"{number:>6}" for number in numbers)))
    return lines

"""A series as a chart of characters, on a logarithmic scale; for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

DOT, DASH, AXIS = "\u2022", "\u2500", "\u2502"  # `glyphs` has what stands for them in ASCII
SMALLEST, LARGEST = 1e-300, 1e300  # what has a logarithm that can be labelled
REACH_DECADES = 1.5  # how far from the data the reference line may be and still be drawn


def log_chart(
    values: Sequence[float],
    steps: Sequence[int],
    *,
    line: float | None = None,
    marks: Mapping[int, str] | None = None,
    width: int = 64,
    height: int = 8,
) -> list[str]:
    """Lines of a chart: medians of the values over their steps, a reference line, and marks below.

    Args:
        values: those that are not positive and finite leave a gap.
        steps: of the values, rising.
        line: reference, drawn where it is near the data.
        marks: by step, a text of a few characters that is put under it.
        width, height: of the plot in characters, without its scale.
    """
    columns = _columns(values, width)
    finite = [math.log10(c) for c in columns if c is not None]
    if not finite:
        return ["no finite values to draw"]
    low, high = min(finite), max(finite)
    drawn = line is not None and line > 0 and math.isfinite(line) and (
        low - REACH_DECADES <= math.log10(line) <= high + REACH_DECADES
    )  # fmt: skip
    if line is not None and drawn:
        low, high = min(low, math.log10(line)), max(high, math.log10(line))
    middle, span = (low + high) / 2, max(high - low, 0.2)  # a flat series is drawn flat, not stretched
    low, high = middle - span / 2, middle + span / 2

    def row_of(value: float) -> int:
        return min(height - 1, int((high - math.log10(value)) / (high - low) * height))

    grid = [[" "] * len(columns) for _ in range(height)]
    if line is not None and drawn:
        grid[row_of(line)] = [DASH] * len(columns)
    for x, value in enumerate(columns):
        if value is not None:
            grid[row_of(value)][x] = DOT
    labels = {0: high, height - 1: low, height // 2: middle}
    lines = [
        f"{10 ** labels[y]:9.2g} {AXIS}{''.join(row)}" if y in labels else f"{'':9} {AXIS}{''.join(row)}"
        for y, row in enumerate(grid)
    ]
    if marks:
        lines.append(" " * 11 + _marked(marks, steps, len(columns)))
    first, last = f"step {steps[0]}", str(steps[-1])
    lines.append(" " * 11 + first + last.rjust(max(len(last) + 1, len(columns) - len(first))))
    if line is not None and not drawn and math.isfinite(line):
        lines.append(f"{'':11}(the line at {line:g} lies outside)")
    return lines


def _columns(values: Sequence[float], width: int) -> list[float | None]:
    """Medians of the positive finite values of each column; None where there are none."""
    count = min(width, len(values))
    found: list[float | None] = []
    for x in range(count):
        share = values[x * len(values) // count : (x + 1) * len(values) // count]
        good = [value for value in share if SMALLEST < value < LARGEST]
        found.append(median(good) if good else None)
    return found


def _marked(marks: Mapping[int, str], steps: Sequence[int], width: int) -> str:
    row = [" "] * width
    for step, text in sorted(marks.items()):
        index = sum(other < step for other in steps)
        at = min(index * width // len(steps), width - 1)
        for offset, character in enumerate(f"^{text}"):
            if at + offset < width:
                row[at + offset] = character
    return "".join(row).rstrip()

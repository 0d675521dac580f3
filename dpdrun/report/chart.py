"""A series in characters, for a terminal: a chart on a logarithmic scale, or a sparkline of blocks."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from statistics import median

from dpdrun.report.glyphs import BLOCKS

DOT, DASH, AXIS = "\u2022", "\u2500", "\u2502"  # `glyphs` has what stands for them in ASCII
OVERLAY = "\u00b7"
SMALLEST, LARGEST = 1e-300, 1e300  # values that can be labelled
REACH_DECADES = 1.5  # between the data and a reference line that is still drawn
OVERLAY_DECADES = 3.0  # of the overlay below its peak: a learning rate that decays to zero has no end
LEAST_SPAN = 0.2  # decades: a flat series is drawn flat, not stretched
LABEL = 11  # characters of the scale on the left
BAD = "x"  # in a sparkline: a share with a value that is not finite


def log_chart(
    values: Sequence[float],
    steps: Sequence[int],
    *,
    line: float | None = None,
    overlay: Sequence[float] | None = None,
    marks: Mapping[int, str] | None = None,
    unit: str = "step",
    width: int = 64,
    height: int = 8,
) -> list[str]:
    """Return the lines of a chart: medians of the values over their steps, a reference line, an overlay, marks below.

    Args:
        values: any that is not positive and finite leaves a gap.
        steps: of the values, increasing.
        line: reference, drawn where it is near the data.
        overlay: a second series at the same steps, drawn under the first, with its own scale on the right.
        marks: by step, a text of a few characters to put below it.
        unit: what a step is called.
        width, height: of the plot in characters, without its scales.
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
    left = _Scale.around(low, high, height)
    overlaid = _columns(overlay, width) if overlay else []
    right = _scale_of(overlaid, height)
    grid = [[" "] * len(columns) for _ in range(height)]
    if right is not None:
        for x, value in enumerate(overlaid):
            if value is not None:
                grid[right.row_of(value)][x] = OVERLAY
    if line is not None and drawn:
        grid[left.row_of(line)] = [DASH] * len(columns)
    for x, value in enumerate(columns):
        if value is not None:
            grid[left.row_of(value)][x] = DOT
    lines = [
        f"{left.label(y):>9} {AXIS}{''.join(row)}" + (f"{AXIS} {right.label(y)}".rstrip() if right else "")
        for y, row in enumerate(grid)
    ]
    if marks:
        lines += [" " * LABEL + row for row in _marked(marks, steps, len(columns))]
    first, last = f"{unit} {steps[0]}", str(steps[-1])
    lines.append(" " * LABEL + first + last.rjust(max(len(last) + 1, len(columns) - len(first))))
    if line is not None and not drawn and math.isfinite(line):
        lines.append(f"{'':{LABEL}}(the line at {line:g} is off the scale)")
    return lines


class _Scale:
    """Rows of a logarithmic scale, from the top."""

    def __init__(self, low: float, high: float, height: int) -> None:
        self._low, self._high, self._height = low, high, height

    @classmethod
    def around(cls, low: float, high: float, height: int) -> _Scale:
        middle, span = (low + high) / 2, max(high - low, LEAST_SPAN)
        return cls(middle - span / 2, middle + span / 2, height)

    def row_of(self, value: float) -> int:
        share = (self._high - math.log10(value)) / (self._high - self._low)
        return max(0, min(self._height - 1, int(share * self._height)))

    def label(self, row: int) -> str:
        ends = {0: self._high, self._height - 1: self._low, self._height // 2: (self._low + self._high) / 2}
        return f"{10 ** ends[row]:.2g}" if row in ends else ""


def _scale_of(columns: Sequence[float | None], height: int) -> _Scale | None:
    """Return the scale of the overlay, None where there is nothing to draw."""
    finite = [math.log10(c) for c in columns if c is not None]
    if not finite:
        return None
    return _Scale.around(max(min(finite), max(finite) - OVERLAY_DECADES), max(finite), height)


def _columns(values: Sequence[float], width: int) -> list[float | None]:
    """Return the median of the positive finite values of each column; None where there are none."""
    count = min(width, len(values))
    medians: list[float | None] = []
    for x in range(count):
        share = values[x * len(values) // count : (x + 1) * len(values) // count]
        good = [value for value in share if SMALLEST < value < LARGEST]
        medians.append(median(good) if good else None)
    return medians


def _marked(marks: Mapping[int, str], steps: Sequence[int], width: int) -> list[str]:
    """Return rows with `^text` below each step; a mark that would touch another goes a row lower."""
    rows: list[list[str]] = []
    for step, text in sorted(marks.items()):
        at = min(bisect_left(steps, step) * width // len(steps), width - 1)
        shown = f"^{text}" if at + len(text) < width else f"{text}^"
        start = at if shown[0] == "^" else max(0, at - len(text))
        row = next((r for r in rows if not "".join(r[max(0, start - 1) : start + len(shown) + 1]).strip()), None)
        if row is None:
            row = [" "] * max(width, start + len(shown))
            rows.append(row)
        row[start : start + len(shown)] = shown
    return ["".join(row).rstrip() for row in rows]


def sparkline(values: Sequence[float], width: int, *, log: bool = False) -> str:
    """Return `values` as at most `width` blocks, each the mean of its share; a share with a non-finite value is `x`.

    With `log` the means are taken and drawn on a logarithmic scale, where values must also be positive.
    """
    if log:
        values = [math.log10(value) if value > 0 else math.nan for value in values]
    count = min(width, len(values))
    shares = (values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count))
    means = [sum(share) / len(share) for share in shares]
    finite = [mean for mean in means if math.isfinite(mean)]
    if not finite:
        return BAD * count
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(BLOCKS[int((m - low) / span * 7.999)] if math.isfinite(m) else BAD for m in means)

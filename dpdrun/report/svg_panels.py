"""Charts as SVG text, without matplotlib, for a self-contained page. Colours are classes that the page defines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from dpdrun.report.panels import Curve, FindingMark, Panel

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 64, 34, 40
MARK_ROW = 12  # pixels between the labels of marks that would touch
LETTER = 6.6  # pixels, width of a character of a label
LEVELS = ("first", "second")  # classes of the lines at a level
LEAST_DECADES = 0.3
LR_DECADES = 3.0  # below its peak; a rate that decays to zero has no end

CSS = """\
svg.panel { width: 100%; height: auto; font: 11px system-ui, sans-serif; fill: var(--text); }
.panel .frame { fill: none; stroke: var(--line); }
.panel .grid { stroke: var(--grid); }
.panel .curve { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.panel .norm, .panel .loss { stroke: var(--main); } .panel .band.norm, .panel .band.loss { fill: var(--main); }
.panel .validation { stroke: var(--second); } .panel .band.validation { fill: var(--second); }
.panel .lr { stroke: var(--third); } .panel .curve.lr { stroke-width: 1.2; stroke-dasharray: 5 3; }
.panel polygon.band { stroke: none; opacity: .22; } .panel polygon.lr { fill: none; }
.panel .first { stroke: var(--accent); stroke-dasharray: 6 3; stroke-width: 1.3; }
.panel .second { stroke: var(--text); stroke-dasharray: 2 3; stroke-width: 1.3; }
.panel .mark { stroke-width: 1; } .panel .error { stroke: var(--error); } .panel .warning { stroke: var(--warning); }
.panel .info { stroke: var(--info); stroke-dasharray: 2 3; }
.panel text { stroke: none !important; }
.panel text.error { fill: var(--error); } .panel text.warning { fill: var(--warning); }
.panel text.info { fill: var(--info); } .panel text.lr { fill: var(--third); }
.panel text.validation { fill: var(--second); } .panel text.norm, .panel text.loss { fill: var(--main); }
.panel text.first { fill: var(--accent); }
"""


class _Axis:
    """A vertical axis: values to pixels, and its ticks."""

    def __init__(self, low: float, high: float, *, log: bool) -> None:
        self.log = log
        self._low, self._high = (math.log10(low), math.log10(high)) if log else (low, high)
        least = LEAST_DECADES if log else 1.0
        if self._high - self._low < least:
            middle = (self._high + self._low) / 2
            self._low, self._high = middle - least / 2, middle + least / 2
        margin = 0.05 * (self._high - self._low)
        self._low, self._high = self._low - margin, self._high + margin

    def __call__(self, value: float) -> float:
        at = math.log10(value) if self.log else value
        share = (at - self._low) / (self._high - self._low)
        return round(TOP + (1.0 - min(1.0, max(0.0, share))) * (HEIGHT - TOP - BOTTOM), 1)

    def ticks(self) -> list[float]:
        if not self.log:
            return _even(self._low, self._high, 5)
        first, last = math.ceil(self._low), math.floor(self._high)
        if last - first >= 2:
            stride = max(1, math.ceil((last - first) / 6))
            return [10.0**e for e in range(first, last + 1, stride)]
        steps = (1.0, 2.0, 5.0)
        every = [m * 10.0**e for e in range(math.floor(self._low), math.ceil(self._high) + 1) for m in steps]
        return [tick for tick in every if self._low <= math.log10(tick) <= self._high]


def _even(low: float, high: float, about: int) -> list[float]:
    """Return about so many round numbers between two values."""
    raw = (high - low) / about
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(m * scale for m in (1.0, 2.0, 5.0, 10.0) if m * scale >= raw)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def svg_panel(panel: Panel) -> str:
    """Return one chart as an `<svg>` element; see `CSS` for its classes and the colours that the page must define."""
    left = _axis_of(panel.left, [level for level, _ in panel.lines])
    right = _axis_of(panel.right, [])
    first, last = panel.span

    def x_of(step: float) -> float:
        return round(LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    bottom, edge = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f"<title>{escape(panel.title)}</title>"]
    for tick in left.ticks() if left else []:
        y = left(tick) if left else 0.0
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{edge}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{_label(tick)}</text>')
    for tick in right.ticks() if right else []:
        role = panel.right[0].role
        parts.append(f'<text class="{role}" x="{edge + 6}" y="{right(tick) + 4 if right else 0}">{_label(tick)}</text>')
    parts += [
        f'<text x="{x_of(tick)}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
        for tick in _even(first, last, 8)
    ]
    parts.append(f'<text x="{(LEFT + edge) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(panel.unit)}</text>')
    parts.append(f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{edge - LEFT}" height="{bottom - TOP}"/>')
    for curves, axis in ((panel.right, right), (panel.left, left)):
        parts += [_curve(curve, axis, x_of) for curve in curves if axis is not None]
    for number, (level, _) in enumerate(panel.lines if left else []):
        y = left(level) if left else 0.0
        parts.append(f'<line class="{LEVELS[number % 2]}" x1="{LEFT}" x2="{edge}" y1="{y}" y2="{y}"/>')
    parts += _marks(panel.marks, x_of, bottom)
    parts.append(_legend(panel))
    return (
        f'<svg class="panel" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _axis_of(curves: Sequence[Curve], levels: Sequence[float]) -> _Axis | None:
    drawn = [curve for curve in curves if curve.y]
    if not drawn:
        return None
    low, high = min(min(c.low) for c in drawn), max(max(c.high) for c in drawn)
    if drawn[0].role == "lr":
        low = max(low, high * 10.0**-LR_DECADES)
    low, high = min(low, *levels, high), max(high, *levels, low)
    return _Axis(low, high, log=drawn[0].log)


def _curve(curve: Curve, axis: _Axis, x_of: object) -> str:
    assert callable(x_of)
    xs = [x_of(step) for step in curve.x]
    points = [f"{x},{axis(y)}" for x, y in zip(xs, curve.y, strict=True)]
    band = [f"{x},{axis(y)}" for x, y in zip(xs, curve.high, strict=True)]
    band += [f"{x},{axis(y)}" for x, y in zip(reversed(xs), reversed(curve.low), strict=True)]
    parts = [f'<polygon class="band {curve.role}" points="{" ".join(band)}"/>'] if curve.low != curve.high else []
    parts.append(f'<polyline class="curve {curve.role}" points="{" ".join(points)}"/>')
    if len(points) == 1:
        parts.append(f'<circle class="curve {curve.role}" cx="{xs[0]}" cy="{axis(curve.y[0])}" r="2.5"/>')
    columns = sorted({round(x_of(step)) for step in curve.bad})
    parts += [f'<line class="mark error" x1="{x}" x2="{x}" y1="{TOP}" y2="{TOP + 9}"/>' for x in columns]
    return "\n".join(parts)


def _marks(marks: Sequence[FindingMark], x_of: object, bottom: float) -> list[str]:
    """Return a vertical line where each finding begins; labels that would touch go lower."""
    assert callable(x_of)
    parts, ends = [], list[float]()
    for mark in sorted(marks, key=lambda m: m.step):
        x = x_of(mark.step)
        width = len(mark.code) * LETTER + 8
        flipped = x + width > WIDTH - RIGHT
        start = x - width if flipped else x
        row = next((i for i, end in enumerate(ends) if end <= start), len(ends))
        ends[row : row + 1] = [start + width]
        y = TOP + 13 + row * MARK_ROW
        parts.append(f'<line class="mark {mark.severity}" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        anchor, shift = ("end", -4) if flipped else ("start", 4)
        parts.append(
            f'<text class="{mark.severity}" x="{x + shift}" y="{y}" text-anchor="{anchor}">{escape(mark.code)}</text>'
        )
    return parts


def _legend(panel: Panel) -> str:
    entries: list[tuple[str, str, str]] = [
        (f"curve {curve.role}", curve.role, curve.name) for curve in (*panel.left, *panel.right)
    ]
    entries += [(LEVELS[i % 2], LEVELS[i % 2], name) for i, (_, name) in enumerate(panel.lines)]
    parts, x = [], float(LEFT)
    for line, text, name in entries:
        parts.append(f'<line class="{line}" x1="{x}" x2="{x + 22}" y1="{TOP - 14}" y2="{TOP - 14}"/>')
        parts.append(f'<text class="{text}" x="{x + 27}" y="{TOP - 10}">{escape(name)}</text>')
        x += 27 + len(name) * LETTER + 22
    return "\n".join(parts)


def _label(value: float) -> str:
    return f"{value:g}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.0e}".replace("e-0", "e-")

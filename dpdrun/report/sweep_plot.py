"""Charts of a sweep as inline SVG: scores against costs with the Pareto front, and against each swept field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from dpdrun.report.sweep import config_texts, value_texts

Json = Mapping[str, Any]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 430, 260, 62, 44, 12, 14
RATIO = 8.0  # ratio of the largest to the smallest value from which an axis is logarithmic
UNITS = {
    "val_nmse_db": "validation NMSE [dB]", "val_objective_db": "validation objective [dB]",
    "parameters": "parameters", "macs_per_sample": "MAC/sample", "seconds": "training time [s]",
}  # fmt: skip


@dataclass(frozen=True)
class Dot:
    """A point of a chart: its place, the ends of its interval, what a reader sees on hovering, and how it is drawn."""

    x: float
    y: float
    low: float | None
    high: float | None
    label: str
    style: str


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels. `names` label the whole numbers of an axis of choices; `whole` has only such ticks."""

    low: float
    high: float
    log: bool
    start: float
    end: float
    names: tuple[str, ...] = ()
    whole: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, value = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (value - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Return places and labels."""
        if self.names:
            return [(float(index), name) for index, name in enumerate(self.names)]
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1, 2, 5) if self.high / self.low < 300 else (1,)
            values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        else:
            rough = (self.high - self.low) / 6 or 1.0
            size = 10.0 ** math.floor(math.log10(rough))
            size *= next(each for each in (1, 2, 5, 10) if each * size >= rough)
            size = max(size, 1.0) if self.whole else size
            values = [size * index for index in range(math.ceil(self.low / size), math.floor(self.high / size) + 1)]
        return [(value, f"{value:g}") for value in values if self.low <= value <= self.high]


def axis_of(values: Sequence[float], start: float, end: float, *, may_log: bool) -> Axis:
    """Return an axis with room around its values."""
    low, high = min(values), max(values)
    whole = all(float(value).is_integer() for value in values)
    if may_log and low > 0 and high / low >= RATIO:
        room = (high / low) ** 0.06
        return Axis(low / room, high * room, True, start, end)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - room, high + room, False, start, end, whole=whole)


def front_chart(content: Json) -> tuple[str, str] | None:
    """Return the chart of the first objective against the second, or against the parameters, with its caption."""
    first = content["objectives"][0]
    candidates = [*content["objectives"][1:], "parameters", "seconds"]
    points = [each for each in content["points"] if first in each["objectives"]]
    for other in candidates:
        known = [each for each in points if other in each["objectives"]]
        if len({each["objectives"][other]["mean"] for each in known}) > 1:
            break
    else:
        return None
    configs = config_texts(content)
    dots = [_dot(each, float(each["objectives"][other]["mean"]), first, configs) for each in known]
    line = _front_line(dots) if other in content["objectives"] else ""
    x = axis_of([dot.x for dot in dots], LEFT, WIDTH - RIGHT, may_log=True)
    caption = f"{UNITS[first]} against {UNITS[other]}; filled: the Pareto front" if line else (
        f"{UNITS[first]} against {UNITS[other]}")  # fmt: skip
    return _chart(dots, x, UNITS[other], UNITS[first], line), caption


def slice_charts(content: Json) -> list[tuple[str, str]]:
    """Return, for each swept field with several values, the chart of the first objective against it."""
    first, charts, configs = content["objectives"][0], [], config_texts(content)
    points = [each for each in content["points"] if first in each["objectives"]]
    for key in content["over"]:
        values = [each["values"].get(key) for each in points]
        if len({str(value) for value in values}) < 2:
            continue
        numeric = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numeric) == len(values):
            places = [float(value) for value in numeric]
            x = axis_of(places, LEFT, WIDTH - RIGHT, may_log=True)
        else:
            texts = value_texts(content, key)
            shown = [texts[each["number"]] for each in points]
            names = tuple(dict.fromkeys(shown))
            places = [float(names.index(text)) for text in shown]
            x = Axis(-0.5, len(names) - 0.5, False, LEFT, WIDTH - RIGHT, tuple(name[:14] for name in names))
        dots = [_dot(each, place, first, configs) for each, place in zip(points, places, strict=True)]
        charts.append((_chart(dots, x, key, UNITS[first], ""), f"{UNITS[first]} against {key}"))
    return charts


def _dot(point: Json, x: float, name: str, configs: Sequence[str]) -> Dot:
    mean = point["objectives"][name]
    style = "rules" if point["rules"] else "front" if point["on_front"] else "other"
    label = f"point {point['number']}: {configs[point['number']]}; {name} {mean['mean']:.2f}"
    return Dot(x, float(mean["mean"]), mean["low"], mean["high"], label, style)


def _front_line(dots: Sequence[Dot]) -> str:
    """Return the points of the front, in the order of the x axis, as `x,y` in data coordinates."""

    def is_beaten(dot: Dot) -> bool:
        return any(o.x <= dot.x and o.y <= dot.y and (o.x, o.y) != (dot.x, dot.y) for o in dots)

    front = sorted((dot for dot in dots if not is_beaten(dot)), key=lambda dot: dot.x)
    return " ".join(f"{dot.x!r},{dot.y!r}" for dot in front)


def _chart(dots: Sequence[Dot], x: Axis, x_title: str, y_title: str, line: str) -> str:
    """Draw dots with their intervals on two axes."""
    ends = [value for dot in dots for value in (dot.y, dot.low, dot.high) if value is not None]
    core = [dot.y for dot in dots]
    reach = 2 * (max(core) - min(core) or 1.0)  # an interval over few seeds may be far wider than the scores differ
    ends = [value for value in ends if min(core) - reach <= value <= max(core) + reach]
    y = axis_of(ends, HEIGHT - BOTTOM, TOP, may_log=False)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_title)} against {escape(x_title)}">'
    ]
    for value, label in y.ticks():
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y.at(value):.1f}" y2="{y.at(value):.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 6}" y="{y.at(value) + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    for value, label in x.ticks():
        parts.append(
            f'<line class="grid" x1="{x.at(value):.1f}" x2="{x.at(value):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
        parts.append(
            f'<text x="{x.at(value):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(label)}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>'
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escape(y_title)}</text>')
    if line:
        pairs = (pair.split(",") for pair in line.split())
        path = " ".join(f"{x.at(float(px)):.1f},{y.at(float(py)):.1f}" for px, py in pairs)
        parts.append(f'<polyline class="line" points="{path}"/>')
    for dot in sorted(dots, key=lambda each: ("other", "front", "rules").index(each.style)):
        px, py = x.at(dot.x), y.at(dot.y)
        bar = ""
        if dot.low is not None and dot.high is not None:
            top, bottom = (min(max(y.at(end), TOP), HEIGHT - BOTTOM) for end in (dot.high, dot.low))
            bar = f'<line class="{dot.style}" x1="{px:.1f}" x2="{px:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'
        circle = f'<circle class="{dot.style}" cx="{px:.1f}" cy="{py:.1f}" r="4"/>'
        parts.append(f"<g><title>{escape(dot.label)}</title>{bar}{circle}</g>")
    return "".join(parts) + "</svg>"

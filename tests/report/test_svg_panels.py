"""The SVG charts: well-formed, within their frame, nothing from outside."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.report.panels import Curve, FindingMark, Panel, panels_of
from dpdrun.report.svg_panels import HEIGHT, LEFT, WIDTH, svg_panel
from dpdrun.rules.examples import example_run

SVG = "{http://www.w3.org/2000/svg}"


def drawn(panel: Panel) -> ElementTree.Element:
    return ElementTree.fromstring(svg_panel(panel))


def line(role: str = "norm", *, log: bool = True) -> Curve:
    values = [10.0**-i for i in range(5)] if log else [float(i) for i in range(5)]
    return Curve.of("a < b", role, range(5), values, log=log)  # type: ignore[arg-type]


def test_exponential_is_a_straight_line() -> None:
    svg = drawn(Panel("t", [line()], span=(0, 4)))
    curve = next(node for node in svg.iter(f"{SVG}polyline"))
    points = [tuple(map(float, pair.split(","))) for pair in curve.attrib["points"].split()]
    assert points[0][0] == LEFT
    steps = [b[1] - a[1] for a, b in itertools.pairwise(points)]
    assert steps == pytest.approx([steps[0]] * 4, abs=0.2)
    assert steps[0] > 10


def test_marks_clip_and_legend_are_there() -> None:
    marks = [FindingMark(3, "GN201", "error"), FindingMark(3, "LS202", "warning"), FindingMark(4, "CL201", "info")]
    svg = drawn(Panel("t", [line()], [line("lr")], [(0.01, "clip 0.01")], marks, span=(0, 4)))
    texts = {node.text: node for node in svg.iter(f"{SVG}text")}
    assert {"GN201", "LS202", "CL201", "clip 0.01", "a < b", "step", "0.01"} <= set(texts)
    assert texts["GN201"].attrib["y"] != texts["LS202"].attrib["y"]
    assert texts["CL201"].attrib["text-anchor"] == "end"


def test_steps_that_are_not_finite_are_ticked() -> None:
    curve = Curve.of("loss", "loss", range(4), [1.0, math.nan, 0.5, math.inf], log=True)
    svg = drawn(Panel("t", [curve], span=(0, 3)))
    assert sum(node.attrib.get("class") == "mark error" for node in svg.iter(f"{SVG}line")) == 2


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=50),
    st.booleans(),
    st.floats(1e-9, 1e9),
)
def test_any_series_stays_in_the_frame(values: list[float], log: bool, clip: float) -> None:
    curve = Curve.of("x", "norm", range(len(values)), values, log=log)
    panel = Panel("t", [curve], [], [(clip, "clip")], [FindingMark(0, "X", "error")], span=(0, max(1, len(values) - 1)))
    text = svg_panel(panel)
    ElementTree.fromstring(text)
    for points in re.findall(r'points="([^"]*)"', text):
        for pair in points.split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def test_a_real_diagnosis() -> None:
    panels = panels_of(diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)))
    assert len(panels) == 2
    for panel in panels:
        assert "http" not in svg_panel(panel).replace("http://www.w3.org/2000/svg", "")

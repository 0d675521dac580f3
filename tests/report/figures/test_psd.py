from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.figures import psd as module
from dpdrun.report.figures.psd import density, draw_psd, segment_of
from dpdrun.report.figures.style import paper_style
from dpdrun.report.figures.view import view_of
from dpdrun.rf.aclr import aclr
from dpdrun.rf.metrics import Signal
from dpdrun.rf.spectrum import psd


def drawn(scene: PlotData) -> tuple[Any, Any, str, dict[str, Any]]:
    """Figure, axes, caption, and lines by their name in the legend."""
    with paper_style():
        figure, caption = draw_psd(view_of(scene))
        figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    return figure, axes, caption, dict(zip(names, axes.get_lines(), strict=True))


def in_band(line: Any, half_mhz: float = 7.0) -> float:
    """Mean level of a line in the band, as a power [dB]."""
    frequency, level = line.get_data()
    inside = np.abs(frequency) < half_mhz
    assert np.count_nonzero(inside) > 20
    return float(10 * np.log10(np.mean(10 ** (level[inside] / 10))))


def test_levels_of_a_predistorter(dpd: PlotData) -> None:
    _, axes, caption, lines = drawn(dpd)
    assert list(lines) == ["wanted", "without", "this run", "error of this run"]
    assert in_band(lines["wanted"]) == pytest.approx(0.0, abs=0.4)
    # White noise of -40 dB over all of the rate, beside a signal that sits in the band alone.
    expected = -40 + 10 * np.log10(dpd.bandwidth_hz / dpd.sample_rate_hz)  # type: ignore[operator]
    assert in_band(lines["error of this run"]) == pytest.approx(expected, abs=0.4)
    assert lines["error of this run"].get_linestyle() == "--"
    assert axes.get_xlabel() == "frequency offset [MHz]"
    assert axes.get_ylabel().endswith("[dB]")
    for text in ("opendpd-spectral-v2", "-12.75 to -7.65 MHz", "Welch, Hann", "2,048"):
        assert text in caption


def test_the_numbers_in_the_channels_are_the_scores(dpd: PlotData) -> None:
    figure, axes, caption, _ = drawn(dpd)
    found = [trace.scores.main_aclr for trace in dpd.traces]
    shown = {text.get_text().replace("\N{MINUS SIGN}", "-") for text in axes.texts}
    assert shown == {f"{side:.1f}" for each in found if each for side in (each.left_dbc, each.right_dbc)}
    assert "Top down: without, this run." in caption
    shaded = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches)
    assert shaded == [pytest.approx((-12.75, -7.65)), pytest.approx((7.65, 12.75))]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert all(axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1) for box in boxes)
    assert figure.legends[0].get_window_extent().y1 < axes.xaxis.label.get_window_extent().y0


def test_an_amplifier_is_drawn_with_its_model(pa: PlotData) -> None:
    _, axes, caption, lines = drawn(pa)
    assert list(lines) == ["measured", "model", "error of one gain", "error of model"]
    assert in_band(lines["error of model"]) < in_band(lines["error of one gain"]) - 10
    measured = aclr(pa.traces[-1].reference, pa.sample_rate_hz, pa.bandwidth_hz or 0.0, carriers=3)
    shown = {text.get_text().replace("\N{MINUS SIGN}", "-") for text in axes.texts}
    assert f"{measured.left_dbc:.1f}" in shown
    assert "Top down: measured, model." in caption


def test_another_target_gain_is_no_other_level(dpd: PlotData) -> None:
    """Outputs of runs that aim at different gains lie on each other."""
    last = dpd.traces[-1]
    doubled = replace(last, name="doubled", reference=2 * last.reference, y=2 * last.y)
    *_, lines = drawn(replace(dpd, traces=(doubled, last)))
    np.testing.assert_allclose(lines["doubled"].get_ydata(), lines["this run"].get_ydata(), atol=1e-9)


def test_a_capture_that_states_nothing(x: Signal, scene_of: Callable[..., PlotData]) -> None:
    _, axes, caption, lines = drawn(scene_of(x, {"this run": 1.01 * x}, stated=False))
    assert len(axes.patches) == 0
    assert "No adjacent channels are marked: the capture does not state its bandwidth" in caption
    assert "no bandwidth is stated" in caption
    assert in_band(lines["this run"]) == pytest.approx(20 * np.log10(1.01), abs=0.5)


def test_a_perfect_output_has_no_error_to_draw(x: Signal, scene_of: Callable[..., PlotData]) -> None:
    *_, lines = drawn(scene_of(x, {"this run": x}))
    assert list(lines) == ["wanted", "this run"]


@pytest.mark.parametrize("samples", [64, 100, 1000, 5000, 10**7])
def test_segments_fit_into_the_record(samples: int) -> None:
    length = segment_of(samples)
    assert module.SHORTEST <= length <= min(samples, module.LONGEST)


def test_a_long_record_is_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = np.convolve(rng.standard_normal(1 << 16) + 1j * rng.standard_normal(1 << 16), [1, 0.5, 0.2], "same")
    monkeypatch.setattr(module, "MOST_SAMPLES", 1 << 15)
    frequency, found = density(x, 1.0, 128)
    expected_frequency, expected = psd(x, 1.0, nperseg=128)
    np.testing.assert_array_equal(frequency, expected_frequency)
    np.testing.assert_allclose(10 * np.log10(found / expected), 0.0, atol=1.2)

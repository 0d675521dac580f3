from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dpdrun.data.capture import Capture, Part
from dpdrun.data.inspection import Inspection, inspect_capture
from dpdrun.data.sources import load_capture
from dpdrun.errors import DataError, UnwritableError
from dpdrun.recipe.schema import DataSection
from dpdrun.report.capture_plot import draw_capture


@pytest.fixture(scope="module")
def shown() -> tuple[Capture, Inspection]:
    capture = load_capture(DataSection(source="synthetic/mild"))
    short = replace(capture, train=Part(capture.train.x[:9000], capture.train.y[:9000]))
    return short, inspect_capture(short)


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_is_the_format(shown: tuple[Capture, Inspection], tmp_path: Path, suffix: str, start: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    draw_capture(*shown, path, dpi=50)
    assert path.read_bytes().startswith(start)


def test_units_and_numbers_are_in_the_figure(shown: tuple[Capture, Inspection], tmp_path: Path) -> None:
    import matplotlib as mpl

    path = tmp_path / "a.svg"
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw_capture(*shown, path)
    text = path.read_text(encoding="utf-8")
    for label in ("AM/AM", "AM/PM", "frequency [MHz]", "phase rotation [deg]", "synthetic/mild", "noise floor (true)"):
        assert label in text
    facts = shown[1]
    assert facts.aclr_y_dbc is not None
    assert f"{facts.aclr_y_dbc[0]:.1f}" in text


def test_unknown_bandwidth_is_drawn_without_channels(shown: tuple[Capture, Inspection], tmp_path: Path) -> None:
    capture, facts = shown
    draw_capture(capture, replace(facts, bandwidth_hz=None, aclr_y_dbc=None), tmp_path / "a.png", dpi=50)
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_bad_paths(shown: tuple[Capture, Inspection], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot draw \.gif; use \.png, \.svg, \.pdf"):
        draw_capture(*shown, tmp_path / "a.gif")
    with pytest.raises(UnwritableError, match="cannot write: No such file or directory; create its folder"):
        draw_capture(*shown, tmp_path / "nowhere" / "a.png")


def test_without_matplotlib_it_says_what_to_install(
    shown: tuple[Capture, Inspection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(DataError, match=r"pip install 'dpdrun\[plots\]'"):
        draw_capture(*shown, tmp_path / "a.png")

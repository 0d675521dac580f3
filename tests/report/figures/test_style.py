from __future__ import annotations

import itertools
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdrun.errors import DataError, UnwritableError
from dpdrun.report.figures import style

# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0
EYES = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    t = XYZ @ np.clip(rgb, 0, 1) / (XYZ @ np.ones(3))
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", EYES)
def test_colours_differ_for_every_eye(eye: str) -> None:
    every = [*style.PALETTE, style.REFERENCE]
    assert len(every) == 7
    seen = [lab(np.asarray(EYES[eye]) @ linear(colour)) for colour in every]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 19


def test_colours_stand_out_from_white() -> None:
    contrasts = [1.05 / (float(XYZ[1] @ linear(colour)) + 0.05) for colour in (*style.PALETTE, style.REFERENCE)]
    assert min(contrasts) > 2.6


@pytest.mark.parametrize("count", range(1, 7))
def test_the_last_is_the_main_one(count: int) -> None:
    colours = style.colours(count)
    assert len(set(colours)) == count
    assert colours[-1] == style.MAIN
    if count > 1:
        assert colours[0] == style.SECOND


def test_labels_are_short_and_tell_apart() -> None:
    long = "runs/" + "a" * 60
    names = style.labels([long + "1", long + "2", "x", "x", "", "two\nlines"])
    assert names[0].startswith("runs/")
    assert names[0].endswith("1")
    assert names[1].endswith("2")
    assert names[2:] == ["x #3", "x #4", "(no name)", "two lines"]
    assert all(len(name) <= style.NAME + 3 for name in names)
    assert len(set(style.labels(["x", "x", "x #1"]))) == 3


@settings(max_examples=40)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_any_name_can_be_drawn(names: list[str]) -> None:
    """Mathematics, hidden labels, glyphs that the font lacks: matplotlib would fail, drop the entry, or warn."""
    shown = style.labels(names)
    with style.paper_style():
        figure = style.new_figure(3.5, 1.0)
        lines = [figure.add_subplot().plot([0, 1])[0]] * len(shown)
        figure.set_figheight(1.5 + style.legend_below(figure, lines, shown))
        figure.draw_without_rendering()
    assert len(figure.legends[0].get_texts()) == len(names)
    assert len(set(shown)) == len(shown)


def test_a_picture_is_the_same_again_and_names_no_address() -> None:
    def draw() -> style.Picture:
        with style.paper_style():
            figure = style.new_figure(style.COLUMN, 1.0)
            figure.add_subplot().plot([0, 1], [1, 3], rasterized=True)
            return style.picture(figure)

    one = draw()
    assert struct.unpack(">II", one.png[16:24]) == (770, 220)
    assert one == draw()
    assert one.svg.startswith(b"<?xml")
    assert b"DOCTYPE" not in one.svg
    assert b"purl.org" not in one.svg


def test_the_legend_takes_the_room_that_it_says() -> None:
    with style.paper_style():
        few, many = (style.new_figure(style.COLUMN, 2.0) for _ in range(2))
        heights = []
        for figure, names in ((few, ["a", "b"]), (many, ["n" * 26] * 8)):
            line = figure.add_subplot().plot([0, 1])[0]
            heights.append(style.legend_below(figure, [line] * len(names), names))
            figure.set_figheight(2.0 + heights[-1])
            figure.draw_without_rendering()
            box = figure.legends[0].get_window_extent()
            assert box.width < figure.bbox.width
            assert box.height / figure.dpi == pytest.approx(heights[-1], abs=0.12)
    assert heights[0] < 0.3 < 1.0 < heights[1]


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(DataError, match=r"pip install 'dpdrun\[plots\]'"):
        style.new_figure(1, 1)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(DataError, match=r"pip install 'dpdrun\[plots\]'"), style.paper_style():
        pass


def test_settings_of_matplotlib_in_the_current_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("\x1b]0;hostile\x07: 1\ntext.usetex: True\n")
    code = (
        "from dpdrun.report.figures import style\n"
        "with style.paper_style():\n"
        "    import matplotlib, os\n"
        "    print(matplotlib.rcParams['text.usetex'], os.path.exists('matplotlibrc'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False True\n", "")


def test_settings_of_a_user_change_no_figure() -> None:
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "lines.marker": "o"}):
        with style.paper_style():
            assert not matplotlib.rcParams["text.usetex"]
            assert matplotlib.rcParams["lines.marker"] == "None"
            assert matplotlib.rcParams["font.size"] == 7.5
        assert matplotlib.rcParams["text.usetex"]


@pytest.mark.parametrize("suffix", style.PLOT_SUFFIXES)
def test_a_file_does_not_depend_on_the_time(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k, since in enumerate(("0", "86400", "abc")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", since)  # what matplotlib takes for the time
        with style.paper_style():
            style.save_figure(style.new_figure(1, 1), tmp_path / f"{k}{suffix}", dpi=50)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_setting_that_matplotlib_refuses_is_named(tmp_path: Path) -> None:
    code = "from dpdrun.report.figures import style; style.new_figure(1, 1)"
    environment = {**os.environ, "MPLBACKEND": "bogus"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "DataError: matplotlib: " in done.stderr
    assert "bogus" in done.stderr.splitlines()[-1]
    assert "is MPLBACKEND wrong" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFO")
@pytest.mark.parametrize("suffix", style.PLOT_SUFFIXES)
def test_a_figure_is_written_completely_or_not_at_all(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with style.paper_style():
        figure = style.new_figure(1, 1)
        os.mkfifo(tmp_path / f"pipe{suffix}")
        with pytest.raises(UnwritableError, match="not a regular file"):
            style.save_figure(figure, tmp_path / f"pipe{suffix}", dpi=50)
        path = tmp_path / f"old{suffix}"
        path.write_text("an older one")

        def interrupted(target: Path, **_: object) -> None:
            target.write_text("half of it")
            raise KeyboardInterrupt

        monkeypatch.setattr(figure, "savefig", interrupted)
        with pytest.raises(KeyboardInterrupt):
            style.save_figure(figure, path, dpi=50)
    assert path.read_text() == "an older one"
    assert len(list(tmp_path.iterdir())) == 2

"""The report as a whole: which files there are, that each is whole, and what is said of those that are not."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpdrun.errors import RunError
from dpdrun.evaluation.plot_data import PlotData
from dpdrun.report.figures import save_report
from dpdrun.report.figures.page import png_size
from dpdrun.rf.metrics import Signal
from dpdrun.run.metrics import Metrics


def save(folder: Path, *scenes: PlotData, training: dict[str, Metrics] | None = None) -> list[Path]:
    return save_report(folder, title="t", scenes=scenes, training=training or {}, facts=[], tables=[])


def test_the_files(dpd: PlotData, tmp_path: Path) -> None:
    logged = Metrics()
    logged.add(
        {"kind": "step", "step": 1, "loss": 0.5, "lr": 1e-3, "grad_norm": 2.0, "clip_norm": 1.0, "clipped": True}
    )
    written = save(tmp_path / "new" / "folder", dpd, training={"this run": logged})
    stems = [
        "psd-test",
        "gain-test",
        "constellation-test",
        "error-test",
        "carriers-test",
        "ccdf-test",
        "waveform-test",
        "training",
    ]
    figures = [path for path in written if path.suffix == ".png"]
    assert [path.stem for path in figures] == stems
    assert [path.stem for path in written if path.suffix == ".csv"] == [s for s in stems if s != "constellation-test"]
    names = [path.name for path in written]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(names)
    assert all(png_size(path.read_bytes())[0] in (770, 1575) for path in figures)
    page = written[-1].read_text(encoding="utf-8")
    assert page.count("<img ") == 8
    for text in ("captures/a, test", "61.44 MS/s", "15.3 MHz in 3 carriers", "outputs of a PA model"):
        assert text in page


def test_scenes_of_the_same_split_keep_apart(dpd: PlotData, tmp_path: Path) -> None:
    others = (dpd, replace(dpd, capture="b <2>"), replace(dpd, capture="b/2"), replace(dpd, split="val"))
    names = [path.name for path in save(tmp_path, *others) if path.match("psd*.png")]
    assert names == ["psd-captures-a-test.png", "psd-b-2-test.png", "psd-b-2-test-3.png", "psd-val.png"]


def test_the_page_says_why_a_figure_is_missing(
    dpd: PlotData, x: Signal, scene_of: Callable[..., PlotData], tmp_path: Path
) -> None:
    last = dpd.traces[-1]
    broken = replace(dpd, split="broken", traces=(replace(last, y=last.y * np.nan),))
    plain = scene_of(x[:70], {"this run": 1.1 * x[:70]}, stated=False, split="val")
    written = save(tmp_path, plain, broken, training={"gmp": Metrics()})
    names = [path.name for path in written if path.suffix != ".csv"]
    assert names == ["psd-val.png", "error-val.png", "ccdf-val.png", "waveform-val.png", "report.html"]
    page = written[-1].read_text(encoding="utf-8")
    for reason in (
        "this run: 70 samples are too few for a gain curve",
        "the capture does not describe its OFDM symbols",
        "samples of its output are not finite",
        "no run has logged a step",
    ):
        assert reason in page


def test_the_page_is_written_without_matplotlib(dpd: PlotData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (page,) = save_report(
        tmp_path / "new", title="t", scenes=[dpd], training={}, facts=[], tables=[("scores", ["a"], [["7.25"]])]
    )
    text = page.read_text(encoding="utf-8")
    assert "pip install &#x27;dpdrun[plots]&#x27;" in text
    assert "7.25" in text


@pytest.mark.parametrize(("suffix", "begins"), [(".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_figures_in_another_format(dpd: PlotData, tmp_path: Path, suffix: str, begins: bytes) -> None:
    written = save_report(tmp_path, title="t", scenes=[dpd], training={}, facts=[], tables=[], suffix=suffix)
    figures = [path for path in written if path.suffix == suffix]
    assert len(figures) == 7
    assert all(path.read_bytes().startswith(begins) for path in figures)
    assert f"as {suffix[1:].upper()} files" in written[-1].read_text(encoding="utf-8")


def test_curves_are_the_numbers_that_are_drawn(dpd: PlotData, tmp_path: Path) -> None:
    save(tmp_path, dpd)
    with (tmp_path / "gain-test.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    drawn = [(float(row["x"]), float(row["y"])) for row in rows
             if row["curve"] == "without" and row["panel"].startswith("AM/AM")]  # fmt: skip
    assert rows[0]["axis"] == "wanted magnitude / peak"
    for level, gain_db in drawn:  # the amplifier of the scene, in closed form
        assert gain_db == pytest.approx(20 * np.log10(1 - 0.2 * level**2), abs=0.01)
    with (tmp_path / "ccdf-test.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            if row["curve"] == "input":
                power = np.abs(dpd.x) ** 2
                share = np.mean(power > np.mean(power) * 10 ** (float(row["x"]) / 10))
                assert float(row["y"]) == pytest.approx(share, abs=2 / len(power))


def test_a_folder_that_cannot_be(dpd: PlotData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="folder: cannot write: Not a directory; a part of its path is a file"):
        save(tmp_path / "file" / "folder", dpd)


def test_importing_it_loads_no_heavy_library() -> None:
    heavy = "torch", "matplotlib", "scipy.signal", "accelerate"
    code = f"import sys, dpdrun.report.figures; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

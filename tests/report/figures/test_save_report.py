"""The report as a whole: which files there are, that each is whole, and what is said of those that are not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpdrun.errors import DataError, RunError
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
    names = ["psd-test.png", "gain-test.png", "constellation-test.png", "error-test.png", "training.png", "report.html"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(names)
    assert all(png_size(path.read_bytes())[0] in (770, 1575) for path in written[:-1])
    page = written[-1].read_text(encoding="utf-8")
    assert page.count("<img ") == 5
    for text in ("captures/a, test", "61.44 MS/s", "15.3 MHz in 3 carriers", "outputs of a PA model"):
        assert text in page


def test_scenes_of_the_same_split_keep_apart(dpd: PlotData, tmp_path: Path) -> None:
    others = (dpd, replace(dpd, capture="b <2>"), replace(dpd, capture="b/2"), replace(dpd, split="val"))
    names = [path.name for path in save(tmp_path, *others) if path.name.startswith("psd")]
    assert names == ["psd-captures-a-test.png", "psd-b-2-test.png", "psd-b-2-test-3.png", "psd-val.png"]


def test_the_page_says_why_a_figure_is_missing(
    dpd: PlotData, x: Signal, scene_of: Callable[..., PlotData], tmp_path: Path
) -> None:
    last = dpd.traces[-1]
    broken = replace(dpd, split="broken", traces=(replace(last, y=last.y * np.nan),))
    plain = scene_of(x[:70], {"this run": 1.1 * x[:70]}, stated=False, split="val")
    written = save(tmp_path, plain, broken, training={"gmp": Metrics()})
    assert [path.name for path in written] == ["psd-val.png", "error-val.png", "report.html"]
    page = written[-1].read_text(encoding="utf-8")
    for reason in (
        "this run: 70 samples are too few for a gain curve",
        "the capture does not describe its OFDM symbols",
        "samples of its output are not finite",
        "no run has logged a step",
    ):
        assert reason in page


def test_nothing_is_written_without_matplotlib(dpd: PlotData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DataError, match=r"pip install 'dpdrun\[plots\]'"):
        save(tmp_path / "new", dpd)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be(dpd: PlotData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot create the folder of the report"):
        save(tmp_path / "file" / "folder", dpd)


def test_importing_it_loads_no_heavy_library() -> None:
    heavy = "torch", "matplotlib", "scipy.signal", "accelerate"
    code = f"import sys, dpdrun.report.figures; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

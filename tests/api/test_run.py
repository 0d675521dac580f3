"""A run as an object: its model on arrays, scores, figures and exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dpdrun
from dpdrun.errors import DataError, RunError


def test_predict_is_the_model_on_any_form_of_a_signal(run: dpdrun.Run, capture: dpdrun.Capture) -> None:
    x = capture.val.x[:300]
    pairs = np.stack([x.real, x.imag], axis=1)
    with torch.no_grad():
        wanted = run.model(torch.tensor(pairs, dtype=torch.float32)[None])[0].numpy()
    y = run.predict(x)
    assert y.dtype == np.complex128
    assert np.allclose(np.stack([y.real, y.imag], axis=1), wanted, atol=1e-6)
    for form in (pairs, pairs.astype(np.float32), pairs.tolist(), torch.tensor(pairs)):
        assert run.predict(form).shape == (300, 2)
        assert np.allclose(run.predict(form), wanted, atol=1e-6)
    assert run.predict(x[:1]).shape == (1,)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), r"x: expected complex \(N,\) or real \(N, 2\)"),
        (np.zeros((2, 3, 2)), r"x: expected complex \(N,\) or real \(N, 2\)"),
        (np.array([1 + 1j, np.nan]), "x, sample 1, column I: nan is not a number"),
        (np.zeros((0, 2)), "x: no samples"),
        (["a", "b"], "x: holds <U1, not numbers"),
        ([[1, 2], [3]], "x: cannot be made an array of numbers"),
        (torch.zeros(4, 2, requires_grad=True), r"x: cannot be made an array.*; pass x.detach\(\).cpu\(\).numpy\(\)"),
    ],
)
def test_an_invalid_signal_raises_data_error(x: Any, message: str, run: dpdrun.Run) -> None:
    with pytest.raises(DataError, match=message):
        run.predict(x)


def test_scores_diagnosis_and_values_are_those_of_the_folder(run: dpdrun.Run) -> None:
    report = json.loads((run.path / "report.json").read_text(encoding="utf-8"))
    assert run.scores.to_dict() == report == run.to_dict()["report"]
    assert run.scores["val"]["nmse_db"] == run.scores.nmse_db["val"]
    with pytest.raises(DataError, match="'train': this split was not scored; there is val, test"):
        run.scores["train"]
    again = run.evaluate(("val",))
    assert again.nmse_db["val"] == pytest.approx(run.scores.nmse_db["val"], abs=1e-4)
    with pytest.raises(DataError, match="'tets': no such split; did you mean 'test'"):
        run.evaluate(("tets",))  # type: ignore[arg-type]
    found = json.loads((run.path / "findings.json").read_text(encoding="utf-8"))
    assert run.diagnose().to_dict()["findings"] == found["findings"]
    assert dpdrun.diagnose(str(run.path)).verdict == run.diagnose().verdict == dpdrun.diagnose(run).verdict


def test_everything_is_short_in_a_console_and_a_page_in_a_notebook(run: dpdrun.Run, least: dpdrun.Run) -> None:
    for shown in (run, run.scores, run.diagnose(), least, run.capture):
        assert len(repr(shown)) < 300
        assert "\n" not in repr(shown)
    for page in (run, run.scores, run.diagnose(), least.scores):
        html = page._repr_html_()
        assert html.startswith("<pre style=")
        assert html.endswith("</pre>")
    assert "transformer" in run._repr_html_()
    assert run.diagnose().findings[0].code in run.diagnose()._repr_html_()


def test_figures_are_drawn_and_saved(run: dpdrun.Run, least: dpdrun.Run, tmp_path: Path) -> None:
    psd = run.plot("psd", "val")
    assert psd._repr_png_().startswith(b"\x89PNG")
    assert psd.save(str(tmp_path / "psd.svg")).read_bytes().startswith(b"<?xml")
    assert run.plot("training").save(tmp_path / "training.png").is_file()
    with pytest.raises(DataError, match=r"psd.bmp: cannot draw .bmp"):
        psd.save(tmp_path / "psd.bmp")
    with pytest.raises(DataError, match="'pds': no such plot; did you mean 'psd'"):
        run.plot("pds")
    with pytest.raises(RunError, match="this run has no steps"):
        least.plot("training")
    with pytest.raises(DataError, match="no such split"):
        run.plot("psd", "both")  # type: ignore[arg-type]


def test_export_writes_the_file_of_the_command(run: dpdrun.Run, tmp_path: Path) -> None:
    done = run.export("npz", str(tmp_path / "model.npz"))
    assert done.path.is_file()
    assert done.error < 1e-5
    with pytest.raises(RunError, match='to="onxn": no such format'):
        run.export("onxn")


def test_a_folder_that_moved_keeps_its_arrays(run: dpdrun.Run, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(run.path, moved)
    plan = json.loads((moved / "plan.json").read_text(encoding="utf-8"))
    plan["recipe"]["data"]["source"] = str(tmp_path / "gone" / "pa" / "capture.npz")
    (moved / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    again = dpdrun.load_run(moved)
    assert again.capture.sha256 == run.capture.sha256


def test_a_capture_that_is_gone_can_be_passed(run: dpdrun.Run, capture: dpdrun.Capture, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(run.path, bare)
    (bare / "capture.npz").unlink()
    plan = json.loads((bare / "plan.json").read_text(encoding="utf-8"))
    plan["recipe"]["data"]["source"] = str(tmp_path / "gone.npz")
    (bare / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(DataError, match="no longer there"):
        _ = dpdrun.load_run(bare).capture
    assert dpdrun.load_run(bare, capture=capture).capture is capture
    other = dpdrun.Capture.load("synthetic/mild")
    with pytest.raises(DataError, match="synthetic/mild: not the capture that"):
        dpdrun.load_run(bare, capture=other)


def test_an_unfinished_run_says_what_to_do(run: dpdrun.Run, tmp_path: Path) -> None:
    part = tmp_path / "part"
    shutil.copytree(run.path, part)
    (part / "report.json").unlink()
    unfinished = dpdrun.load_run(part)
    assert "not finished" in repr(unfinished)
    assert "not finished" in unfinished._repr_html_()
    assert unfinished.to_dict()["report"] is None
    with pytest.raises(RunError, match=r"no scores; continue it with:\n  dpdrun.train\(.*, resume=True\)"):
        _ = unfinished.scores

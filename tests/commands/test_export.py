"""`dpdrun export` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from tests.json_documents import as_documented


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_a_file_that_others_run_gives_what_apply_gives(run: Path, tmp_path: Path) -> None:
    """The record in two chunks through onnxruntime, told by the file itself; `dpdrun apply` on the same record."""
    result = invoke("export", run, "--to", "onnx")
    assert result.exit_code == 0, result.output
    assert f"{run / 'model.onnx'}: " in result.stdout
    assert "verified on 570 test samples, largest error" in result.stdout
    assert invoke("apply", run, "test", tmp_path / "out.npz").exit_code == 0
    with np.load(tmp_path / "out.npz") as archive:
        x, expected = archive["x"], archive["y"]
    session = onnxruntime.InferenceSession(run / "model.onnx", providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert said["sample_rate_hz"] == "1000000.0"
    assert said["lookahead"] == "0"
    state = {part["name"]: np.zeros(part["shape"], part["dtype"]) for part in json.loads(said["inputs"])[1:]}
    outputs = []
    for part in np.split(x, [123]):
        pairs = np.stack([part.real, part.imag], axis=-1).astype(np.float32)[None]
        y, *after = session.run(None, {"x": pairs, **state})
        state = dict(zip(state, after, strict=True))
        outputs.append(y[0, :, 0] + 1j * y[0, :, 1])
    error = np.abs(np.concatenate(outputs) - expected).max() / np.sqrt(np.mean(np.abs(expected) ** 2))
    assert error < 1e-5


@pytest.mark.parametrize(("to", "name"), [("torchscript", "model.pt"), ("npz", "model.npz")])
def test_other_formats_and_a_second_time(to: str, name: str, run: Path) -> None:
    assert invoke("export", run, "--to", to).exit_code == 0
    content = (run / name).read_bytes()
    again = invoke("export", run, "--to", to)
    assert again.exit_code == 2
    assert "exists; give --force" in again.stderr
    assert (run / name).read_bytes() == content
    assert invoke("export", run, "--to", to, "--force").exit_code == 0


def test_c_says_what_it_needs_and_whether_it_was_verified(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(folder))  # no compiler
    refused = invoke("export", run, "--to", "c", "--output", folder / "dpd.c", "--verify")
    assert refused.exit_code == 2
    assert "there is no C compiler here" in refused.stderr
    assert list(folder.iterdir()) == []
    done = invoke("export", run, "--to", "c", "--output", folder / "dpd.c")
    assert done.exit_code == 0, done.output
    said = as_documented("export", json.loads((folder / "dpd.json").read_text()))["c"]
    assert f"{said['multiplications_per_sample']:,} multiplications per sample" in done.stdout
    assert f"bytes: tables {said['bytes']['tables']:,}, state {said['bytes']['state']:,}\n" in done.stdout
    assert "cc -std=c99 -O2 dpd.c dpd_test.c -lm -o dpd_test && ./dpd_test" in done.stdout


def test_mistakes_exit_2_with_a_reason(run: Path, tmp_path: Path) -> None:
    misspelt = invoke("export", run, "--to", "torch-script")
    assert misspelt.exit_code == 2
    assert "did you mean 'torchscript'?" in misspelt.stderr
    missing = invoke("export", tmp_path / "none", "--to", "onnx")
    assert missing.exit_code == 2
    assert "no such run folder" in missing.stderr
    (run / "model.safetensors").unlink()
    unfinished = invoke("export", run, "--to", "onnx")
    assert unfinished.exit_code == 2
    assert "this run is not finished" in unfinished.stderr
    assert f"dpdrun train {run / 'recipe.yaml'} --run-dir {run} --resume" in unfinished.stderr
    assert "Traceback" not in misspelt.output + missing.output + unfinished.output
    assert not (run / "model.onnx").exists()

"""`dpdrun diagnose --prediction P --target Y`: two files instead of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app

RNG = np.random.default_rng(1)
X = np.convolve(RNG.standard_normal(3008) + 1j * RNG.standard_normal(3008), np.hanning(9) / 3, mode="valid")
Y = X * (1 - 0.03 * np.abs(X) ** 2)
E = 0.005 * (RNG.standard_normal(3000) + 1j * RNG.standard_normal(3000))


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["diagnose", *arguments])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, samples in {"x": X, "y": Y, "good": Y + E, "late": np.roll(Y, 3) + E}.items():
        np.save(tmp_path / f"{name}.npy", samples)
    return tmp_path


def test_sound_prediction(files: Path) -> None:
    result = run("--prediction", f"{files}/good.npy", "--target", f"{files}/y.npy", "--input", f"{files}/x.npy")
    assert result.exit_code == 0
    first = " ".join(result.output.split())
    assert "good.npy against" in first
    assert "healthy: nothing to report; NMSE -" in first
    assert "over 3,000 samples" in first
    assert "NMSE from start to end [dB]" in result.output
    assert "gain of the prediction [dB]" in result.output
    assert "gradient norm" not in result.output, "there is no run"
    assert "CL201" not in result.output


def test_late_prediction_as_json_and_as_a_gate(files: Path) -> None:
    pair = ("--prediction", f"{files}/late.npy", "--target", f"{files}/y.npy", "--format", "json")
    result = run(*pair, "--fail-on", "error")
    assert result.exit_code == 1
    content = json.loads(result.output)
    assert [finding["code"] for finding in content["findings"]] == ["SG204"]
    assert content["signal"]["lag_samples"] == pytest.approx(3.0, abs=0.01)
    assert len(content["signal"]["position_db"]) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "dpdrun diagnose --prediction FILE --target FILE"),
        (["--prediction", "p.npy"], "--target is missing"),
        (["--target", "p.npy", "--input", "x.npy"], "--prediction is missing"),
        (["runs/x", "--prediction", "p.npy", "--target", "y.npy"], "cannot be combined"),
        (["--prediction", "p.npy", "--target", "y.npy"], "no such file"),
    ],
)
def test_half_a_question(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_neither_torch_nor_scipy_signal_is_loaded(files: Path) -> None:
    code = (
        "import sys; from dpdrun.diagnosis.diagnose import diagnose_files; from pathlib import Path; "
        f"diagnose_files(Path({str(files / 'good.npy')!r}), Path({str(files / 'y.npy')!r})); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy.signal', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

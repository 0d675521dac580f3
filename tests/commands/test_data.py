from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPDRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    x = RNG.standard_normal(6000) + 1j * RNG.standard_normal(6000)
    y = np.roll(2 * x, 5)
    table = np.column_stack([x.real, x.imag, y.real, y.imag])
    np.savetxt("a.csv", table, delimiter=",", header="I_in,Q_in,I_out,Q_out", comments="")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["data", *arguments])


def test_list() -> None:
    result = run("list")
    assert result.exit_code == 0
    assert "synthetic/hard" in result.stdout
    assert "opendpd/APA_200MHz" in result.stdout
    assert "not downloaded" in result.stdout
    content = json.loads(run("list", "--format", "json").stdout)
    assert content["schema_version"] == 1
    assert {"name", "kind", "description", "licence", "ready"} == content["sources"][0].keys()


def test_inspect_shows_facts_and_warnings() -> None:
    result = run("inspect", "a.csv", "--sample-rate-hz", "100e6")
    assert result.exit_code == 0, result.stderr
    assert "100 MS/s" in result.stdout
    assert "+5.0" in result.stdout
    assert " late; shift one record" in result.stdout
    assert "3,540" in result.stdout  # 60 % of 6000, less 60 guard samples


def test_inspect_as_json() -> None:
    result = run("inspect", "a.csv", "--sample-rate-hz", "100e6", "--bandwidth-hz", "60e6", "--format", "json")
    facts = json.loads(result.stdout)
    assert facts["schema_version"] == 1
    assert facts["sample_rate_hz"] == 100e6
    assert facts["delay_samples"] == pytest.approx(5.0, abs=0.1)
    assert facts["parts"]["train"]["samples"] == 3540
    assert any("late" in warning for warning in facts["warnings"])


def test_inspect_draws(here: Path) -> None:
    result = run("inspect", "a.csv", "--sample-rate-hz", "100e6", "--plot", "a.png", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert (here / "a.png").read_bytes().startswith(b"\x89PNG")
    json.loads(result.stdout)  # the note on the file went to stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "a.csv"], "set data.sample_rate_hz"),
        (["inspect", "a.csv", "--sample-rate-hz", "-3"], "--sample-rate-hz must be a positive number"),
        (["inspect", "a.csv", "--sample-rate-hz", "nan"], "--sample-rate-hz must be a positive number"),
        (["inspect", ""], "name a source"),
        (["inspect", "b.csv"], "did you mean 'a.csv'"),
        (["inspect", "synthetic/hard", "--sample-rate-hz", "1e6"], "states 983,040,000 Hz"),
        (["pull", "opendpd/nothing"], "there are: opendpd/APA_200MHz"),
        (["pull", "synthetic/hard"], "nothing to pull"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_no_torch_is_loaded() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from dpdrun.commands import app; "
        "assert CliRunner().invoke(app, ['data', 'list']).exit_code == 0; "
        "print(sorted({'torch', 'accelerate', 'matplotlib', 'scipy.signal'} & sys.modules.keys()))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert shown.stdout.strip() == "[]"


def test_align(here: Path) -> None:
    from tests.data.flawed import hard, received

    x = hard()[0][:12_000]
    np.savez("late.npz", x=x, y=received(11_500, delay=40.5, offset=0.1), sample_rate_hz=983.04e6, bandwidth_hz=200e6)
    result = run("align", "late.npz", "-o", "aligned.npz", "--plot", "a.png")
    assert result.exit_code == 0, result.stderr
    assert "+40 samples; applied: one tap" in result.stdout
    assert re.search(r"frequency offset +\+0\.1 \+- \d", result.stdout)
    assert "sample clock" in result.stdout
    assert "left alone" in result.stdout
    assert "the input has 12,000 samples and the output 11,500" in result.stdout
    assert "wrote a.png" in result.stdout
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    again = json.loads(run("inspect", "aligned.npz", "--format", "json").stdout)
    assert again["sample_rate_hz"] == 983.04e6
    assert abs(again["delay_samples"]) < 0.1
    with np.load("aligned.npz") as stored:
        told = json.loads(str(stored["alignment"]))
        assert np.array_equal(stored["x"], x[told["first_input_sample"] :][: told["samples"]])
    assert told["applied"]["frequency_offset"] == pytest.approx(0.1, abs=1e-7)
    assert run("align", "late.npz", "-o", "aligned.npz").exit_code == 2  # it exists
    assert "exists; give --force" in run("align", "late.npz", "-o", "aligned.npz").stderr


def test_align_at_other_rates(here: Path) -> None:
    from scipy.signal import resample

    from tests.data.flawed import hard, received

    y = received(16_384, delay=12)
    half = resample(y * (np.abs(np.fft.fftfreq(1)) < 1), 8192)  # the receiver has half the rate
    np.savez("half.npz", x=hard()[0][:16_384], y=half, sample_rate_hz=983.04e6)
    told = json.loads(
        run("align", "half.npz", "-o", "a.npz", "--output-rate-hz", "491.52e6", "--format", "json").stdout
    )
    assert told["sample_rate_hz"] == 983.04e6
    assert told["applied"]["delay_samples"] == 12
    assert "the output was resampled by 2/1" in told["messages"][0]
    down = ("align", "half.npz", "-o", "b.npz", "--output-rate-hz", "491.52e6", "--resample-to-hz", "600e6")
    told = json.loads(run(*down, "--format", "json").stdout)
    assert told["sample_rate_hz"] == 600e6
    assert told["resampling"]["ratio"] == "625/1024"
    assert told["resampling"]["pass_band_hz"] == 270e6
    assert any(
        "Resampled by 625/1024 to 600 MS/s, unchanged up to +-270 MHz" in message for message in told["messages"]
    )
    result = run("align", "half.npz", "-o", "c.npz", "--output-rate-hz", "491.52")
    assert result.exit_code == 2
    assert "not plausible; in Hz?" in result.stderr


def test_align_refuses_strangers(here: Path) -> None:
    from tests.data.flawed import hard

    x, y = hard()
    np.savez("two.npz", x=x[:9000], y=y[50_000:59_000], sample_rate_hz=983.04e6)
    result = run("align", "two.npz", "-o", "a.npz")
    assert result.exit_code == 2
    assert "do not belong together" in result.stderr
    assert not Path("a.npz").exists()

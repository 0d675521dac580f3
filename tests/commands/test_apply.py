"""`dpdrun apply` as a user types it: its files let others check our scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.data.formats.waveform_reader import read_waveform


def apply(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["apply", *map(str, arguments)])


def test_the_nmse_of_the_written_output_is_that_of_the_report(
    finished: Path, recipe_file: Path, tmp_path: Path
) -> None:
    """All by hand: the file is read as text, the capture is cut as the documentation says, the sum is written out."""
    out = tmp_path / "out.csv"
    result = apply(finished, "test", out)
    assert result.exit_code == 0, result.output
    assert out.read_text().splitlines()[0] == "I,Q,I_out,Q_out"
    table = np.loadtxt(out, delimiter=",", skiprows=1)
    with np.load(recipe_file.parent / "capture.npz") as archive:
        x, y = archive["x"][2400 + 30 :], archive["y"][2400 + 30 :]  # 20 % of 3000, less a guard of 1 %
    assert result.stdout == f"{out}: {len(y):,} samples\n"
    np.testing.assert_allclose(table[:, 0] + 1j * table[:, 1], x, rtol=1e-8)
    error = table[:, 2] + 1j * table[:, 3] - y
    nmse_db = 10 * np.log10(np.sum(np.abs(error) ** 2) / np.sum(np.abs(y) ** 2))
    report = json.loads((finished / "report.json").read_text())
    assert nmse_db == pytest.approx(report["splits"]["test"]["nmse_db"], abs=1e-3)


def test_a_waveform_of_a_few_samples_goes_through_in_every_format(finished: Path, tmp_path: Path) -> None:
    wave = np.array([0.1 + 0.2j, -0.3j, 0.05])
    (tmp_path / "w.csv").write_text("I,Q\n0.1,0.2\n0,-0.3\n0.05,0\n")
    np.save(tmp_path / "w.npy", wave)
    outputs = []
    wave.astype("<c8").tofile(tmp_path / "w.cf32")
    for source, out in (("w.csv", "a.npz"), ("w.npy", "b.npy"), ("a.npz", "c.csv"), ("w.cf32", "d.iq")):
        result = apply(finished, tmp_path / source, tmp_path / out)
        assert result.exit_code == 0, result.output
        assert result.stdout.endswith(": 3 samples\n")
    with np.load(tmp_path / "a.npz") as archive:
        np.testing.assert_array_equal(archive["x"], wave)
        outputs.append(archive["y"])
    outputs.append(np.load(tmp_path / "b.npy"))
    table = np.loadtxt(tmp_path / "c.csv", delimiter=",", skiprows=1)
    outputs.append(table[:, 2] + 1j * table[:, 3])
    outputs.append(np.fromfile(tmp_path / "d.iq", "<c8"))
    assert np.abs(outputs[0]).min() > 0
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], rtol=1e-6)


def test_one_sample_is_enough(finished: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([0.1 + 0.2j]))
    assert apply(finished, tmp_path / "w.npy", tmp_path / "out.csv").exit_code == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2


def test_a_waveform_louder_than_the_training_input_is_reported(finished: Path, tmp_path: Path) -> None:
    assert apply(finished, "train", tmp_path / "train.npz").stderr == ""
    with np.load(tmp_path / "train.npz") as archive:
        np.save(tmp_path / "loud.npy", 2 * archive["x"])
    result = apply(finished, tmp_path / "loud.npy", tmp_path / "out.npy")
    assert result.exit_code == 0
    assert "6.0 dB more power than the training input" in result.stderr


@pytest.mark.parametrize("capture", ["x", {"train_peak": "loud"}, {"train_peak": [1.0]}])
def test_a_report_with_another_capture_names_no_peak(capture: Any, run: Path, tmp_path: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    (run / "report.json").write_text(json.dumps(report | {"capture": capture}))
    assert apply(run, "test", tmp_path / "out.npy").exit_code == 0


def test_a_single_peak_above_the_training_input_is_reported(finished: Path, tmp_path: Path) -> None:
    assert apply(finished, "train", tmp_path / "train.npz").exit_code == 0
    with np.load(tmp_path / "train.npz") as archive:
        x = archive["x"]
    x[np.argmax(np.abs(x))] *= 2
    np.save(tmp_path / "peak.npy", x)
    result = apply(finished, tmp_path / "peak.npy", tmp_path / "out.npy")
    assert result.exit_code == 0
    assert "6.0 dB" in result.stderr
    assert "peaks" in result.stderr


def test_an_output_that_is_there_is_kept_unless_forced(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    result = apply(finished, "test", out)
    assert result.exit_code == 2
    assert "exists; give --force" in result.stderr
    assert out.read_text() == "mine"
    assert apply(finished, "test", out, "--force").exit_code == 0
    assert out.read_text().startswith("I,Q")


@pytest.mark.parametrize(
    ("source", "out", "why"),
    [
        ("none.csv", "out.csv", "none.csv: no such file"),
        ("w.wav", "out.csv", "w.wav: no table of numbers in this text"),
        ("nan.csv", "out.csv", "nan.csv, row 3, column I: nan"),
        ("test", "out.xls", "cannot write .xls"),
        ("several.npz", "out.csv", "needs an array named x (or input), has a, b"),
        ("test", "none/out.csv", "no such file or folder"),
        ("huge.csv", "out.csv", "single precision"),
    ],
)
def test_bad_input_exits_2_with_a_reason_and_writes_nothing(
    source: str, out: str, why: str, finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.wav").write_bytes(b"RIFF")
    (tmp_path / "nan.csv").write_text("I,Q\n1,2\nnan,2\n")
    (tmp_path / "huge.csv").write_text("I,Q\n1e60,2\n")
    np.savez(tmp_path / "several.npz", a=np.ones(9) + 0j, b=np.ones(9) + 0j)
    before = sorted(tmp_path.iterdir())
    result = apply(finished, source if source == "test" else tmp_path / source, tmp_path / out)
    assert result.exit_code == 2
    assert why in result.stderr
    assert "Traceback" not in result.output
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_that_is_not_there_and_one_of_another_shape(run: Path, tmp_path: Path) -> None:
    missing = apply(tmp_path / "none", "test", tmp_path / "out.csv")
    assert missing.exit_code == 2
    assert "no such run folder" in missing.stderr
    plan = json.loads((run / "plan.json").read_text())
    plan["recipe"]["model"]["d_model"] = 16
    (run / "plan.json").write_text(json.dumps(plan))
    other = apply(run, "test", tmp_path / "out.csv")
    assert other.exit_code == 2
    assert "not the model that" in other.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_model_whose_output_is_not_finite_writes_nothing(run: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(run / "model.safetensors")
    tensors["scale_y"].fill_(float("nan"))
    save_file(tensors, run / "model.safetensors")
    result = apply(run, "test", tmp_path / "out.csv")
    assert result.exit_code == 2
    assert "not finite at sample 0" in result.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_part_that_is_misspelt_and_an_output_folder_that_is_not_there(finished: Path, tmp_path: Path) -> None:
    assert "did you mean 'test'?" in apply(finished, "tset", tmp_path / "out.csv").stderr
    result = apply(finished, "test", tmp_path / "none" / "out.csv")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path / 'none'}: no such file or folder")


def test_a_long_record_in_chunks_is_the_record_in_one(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpdrun.evaluation import prediction
    from dpdrun.training.job import load_run

    rng = np.random.default_rng(0)
    wave = 0.1 * (rng.standard_normal(5000) + 1j * rng.standard_normal(5000))
    np.save(tmp_path / "w.npy", wave)
    model, _, _ = load_run(finished)
    whole = prediction.predict(model, wave)
    monkeypatch.setattr(prediction, "CHUNK_SAMPLES", 777)
    assert apply(finished, tmp_path / "w.npy", tmp_path / "out.npz").exit_code == 0
    with np.load(tmp_path / "out.npz") as archive:
        np.testing.assert_array_equal(archive["x"], wave)
        np.testing.assert_allclose(archive["y"], whole, rtol=0, atol=1e-6)


def test_a_fault_late_in_the_record_leaves_what_was_there(finished: Path, tmp_path: Path) -> None:
    rows = [f"0.1,{n % 7 / 100}" for n in range(30_000)]
    rows[29_000] = "0.1,none"
    (tmp_path / "w.csv").write_text("\n".join(["I,Q", *rows]))
    (tmp_path / "out.csv").write_text("mine")
    result = apply(finished, tmp_path / "w.csv", tmp_path / "out.csv", "--force")
    assert result.exit_code == 2
    assert "row 29002, column Q: 'none' is not a number" in result.stderr
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "w.csv"]


def test_a_file_may_be_replaced_by_its_own_output(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.cf32"
    np.full(100, 0.1 + 0.05j, "<c8").tofile(path)
    assert apply(finished, path, path, "--force").exit_code == 0
    assert np.fromfile(path, "<c8").shape == (100,)
    assert abs(np.fromfile(path, "<c8")[-1]) > 0.11


def test_formats_of_instruments_are_read_and_written(finished: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wave = 0.05 * (rng.standard_normal(1500) + 1j * rng.standard_normal(1500))
    savemat(tmp_path / "w.mat", {"tx": wave, "rx": 2 * wave, "fs": 1e6})
    assert apply(finished, tmp_path / "w.mat", tmp_path / "a.npz").stderr == ""
    with np.load(tmp_path / "a.npz") as archive:
        np.testing.assert_array_equal(archive["x"], wave)
        expected = archive["y"]
    for name in ("b.mat", "c.sigmf-meta", "d.wv", "e.ci16"):
        result = apply(finished, tmp_path / "w.mat", tmp_path / name, "--full-scale", "2")
        assert result.exit_code == 0, result.output
        if name in ("d.wv", "e.ci16"):
            assert "int16: full scale 32767 = 2 (given), headroom" in result.stdout
            assert "0 samples clipped" in result.stdout
    content = loadmat(tmp_path / "b.mat")
    np.testing.assert_array_equal(content["y"][:, 0], expected)
    assert content["sample_rate_hz"].item() == 1e6  # of the run's capture
    np.testing.assert_allclose(np.fromfile(tmp_path / "c.sigmf-data", "<c8"), expected, rtol=1e-6)
    for name in ("d.wv", "e.ci16"):
        samples = read_waveform(tmp_path / name) * (2 if name == "d.wv" else 2 * 32768 / 32767)
        np.testing.assert_allclose(samples, expected, atol=1e-4)
    other = apply(finished, tmp_path / "w.mat", tmp_path / "f.npz", "--input-signal", "rx")
    assert other.exit_code == 0, other.output
    with np.load(tmp_path / "f.npz") as archive:
        np.testing.assert_array_equal(archive["x"], 2 * wave)


def test_a_waveform_of_another_rate_is_reported(finished: Path, tmp_path: Path) -> None:
    savemat(tmp_path / "w.mat", {"x": np.full(50, 0.1 + 0.1j), "fs": 2e6})
    result = apply(finished, tmp_path / "w.mat", tmp_path / "a.npz")
    assert result.exit_code == 0
    assert "states a sample rate of 2e+06 Hz, but the model was trained at 1e+06 Hz" in result.stderr


def test_a_full_scale_is_positive(finished: Path, tmp_path: Path) -> None:
    result = apply(finished, "test", tmp_path / "a.ci16", "--full-scale", "0")
    assert result.exit_code == 2
    assert "--full-scale must be a positive number" in result.stderr


def test_a_waveform_goes_through_a_resampled_model_and_back_to_its_instants(tmp_path: Path) -> None:
    from dpdrun.recipe.loader import load_text
    from dpdrun.training import job

    spectrum = np.random.default_rng(3).standard_normal((2, 6_000))
    spectrum[:, np.abs(np.fft.fftfreq(6_000)) > 0.1] = 0
    x = 8 * np.fft.ifft(spectrum[0] + 1j * spectrum[1])
    np.savez(tmp_path / "pa.npz", x=x, y=2 * x - x * np.abs(x) ** 2, sample_rate_hz=8e6)
    data = f"{{source: {tmp_path / 'pa.npz'}, resample_to_hz: 6e6}}"
    loaded = load_text(f"task: pa\ndata: {data}\nmodel: {{kind: gmp}}\n", tmp_path / "r.yaml")
    job.train(loaded, tmp_path / "run")
    np.save(tmp_path / "w.npy", x[:4_001])
    result = apply(tmp_path / "run", tmp_path / "w.npy", tmp_path / "out.mat")
    assert result.exit_code == 0, result.output
    assert "resampled from 8 to the model's 6 MS/s, and its output back" in result.stdout
    written = loadmat(tmp_path / "out.mat")
    assert written["y"].size == 4_001
    assert written["sample_rate_hz"].item() == 8e6
    inner = slice(200, -200)
    expected = (2 * x - x * np.abs(x) ** 2)[:4_001]
    assert 10 * np.log10(np.mean(np.abs(written["y"].ravel() - expected)[inner] ** 2)) < -60
    split = apply(tmp_path / "run", "test", tmp_path / "test.mat")
    assert split.exit_code == 0, split.output
    assert loadmat(tmp_path / "test.mat")["sample_rate_hz"].item() == 6e6

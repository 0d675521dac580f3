"""A run in fixed point: file, verification, costs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dpdrun
from dpdrun.errors import RecipeError, RunError
from dpdrun.evaluation.prediction import predict
from dpdrun.export import fixed, job
from dpdrun.export.c import compiler
from dpdrun.plan.recorded import capture_of
from dpdrun.quantization import calibration, reference
from dpdrun.recipe.loader import load_text
from dpdrun.training.job import load_run, train

RECIPE = """\
task: pa
data: {{source: {source}, sample_rate_hz: 1e6}}
model: {model}
train: {{max_steps: 4, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}}
{more}
"""
SMALL = "{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8, norm: off, activation: bilinear, lookahead: 2}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, fit_gmp_once: None) -> Path:
    """A finished run, on the capture of test_job, whose baselines are fitted once. Do not write into it."""
    folder = tmp_path_factory.mktemp("fixed")
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    text = RECIPE.format(source=folder / "capture.npz", model=SMALL, more="quantization: {weights: 14}")
    train(load_text(text, folder / "recipe.yaml"), folder / "run")
    return folder / "run"


def test_the_file_is_the_run_up_to_rounding(run: Path, tmp_path: Path) -> None:
    done = job.export(run, "npz", tmp_path / "m.npz", quantization=["activations=15"])
    assert done.fixed is not None
    assert (done.fixed.settings.weights, done.fixed.settings.activations) == (14, 15)
    model, plan, folder = load_run(run)
    x = capture_of(folder, plan, None).val.x
    program, weights = reference.load(tmp_path / "m.npz")
    change = calibration.decibel(reference.run(program, weights, x), predict(model, x))
    assert change == pytest.approx(done.fixed.report["change_db"], abs=0.01)
    assert change < -50
    assert done.samples == 570
    with np.load(tmp_path / "m.npz") as archive:
        words, y = archive["golden/x"].astype(np.int64), archive["golden/y"]
        description = json.loads(str(archive["description"]))
        assert archive["weights/head"].dtype == np.int16
    np.testing.assert_array_equal(reference.step(program, weights, words, reference.initial_state(program))[0], y)
    assert description["quantization"]["weights"] == 14
    assert description["report"] == json.loads(json.dumps(done.fixed.report))


def test_c_in_fixed_point_is_verified_if_there_is_a_compiler(run: Path, tmp_path: Path) -> None:
    done = job.export(run, "c", tmp_path / "pa.c", quantization=["activations=12"])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pa.c", "pa.h", "pa.json", "pa_test.c"]
    assert done.error == (None if compiler.find() is None else 0.0)
    assert done.fixed is not None
    said = json.loads((tmp_path / "pa.json").read_text())
    assert said["quantization"] == done.fixed.settings.model_dump(mode="json")
    assert said["quantization"]["activations"] == 12
    assert said["c"]["number"] == "int16_t"
    assert (said["c"]["verified"] is None) == (done.error is None)


def test_qonnx_is_verified_by_onnxruntime(run: Path, tmp_path: Path) -> None:
    done = job.export(run, "qonnx", tmp_path / "pa.onnx", quantization=[])
    assert (done.samples, done.error) == (570, 0.0)
    assert [each.name for each in tmp_path.iterdir()] == ["pa.onnx"]
    with pytest.raises(RunError, match="--to qonnx holds integers: give --fixed"):
        job.export(run, "qonnx", tmp_path / "float.onnx")


def test_the_report_compares_the_run_with_the_words(run: Path, tmp_path: Path) -> None:
    fine = job.export(run, "npz", tmp_path / "a.npz", quantization=["weights=18", "activations=18", "port=18"]).fixed
    coarse = job.export(run, "npz", tmp_path / "b.npz", quantization=["weights=6", "activations=6", "port=6"]).fixed
    assert fine is not None
    assert coarse is not None
    assert fine.report["scores"]["float"] == coarse.report["scores"]["float"]
    worse = {
        each: round_["scores"]["fixed"]["nmse_db"]
        for each, round_ in (("fine", fine.report), ("coarse", coarse.report))
    }
    assert abs(worse["fine"] - fine.report["scores"]["float"]["nmse_db"]) < 0.01
    assert worse["coarse"] > worse["fine"] + 0.5
    bits = fine.report["accumulator"]["bits"]
    assert all(seen <= bits[name] for name, seen in fine.report["accumulator"]["largest_seen_bits"].items())


def test_a_file_of_other_words_is_not_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = fixed.write

    def wrong(path: Path, rounded: Any, *rest: Any) -> None:
        name = next(n for n in rounded.weights if n.startswith("skip"))
        weights = rounded.weights | {name: rounded.weights[name] + 1}
        honest(path, fixed.FixedPoint(rounded.program, weights, rounded.settings, rounded.report), *rest)

    monkeypatch.setitem(job.INTEGERS, "npz", (wrong, reference.load))
    with pytest.raises(RunError, match="does not give the words of its program; nothing was written"):
        job.export(run, "npz", tmp_path / "m.npz", quantization=[])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["weights=40"], r"--set quantization\.weights=40: .*18"),
        (["weihgts=12"], r"quantization\.weihgts.*did you mean 'weights'"),
        (["accumulator=30"], r"more than the 30 bits of quantization\.accumulator"),
    ],
)
def test_wrong_settings_are_refused_before_a_file_is_written(
    run: Path, tmp_path: Path, changes: list[str], message: str
) -> None:
    with pytest.raises((RecipeError, RunError), match=message):
        job.export(run, "npz", tmp_path / "m.npz", quantization=changes)
    assert list(tmp_path.iterdir()) == []


def test_formats_without_integers_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="onnx holds floating-point models alone; in fixed point there is npz"):
        job.export(run, "onnx", tmp_path / "m.onnx", quantization=[])


def test_a_recipe_with_the_section_refuses_a_model_without_integers_before_training(run: Path, tmp_path: Path) -> None:
    model = SMALL.replace("norm: off", "norm: layer")
    text = RECIPE.format(source=run.parent / "capture.npz", model=model, more="quantization: {}")
    with pytest.raises(RecipeError, match=r"the quantization section cannot be applied: model\.norm: layer.*set off"):
        train(load_text(text), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fine_tuned_weights_are_taken_where_they_help(run: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    done = job.export(
        run, "npz", tmp_path / "m.npz", quantization=["weights=5", "fine_tune=8", "state=16"], doing=heard.append
    ).fixed
    assert done is not None
    tuning = done.report["fine_tuning"]
    assert done.report["change_db"] == pytest.approx(min(tuning["before_db"], tuning["after_db"]))
    assert tuning["after_db"] < tuning["before_db"]
    assert "fine-tuning, step 8 of 8" in heard


def test_a_run_object_exports_it_too(run: Path, tmp_path: Path) -> None:
    done = dpdrun.load_run(run).export("npz", tmp_path / "m.npz", fixed={"weights": 10})
    assert done.fixed is not None
    assert done.fixed.settings.weights == 10

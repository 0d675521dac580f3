"""The whole export of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.errors import DataError, RunError
from dpdrun.evaluation.prediction import predict
from dpdrun.export import FORMATS, job, numpy_reference, onnx
from dpdrun.export.c import compiler
from dpdrun.export.c import job as c
from dpdrun.export.verify import relative_error
from dpdrun.recipe.loader import load_text
from dpdrun.training.job import load_run, train

RECIPE = """\
task: pa
data: {{source: {source}, sample_rate_hz: 1e6}}
model: {model}
train: {{max_steps: 4, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}}
"""
MODELS = {
    "transformer": "{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8, lookahead: 2}",
    "gru": "{kind: gru, hidden: 4}",
    "full": "{kind: transformer, d_model: 8, layers: 1, heads: 2, window: full, positions: none}",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, fit_gmp_once: None) -> dict[str, Path]:
    """A run of each of these models. Do not write into them."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    for name, model in MODELS.items():
        text = RECIPE.format(source=folder / "capture.npz", model=model)
        train(load_text(text, folder / f"{name}.yaml"), folder / name)
    return {name: folder / name for name in MODELS}


@pytest.mark.parametrize("to", [name for name in FORMATS if name not in ("c", "mem", "qonnx")])
@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_a_run_becomes_a_file_that_was_verified_on_the_test_part(
    kind: str, to: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / f"m{FORMATS[to][0]}"
    done = job.export(runs[kind], to, out)
    assert done.path == out
    assert done.bytes == out.stat().st_size > 1000
    assert done.samples == 570  # 20 % of 3000, less a guard of 1 %
    assert 0 <= done.error < 1e-5
    assert done.inputs[0] == "x"
    assert [each.name for each in tmp_path.iterdir()] == [out.name]


def test_a_run_becomes_c_that_was_verified_if_there_is_a_compiler(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = job.export(runs["transformer"], "c", tmp_path / "pa.c")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pa.c", "pa.h", "pa.json", "pa_test.c"]
    assert done.bytes == sum(each.stat().st_size for each in tmp_path.iterdir())
    assert done.c is not None
    assert (done.error is None) == (compiler.find() is None)
    assert done.error is None or 0 < done.error < 1e-6
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    assert job.export(runs["transformer"], "c", tmp_path / "pa.c", force=True).error is None
    with pytest.raises(RunError, match="there is no C compiler here"):
        job.export(runs["transformer"], "c", tmp_path / "no.c", verify=True)
    assert not (tmp_path / "no.c").exists()


def test_wrong_c_is_not_kept(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiler.find() is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "pa.h").write_text("mine")
    honest = c.generate

    def wrong(prefix: str, graph: Any, description: dict[str, Any], x: Any) -> Any:
        graph.inner.skip.weight.data[0, 0] += 1e-3
        files = honest(prefix, graph, description, x)
        graph.inner.skip.weight.data[0, 0] -= 1e-3
        return files

    monkeypatch.setattr(c, "generate", wrong)
    with pytest.raises(RunError, match="differs from the run's"):
        job.export(runs["gru"], "c", tmp_path / "pa.c", force=True)
    assert [each.name for each in tmp_path.iterdir()] == ["pa.h"]
    assert (tmp_path / "pa.h").read_text() == "mine"


def test_another_record_through_the_file_is_what_the_run_makes_of_it(runs: dict[str, Path], tmp_path: Path) -> None:
    model, _, _ = load_run(runs["transformer"])
    x = 0.3 * np.exp(2j * np.pi * np.arange(700) * 0.013).astype(np.complex64)
    job.export(runs["transformer"], "npz", tmp_path / "m.npz")
    description, weights = numpy_reference.load(tmp_path / "m.npz")
    assert relative_error(numpy_reference.run(description, weights, x), predict(model, x.astype(complex))) < 1e-5
    assert description["sample_rate_hz"] == 1e6
    assert description["run"] == "transformer"
    assert description["task"] == "pa"
    assert len(description["run_sha256"]) == len(description["plan_sha256"]) == 64


def test_a_file_that_is_wrong_is_not_kept(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m.onnx"
    out.write_text("mine")
    honest = onnx.write

    def wrong(path: Path, graph: Any, description: dict[str, Any]) -> None:
        graph.inner.skip.weight.data[0, 0] += 1e-3
        honest(path, graph, description)
        graph.inner.skip.weight.data[0, 0] -= 1e-3

    monkeypatch.setattr(onnx, "write", wrong)
    with pytest.raises(RunError, match="differs from the run's"):
        job.export(runs["gru"], "onnx", out, force=True)
    assert out.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


def test_what_cannot_be_exported_says_why(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"--to onx: no such format; did you mean 'onnx'\?; there is onnx, torchscript"):
        job.export(runs["gru"], "onx")
    with pytest.raises(RunError, match=r"window: full.*cannot be exported"):
        job.export(runs["full"], "npz", tmp_path / "m.npz")
    with pytest.raises(RunError, match="mem holds integers: give --fixed"):
        job.export(runs["gru"], "mem")
    with pytest.raises(RunError, match=r"no such run folder; runs in .*: full, gru, transformer"):
        job.export(runs["gru"].with_name("gr"), "npz")
    with pytest.raises(DataError, match=r"cannot write \.pt; use \.onnx"):
        job.export(runs["gru"], "onnx", tmp_path / "m.pt")
    (tmp_path / "m.npz").write_text("mine")
    with pytest.raises(DataError, match="exists; give --force"):
        job.export(runs["gru"], "npz", tmp_path / "m.npz")
    assert (tmp_path / "m.npz").read_text() == "mine"

"""`dpdrun recommend --data`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.plan.plan import make_plan
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.loader import load_recipe
from dpdrun.training.job import prepare_training, train


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["recommend", *arguments])


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A record that states no sample rate."""
    rng = np.random.default_rng(0)
    x = 0.1 * (rng.normal(size=6000) + 1j * rng.normal(size=6000))
    y = x + 0.2 * np.roll(x, 5) - x * np.abs(x) ** 2
    path = tmp_path / "mine.csv"
    rows = [f"{a.real:.9f},{a.imag:.9f},{b.real:.9f},{b.imag:.9f}" for a, b in zip(x, y, strict=True)]
    path.write_text("\n".join(["I_in,Q_in,I_out,Q_out", *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_data_alone_make_a_recipe_that_trains(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "new.yaml"
    result = run("--data", "synthetic/mild", "--model", kind, "-o", str(out))
    assert result.exit_code == 0, result.output
    assert "memory 3 samples (least-squares ladder)" in result.output
    loaded = load_recipe(out)
    assert "# SZ0" in loaded.text
    assert make_plan(loaded.recipe, 62_873, given=loaded.given).total_steps > 1000


def test_flags_win_and_are_shown_as_given(tmp_path: Path) -> None:
    arguments = ("--data", "synthetic/mild", "--model", "transformer", "--d-model", "32", "--window", "16")
    content = json.loads(run(*arguments, "--format", "json").output)
    assert content["values"]["model.d_model"]["value"] == 32
    assert content["values"]["model.d_model"]["why"].startswith("given; SZ012 would set 8")
    assert content["values"]["model.window"]["rule"] is None
    assert content["values"]["model.heads"] | {"value": 4, "rule": "SZ014"} == content["values"]["model.heads"]
    assert content["data"]["memory"] == 3
    assert content["estimate"]["seconds"] > 0


def test_a_record_of_ones_own(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.yaml"
    arguments = ("--data", str(csv), "--model", "transformer", "--sample-rate-hz", "1e6", "-o", str(out))
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    values = values_of(load_recipe(out).recipe)
    assert values["data.sample_rate_hz"] == 1e6
    assert values["model.d_model"] == 8  # 3,540 samples are few


def test_a_capture_with_a_delay_is_aligned_before_it_is_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spectrum = np.where(np.abs(np.fft.fftfreq(6000)) < 0.1, rng.normal(size=6000) + 1j * rng.normal(size=6000), 0)
    x = 5 * np.fft.ifft(spectrum)
    y = x + 0.2 * np.roll(x, 3) - x * np.abs(x) ** 2 + 1e-4 * rng.normal(size=6000)
    np.savez(tmp_path / "late.npz", x=x, y=np.roll(y, 37), sample_rate_hz=1e6)
    out = tmp_path / "new.yaml"
    result = run("--data", str(tmp_path / "late.npz"), "--model", "transformer", "-o", str(out))
    assert result.exit_code == 0, result.output
    assert "note: the output comes 37" in result.output
    values = values_of(load_recipe(out).recipe)
    assert values["data.align"] == "auto"
    assert values["model.window"] == 32, "not the delay's"


def test_a_recipe_with_data_is_compared(recipe_file: Path) -> None:
    source = str(recipe_file.parent / "capture.npz")
    values = json.loads(run(str(recipe_file), "--data", source, "--format", "json").output)["values"]
    assert values["model.window"] | {"value": 8, "rule": None, "advised": 32} == values["model.window"]
    assert values["model.d_model"]["why"] == "given; SZ012 would set the same"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "synthetic/mild"), "to recommend from data, --model is needed"),
        (
            ("--data", "synthetic/mild", "--model", "gru", "--rules", "note"),
            "`rules: note` has no rules for sizes, --hidden",
        ),
        (("--data", "nowhere.csv", "--model", "gru"), "nowhere.csv"),
        (("--data", "", "--model", "gru"), "name a source"),
        (("--data", "synthetic/mild", "--model", "gru", "--sample-rate-hz", "-1"), "--sample-rate-hz must be"),
    ],
)
def test_what_is_missing_or_wrong_is_named(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_missing_sample_rate_is_requested(csv: Path) -> None:
    result = run("--data", str(csv), "--model", "gru")
    assert result.exit_code == 2
    assert "sample rate" in result.output


def test_a_gmp_gets_the_delays_that_the_data_need(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.yaml"
    result = run("--data", str(csv), "--model", "gmp", "--sample-rate-hz", "1e6", "-o", str(out))
    assert result.exit_code == 0, result.output
    model = load_recipe(out).recipe.model
    assert (model.kind, model.delays, model.constant) == ("gmp", 6, "on")  # type: ignore[union-attr]
    assert run("--model", "gmp").exit_code == 0
    refused = run("--model", "gmp", "--window", "3")
    assert refused.exit_code == 2
    assert "--window does not belong to --model gmp" in refused.output


@pytest.mark.parametrize("kind", ["gru", "gmp"])
def test_a_predistorter_takes_the_capture_of_its_pa_run(csv: Path, tmp_path: Path, kind: str) -> None:
    recipe, out, pa = tmp_path / "pa.yaml", tmp_path / "dpd.yaml", tmp_path / "runs" / "pa"
    recipe.write_text(f"task: pa\ndata: {{source: {csv}, sample_rate_hz: 1e6}}\nmodel: {{kind: gmp, delays: 6}}\n")
    train(load_recipe(recipe), pa)
    result = run("--task", "dpd", "--pa", str(pa), "--model", kind, "-o", str(out))
    assert result.exit_code == 0, result.output
    loaded = load_recipe(out)
    assert (loaded.recipe.task, loaded.recipe.pa, loaded.recipe.model.kind) == ("dpd", str(pa), kind)
    assert loaded.recipe.dpd.learning == ("ilc" if kind == "gmp" else "direct")
    prepare_training(loaded)  # it fits the PA run and its capture


@pytest.mark.parametrize(("flags", "words"), [
    (["--task", "dpd", "--model", "gru"], "needs --pa RUN"),
    (["--pa", "runs/pa", "--model", "gru"], "belongs to --task dpd"),
    (["--task", "dpd", "--pa", "runs/pa", "--data", "synthetic/mild"], "takes the capture of the PA run"),
])  # fmt: skip
def test_a_predistorter_is_asked_for_its_pa_run(flags: list[str], words: str) -> None:
    result = run(*flags)
    assert result.exit_code == 2
    assert words in result.output

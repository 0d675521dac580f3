"""`dpdrun recommend` with --data and --probe, and its estimate of time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import _probe, app
from dpdrun.commands._probe import seconds_of
from dpdrun.effort import peak_mib
from dpdrun.errors import RecipeError
from dpdrun.plan import make_plan
from dpdrun.recipe import load_recipe
from dpdrun.recipe.conflicts import values_of
from dpdrun.training import probe as probing


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


def test_a_recipe_with_data_is_compared(recipe_file: Path) -> None:
    source = str(recipe_file.parent / "capture.npz")
    values = json.loads(run(str(recipe_file), "--data", source, "--format", "json").output)["values"]
    assert values["model.window"] | {"value": 8, "rule": None, "advised": 32} == values["model.window"]
    assert values["model.d_model"]["why"] == "given; SZ012 says the same"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "synthetic/mild"), "to recommend from data, --model is needed"),
        (("--data", "synthetic/mild", "--model", "gru", "--rules", "note"), "the note says nothing of sizes, --hidden"),
        (("--data", "nowhere.csv", "--model", "gru"), "nowhere.csv"),
        (("--data", "", "--model", "gru"), "--data: name a source"),
        (("--data", "synthetic/mild", "--model", "gru", "--sample-rate-hz", "-1"), "--sample-rate-hz must be"),
        (("--model", "gru", "--hidden", "8", "--samples", "100", "--probe", "60s"), "--data is needed"),
        (("--probe", "soon"), "--probe soon: expected a time such as 60s"),
        (("--probe", "1s"), "expected at least 5s"),
    ],
)
def test_what_is_missing_or_wrong_is_named(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_rate_that_nobody_states_is_asked_for(csv: Path) -> None:
    result = run("--data", str(csv), "--model", "gru")
    assert result.exit_code == 2
    assert "sample rate" in result.output


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("2m", 120), ("90", 90), ("1.5min", 90), ("1h", 3600)])
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-60s", "60 parsecs", "0", "1e9h", "nan"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(RecipeError, match="--probe"):
        seconds_of(text)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe of a few steps, whose time begins with it and not with the tests, which take longer than it may."""
    monkeypatch.setattr(_probe, "started", time.perf_counter)
    monkeypatch.setattr(probing, "FEWEST_RATES", 30)
    monkeypatch.setattr(probing, "MOST_RATES", 30)
    monkeypatch.setattr(probing, "MOST_NORMS", 40)


@pytest.mark.usefixtures("short")
def test_probe_of_a_recipe(recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "probed.yaml"
    result = run(str(recipe_file), "--probe", "10m", "-o", str(out))
    assert result.exit_code == 0, result.output
    assert "probe: " in result.output
    assert "measured here" in result.output
    assert "LR010 says" in result.output
    probed = values_of(load_recipe(out).recipe)
    assert probed["optim.lr"] != "auto"
    assert "probe measured here" in " ".join(result.output.split())


@pytest.mark.usefixtures("short")
def test_probe_keeps_a_given_rate(recipe_file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "given.yaml"
    recipe.write_text(recipe_file.read_text(encoding="utf-8") + "optim: {lr: 5e-3}\n", encoding="utf-8")
    content = json.loads(run(str(recipe), "--probe", "10m", "--format", "json").output)
    assert content["values"]["optim.lr"]["value"] == 5e-3
    assert content["values"]["optim.lr"]["rule"] is None
    assert content["values"]["optim.clip_norm"]["evidence"] == "measured here"
    assert content["estimate"]["basis"] == "probe"
    assert content["probe"]["seeds"] == 3
    memory = content["probe"]["peak_mib"]
    memory = peak_mib(memory) if content["probe"]["device"].startswith("CPU") else memory
    assert content["estimate"]["memory_mib"] == pytest.approx(memory, rel=0.01), (
        "of the whole process, as without a probe"
    )


PROGRAM = """
import time
first = time.perf_counter()
from dpdrun.commands._probe import started
print(started(), first)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere the time of the CPU stands for it")
def test_time_before_the_probe_counts() -> None:
    """A program begins between what its starter does before and its own first line."""
    before = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    began, first = map(float, done.stdout.split())
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert before - tick <= began <= first


def test_interrupted_probe_writes_nothing(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(probing, "share_out", interrupt)
    out = tmp_path / "probed.yaml"
    result = run(str(recipe_file), "--probe", "60s", "-o", str(out))
    assert result.exit_code == 130
    assert "probe interrupted; nothing was written" in result.output
    assert not out.exists()


def test_too_short_a_probe_says_the_least(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "FEWEST_RATES", 10**6)
    result = run(str(recipe_file), "--probe", "5s")
    assert result.exit_code == 2
    assert "--probe" in result.output
    assert "is too short here" in result.output

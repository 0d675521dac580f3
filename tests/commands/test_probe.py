"""`dpdrun probe`: what was measured enters the recommendation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.commands.probe import seconds_of
from dpdrun.plan.cost import peak_mib
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.loader import load_recipe
from dpdrun.training import probe as probing
from tests.json_documents import as_documented


def probe(recipe: Path, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["probe", str(recipe), *arguments])


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("2m", 120), ("90", 90), ("1.5min", 90), ("1h", 3600)])
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-60s", "60 parsecs", "0", "1e9h", "nan"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected"):
        seconds_of(text)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe of a few steps, whose time begins with it and not with the tests, which take longer than it may."""
    monkeypatch.setattr("dpdrun.commands.probe.started", time.perf_counter)
    monkeypatch.setattr(probing, "FEWEST_RATES", 30)
    monkeypatch.setattr(probing, "MOST_RATES", 30)
    monkeypatch.setattr(probing, "MOST_NORMS", 40)


@pytest.mark.usefixtures("short")
def test_probe_of_a_recipe(recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "probed.yaml"
    result = probe(recipe_file, "--time", "10m", "-o", str(out))
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
    content = as_documented("recommend", json.loads(probe(recipe, "--time", "10m", "--format", "json").output))
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
from dpdrun.commands.probe import started
print(started(), first)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere the time of the CPU stands for it")
def test_time_before_the_probe_counts() -> None:
    """A program begins between what its starter does before and its own first line."""
    before = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    began, first = map(float, done.stdout.split())
    apart = 10 / os.sysconf("SC_CLK_TCK")  # the kernel's count of ticks and its clock are not one
    assert before - apart <= began <= first


def test_interrupted_probe_writes_nothing(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(probing, "share_out", interrupt)
    out = tmp_path / "probed.yaml"
    result = probe(recipe_file, "--time", "60s", "-o", str(out))
    assert result.exit_code == 130
    assert "probe interrupted; nothing was written" in result.output
    assert not out.exists()


def test_too_short_a_probe_says_the_least(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "FEWEST_RATES", 10**6)
    result = probe(recipe_file, "--time", "5s")
    assert result.exit_code == 2
    assert "--time 5s is too short" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--time", "soon"), "soon: expected a time such as 60s"),
        (("--time", "1s"), "expected at least 5s"),
        (("--set", "model.heads=3"), "model.heads 3 does not divide model.d_model 8"),
    ],
)
def test_wrong_inputs(recipe_file: Path, arguments: tuple[str, ...], message: str) -> None:
    result = probe(recipe_file, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_an_existing_file_is_refused_before_anything_is_measured(recipe_file: Path) -> None:
    result = probe(recipe_file, "--time", "60s", "-o", str(recipe_file))
    assert result.exit_code == 2
    assert "already exists" in result.output
    assert result.stdout == ""


@pytest.mark.usefixtures("short")
def test_a_recipe_that_training_refuses_is_refused_with_its_line(recipe_file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "spectral.yaml"
    loss = "compile: off, loss: {out_of_band: 3}}"
    recipe.write_text(recipe_file.read_text(encoding="utf-8").replace("compile: off}", loss), encoding="utf-8")
    result = probe(recipe)
    assert result.exit_code == 2
    assert "does not state the bandwidth of its signal" in " ".join(result.output.split())

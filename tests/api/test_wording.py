"""Errors name the arguments of Python where no command runs, and the flags of commands where one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dpdrun
from dpdrun.errors import DataError, DpdrunError, RecipeError, RunError, command_line, worded
from dpdrun.recipe.given import enter_loss, enter_model

RECIPE = {"task": "pa", "data": {"source": "synthetic/mild"}, "model": {"kind": "gmp"}}


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        ("give another --run-dir, or --resume to continue it", "give another out=, or resume=True to continue it"),
        ("location: --data PATH", "location: capture=PATH"),
        ("--set optim.lr=fast: optim.lr: expected", "overrides optim.lr=fast: optim.lr: expected"),
        ("add --plugin net.py", 'add dpdrun.plugins.load_files(["net.py"])'),
        ("use --to torchscript, or --force", 'use to="torchscript", or force=True'),
        ("give --sample-rate-hz 2e8 (data.sample_rate_hz)", "give sample_rate_hz=2e8 (data.sample_rate_hz)"),
        ("omit --map; set --map loss=x", 'omit maps=; set maps=["loss=x"]'),
        (
            "continue with:\n  dpdrun train 'a b/r.yaml' --run-dir r --resume --set optim.lr=1",
            "continue with:\n  dpdrun.train('a b/r.yaml', out='r', resume=True, overrides=['optim.lr=1'])",
        ),
        ("run `dpdrun data inspect x --columns a` first", "run `dpdrun data inspect x --columns a` first"),
        ("  dpdrun data align x --force", "  dpdrun data align x --force"),
        ("no--force and --unknown-flag stay", "no--force and --unknown-flag stay"),
    ],
)
def test_flags_become_arguments_and_commands_stay(flags: str, arguments: str) -> None:
    assert worded(flags) == arguments
    assert worded(arguments) == arguments, "an error may quote another"
    with command_line():
        assert worded(flags) == flags


def message_of(error: DpdrunError) -> str:
    with command_line():
        return str(error)


def test_a_folder_in_use_asks_for_another_out(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"not empty; give another out=$") as caught:
        dpdrun.train(RECIPE, out=tmp_path)
    assert "give another --run-dir" in message_of(caught.value)


def test_an_override_is_named_as_one() -> None:
    with pytest.raises(RecipeError, match=r"^overrides train.seed=x: train.seed: expected") as caught:
        dpdrun.load_recipe(RECIPE, {"train.seed": "x"})
    assert message_of(caught.value).startswith("--set train.seed=x: ")


def test_a_missing_plugin_file_is_named_by_the_call() -> None:
    with pytest.raises(DpdrunError, match=r'^dpdrun.plugins.load_files\(\["nowhere.py"\]\): cannot be read'):
        dpdrun.plugins.load_files(["nowhere.py"])


def test_a_wrong_rate_names_the_argument() -> None:
    x = np.exp(2j * np.pi * np.arange(2000) ** 2 / 4000)
    with pytest.raises(DataError, match=r'give sample_rate_hz=.*give check_rates="off"'):
        dpdrun.Capture.from_arrays(x, x, sample_rate_hz=200)


@pytest.mark.usefixtures("plugin_registry")
def test_what_was_passed_from_python_is_offered_to_no_recipe() -> None:
    enter_model()
    enter_loss()
    with pytest.raises(RecipeError, match=r"missing section model.*\n.*train.loss: expected") as caught:
        dpdrun.load_recipe({"task": "pa", "data": {"source": "synthetic/mild"}, "train": {"loss": "hub"}})
    assert "given" not in str(caught.value)

"""`dpdrun import`: an OpenDPD command or script as a recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.recipe.loader import load_recipe

# The example of the founding note, to the letter (docs/note.md).
NOTE = """\
python main.py \\
    --step train_pa \\
    --PA_backbone transformer_encoder \\
    --lr 1e-4 \\
    --grad_clip_val 1.0 \\
    --warmup_steps 1000 \\
    --weight_decay 0.01 \\
    --lr_schedule 1
"""


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["import", *arguments], input=given)


def flat(result: Result) -> str:
    return " ".join(result.output.split())


def test_the_notes_example_of_about_2000_steps_is_flagged() -> None:
    result = run(NOTE, "--samples", "10000")
    assert result.exit_code == 0
    assert "max_steps: 2000" in flat(result)
    assert "warning WU101 " in flat(result)
    assert ": the warmup is 1000 of 2000 steps, 50% (limit 10%)" in flat(result)
    assert "warmup: 1000  # --warmup_steps" in result.output


def test_the_notes_example_is_flagged_without_a_number_of_samples_too() -> None:
    result = run(NOTE)
    assert (
        "for the 10000 frames of the founding Transformer note the run has 2000 steps, and 1000 of warmup are 50% of it"
        in flat(result)
    )
    assert "so its lr never rises above 4e-7 (4/1000 of --lr)" in flat(result)


def test_a_script_to_a_file(tmp_path: Path) -> None:
    script, out = tmp_path / "train.sh", tmp_path / "out.yaml"
    script.write_text(NOTE)
    result = run(str(script), "-o", str(out), "--samples", "10000")
    assert result.exit_code == 0
    assert f"{script}:1: translated" in result.output
    assert f"{out}:" in result.output  # the place of a finding
    assert load_recipe(out).recipe.train.max_steps == 2000


def test_the_head_says_where_the_command_stood(tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text("#!/bin/sh\n\n" + NOTE)
    head = "# Translated by dpdrun from the OpenDPD command in "
    assert run(str(script), "--format", "yaml").stdout.startswith(f"{head}{script}, line 3;")
    head = "# Translated by dpdrun from this OpenDPD command; defaults are those of the fork"
    assert run(NOTE, "--format", "yaml").stdout.startswith(head)


def test_standard_input_as_yaml() -> None:
    result = run("-", "--format", "yaml", given=NOTE)
    assert result.exit_code == 0
    assert result.stdout.startswith("# Translated by dpdrun from the OpenDPD command in standard input, line 1;")
    assert "unsafe fix" not in result.stdout, "the findings are not YAML"


def test_json() -> None:
    content = json.loads(run(NOTE, "--samples", "10000", "--format", "json").stdout)
    assert content["schema_version"] == 1
    assert "WU101" in [finding["code"] for finding in content["findings"]]
    assert content["translation"]["dialect"] == "the fork minosoc/OpenDPD at 637ed74"
    assert content["translation"]["recipe"].startswith("# Translated")
    assert content["translation"]["remarks"]


def test_torch_is_not_loaded() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from dpdrun.commands import app; "
        f"done = CliRunner().invoke(app, ['import', {NOTE!r}, '--samples', '10000']); "
        "print(done.exit_code, {'torch', 'accelerate', 'scipy.signal', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 set()"


def test_other_flags_override() -> None:
    result = run(NOTE, "--data", "synthetic/mild", "--set", "model.layers=3", "--set", "rules=note", "--format", "yaml")
    assert "rules: note" in result.stdout
    assert "source: synthetic/mild  # --data" in result.stdout
    assert "layers: 3" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("python main.py --step train_pa --dataset_name \x1b[31m",),
            "neither a name nor a path of data",
        ),
        (("nowhere.sh",), "nowhere.sh: neither a readable script (No such file or directory) nor a command"),
        (("python main.py --step train_dpd",), "only commands with --step train_pa can be translated"),
        ((NOTE.replace("1e-4", "$lr"),), "command:1: $lr is unknown"),
        ((NOTE + " --n_heads 3",), "command:9: this line begins with a flag"),
        ((NOTE.rstrip() + " --n_heads 3",), "command:1: the command gives no trainable recipe"),
        ((NOTE, "--sample-rate-hz", "-1"), "--sample-rate-hz must be a positive number"),
        ((NOTE, "--epochs", "2.5"), "Invalid value for '--epochs'"),
        ((NOTE, "--set", "model.layers=0"), "--set model.layers=0: "),
        ((" ",), "the command is empty; quote it"),
        (("python main.py --lr 1e-3",), "this has --step run_dpd (OpenDPD's default)"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in flat(result)


@pytest.mark.parametrize(
    "model",
    ["gru --PA_hidden_size 4", "transformer_encoder --d_model 8 --n_heads 2 --d_ff 16", "gmp"],
)
def test_the_recipe_trains(model: str, recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    flags = f"--step train_pa --PA_backbone {model} --frame_length 32 --frame_stride 8 --batch_size 16 --n_epochs 2"
    source = ("--data", str(recipe_file.parent / "capture.npz"), "--sample-rate-hz", "1e6")
    made = run(f"python main.py {flags}", *source, "-o", str(out))
    assert made.exit_code == 0, made.output
    short = [] if model == "gmp" else ["--set", "train.max_steps=3", "--set", "train.eval_every=3"]
    done = CliRunner().invoke(app, ["train", str(out), "--run-dir", str(tmp_path / "run"), *short])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "report.json").exists()


def test_epochs_and_batch_size_set_the_number_of_steps() -> None:
    result = run(NOTE, "--samples", "10000", "--epochs", "10", "--batch-size", "128", "--format", "yaml")
    assert result.exit_code == 1, "a warmup longer than the run is an error"
    assert "max_steps: 790  # 10 epochs x 79 batches" in result.stdout
    assert "batch_size: 128" in result.stdout
    assert "# overridden by: --n_epochs 10 --batch_size 128" in result.stdout


@pytest.mark.parametrize("length", [256, 5000])
def test_a_command_longer_than_a_file_name_is_read(length: int) -> None:
    command = f"X={'x' * length} " + " ".join(NOTE.replace("\\\n", " ").split())
    assert run(command, "--format", "yaml").exit_code == 0


def test_a_recipe_without_a_file_has_no_name_that_could_be_one() -> None:
    assert "dpdrun lint RECIPE --fix fixes" in flat(run(NOTE))


def test_a_step_that_may_be_in_an_unknown_variable_is_requested() -> None:
    script = 'A="--step train_pa"\nif x; then A="$A --lr 1"; fi\npython main.py $A\npython main.py --step train_dpd\n'
    result = run(script)
    assert result.exit_code == 2
    assert "$A is unknown" in flat(result)

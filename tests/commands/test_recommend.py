"""`dpdrun recommend` from flags and from recipes."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.commands._flags import ask_user
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.loader import load_recipe

SIZES = ("--model", "transformer", "--d-model", "256", "--layers", "4")
RUN = (*SIZES, "--epochs", "50", "--batch-size", "256")
EXAMPLE = (*RUN, "--samples", "10000")
RECIPE = """\
# my amplifier
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 32, layers: 2, heads: 4, window: 32}
optim:
  lr: 2e-3  # found by hand
"""


def run(*arguments: str, width: str = "160") -> Result:
    return CliRunner(env={"COLUMNS": width}).invoke(app, ["recommend", *arguments])


def test_the_notes_example() -> None:
    result = run(*EXAMPLE, "--rules", "note")
    assert result.exit_code == 0
    assert "optimizer steps: 1954, about 2000; warmup 147 (5 to 10 % is 98 to 195, about 100 to 200)" in result.output
    assert "3e-4" in result.output
    assert "LR001" in result.output


@pytest.mark.parametrize("width", ["60", "80", "160"])
def test_table_says_everything_at_any_width(width: str) -> None:
    output = " ".join(run(*EXAMPLE, width=width).output.split())
    assert "optim.weight_decay" in output
    assert "OP001 cited" in output
    assert "PyTorch's default" in output


def test_json() -> None:
    content = json.loads(run(*EXAMPLE, "--rules", "note", "--format", "json").output)
    assert content["total_steps"] == 1954
    assert content["warmup_steps_range"] == [98, 195]
    assert content["values"]["optim.lr"]["value"] == 3e-4


def test_range_of_a_large_model() -> None:
    assert "7.1e-5 (5e-5 to 1e-4)" in run("--model", "transformer", "--d-model", "1024", "--samples", "99").output


@pytest.mark.parametrize("columns", [80, 120])
def test_without_a_job_the_rules_are_shown_by_width(columns: int) -> None:
    result = CliRunner().invoke(app, ["recommend"], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    rows = {match[0]: row for row in result.output.splitlines() if (match := re.match(r"  [\w.]+(, \w+ \d+)?", row))}
    assert re.search(r"0\.0\d+ \(.* to .*\) +LR010.* 3e-4 +LR001", rows["  lr, d_model 16"])
    assert "7.1e-5 (5e-5 to 1e-4)" in rows["  lr, d_model 1024"]
    assert "200" in [row for row in result.output.splitlines() if "optim.clip_norm" in row][1]  # a GRU's, by the note
    assert "\u2026" not in result.output  # nothing is cut
    assert max(map(len, result.output.splitlines())) <= columns
    content = json.loads(run("--format", "json").stdout)
    by_width = {(row["model"], row["width"]): row for row in content["learning_rates"]}
    job = ("--model", "transformer", "--d-model", "64", "--layers", "2", "--window", "32", "--samples", "800")
    same = json.loads(run(*job, "--format", "json").stdout)["values"]["optim.lr"]
    assert by_width["transformer", 64]["measured"]["value"] == same["value"]
    assert by_width["transformer", 64]["note"]["value"] == 3e-4
    assert {row["field"] for row in content["settings"]} >= {"optim.warmup", "optim.clip_norm", "train.batch_size"}


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("--layers", "2"), "--model and --samples are needed"),
        (("--format", "yaml"), "--model and --samples are needed"),
        (("--ask",), "--ask needs a terminal"),
        (("--ask", "recipe.yaml"), "--ask describes a job without a recipe"),
        (("--model", "transformer", "--samples", "100"), "--d-model is needed"),
        (("--model", "gru", "--samples", "100"), "--hidden is needed"),
        (("--model", "gru", "--samples", "100"), "recommend --model gru --hidden 16 --samples"),
        (("--model", "gru", "--hidden", "8"), "--samples is needed"),
        ((*EXAMPLE, "--format", "yaml"), "for a recipe, --data is needed"),
        ((*EXAMPLE, "--format", "yaml", "--rules", "note"), "--heads and --window and --data are needed"),
    ],
)
def test_missing_inputs_are_requested_by_name(arguments: tuple[str, ...], missing: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert missing in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "gru", "--hidden", "8", "--samples", "9", "--d-model", "4"), "--d-model does not belong"),
        (("--model", "transformer", "--d-model", "8", "--samples", "9", "--hidden", "4"), "--hidden does not belong"),
        ((*EXAMPLE, "--data", "synthetic/mild"), "--samples and --data both set the amount"),
        ((*EXAMPLE, "--sample-rate-hz", "1e8"), "--sample-rate-hz describes data; add --data SOURCE"),
        ((*EXAMPLE, "--window", "wide"), "'--window': wide: expected a number of samples"),
        ((*EXAMPLE, "--window", "0"), "'--window': 0: expected a number of samples from 1 to 65536, or full"),
        ((*EXAMPLE, "--window", "-1"), "'--window': -1: expected"),
        ((*EXAMPLE, "--window", "1000000000"), "'--window': 1000000000: expected"),
        ((*EXAMPLE, "--window", ""), "'--window': (empty): expected"),
        (("recipes/quickstart.yaml", "--window", "1000000000"), "'--window': 1000000000: expected"),
        (
            ("recipes/quickstart.yaml", "--window", "64000"),
            "a window of 64000 samples is longer than the training split",
        ),
        (("recipes/quickstart.yaml", "-o", "no/such/place.yaml"), "there is no folder no/such; create it first"),
        (("recipes/quickstart.yaml", "--heads", "3"), "--heads 3: model.heads 3 does not divide model.d_model 16"),
        (("recipes/quickstart.yaml", "--hidden", "3"), "--hidden 3: unknown key model.hidden; model.kind transformer"),
        (("recipes/quickstart.yaml", "-o", "recipes"), "recipes: this is a folder; name the recipe file in it"),
        ((*EXAMPLE, "--epochs", "1e300"), "--epochs 1e+300: expected a number greater than 0 and up to 1,000,000"),
        ((*EXAMPLE, "--epochs", "0"), "--epochs 0: expected a number greater than 0"),
        ((*EXAMPLE, "--epochs", "nan"), "--epochs nan: expected"),
        ((*EXAMPLE, "--epochs", "1e6", "--batch-size", "1"), "are 1.0e+10 optimizer steps; at most 1e+09 make sense"),
        ((*EXAMPLE, "--rules", "mine"), "'--rules': 'mine' is not one of 'measured', 'note'"),
    ],
)
def test_wrong_inputs(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_warnings_are_printed_with_code_and_advice() -> None:
    result = run(*SIZES, "--heads", "5", "--samples", "100", "--batch-size", "64", "--rules", "note")
    output = result.output
    assert result.exit_code == 1, "an error was found"
    assert "error MD101 " in output
    assert ": 5 heads do not divide d_model 256" in output
    assert "warning BT101" in output
    assert "set model.heads to 4" in output


@pytest.mark.parametrize(
    "arguments",
    [
        (*EXAMPLE, "--format", "yaml"),
        (*EXAMPLE, "--format", "yaml", "--rules", "note"),
        (*EXAMPLE, "--format", "yaml", "--heads", "8"),
        ("--model", "gru", "--samples", "100"),
        ("--data", "synthetic/mild"),
        ("--data", "synthetic/mild", "--model", "transformer", "--rules", "note"),
        ("--layers", "2"),
    ],
)
def test_the_example_of_what_is_missing_works(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    command = next(line for line in result.output.splitlines() if "for example" in line).partition(": ")[2]
    typed = [word for word in arguments if word not in ("--format", "yaml", "--samples", "10000")]
    words = shlex.split(command)
    assert words[:2] == ["dpdrun", "recommend"]
    assert set(typed) <= set(words), "it is what was typed, and more"
    monkeypatch.chdir(tmp_path)
    again = run(*words[2:])
    assert again.exit_code == 0, again.output
    if "-o" in words:
        assert load_recipe(tmp_path / "my.yaml").recipe.model.kind == "transformer"


def test_a_batch_of_the_notes_size_is_stated_not_to_overlap() -> None:
    output = run(*EXAMPLE).output
    assert "info BT102 " in output
    assert ": a step takes 256 non-overlapping frames; the note's 256 overlap" in output
    assert "BT102" not in run(*EXAMPLE, "--rules", "note").output


@pytest.mark.parametrize("window", ["32", "full"])
def test_recipe_from_flags_loads(tmp_path: Path, window: str) -> None:
    out = tmp_path / "new.yaml"
    result = run(*RUN, "--heads", "4", "--window", window, "--data", "synthetic/mild", "-o", str(out))
    assert result.exit_code == 0, result.output
    loaded = load_recipe(out)
    assert values_of(loaded.recipe)["train.epochs"] == 50
    assert values_of(loaded.recipe)["train.batch_size"] == 256
    assert "# Written by: dpdrun recommend" in loaded.text


def test_no_recipe_is_written_that_cannot_be_trained(tmp_path: Path) -> None:
    out = tmp_path / "new.yaml"
    result = run(*RUN, "--heads", "5", "--window", "32", "--data", "synthetic/mild", "-o", str(out))
    assert result.exit_code == 2
    assert "model.heads 5 does not divide model.d_model 256" in " ".join(result.output.split())
    assert not out.exists()


def test_existing_file_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "new.yaml"
    out.write_text("mine", encoding="utf-8")
    arguments = ("--model", "gru", "--hidden", "8", "--data", "synthetic/mild", "-o", str(out))
    result = run(*arguments)
    assert result.exit_code == 2
    assert "--force" in result.output
    assert out.read_text(encoding="utf-8") == "mine"
    assert run(*arguments, "--force").exit_code == 0
    assert load_recipe(out).recipe.model.kind == "gru"


def test_recipe_is_filled_from_its_data(tmp_path: Path) -> None:
    path, out = tmp_path / "a.yaml", tmp_path / "b.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    result = run(str(path), "-o", str(out))
    assert result.exit_code == 0, result.output
    assert "given; LR010 would set" in result.output
    text = out.read_text(encoding="utf-8")
    assert "# From the header of" in text
    assert "#   my amplifier" in text
    assert text.startswith("# Written by: dpdrun recommend")
    assert "  # FR002: " in text
    assert "lr: 2e-3  # found by hand" in text
    filled = values_of(load_recipe(out).recipe)
    assert filled["train.epochs"] != "auto"
    assert filled["optim.lr"] == 2e-3


def test_flags_override_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    result = run(
        str(path), "--epochs", "50", "--batch-size", "256", "--samples", "10000", "--rules", "note", "--format", "json"
    )
    content = json.loads(result.output)
    assert content["total_steps"] == 1954
    assert content["rules"] == "note"


def test_epochs_of_a_recipe_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    result = run(str(path), "--epochs", "1e300")
    assert result.exit_code == 2
    assert "train.epochs: expected a number greater than 0 and up to 1000000, or auto" in result.output


def test_embedded_data_are_not_generated(tmp_path: Path) -> None:
    """Their length is all that is asked; generating them would take most of the time."""
    path = tmp_path / "a.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    code = f"""
import sys
from dpdrun.commands import app
from dpdrun.commands._flags import ask_user
try:
    app(["recommend", {str(path)!r}])
finally:
    print("data loaded:", "dpdrun.data.synthetic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "optimizer steps" in done.stdout
    assert "data loaded: False" in done.stdout


def test_missing_recipe() -> None:
    result = run("nowhere.yaml")
    assert result.exit_code == 2
    assert "nowhere.yaml" in result.output


FAULTY = (
    RECIPE.replace("window: 32}", "window: 32, dropout: 0.1}  # from a book").replace("2e-3", "2e-2")
    + """\
  weight_decay: 1e-5
train:
  max_steps: 2000
"""
)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.yaml"
    path.write_text(FAULTY, encoding="utf-8")
    return path


def test_findings_stand_under_the_table(faulty: Path) -> None:
    result = run(str(faulty), width="400")
    assert result.exit_code == 0, result.output
    table, _, findings = result.output.partition("optimizer steps: 2000")
    assert "optim.weight_decay" in table
    assert f"{faulty}:4:74: warning RG103 " in findings
    assert f"{faulty}:7:3: info RG101 " in findings
    assert ": optim.weight_decay 1e-05 has no effect" in findings
    assert "  safe fix: optim.weight_decay: off" in findings
    assert f"1 warning, 1 info; dpdrun lint {faulty} --fix fixes 1, --fix --unsafe-fixes fixes 2" in findings
    assert faulty.read_text(encoding="utf-8") == FAULTY


def test_findings_in_json_have_their_place(faulty: Path) -> None:
    warnings = json.loads(run(str(faulty), "--format", "json").stdout)["warnings"]
    assert [(w["code"], w["line"], w["column"], w["fix"]) for w in warnings] == [
        ("RG103", 4, 74, "unsafe"),
        ("RG101", 7, 3, "safe"),
    ]


def test_findings_that_fixes_lead_to_are_announced(followed: Path) -> None:
    later = "after these fixes: info WU104 "
    assert later in run(str(followed), width="200").output
    content = json.loads(run(str(followed), "--format", "json").stdout)
    assert [(each["code"], each["patch"]) for each in content["after_fixes"]] == [("WU104", {"optim.beta2": 0.986})]


def test_epochs_for_another_amount_of_data_are_not_written(tmp_path: Path) -> None:
    path, out = tmp_path / "a.yaml", tmp_path / "b.yaml"
    model = "{kind: transformer, d_model: 16, layers: 1, heads: 2, window: 32}"
    path.write_text(f"task: pa\ndata: {{source: synthetic/mild}}\nmodel: {model}\n", encoding="utf-8")
    result = run(str(path), "--samples", "100", "-o", str(out))
    assert result.exit_code == 2
    assert "a recipe cannot store --samples 100" in result.output
    assert not out.exists()
    assert run(str(path), "--samples", "100").exit_code == 0
    assert run(str(path), "--samples", "100", "--epochs", "5", "-o", str(out)).exit_code == 0
    assert load_recipe(out).recipe.train.epochs == 5


class Terminal(io.StringIO):
    """Standard input of a person who types these lines."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "given", "frames"),
    [
        ("\n\n\n\n", {"model": "transformer", "d_model": 16}, 1000),
        ("gru\n\n0\n50\n32\n", {"model": "gru", "hidden": 32}, 50),
        ("\nmine.csv\n", {"model": "transformer", "data": "mine.csv"}, None),
    ],
)
def test_what_a_plan_needs_is_asked_for(
    typed: str, given: dict[str, object], frames: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    answers: dict[str, object] = {}
    assert ask_user(answers, None) == frames
    assert answers == given

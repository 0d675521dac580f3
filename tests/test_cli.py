"""The command line as a whole: what it loads, how it fails, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import dpdrun
from dpdrun import commands
from dpdrun.commands import _renamed
from dpdrun.commands._failures import EXIT_BROKEN_PIPE
from dpdrun.errors import DataError, StoppedError

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "accelerate", "matplotlib")
RECIPE = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\n"

# Runs one command after another; after each a line of JSON to stderr: its exit code, and the heavy modules so far.
PROBE = f"""
import json, sys
from dpdrun.commands import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["dpdrun", *arguments]
    try:
        main()
    except SystemExit as end:
        print(json.dumps([end.code or 0, sorted(set({HEAVY!r}) & set(sys.modules))]), file=sys.stderr)
"""

# Says when its exit functions are called, and when the interpreter takes down what is left.
LAST = """
import atexit, os, sys
from dpdrun.commands import main
class Last:
    def __del__(self, write=os.write):
        write(1, b"taken down\\n")
last = Last()
atexit.register(print, "exit functions", flush=True)
sys.argv = ["dpdrun", *sys.argv[1:]]
main()
"""


def run(*arguments: str, code: str | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", code] if code else [sys.executable, str(ROOT / "cli.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(
        [*start, *arguments], input=stdin, capture_output=True, text=True, env=environment, check=False
    )


LIGHT = [
    ["--help"],
    ["--version"],
    ["train", "--help"],
    ["recipe", "check", "RECIPE"],
    ["recipe", "check", "RECIPE", "--set", "optim.lr=fast"],
    ["recipe", "new"],
    ["recipe", "schema"],
    ["recommend", "--help"],
    ["recommend", "RECIPE"],
    ["lint", "RECIPE"],
    ["probe", "--help"],
    ["import", "python main.py --step train_pa --PA_backbone gru --dataset_name DPA_200MHz"],
    ["diagnose", "--help"],
    ["explain", "--help"],
    ["explain", "optim.lr"],
    ["health", "--help"],
    ["data", "--help"],
    ["data", "list"],
]


def test_commands_that_train_nothing_load_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    asked = [[str(path) if word == "RECIPE" else word for word in arguments] for arguments in LIGHT]
    result = run(json.dumps(asked), code=PROBE)
    assert "Traceback" not in result.stderr
    ends = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("[")]
    expected = {" ".join(each): [2 if "optim.lr=fast" in each else 0, []] for each in LIGHT}
    assert dict(zip(expected, ends, strict=True)) == expected, result.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    modules = (*HEAVY, "numpy", "pydantic", "typer", "rich")
    result = run(code=f"import dpdrun, sys; print(sorted(set({modules!r}) & set(sys.modules)))")
    assert result.stdout.strip() == "[]"


def test_every_command_is_there_in_the_documented_order() -> None:
    found = [info.name for info in commands.app.registered_commands] + [g.name for g in commands.app.registered_groups]
    assert set(found) == set(commands.ORDER)
    shown = run("--help").stdout
    assert all(name in shown for name in commands.ORDER)


@pytest.mark.parametrize(("place", "now"), _renamed.MOVED.items(), ids=lambda each: " ".join(each))
def test_an_option_that_moved_names_its_new_command(place: tuple[str, str], now: str) -> None:
    command, option = place
    for spelling in ([option, "60s"], [f"{option}=60s"]):
        result = CliRunner().invoke(commands.app, [*command.split(), "recipe.yaml", *spelling])
        assert result.exit_code == 2
        assert result.stderr == f"error: `dpdrun {command} {option}` is now a separate command: {now}\n"
        new = CliRunner().invoke(commands.app, [now.split()[1], "--help"]).stdout
        assert all(word in new for word in now.split() if word.startswith("--"))


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert dpdrun.__version__ == project["version"]
    assert CliRunner().invoke(commands.app, ["--version"]).stdout == f"dpdrun {project['version']}\n"


@pytest.mark.parametrize("error", [DataError("r.csv:3: not a number"), StoppedError("stopped; --resume continues")])
def test_errors_for_the_user_are_printed_with_their_exit_code(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        typer.echo("before")
        raise error

    app = commands.build_app()
    app.command("fail")(fail)
    result = CliRunner().invoke(app, ["fail"])
    assert result.exit_code == error.exit_code  # type: ignore[attr-defined]
    assert result.stdout == "before\n"
    assert result.stderr == f"error: {error}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate"],
        ["diagnose"],
        ["data", "inspect"],
        ["recommend", "--model", "gru", "--data"],
        ["recipe", "new", "-o"],
    ],
    ids=" ".join,
)
def test_a_path_too_long_is_one_message(arguments: list[str]) -> None:
    name = "x" * 300
    result = CliRunner().invoke(commands.app, [*arguments, name])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert ": File name too long" in result.stderr or ": no such " in result.stderr


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [["data", "list"], ["explain", "LR010"], ["--help"]], ids=" ".join)
def test_a_standard_output_without_room_is_one_message(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dpdrun", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    said = "error: standard output: No space left on device; make room on its disk\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize("field", ["data.source", "pa"])
def test_the_home_of_a_user_who_is_not_there_is_no_traceback(field: str, tmp_path: Path) -> None:
    recipe = tmp_path / "a.yaml"
    recipe.write_text(
        RECIPE.replace("task: pa", "task: dpd\npa: given" if field == "data.source" else "task: dpd\npa: x")
    )
    result = CliRunner().invoke(commands.app, ["train", str(recipe), "--dry-run", "--set", f"{field}=~no_such_user/x"])
    assert result.exit_code == 2, result.exception
    assert "~no_such_user/x: no such" in result.stderr


def test_an_interrupt_exits_130() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    app = commands.build_app()
    app.command("fail")(fail)
    assert CliRunner().invoke(app, ["fail"]).exit_code == 130


@pytest.mark.parametrize("in_a_team", [True, False])
def test_a_process_of_a_team_leaves_before_the_interpreter_is_taken_down(
    in_a_team: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of gloo that comes late to its tensors would abort it then."""
    monkeypatch.delenv("RANK", raising=False)
    if in_a_team:
        monkeypatch.setenv("RANK", "1")
    result = run("train", "no.yaml", code=LAST)
    assert result.returncode == 2
    assert "no.yaml: no such file" in result.stderr
    assert result.stdout.split("\n")[:-1] == ["exit functions", *([] if in_a_team else ["taken down"])]


def test_a_misspelt_command_exits_2_with_a_suggestion() -> None:
    result = run("recip")
    assert result.returncode == 2
    assert "'recipe'" in result.stderr


# Typer's echo flushes what it writes; print() leaves it to the end of the process.
PRINTS = """
import sys
from dpdrun import commands
from dpdrun.commands import _renamed
commands.app.command("print")(lambda: print("text"))
sys.argv = ["dpdrun", *sys.argv[1:]]
commands.main()
"""


@pytest.mark.parametrize("arguments", [["recipe", "schema"], ["print"], ["--help"]], ids=" ".join)
def test_a_reader_that_goes_away_is_met_in_silence(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-c", PRINTS, *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
    finally:
        os.close(writer)
    assert result.stderr == ""
    assert result.returncode == EXIT_BROKEN_PIPE


def test_ctrl_c_inside_of_exec_ends_with_130(tmp_path: Path) -> None:
    """CPython then ends `python -m` by SIGINT, even where it was caught."""
    (tmp_path / "p.py").write_text("exec('raise KeyboardInterrupt')\n")
    command = [sys.executable, "-P", "-m", "dpdrun", "plugins", "check", str(tmp_path / "p.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")

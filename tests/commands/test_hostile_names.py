"""Control characters in names and values of others: no command prints one, or writes it to Markdown or a plot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpdrun import commands

EVIL = "a\x1b[31m\x1b]8;;http:x\x07\u202egnp\x9b2J\r"
LOG = "step,loss,grad_norm,EVIL\n" + "".join(f"{i},{1 / i},1.0,2\n" for i in range(1, 40))


def hostile(text: str) -> set[str]:
    return {character for character in text if character != "\n" and not character.isprintable()}


@pytest.fixture(scope="module")
def folder(recipe_file: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names") / EVIL
    folder.mkdir()
    shutil.copy(recipe_file, folder / f"{EVIL}.yaml")
    shutil.copy(recipe_file.parent / "capture.npz", folder / f"{EVIL}.npz")
    shutil.copytree(finished, folder / EVIL)
    (folder / f"{EVIL}.csv").write_text(LOG.replace("EVIL", EVIL.replace("\r", "")))
    (folder / f"{EVIL}.sh").write_text(
        f"python main.py --step train_pa --PA_backbone 'gru{EVIL}' --dataset_name '{EVIL}'\n"
    )
    (folder / "bad.yaml").write_text('"\\e[31m\\u202e": 1\ntask: "\\e]8;;http://x\\a"\ndata: {source: "\\x9b2J"}\n')
    return folder


CALLS = [
    ["train", "RECIPE", "--dry-run"],
    ["train", "RECIPE", "--run-dir", "RUN"],
    ["train", "RECIPE", "--set", f"optim.lr={EVIL}"],
    ["train", "RECIPE", "--set", f"{EVIL}=1"],
    ["train", "RECIPE", "--rendezvous", EVIL],
    ["train", "bad.yaml"],
    ["train", EVIL],
    ["evaluate", "RUN"],
    ["evaluate", EVIL],
    ["compare", "RUN", "RUN"],
    ["compare", "RUN", EVIL],
    ["apply", "RUN", "CAPTURE", "out.csv"],
    ["export", "RUN", "--to", EVIL],
    ["recommend", "RECIPE"],
    ["recommend", "bad.yaml"],
    ["lint", "RECIPE", "--diff"],
    ["lint", "RECIPE", "bad.yaml"],
    ["probe", EVIL],
    ["import", "SCRIPT"],
    ["import", f"python main.py --PA_backbone {EVIL}"],
    ["diagnose", "LOG"],
    ["diagnose", "LOG", "--map", f"loss={EVIL}"],
    ["diagnose", "LOG", "--map", f"{EVIL}=1"],
    ["diagnose", "LOG", "--format", "markdown"],
    ["diagnose", "LOG", "--format", "json"],
    ["diagnose", "RUN"],
    ["diagnose", "--prediction", "CAPTURE", "--target", EVIL],
    ["explain", EVIL],
    ["data", "inspect", "CAPTURE"],
    ["data", "pull", EVIL],
    ["recipe", "check", "RECIPE", "bad.yaml"],
    ["recipe", "new", "-o", f"{EVIL}/x.yaml"],
    ["health", "RUN"],
    ["health", EVIL],
    [EVIL],
    ["train", f"--{EVIL}"],
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: " ".join(word.replace(EVIL, "EVIL") for word in call))
def test_no_command_prints_control_characters(call: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    paths = {"RECIPE": f"{EVIL}.yaml", "RUN": EVIL, "LOG": f"{EVIL}.csv", "SCRIPT": f"{EVIL}.sh",
             "CAPTURE": f"{EVIL}.npz", "bad.yaml": "bad.yaml"}  # fmt: skip
    given = [str(folder / paths[word]) if word in paths else word for word in call]
    result = CliRunner().invoke(commands.app, given)
    assert result.exit_code in (0, 1, 2), result.output
    assert hostile(result.output) == set()


def test_markdown_and_html_that_are_written_hold_none(folder: Path, tmp_path: Path) -> None:
    for name in ("d.md", "d.html"):
        result = CliRunner().invoke(commands.app, ["diagnose", str(folder / f"{EVIL}.csv"), "-o", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        assert hostile((tmp_path / name).read_text()) == set()


def test_labels_of_a_plot_hold_none(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "d.svg"  # a glyph that a font lacks is a warning, which fails this test
    result = CliRunner().invoke(commands.app, ["diagnose", str(folder / f"{EVIL}.csv"), "--plot", str(path)])
    assert result.exit_code == 0, result.output
    assert hostile(path.read_text()) <= {"\t"}

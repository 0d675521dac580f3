"""What a broken-off run needs is looked at before anything is written: a fault is named, and no byte changes."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpdrun.errors import RunError, StoppedError
from dpdrun.recipe.loader import load_recipe
from dpdrun.run.folder import RunFolder
from dpdrun.training import checkpoint, job

RECIPE = """\
task: pa
data: {source: capture.npz}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
optim: {lr: 1e-2}
train: {max_steps: 8, batch_size: 4, frame: 32, burn_in: 8, eval_every: 2, checkpoint_every: 2, compile: off}
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, lay_out: Callable[..., None]) -> Path:
    """A folder with `run`, stopped at step 5, and the same of another recipe, `other`. To be copied."""
    folder = tmp_path_factory.mktemp("intact")
    lay_out(folder, job=RECIPE, another=RECIPE.replace("1e-2", "2e-2"))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, stop_at: Callable[..., job.Watch], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    for name, recipe in (("run", "job.yaml"), ("other", "another.yaml")):
        if not (made / name).exists():
            with pytest.raises(StoppedError):
                job.train(load_recipe(recipe), made / name, watch=stop_at(5))
    for name in ("run", "other"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def contents(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)


def relined(run: RunFolder, change: Callable[[list[str]], list[str]]) -> None:
    lines = run.metrics.read_text().splitlines()
    run.metrics.write_text("".join(f"{line}\n" for line in change(lines)))


def without_loss(lines: list[str]) -> list[str]:
    return [json.dumps({key: value for key, value in json.loads(line).items() if key != "loss"}) for line in lines]


def replaced(run: RunFolder, kind: str, **values: Any) -> None:
    """Replaces values in the lines of a kind."""
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    lines = [line | values if line["kind"] == kind else line for line in lines]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


def linked_away(path: Path) -> None:
    path.symlink_to(path.rename(path.parents[1] / "away"))


def other(run: RunFolder) -> RunFolder:
    return RunFolder(run.path.with_name("other"))


LAST, BEST, LOG = r"last\.safetensors: ", r"best\.safetensors: ", r"metrics\.jsonl"
DAMAGE: dict[str, tuple[Callable[[RunFolder], Any], str]] = {
    "no checkpoint": (lambda run: run.last.unlink(), r"nothing to resume from: last\.safetensors is missing; .*best"),
    "cut checkpoint": (lambda run: cut(run.last), LAST + "damaged(.|\n)*best model so far"),
    "flipped checkpoint": (lambda run: flip(run.last), LAST + "damaged .* does not match the hash"),
    "empty checkpoint": (lambda run: run.last.write_bytes(b""), LAST + "damaged .*it is empty"),
    "pickled checkpoint": (lambda run: run.last.write_bytes(pickle.dumps({"a": 1})), LAST + "damaged"),
    "a model for a checkpoint": (lambda run: shutil.copy(run.best, run.last), LAST + "its header does not record"),
    "checkpoint of another recipe": (
        lambda run: shutil.copy(other(run).last, run.last),
        r"does not belong to this plan: plan.json has been changed .* by an earlier state of dpdrun [\d.]+; ",
    ),
    "no best model": (lambda run: run.best.unlink(), BEST + "missing"),
    "flipped best model": (lambda run: flip(run.best), BEST + "damaged"),
    "best model of another recipe": (
        lambda run: shutil.copy(other(run).best, run.best), BEST + "made by another recipe or other data than last",
    ),
    "no log": (lambda run: run.metrics.unlink(), LOG + ": missing, and training continues from what it says"),
    "cut log": (lambda run: cut(run.metrics), LOG + r": the line of step \d is missing or out of place"),
    "a line less": (lambda run: relined(run, lambda lines: lines[1:]), LOG + ": the line of step 1 is missing"),
    "a line twice": (lambda run: relined(run, lambda lines: [lines[0], *lines]), "the line of step 2 is missing"),
    "damaged line": (lambda run: relined(run, lambda lines: ["{", *lines]), LOG + ":1: damaged line"),
    "a rate in words": (lambda run: replaced(run, "step", lr="x"), LOG + r": a line holds no number for one of"),
    "a score in words": (lambda run: replaced(run, "eval", val_nmse_db=None), "holds no number .* val_nmse_db"),
    "a count beyond all": (lambda run: replaced(run, "step", samples=10**400), LOG + r": a line holds no number"),
    "the log twice": (lambda run: relined(run, lambda lines: lines * 2), r"the line of step \d+ is missing"),
    "line without a loss": (lambda run: relined(run, without_loss), LOG + r": a line in it is damaged \(KeyError"),
    "no plan": (lambda run: run.plan.unlink(), r"plan\.json: missing; the run cannot be read without"),
    "cut plan": (lambda run: cut(run.plan), r"plan\.json:\d+:\d+: not valid JSON.*bring a copy of plan\.json back"),
    "no recipe": (lambda run: run.recipe.unlink(), r"recipe\.yaml: missing; restore the recipe"),
    "damaged recipe": (lambda run: run.recipe.write_text("task: ["), "no longer the recipe that the run"),
    "recipe of another run": (lambda run: shutil.copy(other(run).recipe, run.recipe), "with another recipe than that"),
    "damaged report": (lambda run: run.report.write_text("{"), r"report\.json:1:2: not valid JSON.*the run is scored"),
    "damaged finish": (lambda run: run.refinement.write_bytes(b"x"), r"finish\.safetensors: damaged.* remove it"),
    "checkpoints elsewhere": (lambda run: linked_away(run.last.parent), "checkpoints: a symlink out of this folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_run_is_refused_and_left_as_it_is(case: str, here: Path) -> None:
    damage, said = DAMAGE[case]
    damage(RunFolder(here / "run"))
    before = contents(here)
    with pytest.raises(RunError, match=said) as caught:
        job.train(load_recipe("job.yaml"), here / "run", resume=True)
    assert caught.value.exit_code == 2
    assert contents(here) == before


def test_a_run_that_ended_before_its_first_checkpoint_has_lost_none(here: Path) -> None:
    """Under `train.on_finding: adapt` there is one to go back to before the first step, which is not worth a resume."""
    run = RunFolder(here / "run")
    relined(run, lambda lines: lines[:2])  # the checkpoint of step 2 was about to be written
    run.last.rename(run.rollback_point(0))
    with pytest.raises(RunError, match="nothing to resume from: it ended before its first checkpoint"):
        job.train(load_recipe("job.yaml"), run.path, resume=True)


def test_what_it_refuses_is_damage_and_not_the_run(here: Path) -> None:
    assert job.train(load_recipe("job.yaml"), here / "run", resume=True)["steps"] == 8


def test_the_command_that_is_offered_for_a_lost_checkpoint_brings_the_run_back(here: Path) -> None:
    run = RunFolder(here / "run")
    shutil.copy(run.last, run.rollback_point(5))
    flip(run.last)
    with pytest.raises(RunError, match=r"an earlier checkpoint, rollback-5\.safetensors, is intact") as caught:
        job.train(load_recipe("job.yaml"), run.path, resume=True)
    _, source, target = re.search(r"cp (\S+) (\S+)", str(caught.value)).group().split()  # type: ignore[union-attr]
    shutil.copy(source, target)
    assert job.train(load_recipe("job.yaml"), run.path, resume=True)["steps"] == 8


def test_files_that_are_links_are_replaced_and_what_they_lead_to_is_not_written(here: Path) -> None:
    run, away = RunFolder(here / "run"), here / "away"
    away.mkdir()
    for path in (run.last, run.best, run.metrics, run.plan):
        path.symlink_to(path.rename(away / path.name))
    before = contents(away)
    assert job.train(load_recipe("job.yaml"), run.path, resume=True)["steps"] == 8
    assert contents(away) == before
    assert not any(path.is_symlink() for path in run.path.rglob("*") if path not in (run.plan, run.best))


def test_a_torn_last_line_of_the_log_is_no_damage(here: Path) -> None:
    run = RunFolder(here / "run")
    with run.metrics.open("a") as handle:
        handle.write('{"kind": "step", "step": 6, "lo')
    assert job.train(load_recipe("job.yaml"), run.path, resume=True)["steps"] == 8
    assert [json.loads(line)["kind"] for line in run.metrics.read_text().splitlines()].count("step") == 8


def test_a_header_of_another_format_is_not_read_as_a_checkpoint(here: Path) -> None:
    run = RunFolder(here / "run")
    tensors, header = checkpoint.read(run.last)
    checkpoint.write(run.last, tensors, header | {"format": "dpdrun-checkpoint-9"})
    with pytest.raises(RunError, match="not a resumable checkpoint"):
        job.train(load_recipe("job.yaml"), run.path, resume=True)

"""Training from the weights of another run, with parts of them frozen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from dpdrun.diagnosis.diagnose import diagnose
from dpdrun.errors import RecipeError, RunError
from dpdrun.models import _tensors
from dpdrun.recipe.loader import Loaded
from dpdrun.run.folder import RunFolder
from dpdrun.training import job, warm_start
from dpdrun.training.telemetry import Silent

Make = Callable[..., Loaded]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, recipe_text: str) -> Path:
    """A run of the recipe of these tests. Do not write into it."""
    from dpdrun.recipe.loader import load_text

    folder = tmp_path_factory.mktemp("warm") / "source"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "evaluate", lambda *_, **__: {})
        job.train(load_text(recipe_text), folder)
    return folder


@pytest.fixture
def unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their scores, which take longer than the training."""
    monkeypatch.setattr(job, "evaluate", lambda *_, **__: {})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return _tensors.read(RunFolder(folder).model)[0]


def test_a_run_starts_where_the_other_ended(source: Path, loaded: Make, tmp_path: Path, unscored: None) -> None:
    run, said = tmp_path / "run", list[str]()

    class Listening(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    report = job.train(
        loaded(f"train.init_from={source}", "train.max_steps=1", "optim.lr=1e-30"), run,
        watch=lambda _: nullcontext(Listening()),
    )  # fmt: skip
    assert all(torch.equal(weights(run)[name], value) for name, value in weights(source).items())
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    assert plan["init"]["sha256"] == report["init_from"]["sha256"]
    assert plan["init"]["fresh"] == {}
    assert said == [f"starts from {source}: 19 of 19 tensors taken"]
    assert plan["recipe"]["train"]["init_from"] == str(source)
    fresh = json.loads((source / "plan.json").read_text(encoding="utf-8"))
    assert "init" not in fresh  # so that runs from before keep their digests
    assert {"init_from", "freeze"}.isdisjoint(fresh["recipe"]["train"])


def test_what_does_not_fit_starts_as_without(source: Path, loaded: Make, tmp_path: Path) -> None:
    changes = ("model.window=4", "model.conv=0")
    plan, _ = job.prepare_training(loaded(f"train.init_from={source}", *changes))
    assert plan.init is not None
    assert plan.init.fresh == {"blocks.0.attention.relative_bias": "(2, 4) here, (2, 8) there"}
    assert plan.init.unused == ("conv",)
    text = warm_start.summary(plan)[0]
    assert "17 of 18 tensors taken; not taken: blocks.0.attention.relative_bias ((2, 4) here" in text
    assert "not used: conv" in text


def test_frozen_parts_keep_their_weights_and_the_rest_moves(source: Path, loaded: Make, tmp_path: Path) -> None:
    run = tmp_path / "run"
    job.train(loaded(f"train.init_from={source}", "train.freeze=[embedding, 'blocks.*', conv]"), run)
    before, after = weights(source), weights(run)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {"head.weight", "head.bias", "skip.weight"}
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert report["parameters"] == sum(value.numel() for name, value in after.items() if "scale" not in name)
    assert "UP203" not in {finding.code for finding in diagnose(run).findings}  # frozen parameters, as was asked for


def test_a_resumed_run_needs_no_source(source: Path, loaded: Make, tmp_path: Path, unscored: None) -> None:
    other, settings = tmp_path / "other", ("train.freeze=[embedding]", "train.max_steps=12")
    shutil.copytree(source, other)
    complete, parts = tmp_path / "complete", tmp_path / "parts"
    job.train(loaded(f"train.init_from={other}", *settings), complete)
    shutil.copytree(complete, parts)
    for name in ("report.json", "model.safetensors", "audit.json"):
        (parts / name).unlink()
    shutil.rmtree(other)
    job.train(loaded(f"train.init_from={other}", *settings), parts, resume=True)
    assert all(torch.equal(weights(parts)[name], value) for name, value in weights(complete).items())
    with pytest.raises(RunError, match=r"--resume with another recipe.*train.init_from"):
        job.train(loaded("train.max_steps=12"), parts, resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.init_from=runs/none"], "train.init_from: .*none: no such run folder"),
        (["model={kind: gru, hidden: 4}", "train.init_from=SOURCE"], "source holds a transformer, .* trains a gru"),
        (["train.init_from=SOURCE", "train.freeze=[embeding]"],
         "train.freeze: embeding matches no parameter; did you mean 'embedding'.*; the parts are conv, embedding, blo"),
        (["train.init_from=SOURCE", "train.freeze=['*']"], "train.freeze: nothing is left to train"),
        (["model.window=4", "train.init_from=SOURCE", "train.freeze=[blocks.0]"], "would freeze blocks.0.attention.r"),
        (["train.freeze=[head]"], "train.freeze needs train.init_from"),
        (["train.init_from=SOURCE", "train.freeze=head"], "train.freeze: expected a list of text, or off; got 'head'"),
        (["train.init_from=SOURCE", "train.freeze=[head]", "optim.refine=lm"], "cannot be combined with optim.refine"),
    ],
)  # fmt: skip
def test_what_cannot_start_is_refused(
    settings: list[str], message: str, source: Path, loaded: Make, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        job.train(loaded(*(each.replace("SOURCE", str(source)) for each in settings)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_source_that_changed_meanwhile_is_refused(source: Path, loaded: Make, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(source, other)
    plan, _ = job.prepare_training(loaded(f"train.init_from={other}"))
    model = job.load_run(source)[0]
    tensors, _ = _tensors.read(RunFolder(other).model)
    _tensors.write(RunFolder(other).model, {name: 2 * value for name, value in tensors.items()}, {"format": "x"})
    with pytest.raises(RunError, match="has changed since this run was planned"):
        warm_start.start(model, plan)
    _tensors.write(RunFolder(other).model, {"strange": torch.zeros(2)}, {"format": "x"})
    with pytest.raises(RecipeError, match=r"none of the tensors of .* fits this model \(conv: not in that run; "):
        job.prepare_training(loaded(f"train.init_from={other}"))


def test_a_source_next_to_the_recipe_is_found(source: Path, loaded: Make, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "near")
    this = loaded("train.init_from=near")
    plan, _ = job.prepare_training(type(this)(this.recipe, tmp_path / "r.yaml", this.text, this.overrides, this.marks))
    assert plan.recipe.train.init_from == str(tmp_path / "near")

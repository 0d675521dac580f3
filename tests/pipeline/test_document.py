"""A pipeline file: what it says, and every way to get it wrong, with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpdrun.errors import RecipeError
from dpdrun.pipeline.document import is_pipeline, load_pipeline
from dpdrun.pipeline.state import step_states
from dpdrun.plan.prepare import prepare
from dpdrun.recipe.loader import load_recipe
from dpdrun.training import job


def refused(path: Path, *sets: str) -> str:
    with pytest.raises(RecipeError) as error:
        load_pipeline(path, sets)
    return str(error.value)


def test_the_steps_in_their_order(folder: Path) -> None:
    chain = load_pipeline(folder / "chain.yaml", ["net.optim.lr=1e-3", "pa.model.order=3"])
    assert [(step.name, step.loaded.path.name, step.through) for step in chain.steps] == [
        ("pa", "amp.yaml", None), ("judge", "amp.yaml", None), ("net", "net.yaml", "pa"),
    ]  # fmt: skip
    assert chain.splits == ("val", "test")
    assert chain.step("net").loaded.recipe.optim.lr == 1e-3
    orders = [chain.step(name).loaded.recipe.model.order for name in ("pa", "judge")]  # type: ignore[union-attr]
    assert orders == [3, 5]


def test_a_predistorter_may_name_its_step(folder: Path) -> None:
    chain = load_pipeline(folder / "chain.yaml", ["net.pa=anywhere/judge"])
    assert chain.step("net").through == "judge"


def test_what_is_a_pipeline(folder: Path) -> None:
    (folder / "broken.yaml").write_text("task: [")
    (folder / "list.yaml").write_text("- pipeline\n")
    found = {name: is_pipeline(folder / f"{name}.yaml") for name in ("chain", "amp", "broken", "list", "missing")}
    assert found == {"chain": True, "amp": False, "broken": False, "list": False, "missing": False}


def sweep_of(folder: Path, *scores: float) -> Path:
    """A folder as that of a sweep over amp.yaml, with a finished gmp for each validation score [dB]."""
    place = folder / "runs" / "amp-sweep"
    place.mkdir(parents=True)
    (place / "sweep.yaml").write_text("task: sweep\n")
    trials = [{"id": f"{index}", "val_nmse_db": score} for index, score in enumerate(scores)]
    (place / "sweep.json").write_text(json.dumps({"task": "pa", "points": [{"trials": [*trials, {"id": "failed"}]}]}))
    for each in trials:
        job.train(load_recipe(folder / "amp.yaml"), place / "trials" / each["id"])
    return place


def test_a_sweep_stands_for_its_best_run(folder: Path) -> None:
    sweep = sweep_of(folder, -30.0, -31.0)
    (folder / "chain.yaml").write_text(STEPS.replace("amp.yaml", "runs/amp-sweep"))
    for override in ("net.pa=pa", "net.pa=elsewhere/amp-sweep"):
        pa, net = load_pipeline(folder / "chain.yaml", [override]).steps
        assert (pa.finished, pa.source, net.through) == (sweep / "trials" / "1", sweep, "pa")
    assert "is finished: --set pa.train.seed=1 cannot change it" in refused(folder / "chain.yaml", "pa.train.seed=1")
    (folder / "amp.yaml").write_text((folder / "amp.yaml").read_text().replace("gmp", "gpm"))
    states = step_states(load_pipeline(folder / "chain.yaml", ["net.pa=pa"]), folder / "out")
    assert [(each.action, each.run.path) for each in states] == [("skip", pa.finished), ("run", folder / "out" / "net")]
    assert states[1].plan.recipe.pa == str(pa.finished)
    (sweep / "trials" / "1" / "report.json").unlink()
    assert "chain.yaml:3:7: steps.pa: " in refused(folder / "chain.yaml")
    assert "this run is not finished; continue it with:" in refused(folder / "chain.yaml")


def test_a_sweep_without_a_finished_trial(folder: Path) -> None:
    sweep = sweep_of(folder)
    (folder / "chain.yaml").write_text(STEPS.replace("amp.yaml", "runs/amp-sweep"))
    assert f"{sweep}: no trial of this sweep is finished yet; `dpdrun sweep resume" in refused(folder / "chain.yaml")
    with pytest.raises(RecipeError, match=r"pa: .*: no trial of this sweep is finished yet"):
        prepare(load_recipe(folder / "net.yaml", ["pa=runs/amp-sweep"]))
    (sweep / "sweep.json").write_text('{"points": 3}')
    assert "sweep.json: damaged (" in refused(folder / "chain.yaml")


STEPS = "task: pipeline\nsteps:\n  pa: amp.yaml\n  net: net.yaml\n"


def with_net(text: str) -> str:
    return STEPS.replace("net.yaml", text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (STEPS + "evaluat: [val]\n", "chain.yaml:5:1: unknown key evaluat; did you mean 'evaluate'?"),
        (STEPS + "train: {}\n", "chain.yaml:5:1: unknown key train; known here: task, steps and evaluate"),
        (STEPS + "evaluate: [val, tset]\n", "chain.yaml:5:17: evaluate: splits of the capture, of train, val or test; "
         "got tset; did you mean 'test'?"),
        (STEPS + "evaluate: []\n", "chain.yaml:5:11: evaluate: nothing to score"),
        (STEPS + "steps: {}\n", "chain.yaml:5:1: duplicate key steps"),
        ("task: pipeline\n", "chain.yaml:1:1: steps: list the recipes of the pipeline"),
        ("task: pipeline\nsteps: []\n", "chain.yaml:2:1: steps: list the recipes of the pipeline"),
        (with_net("nett.yaml"), "chain.yaml:4:8: steps.net: no such recipe: "),
        (with_net("nett.yaml"), "nett.yaml; did you mean net.yaml?"),
        (with_net("4"), "chain.yaml:4:8: steps.net: write the file of its recipe"),
        (with_net("chain.yaml"), "chain.yaml:1:7: this is a pipeline, not a recipe"),
        (with_net("{recip: net.yaml}"), "chain.yaml:4:9: unknown key steps.net.recip; did you mean"),
        (with_net("{recip: net.yaml}"), "chain.yaml:4:3: missing steps.net.recipe"),
        (with_net("{recipe: net.yaml, set: 3}"), "chain.yaml:4:32: steps.net.set: a list of key=value"),
        (with_net("{recipe: net.yaml, set: [optim.lrr=3]}"), "--set optim.lrr=3: unknown key"),
        (STEPS.replace("  net:", "  evaluation:"), "chain.yaml:4:3: steps.evaluation: 'evaluation' is reserved"),
        (STEPS.replace("  net:", "  a/b:"), "chain.yaml:4:3: steps.a/b: 'a/b' is not a valid folder name"),
        (STEPS.replace("  net:", "  ../net:"), "'../net' is not a valid folder name"),
        (STEPS.replace("  net:", "  /net:"), "'/net' is not a valid folder name"),
        (STEPS.replace("  net:", "  '..':"), "'..' is not a valid folder name"),
        (STEPS.replace("  net:", '  "net\\n":'), "is not a valid folder name"),
        (STEPS.replace("  net:", "  ~:"), "is not a valid folder name"),
        (STEPS.replace("  net: net.yaml\n", ""), "chain.yaml:2:1: steps: no recipe here has task dpd"),
        (STEPS.replace("  pa: amp.yaml\n", ""), "steps: no recipe here has task pa"),
        (STEPS.replace("  pa: amp.yaml\n", "") + "  pa: amp.yaml\n",
         "pa: runs/amp is not the run of an earlier PA step; there are: none"),
        ("task: pipeline\nsteps: {pa: amp.yaml, net: {recipe: net.yaml, set: [pa=runs/other]}}\n",
         "pa: runs/other is not the run of an earlier PA step; there are: pa (amp.yaml)"),
        (with_net("{recipe: net.yaml, set: [pa=off, dpd.learning=indirect]}"),
         "chain.yaml:4:8: "),
        (with_net("{recipe: net.yaml, set: [pa=off, dpd.learning=indirect]}"),
         "pa: off: a pipeline trains and scores through its own PA models; write pa: runs/amp"),
        ("task: pipeline\nsteps: [\n", "not valid YAML"),
    ],
)  # fmt: skip
def test_mistakes(text: str, why: str, folder: Path) -> None:
    (folder / "chain.yaml").write_text(text)
    assert why in refused(folder / "chain.yaml")


def test_all_problems_come_at_once(folder: Path) -> None:
    (folder / "chain.yaml").write_text(STEPS.replace("amp.yaml", "am.yaml") + "evaluat: val\n")
    (folder / "net.yaml").write_text((folder / "net.yaml").read_text().replace("d_model", "dmodel"))
    said = refused(folder / "chain.yaml")
    assert [part in said for part in ("chain.yaml:3:7: steps.pa", "evaluat;", "net.yaml:3:28: unknown key")] == [
        True
    ] * 3


@pytest.mark.parametrize("override", ["optim.lr=1e-3", "nett.optim.lr=1e-3", "optim", "net"])
def test_an_override_names_its_step(override: str, folder: Path) -> None:
    said = refused(folder / "chain.yaml", override)
    assert f"--set {override}: in a pipeline a key starts with the name of a step (pa, judge or net)" in said

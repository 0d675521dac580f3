"""What is to be done for a step, by what lies in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dpdrun.errors import RecipeError, RunError
from dpdrun.pipeline.document import Pipeline, load_pipeline
from dpdrun.pipeline.state import first_keys, step_state, step_states

Run = Callable[..., dict[str, str]]


def actions(folder: Path, *sets: str) -> dict[str, str]:
    chain = load_pipeline(folder / "chain.yaml", sets)
    return {state.step.name: state.action for state in step_states(chain, folder / "out")}


def test_at_first_everything_is_to_be_run_and_nothing_is_written(folder: Path) -> None:
    before = sorted(folder.iterdir())
    assert actions(folder) == {"pa": "run", "judge": "run", "net": "run"}
    assert sorted(folder.iterdir()) == before


def test_what_counts_as_changed(folder: Path, run: Run) -> None:
    run()
    done = {"pa": "skip", "judge": "skip", "net": "skip"}
    assert actions(folder) == done
    net = folder / "net.yaml"
    net.write_text("# a remark\n" + net.read_text().replace("checkpoint_every: 4", "checkpoint_every: 2"))
    assert actions(folder, "net.train.on_finding=stop") == done, "they decide no weight"
    assert actions(folder, "net.train.seed=1") == done | {"net": "changed"}
    assert actions(folder, "net.train.on_finding=adapt") == done | {"net": "changed"}
    assert actions(folder, "pa.model.order=3") == done | {"pa": "changed", "net": "wait"}
    assert actions(folder, "judge.model.order=3") == done | {"judge": "changed"}
    assert actions(folder, "net.pa=judge") == done | {"net": "changed"}


def test_the_keys_that_differ_are_named(folder: Path, run: Run) -> None:
    run()
    net = step_states(
        load_pipeline(folder / "chain.yaml", ["net.train.max_steps=9", "net.model.window=4"]), folder / "out"
    )[2]
    assert {"train.max_steps", "model.window"} <= set(net.changed)
    assert "train.seed" not in net.changed
    other = load_pipeline(folder / "chain.yaml", ["net.train.seed=9", "net.train.checkpoint_every=2"])
    assert step_states(other, folder / "out")[2].changed == ("train.seed",), "how often checkpoints are written is free"
    with np.load(folder / "capture.npz") as capture:
        np.savez(folder / "capture.npz", x=capture["x"], y=1.01 * capture["y"])
    assert step_states(load_pipeline(folder / "chain.yaml"), folder / "out")[0].changed == ("data",)


def test_another_model_in_the_folder_of_the_pa_invalidates_the_predistorter(
    folder: Path, run: Run, retrain: Callable[[Path], None]
) -> None:
    run()
    (folder / "out" / "judge" / "model.safetensors").rename(folder / "kept")
    (folder / "out" / "judge").rename(folder / "out" / "gone")
    other = load_pipeline(folder / "chain.yaml")
    assert [state.action for state in step_states(other, folder / "out")] == ["skip", "run", "skip"]
    retrain(folder / "out" / "pa")
    net = step_states(other, folder / "out")[2]
    assert (net.action, net.changed) == ("changed", ("predistortion.pa_sha256",))


def test_broken_runs(folder: Path, chain: Pipeline, run: Run) -> None:
    run()
    net = folder / "out" / "net"
    (net / "report.json").unlink()
    resumed = step_state(chain, chain.step("net"), folder / "out")
    assert (resumed.action, resumed.done) == ("resume", 1.0)
    (net / "checkpoints" / "last.safetensors").unlink()
    assert step_state(chain, chain.step("net"), folder / "out").action == "restart"
    (folder / "out" / "pa" / "report.json").unlink()
    assert actions(folder) == {"pa": "restart", "judge": "skip", "net": "restart"}
    (net / "plan.json").unlink()
    with pytest.raises(RunError, match="folder of step net contains files"):
        step_states(chain, folder / "out")


def test_a_plan_of_another_version_differs_where_it_does(folder: Path, chain: Pipeline, run: Run) -> None:
    run()
    path = folder / "out" / "net" / "plan.json"
    plan = json.loads(path.read_text())
    del plan["recipe"]["train"]["phase_augment"]
    path.write_text(json.dumps(plan | {"dpdrun": "0.0.1"}))
    net = step_states(chain, folder / "out")[2]
    assert (net.action, net.changed, net.maker) == ("changed", ("train.phase_augment",), "0.0.1")


def test_steps_of_an_earlier_version_are_known_by_their_old_keys(folder: Path, run: Run) -> None:
    run()
    for name in ("pa", "judge", "net"):
        path = folder / "out" / name / "plan.json"
        plan = json.loads(path.read_text())
        plan["recipe"]["train"]["rotate"] = plan["recipe"]["train"].pop("phase_augment")
        plan["recipe"]["train"]["shard"] = "off"
        path.write_text(json.dumps(plan))
    assert actions(folder) == {"pa": "skip", "judge": "skip", "net": "skip"}


def test_a_predistorter_has_the_samples_of_its_pa_model(folder: Path) -> None:
    chain = load_pipeline(folder / "chain.yaml", ["net.data.split={train: 50%, val: 25%, test: 25%}"])
    with pytest.raises(
        RecipeError, match=r"net\.yaml:5:1: a predistorter needs .* of its PA model, step pa; .* data\.split"
    ):
        step_states(chain, folder / "out")


def test_few_of_many_keys() -> None:
    assert first_keys(list("abc")) == "a, b, c"
    assert first_keys(list("abcdefg")) == "a, b, c, d, e and 2 more"

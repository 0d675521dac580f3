"""Kinds, losses, optimizers and formats of plug-ins through a complete run: trained, resumed, scored, remembered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.commands.probe import _with_some_lr
from dpdrun.errors import RecipeError, RunError
from dpdrun.export.job import export
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.plugins import PluginError
from dpdrun.training import job
from dpdrun.training.step import TrainStep

PLUGIN = '''
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from dpdrun.recipe.schema import Count, Section
from dpdrun.rules.declare import check, warning

__version__ = "1.2"


class Config(Section):
    """A filter with a nonlinearity."""

    kind: Literal["lab_net"] = Field(description="which model to train")
    taps: Count = Field(4, description="samples that an output depends on")

    @property
    def context(self):
        return self.taps - 1


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.conv = nn.Conv1d(3, 2, config.taps)

    def forward(self, x):
        h = torch.cat([x, x.square().sum(-1, keepdim=True)], -1).transpose(1, 2)
        return self.conv(nn.functional.pad(h, (self.conv.kernel_size[0] - 1, 0))).transpose(1, 2) + x


class LabFormat:
    @staticmethod
    def matches(path, head):
        return head.startswith(b"LAB1")

    @staticmethod
    def read(path):
        i, q, a, b = np.frombuffer(path.read_bytes()[4:], np.float64).reshape(-1, 4).T
        return {"input": i + 1j * q, "output": a + 1j * b, "sample_rate_hz": 1e6}


LOSSES = {"quartic": lambda prediction, target: (prediction - target).pow(4).sum(-1).mean()}
OPTIMIZERS = {"sgd": lambda groups, *, lr, betas, eps: torch.optim.SGD(groups, lr=lr, momentum=betas[0])}
FORMATS = {"lab": LabFormat}


@check("ZZ101", about=("train.max_steps",), source="the lab", evidence="assumed", fires={"max_steps": 3},
       silent={"max_steps": 4})
def odd_run(total_steps: int):
    """The run has an odd number of steps."""
    return warning("an odd number of steps", value=total_steps) if total_steps % 2 else None
'''
RECIPE = """\
task: pa
data: {{source: {folder}/capture.lab}}
model: {{kind: lab_net, taps: 3}}
optim: {{lr: 1e-2, name: sgd}}
train: {{max_steps: 9, batch_size: 4, frame: 32, eval_every: 3, checkpoint_every: 1, compile: off, loss: quartic}}
"""


@pytest.fixture
def lab(tmp_path: Path, plugin_registry: None) -> Path:
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=1508) + 1j * rng.normal(size=1508), np.hanning(9), mode="valid")
    y = 2.0 * x * (1 - 0.3 * np.abs(x) ** 2)
    columns = np.stack([x.real, x.imag, y.real, y.imag], axis=-1)
    (tmp_path / "capture.lab").write_bytes(b"LAB1" + columns.tobytes())
    (tmp_path / "lab.py").write_text(PLUGIN)
    (tmp_path / "r.yaml").write_text(RECIPE.format(folder=tmp_path))
    plugins.load_files([tmp_path / "lab.py"])
    return tmp_path


def trained(lab: Path, name: str = "run", *overrides: str) -> Path:
    loaded = load_text((lab / "r.yaml").read_text(), lab / "r.yaml", overrides)
    job.train(loaded, lab / name)
    return lab / name


@pytest.mark.usefixtures("fit_gmp_once")
def test_a_run_uses_all_that_a_plugin_brings_and_remembers_it(lab: Path) -> None:
    run = trained(lab)
    content = json.loads((run / "plan.json").read_text())
    assert [(each["group"], each["name"]) for each in content["plugins"]] == [
        ("models", "lab_net"), ("optimizers", "sgd"), ("formats", "lab"), ("losses", "quartic"),
    ]  # fmt: skip
    assert {(each["plugin"], each["version"], each["file"]) for each in content["plugins"]} == {
        ("lab", "1.2", "lab.py")
    }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    model, plan, _ = job.load_run(run)
    assert (model.context, model.lookahead, plan.burn_in) == (2, 0, 2)
    done = export(run, "torchscript")
    assert done.error is not None
    assert done.error < 1e-5
    findings = [finding.code for finding in plan.warnings]
    assert "ZZ101" in findings


@pytest.mark.usefixtures("fit_gmp_once")
def test_a_resumed_run_of_a_foreign_optimizer_has_the_same_bits(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(lab, "whole")
    loaded = load_text((lab / "r.yaml").read_text(), lab / "r.yaml")

    class PowerError(Exception):
        pass

    apply, taken = TrainStep.apply, iter(range(1, 100))

    def until_the_power_fails(self: TrainStep, lr: float) -> object:
        if next(taken) == 6:
            raise PowerError
        return apply(self, lr)

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "apply", until_the_power_fails)
        with pytest.raises(PowerError):
            job.train(loaded, lab / "cut")
    job.train(loaded, lab / "cut", resume=True)
    assert (lab / "cut" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("fit_gmp_once")
def test_a_missing_plugin_is_asked_for_and_a_changed_one_is_named(lab: Path) -> None:
    run = trained(lab)
    content = json.loads((run / "plan.json").read_text())
    for command in (["evaluate", run], ["diagnose", run], ["export", run, "--to", "torchscript"]):
        forget()
        done = CliRunner().invoke(app, [str(word) for word in command])
        assert done.exit_code == 2
        digest = content["plugins"][0]["sha256"][:12]
        assert f"made with model.kind lab_net of plug-in lab 1.2 (lab.py, sha256 {digest})" in done.output
        assert "which is not loaded; add --plugin lab.py" in done.output
    forget()
    shown = CliRunner().invoke(app, ["runs", "show", str(run)], env={"COLUMNS": "100"})
    assert shown.exit_code == 0, shown.output
    for recorded in ("model.kind lab_net", "model.taps 3", "optim.name sgd", "train.loss quartic", "lab_net on"):
        assert recorded in " ".join(shown.stdout.split())
    done = CliRunner().invoke(app, ["compare", str(run), str(run)])
    assert f"error: {run}: this run was made with model.kind lab_net" in done.output
    x = np.exp(2j * np.pi * np.arange(1500) ** 2 / 3000)
    np.savez(lab / "ours.npz", input=x, output=x * x.real, sample_rate_hz=1e6)
    recipe = f"task: pa\ndata: {{source: {lab}/ours.npz}}\nmodel: {{kind: gmp, order: 3, delays: 2, cross: 0}}\n"
    job.train(load_text(recipe), lab / "ours")
    done = CliRunner().invoke(app, ["compare", str(run), str(lab / "ours")])
    assert done.exit_code == 0, done.output
    assert f"warning: left out: {run}: this run was made with model.kind lab_net" in done.stderr
    assert "add --plugin lab.py" in done.stderr
    assert "ours" in done.stdout
    (lab / "lab.py").write_text(PLUGIN + "\n# another line\n")
    forget()
    done = CliRunner().invoke(app, ["diagnose", str(run), "--plugin", str(lab / "lab.py")])
    assert done.exit_code == 0
    assert "warning: a plug-in has changed since" in done.output
    with pytest.raises(RunError, match=r"a plug-in has changed since this run was started .*lab_net: made with lab.py"):
        job.train(load_text((lab / "r.yaml").read_text(), lab / "r.yaml"), run, resume=True)


def forget() -> None:
    """Unload the plug-in, as in another process."""
    from dpdrun.rules import engine

    for group in plugins._ENTRIES.values():
        for name in [name for name, entry in group.items() if entry.origin is not None]:
            del group[name]
    plugins._FILES.clear()
    engine._RULES.pop("ZZ101", None)
    plugins.set_kinds([entry.value.section for entry in plugins._ENTRIES["models"].values()])


def test_what_a_plugin_raises_while_it_runs_is_one_message_with_its_line(lab: Path) -> None:
    broken = PLUGIN.replace("transpose(1, 2) + x", "transpose(1, 2) + nothing").replace("lab_net", "other_net")
    broken = broken.replace("LOSSES", "L").replace("OPTIMIZERS", "O").replace("FORMATS", "F").replace("ZZ101", "ZZ102")
    (lab / "broken.py").write_text(broken)
    words = ["train", str(lab / "r.yaml"), "--set", "model.kind=other_net", "--run-dir", str(lab / "no")]
    done = CliRunner().invoke(app, [*words, "--plugin", str(lab / "broken.py")])
    line = 1 + broken.splitlines().index(next(each for each in broken.splitlines() if "+ nothing" in each))
    assert done.exit_code == 2
    assert f"broken.py:{line}: NameError: name 'nothing' is not defined (plug-in broken 1.2" in done.output


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (("(3, 2, config.taps)", "(3, 3, config.taps)"), "RuntimeError: The size of tensor a (3)"),
        (("transpose(1, 2) + x", "transpose(1, 2), x"), "to a tuple; it has to be (B, T, 2) -> (B, T, 2)"),
        (
            ("(self.conv.kernel_size[0] - 1, 0)", "(self.conv.kernel_size[0] - 2, 1)"),
            "of 0, but an output depends on 1 later",
        ),
        (("def __init__(self, config)", "def __init__(self, config, taps)"), "is called as Model(config): missing a"),
        (("transpose(1, 2) + x", "transpose(1, 2).detach() + x"), "has no gradient by its parameters"),
        (("config.taps)", "config.taps).requires_grad_(False)"), "has no parameters that can be trained"),
    ],
)
def test_a_kind_is_tried_before_it_is_trained(lab: Path, mistake: tuple[str, str], message: str) -> None:
    broken = PLUGIN.replace(*mistake).replace("lab_net", "tried_net")
    broken = broken.replace("LOSSES", "L").replace("OPTIMIZERS", "O").replace("FORMATS", "F").replace("ZZ101", "ZZ103")
    (lab / "tried.py").write_text(broken)
    words = ["train", str(lab / "r.yaml"), "--set", "model.kind=tried_net", "--run-dir", str(lab / "no")]
    done = CliRunner().invoke(app, [*words, "--plugin", str(lab / "tried.py")])
    assert done.exit_code == 2
    assert message in done.output.replace("\n", " ")


@pytest.mark.usefixtures("fit_gmp_once")
def test_a_kind_that_does_another_thing_than_when_it_was_trained_is_blamed(lab: Path) -> None:
    run = trained(lab)
    forget()
    (lab / "lab.py").write_text(PLUGIN.replace(".transpose(1, 2) + x", ".transpose(1, 2)[:, 1:] + x[:, 1:]"))
    done = CliRunner().invoke(app, ["evaluate", str(run), "--plugin", str(lab / "lab.py")])
    assert done.exit_code == 2
    assert "it has to be (B, T, 2) -> (B, T, 2)" in done.output.replace("\n", " ")


def test_a_loss_that_is_no_number_is_refused(lab: Path) -> None:
    entry = plugins._ENTRIES["losses"]["quartic"]
    plugins._ENTRIES["losses"]["quartic"] = plugins.Entry(
        "losses", "quartic", lambda prediction, target: prediction - target, entry.origin
    )
    with pytest.raises(PluginError, match=r"train.loss quartic: plug-in lab 1.2 .* a tensor of shape \(4, 30, 2\)"):
        trained(lab)


def test_an_optimizer_that_is_none_is_refused(lab: Path) -> None:
    entry = plugins._ENTRIES["optimizers"]["sgd"]
    plugins._ENTRIES["optimizers"]["sgd"] = plugins.Entry(
        "optimizers", "sgd", lambda groups, **_: "fast", entry.origin
    )  # fmt: skip
    with pytest.raises(PluginError, match=r"optim.name sgd: plug-in lab 1.2 .* returned str, not a torch.optim"):
        trained(lab)


def test_a_plan_with_our_optimizer_has_the_digest_of_before_there_were_others() -> None:
    loaded = load_text("task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\n")
    plan = make_plan(loaded.recipe, 58_980)
    assert "name" not in plan.to_json()["recipe"]["optim"]
    assert Plan.from_json(plan.to_json()) == plan


def test_a_probe_plans_a_kind_without_a_learning_rate(lab: Path) -> None:
    text = (lab / "r.yaml").read_text().replace("lr: 1e-2", "lr: auto")
    with pytest.raises(RecipeError, match=r"optim.lr: auto, but no rule covers kind lab_net, of a plug-in"):
        job.prepare_training(load_text(text))
    planned = _with_some_lr(load_text(text))
    assert planned.recipe.optim.lr == 1e-3
    stated = load_text(text, overrides=["optim.lr=0.1"])
    assert _with_some_lr(stated) is stated

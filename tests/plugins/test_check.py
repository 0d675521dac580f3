"""`dpdrun plugins check`: ours pass, and each point of the contract is found when it is broken, in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import dpdrun.plugins
from dpdrun.errors import DpdrunError
from dpdrun.plugins.check import check_file, check_name

HERE = Path(dpdrun.plugins.__file__).parent
PLAIN, STATE = ((HERE / f"template_{name}.py").read_text(encoding="utf-8") for name in ("plain", "state"))
OURS = {
    "transformer": ["d_model=8", "layers=2", "heads=2", "window=5", "lookahead=2"],
    "gru": ["model.hidden=6", "layers=2"],
    "gmp": ["delays=5", "order=4"],
    "time": [],
    "adamw": [],
}


@pytest.mark.parametrize("name", OURS)
def test_ours_pass(name: str) -> None:
    before = torch.get_rng_state()
    checks = check_name(name, OURS[name])
    assert torch.equal(torch.get_rng_state(), before), "of the caller's test"
    assert checks
    assert [str(check) for check in checks if not check.passed] == []


def failures(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "my_net.py"
    path.write_text(text, encoding="utf-8")
    return {check.point: check.message for check in check_file(path) if not check.passed}


@pytest.mark.parametrize("template", [PLAIN, STATE], ids=["plain", "state"])
@pytest.mark.usefixtures("plugin_registry")
def test_the_templates_pass(tmp_path: Path, template: str) -> None:
    assert failures(tmp_path, template) == {}


BROKEN = {  # what is replaced in a template, the point that fails, and words of its message
    "no description": (
        PLAIN,
        'Field(8, description="channels of each layer")',
        "8",
        "section",
        "no description of channels",
    ),
    "required": (PLAIN, "Field(8, ", "Field(", "section", "no default for channels; give values: --set channels=VALUE"),
    "no docstring": (PLAIN, '"""Temporal convolutional network: causal', '""""""  # causal', "section", "no docstring"),
    "own generator": (
        PLAIN,
        "        self.head = nn",
        "        torch.seed()\n        self.head = nn",
        "build",
        "the same seed gives other weights",
    ),
    "no torch module": (
        PLAIN,
        "class Model(nn.Module):",
        "class Model(dict):",
        "build",
        "its Model made Model, not a torch.nn.Module",
    ),
    "exits": (PLAIN, "return y\n", "raise SystemExit(0)\n", "shapes", "SystemExit"),
    "tuple": (PLAIN, "return y\n", "return y, None\n", "shapes", "to a tuple; it has to be"),
    "raises": (PLAIN, "return y\n", "return y @ y\n", "shapes", r"my_net.py:\d+: RuntimeError"),
    "no state": (STATE, "* self.scale_y, state", "* self.scale_y", "shapes", r"step\(\) returns a Tensor"),
    "shape": (PLAIN, "return y\n", "return y[:, 1:]\n", "shapes", r"input of shape \(2, 23, 2\) to shape \(2, 22, 2\)"),
    "unused": (
        PLAIN,
        "self.skip(x)\n",
        "x\n",
        "gradients",
        "module.skip.weight gets no gradient: the output does not depend on it",
    ),
    "not finite": (PLAIN, "return y\n", "return y / x.abs()\n", "gradients", "not finite"),
    "root at zero": (
        PLAIN,
        "return y\n",
        "return y * x.square().sum(-1, keepdim=True).sqrt()\n",
        "silence",
        "not finite",
    ),
    "memory": (
        PLAIN,
        "return y\n",
        "self.n = getattr(self, 'n', 0) + 1\n        return y + self.n\n",
        "repeats",
        "a state is kept in the module",
    ),
    "dropout": (PLAIN, "return y\n", "return nn.functional.dropout(y)\n", "repeats", "training=self.training"),
    "batch": (PLAIN, "return y\n", "return y + y.mean(0)\n", "records apart", "a record alone and in a batch differ"),
    "units": (STATE, "* self.scale_y", "* 1.0", "units", "use scale_x and scale_y"),
    "context": (
        PLAIN,
        "2**self.layers) - 1",
        "2**self.layers) - 3",
        "context",
        "a context of 13, but an output depends on 15 samples",
    ),
    "future": (
        PLAIN,
        "return y\n",
        "return y + x.roll(-1, 1)\n",
        "context",
        "a look_ahead of 0, but an output depends on 1 later",
    ),
    "state lost": (
        STATE,
        "torch.cat([x, envelope], dim=-1), state)",
        "torch.cat([x, envelope], dim=-1))",
        "stream",
        "the state does not hold",
    ),
    "state changed": (
        STATE,
        "        x = x / self",
        "        state[0].add_(1)\n        x = x / self",
        "state",
        "step\\(\\) changes it",
    ),
    "not saved": (
        PLAIN,
        "        self.skip = nn",
        "        self.gain = torch.rand(1)\n        self.skip = nn",
        "save and load",
        "",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.usefixtures("plugin_registry")
def test_a_broken_point_is_found_and_explained(tmp_path: Path, name: str) -> None:
    template, old, new, point, words = BROKEN[name]
    assert old in template
    text = template.replace(old, new)
    if name == "not saved":
        text = text.replace("return y\n", "return y * self.gain\n").replace("torch.rand(1)", "next(GAINS)")
        text = text.replace("__version__", "GAINS = iter(range(1, 99))\n__version__")
    found = failures(tmp_path, text)
    assert list(found) == [point]  # one cause, one line
    assert re.search(words, found[point]), found[point]


OTHERS = {
    "loss of a vector": (
        "LOSSES = {'bad': lambda p, t: (p - t).square().sum(-1)}",
        "shape",
        "expected a tensor of one number",
    ),
    "loss that rises": ("LOSSES = {'bad': lambda p, t: -(p - t).square().mean()}", "order", "does not fall"),
    "loss with a kink": (
        "LOSSES = {'bad': lambda p, t: (p - t).square().sum().sqrt()}",
        "gradient",
        "a perfect output",
    ),
    "optimizer that is none": ("OPTIMIZERS = {'bad': lambda groups, **_: 1}", "learns", "it returned int"),
    "optimizer of its own rate": (
        "import torch\nclass Own(torch.optim.SGD):\n"
        "    def step(self, closure=None):\n        for g in self.param_groups: g['lr'] = 0.01\n"
        "        super().step()\n"
        "OPTIMIZERS = {'bad': lambda groups, *, lr, betas, eps: Own(groups, lr=lr)}",
        "learning rate",
        "with lr 0",
    ),
    "optimizer that hides its state": (
        "import torch\nclass Own(torch.optim.SGD):\n    n = 0\n"
        "    def step(self, closure=None):\n        self.n += 1\n"
        "        for g in self.param_groups: g['lr'] = 0.01 * self.n\n"
        "        super().step()\n"
        "OPTIMIZERS = {'bad': lambda groups, *, lr, betas, eps: Own(groups, lr=lr)}",
        "checkpoint",
        "its steps differ",
    ),
    "greedy format": (
        "class F:\n    matches = staticmethod(lambda path, head: True)\n"
        "    read = staticmethod(dict)\nFORMATS = {'bad': F}",
        "matches",
        "takes a table for its own",
    ),
    "rule without an example that fires": (
        "from dpdrun.rules.declare import check, warning\n"
        "@check('ZZ109', about=('optim.lr',), source='x', evidence='assumed', fires={'lr': 1.0}, silent={'lr': 2.0})\n"
        "def bad(lr: float):\n    '''A rule.'''\n    return warning('no') if lr == 2.0 else None\n",
        "examples",
        "does not fire",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.usefixtures("plugin_registry")
def test_a_broken_loss_optimizer_format_or_rule_is_explained(tmp_path: Path, name: str) -> None:
    text, point, words = OTHERS[name]
    found = failures(tmp_path, text)
    assert words in found.get(point, ""), found


def test_nothing_of_that_name() -> None:
    with pytest.raises(DpdrunError, match=r"no plug-in is called 'gruu'; did you mean 'gru'\?"):
        check_name("gruu")
    with pytest.raises(DpdrunError, match="no plug-in is called 'nothing'; there is transformer, gru, gmp"):
        check_name("nothing")

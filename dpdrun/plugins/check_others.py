"""The contracts of losses, optimizers, formats and rules."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from dpdrun.errors import DpdrunError
from dpdrun.plugins.check import FailedError, Point
from dpdrun.recipe.plugins import Entry
from dpdrun.rules.engine import WRITTEN, Finding, all_rules
from dpdrun.rules.pages import page_sections
from dpdrun.training.checkpoint import Progress, TrainingState, restore

OTHER_FILES = {  # which no format of a plug-in is to take
    "a table": b"I_in,Q_in,I_out,Q_out\n0.1,0.2,0.3,0.4\n0.2,0.1,0.4,0.3\n",
    "an .npz": b"PK\x03\x04" + bytes(60),
    "raw samples": bytes(range(256)),
}


def points_of_a_loss(entry: Entry) -> list[Point]:
    """Return the contract of (prediction, target) -> one number, both (B, T, 2) at unit rms."""
    if entry.origin is None:
        return [("ours", lambda: "the mean square error, checked by the tests of dpdrun")]
    loss = entry.load()
    target = torch.randn(4, 32, 2, generator=torch.Generator().manual_seed(0)) / 2**0.5

    def value(prediction: Tensor) -> Tensor:
        found = loss(prediction, target)
        if not isinstance(found, Tensor) or found.numel() != 1:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise FailedError(f"(4, 32, 2) twice gives {shape}, expected a tensor of one number")
        return found.reshape(())

    def shape() -> str:
        return f"one number, {float(value(torch.zeros_like(target))):.3g} for an output of zeros"

    def gradient() -> str:
        for name, start in (("a wrong output", 0.5 * target), ("a perfect output", target)):
            prediction = start.clone().requires_grad_(True)
            torch.autograd.backward(value(prediction))
            if prediction.grad is None or not bool(prediction.grad.isfinite().all()):
                raise FailedError(f"the gradient for {name} is missing or not finite")
        return "finite, at a perfect output too"

    def order() -> str:
        values = [float(value(share * target)) for share in (0.0, 0.5, 0.9, 1.0)]
        if any(later >= earlier for earlier, later in pairwise(values)):
            raise FailedError(f"it does not fall towards the target: {', '.join(f'{each:.3g}' for each in values)}")
        return "falls as the output approaches the target"

    return [("shape", shape), ("gradient", gradient), ("order", order)]


def points_of_an_optimizer(entry: Entry) -> list[Point]:
    """Return the contract of (groups, lr=, betas=, eps=) -> torch.optim.Optimizer."""

    def built(lr: float = 1e-2) -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        groups = [{"params": [model.weight], "weight_decay": 0.0}, {"params": [model.bias], "weight_decay": 0.0}]
        made = entry.load()(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8)
        if not isinstance(made, torch.optim.Optimizer):
            raise FailedError(f"it returned {type(made).__name__}, not a torch.optim.Optimizer")
        if len(made.param_groups) != 2:
            raise FailedError("it does not keep the groups that it is given, which hold their own weight decay")
        return model, made

    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    y = x[:, :2] - x[:, 2:]

    def steps(model: nn.Linear, optimizer: torch.optim.Optimizer, count: int) -> float:
        for _ in range(count):
            loss = (model(x) - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return float((model(x) - y).square().mean())

    def learns() -> str:
        before, after = steps(*built(), 0), steps(*built(), 200)
        if not after < before:
            raise FailedError(f"200 steps at lr 0.01 on a linear problem: loss {before:.3g} to {after:.3g}")
        return f"200 steps on a linear problem: loss {before:.3g} to {after:.3g}"

    def follows_the_rate() -> str:
        model, optimizer = built()
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        before = model.weight.detach().clone()
        steps(model, optimizer, 3)
        if not torch.equal(model.weight, before):
            raise FailedError("with lr 0 in its groups it still moves the weights: the schedule writes lr there")
        return "moves no weight at lr 0"

    def resumes() -> str:
        model, optimizer = built()
        steps(model, optimizer, 3)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.safetensors"
            TrainingState(model, optimizer, Progress.fresh(), "").save(path)
            twin, other = built()
            restore(path, twin, other, plan_hash="")
        steps(model, optimizer, 3)
        steps(twin, other, 3)
        if not torch.equal(model.weight, twin.weight):
            raise FailedError("after a checkpoint its steps differ: keep what it needs as tensors in `state`")
        return "continues from a checkpoint with the same bits"

    return [("learns", learns), ("learning rate", follows_the_rate), ("checkpoint", resumes)]


def points_of_a_format(entry: Entry) -> list[Point]:
    """Return the contract of matches(path, head) and read(path). Raises DpdrunError for a format of dpdrun."""
    if entry.origin is None:
        raise DpdrunError(f"{entry.name} is a format of dpdrun, which finds its files itself: check those of plug-ins")
    format_ = entry.load()

    def modest() -> str:
        for what, head in OTHER_FILES.items():
            if format_.matches(Path("a.file"), head):
                raise FailedError(f"it takes {what} for its own: match by the first bytes")
        return "leaves tables, .npz and raw samples alone; `dpdrun data inspect FILE` shows what it reads"

    return [("matches", modest)]


def points_of_rules(entry: Entry) -> list[Point]:
    """Return the contract of a rule: its examples, and its page."""
    rules = [rule for code, rule in all_rules().items() if code in entry.value]

    def examples() -> str:
        for rule in rules:
            if not isinstance(rule.verdict(rule.fires()), Finding):
                raise FailedError(f"{rule.code} does not fire on its own example")
            if isinstance(rule.verdict(rule.silent()), Finding):
                raise FailedError(f"{rule.code} fires on its counterexample")
        return "fires on its example, and is silent on its counterexample"

    def page() -> str:
        for rule in rules:
            if missing := [heading for heading in WRITTEN if f"## {heading}" not in rule.doc]:
                raise FailedError(f"{rule.code}: its docstring has no '## {missing[0]}'")
            page_sections(rule)  # which `dpdrun explain` shows
        return f"has {' and '.join(WRITTEN)}"

    return [("examples", examples), ("page", page)]


POINTS: dict[str, Callable[[Entry], list[Point]]] = {
    "losses": points_of_a_loss,
    "optimizers": points_of_an_optimizer,
    "formats": points_of_a_format,
    "rules": points_of_rules,
}

"""Models that are passed from Python: checked, copied, and known to recipes within a block."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import MappingProxyType

import torch
from torch import nn

from dpdrun.errors import RecipeError, RunError
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import fingerprint
from dpdrun.models._overlap import OverlappingModel
from dpdrun.models._random_state import random_state_preserved
from dpdrun.models._reach import effect, output_of, reach_of, undeclared
from dpdrun.recipe.given import UNLIMITED, GivenModel, enter_model
from dpdrun.recipe.plugin_contract import wrong_samples
from dpdrun.recipe.plugins import MissingPluginError
from dpdrun.recipe.schema import GIVEN

LEAST, LONGEST = 64, 4096  # samples of the records that a module is tried with

Modules = Mapping[tuple[str, str], nn.Module]  # by class and sha256, as `GivenModel.key`
NO_MODULES: Modules = MappingProxyType({})
_MODULES: ContextVar[Modules] = ContextVar("modules", default=NO_MODULES)


def accept(module: nn.Module, *, recorded: GivenModel | None = None) -> tuple[GivenModel, Modules]:
    """Check a module that was passed; return its section of a recipe, and a copy of it for `given_modules`.

    Args:
        module: (B, T, 2) -> (B, T, 2) at unit rms, any T >= 1; its attributes `context` and `look_ahead` declare what
            an output depends on [samples]. Without `context` it takes complete records, and cannot stream. Its
            weights as they are now are where training starts.
        recorded: the section of a run that was made with such a module, which is then the section of this one.

    Raises:
        RecipeError: it is no module, has nothing to train, does not map such records, or depends on other samples than
            it declares.
        RunError: it declares another context or look-ahead than the run was made with.
    """
    name = type(module).__name__
    if not isinstance(module, nn.Module):
        raise RecipeError(f"model: expected a torch.nn.Module, not a {name}" + _called(module))
    if not any(each.requires_grad for each in module.parameters()):
        raise RecipeError(f"model: {name} has no parameter to train (requires_grad)")
    module = copy.deepcopy(module).to("cpu").float()
    context, ahead = (getattr(module, attribute, None) for attribute in ("context", "look_ahead"))
    if isinstance(module, BehaviouralModel):
        ahead = module.lookahead
    if wrong := wrong_samples(module):
        raise RecipeError(f"model: {name}.{wrong}")
    with _undisturbed(module):
        _try(module, name, context, ahead or 0)
    section = GivenModel(
        kind=GIVEN, module=type(module).__qualname__, sha256=fingerprint(module),
        context=UNLIMITED if context is None else context, look_ahead=ahead or 0,
    )  # fmt: skip
    enter_model()
    if recorded is not None:
        for attribute in ("context", "look_ahead"):
            if (now := getattr(section, attribute)) != (then := getattr(recorded, attribute)):
                raise RunError(f"model: {name} has a {attribute} of {now}, but the run was made with {then}")
        section = recorded
    return section, {section.key: module}


@contextmanager
def given_modules(modules: Modules) -> Iterator[None]:
    """Let `model.kind: given` be these modules for a block, next to those of the blocks around it."""
    token = _MODULES.set({**_MODULES.get(), **modules})
    try:
        yield
    finally:
        _MODULES.reset(token)


def build_given(config: GivenModel, *, scale_x: float, scale_y: float) -> BehaviouralModel:
    """Return a copy of the module that a section stands for, as a model in the units of a capture.

    Raises:
        MissingPluginError: this is not within a block of `given_modules` with that module.
    """
    passed = _MODULES.get().get(config.key)
    if passed is None:
        raise MissingPluginError(
            f"this run was made with a module that was passed from Python, {config.module}; pass it again: "
            "dpdrun.load_run(path, model=...), and use the run that this returns"
        )
    module = copy.deepcopy(passed)
    if isinstance(module, BehaviouralModel):
        module.scale_x.fill_(scale_x)
        module.scale_y.fill_(scale_y)
        return module
    context = None if config.context == UNLIMITED else config.context
    return OverlappingModel(
        module, context=context, look_ahead=config.look_ahead, scale_x=scale_x, scale_y=scale_y, config=config
    )


def try_as_declared(model: BehaviouralModel, name: str) -> None:
    """Raise RecipeError unless a model maps records, and looks ahead as it declares."""
    copied = copy.deepcopy(model)
    copied.scale_x.fill_(1)
    copied.scale_y.fill_(1)
    tried = copied.module if isinstance(copied, OverlappingModel) else copied
    context = None if model.lookahead is None else model.context
    with random_state_preserved(), _undisturbed(tried):
        _try(tried, name, context, model.lookahead or 0, may_fade=True)  # `plugins check` is stricter


def try_gradient(model: BehaviouralModel, name: str) -> None:
    """Raise RecipeError unless the output of a model depends on parameters, and torch knows how."""
    copied = copy.deepcopy(model)
    if not any(parameter.requires_grad for parameter in copied.parameters()):
        raise RecipeError(f"model: {name} has no parameters that can be trained")
    with random_state_preserved(), torch.enable_grad():
        y = output_of(copied, torch.ones(1, LEAST, 2), name)
    if not y.requires_grad:
        raise RecipeError(
            f"model: the output of {name} has no gradient by its parameters; leave out detach(), no_grad() and NumPy"
        )


def _called(module: object) -> str:
    return "; pass an object of the class: model=MyNet()" if isinstance(module, type) else ""


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Put a module into `eval` mode for a block without gradients."""
    mode = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(mode)


def _try(module: nn.Module, name: str, context: int | None, ahead: int, *, may_fade: bool = False) -> None:
    """Raise RecipeError unless a module maps records as it declares; of a memory that fades, context is a choice."""
    around = 0 if context is None else context + ahead
    length = min(LONGEST, max(LEAST, 3 * around + 2))
    x = 0.7 * torch.randn(2, length, 2, generator=torch.Generator().manual_seed(0))
    for part in (x, x[:, :1]):
        output_of(module, part, name)
    if context is None or 2 * around >= length:
        return
    module = copy.deepcopy(module)
    noise = torch.Generator().manual_seed(1)
    for parameter in module.parameters():  # a tap that starts at zero is a tap all the same
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise))
    at = length // 2
    reach = reach_of(effect(partial(output_of, module, name=name), x, at), at)
    if excess := undeclared(reach, None if may_fade else context, ahead):
        raise RecipeError(f"model: {name} {excess}")

"""Models that are passed from Python: checked once, kept by the hash of their tensors, copied for each run."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dpdrun.errors import RecipeError, reason_of
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import fingerprint
from dpdrun.models._overlap import OverlappingModel
from dpdrun.models._random_state import random_state_preserved
from dpdrun.recipe.given import UNLIMITED, GivenModel, enter_model
from dpdrun.recipe.plugins import MissingPluginError
from dpdrun.recipe.schema import GIVEN

LEAST, LONGEST = 64, 4096  # samples of the records that a module is tried with
TOLERANCE = 1e-4  # of the largest output: rounding, and kernels that depend on the length

_PASSED: dict[str, nn.Module] = {}


def accept(module: nn.Module, *, sha256: str | None = None) -> GivenModel:
    """Check a module that was passed, keep a copy of it, and return its section of a recipe.

    Args:
        module: (B, T, 2) -> (B, T, 2) at unit rms, any T >= 1; its attributes `context` and `look_ahead` declare what
            an output depends on [samples]. Without `context` it takes complete records, and cannot stream. Its
            weights as they are now are where training starts.
        sha256: of a run that it was passed for before, so that it is known by that again.

    Raises:
        RecipeError: it is no module, has nothing to train, does not map such records, or depends on other samples than
            it declares.
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
    for attribute, value in (("context", context), ("look_ahead", ahead)):
        if value is not None and (not isinstance(value, int) or value < 0):
            raise RecipeError(f"model: {name}.{attribute} is {value!r}; it is a number of samples, at least 0")
    with _undisturbed(module):
        _try(module, name, context, ahead or 0)
    section = GivenModel(
        kind=GIVEN, module=type(module).__qualname__, sha256=sha256 or fingerprint(module),
        context=UNLIMITED if context is None else context, look_ahead=ahead or 0,
    )  # fmt: skip
    enter_model()
    _PASSED[section.sha256] = module
    return section


def build_given(config: GivenModel, *, scale_x: float, scale_y: float) -> BehaviouralModel:
    """Return a copy of the module that a section stands for, as a model in the units of a capture.

    Raises:
        MissingPluginError: it has not been passed in this process.
    """
    if config.sha256 not in _PASSED:
        raise MissingPluginError(
            f"this run was made with a module that was passed from Python, {config.module}; pass it again: "
            "dpdrun.load_run(path, model=...)"
        )
    module = copy.deepcopy(_PASSED[config.sha256])
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
    y = _output(module, name, x)
    _output(module, name, x[:, :1])
    if context is None or 2 * around >= length:
        return
    module = copy.deepcopy(module)
    noise = torch.Generator().manual_seed(1)
    for parameter in module.parameters():  # a tap that starts at zero is a tap all the same
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise))
    y = _output(module, name, x)
    at = length // 2
    changed = x.clone()
    changed[:, at] += 0.5
    moved = (_output(module, name, changed) - y).abs().amax(dim=(0, 2)) > TOLERANCE * float(y.abs().max())
    where = torch.nonzero(moved).flatten() - at
    before, after = (int(-where.min()), int(where.max())) if len(where) else (0, 0)
    if after > context and not may_fade:
        raise RecipeError(
            f"model: {name} declares a context of {context}, but an output depends on {after} samples back"
        )
    if before > ahead:
        raise RecipeError(
            f"model: {name} declares a look_ahead of {ahead}, but an output depends on {before} later samples"
        )


def _output(module: nn.Module, name: str, x: Tensor) -> Tensor:
    shape = tuple(x.shape)
    try:
        y = module(x)
    except Exception as error:  # whatever the code of the user raises
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise RecipeError(
            f"model: {name} fails on a float32 input of shape {shape}: {reason}; it has to map (B, T, 2) to (B, T, 2) "
            "for any T"
        ) from error
    if not isinstance(y, Tensor) or y.shape != x.shape:
        got = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise RecipeError(f"model: {name} maps an input of shape {shape} to {got}; it has to be (B, T, 2) -> (B, T, 2)")
    if not bool(torch.isfinite(y).all()):
        raise RecipeError(f"model: {name} maps an input of unit rms to values that are not finite")
    return y

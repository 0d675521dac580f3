"""Give a stream to a module that has none: each chunk is computed with the samples around it that it depends on.

A plain module maps a record (B, T, 2) to (B, T, 2), both at unit rms, and declares in samples what an output depends
on: `context` inputs before the current one, `look_ahead` inputs after it. Chunks then overlap by both: a stream costs
(context + look_ahead) more samples for each chunk, and equals the complete record.
"""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from dpdrun.models._base import BehaviouralModel
from dpdrun.recipe.plugin_contract import PluginError, wrong_samples


class OverlappingModel(BehaviouralModel):
    """A plain module as a behavioural model: capture units in and out, and a stream by overlap.

    Args:
        module: (B, T, 2) -> (B, T, 2), any T >= 1, at unit rms.
        context: past samples that an output depends on; None = no limit, so that it takes complete records and cannot
            stream. Default: the module's attribute of that name, else None.
        look_ahead: future samples that an output depends on; likewise, else 0. Ignored without a context.
        scale_x, scale_y: rms of the complex training input and output, in the units of the capture.
        config: the module's section of the recipe, if it has one.

    MACs: the module's attribute `macs_per_sample`; without it, every weight of a matrix or a kernel once.

    Raises:
        PluginError: context or look_ahead is no number of samples.
    """

    def __init__(
        self, module: nn.Module, *, context: int | None = None, look_ahead: int | None = None, scale_x: float = 1.0,
        scale_y: float = 1.0, config: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(scale_x=scale_x, scale_y=scale_y)
        self.module, self.config = module, config
        context = getattr(module, "context", None) if context is None else context
        look_ahead = getattr(module, "look_ahead", None) if look_ahead is None else look_ahead
        if wrong := wrong_samples(SimpleNamespace(context=context, look_ahead=look_ahead)):
            raise PluginError(f"{type(module).__name__}: {wrong}")
        self.context, self.lookahead = context, None if context is None else look_ahead or 0
        weights = sum(p.numel() for p in module.parameters() if p.ndim >= 2)
        self.macs_per_sample = int(getattr(module, "macs_per_sample", weights))

    def initial_state(self, batch: int) -> Tensor:
        """Return the scaled inputs that the next output still depends on: (batch, context + lookahead, 2) zeros.

        Raises:
            ValueError: the context is not known.
        """
        return self.scale_x.new_zeros(batch, sum(self._around()), 2)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Continue a stream; see `BehaviouralModel.step`."""
        (context, _), T = self._around(), x.shape[1]
        x = torch.cat([state, x / self.scale_x], dim=1)
        y: Tensor = self.module(x)[:, context : context + T]
        return y * self.scale_y, x[:, T:]

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for a complete record. x: (B, T, 2) -> (B, T, 2)."""
        if self.context is not None:
            return super().forward(x)
        y: Tensor = self.module(x / self.scale_x)
        return y * self.scale_y

    def no_decay(self) -> set[str]:
        """Return names of parameters without weight decay: the module's own choice, else all but matrices."""
        own = getattr(self.module, "no_decay", None)
        return super().no_decay() if own is None else {f"module.{name}" for name in own()}

    def _around(self) -> tuple[int, int]:
        if self.context is None or self.lookahead is None:
            raise ValueError("a module of unknown memory cannot stream")
        return self.context, self.lookahead


def of_complete_records(model: nn.Module) -> tuple[str, str]:
    """Return by what a model takes complete records, and how to change that."""
    if any(isinstance(each, OverlappingModel) and each.context is None for each in model.modules()):
        return "it declares no context", "declare the samples that an output depends on: `context` (docs/plugins.md)"
    return "model.window: full", "train it with model.window in samples, such as 32"


def as_behavioural(module: nn.Module, *, scale_x: float, scale_y: float, config: Any = None) -> BehaviouralModel:
    """Return a module as a behavioural model: itself if it is one, else with a stream by overlap.

    The section of a plain kind may declare `context` and `look_ahead`, so that they are known without torch.
    """
    if isinstance(module, BehaviouralModel):
        return module
    context, look_ahead = (getattr(config, name, None) for name in ("context", "look_ahead"))
    return OverlappingModel(
        module, context=context, look_ahead=look_ahead, scale_x=scale_x, scale_y=scale_y, config=config
    )


def built_by(model: Any, config: Any, *, scale_x: float, scale_y: float) -> BehaviouralModel:
    """Build the model of a plug-in: a `BehaviouralModel` gets the scales, a plain module the section alone."""
    is_full = isinstance(model, type) and issubclass(model, BehaviouralModel)
    scales = {"scale_x": scale_x, "scale_y": scale_y} if is_full else {}
    try:
        inspect.signature(model).bind(config, **scales)
    except TypeError as error:
        called = f"Model(config{', scale_x=..., scale_y=...' if is_full else ''})"
        raise PluginError(f"model.kind {config.kind}: its Model is called as {called}: {error}") from None
    module = model(config, **scales)
    if is_full:
        return cast("BehaviouralModel", module)
    if not isinstance(module, nn.Module):
        raise PluginError(f"model.kind {config.kind}: its Model made {type(module).__name__}, not a torch.nn.Module")
    return as_behavioural(module, scale_x=scale_x, scale_y=scale_y, config=config)

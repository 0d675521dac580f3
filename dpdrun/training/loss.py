"""Losses of a step: over unit-rms targets, so their size does not depend on the scale of the capture.

Both leave out the burn-in at the start of a frame. The last samples of a frame lack their future, as they do at the end
of a record: without them in the loss, look-ahead taps on a band-limited input grow until they only cancel each other,
which shows at the end of a record.

Shapes: B frames, T samples in a frame, J of them in the loss, 2 = (I, Q).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.plan.plan import Plan
from dpdrun.recipe import plugins
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.plugins import PluginError
from dpdrun.recipe.schema import GIVEN, SpectralLoss

Loss = Callable[[Tensor, Tensor, Plan, float], Tensor]


def squared_error(prediction: Tensor, y: Tensor, plan: Plan, scale_y: float) -> Tensor:
    """Return the mean of |error|^2 over the samples that have their past: 10 log10 of it is an NMSE in dB.

    Args:
        prediction: (B, T, 2), in the units of the capture.
        y: (B, T, 2), at unit rms.
        scale_y: rms of the training output.
    """
    mean: Tensor = _error(prediction, y, plan, scale_y).square().sum(dim=-1).mean()
    return mean


@dataclass(frozen=True)
class Weighting:
    """Weights of an error by its frequency.

    Attributes:
        in_band, out_of_band, beyond: the weights.
        band: bandwidth of the signal over the sample rate.
        reach: edge of the adjacent channels, from the middle, over the sample rate: half the band and the
            spacing of channels, by default the width of a carrier (`rf.aclr`).
    """

    in_band: float
    out_of_band: float
    beyond: float
    band: float
    reach: float

    def at(self, length: int) -> Tensor:
        """Return the weight of each bin of a transform of `length` samples, (length,)."""
        f = torch.fft.fftfreq(length).abs()
        outside = torch.where(f <= self.reach, self.out_of_band, self.beyond)
        return torch.where(f <= self.band / 2, self.in_band, outside)


class SpectralError:
    """Mean of |error|^2 with a weight for each frequency.

    A frame without its burn-in is multiplied by a Hann window, whose side lobes keep the strong error inside the band
    out of the weak one outside, and transformed. Scaled so that with all weights at 1 it is the windowed mean of
    |error|^2 (Parseval's theorem), a learning rate keeps its meaning.

    Args:
        weighting: of the spectrum.
        length: J [samples].
    """

    def __init__(self, weighting: Weighting, length: int) -> None:
        window = torch.hann_window(length, periodic=False) if length > 2 else torch.ones(length)
        self._window = window
        self._weight = weighting.at(length) / (length * window.square().sum())

    def __call__(self, prediction: Tensor, y: Tensor, plan: Plan, scale_y: float) -> Tensor:
        """As `squared_error`."""
        error = torch.view_as_complex(_error(prediction, y, plan, scale_y).contiguous())  # (B, J)
        self._window, self._weight = self._window.to(error.device), self._weight.to(error.device)
        spectrum = torch.fft.fft(error * self._window)
        mean: Tensor = (torch.view_as_real(spectrum).square().sum(dim=-1) * self._weight).sum(dim=-1).mean()
        return mean


def weighting_of(plan: Plan, capture: Capture) -> Weighting | None:
    """Return the weights over the spectrum of a plan; None where it has none.

    Raises:
        ValueError: the bandwidth of the signal is not known; `job.prepare_training` refuses such a recipe.
    """
    weights = plan.recipe.train.loss
    if not isinstance(weights, SpectralLoss):
        return None
    if capture.bandwidth_hz is None:
        raise ValueError("a spectral loss needs the bandwidth of the signal")
    band = capture.bandwidth_hz / capture.sample_rate_hz
    carriers, spacing = capture.subchannels or 1, (capture.channel_spacing_hz or 0.0) / capture.sample_rate_hz
    reach = band / 2 + (spacing or band / carriers)
    beyond = weights.out_of_band if weights.beyond == AUTO else weights.beyond
    return Weighting(weights.in_band, weights.out_of_band, beyond, band, reach)


def spectral_error(plan: Plan, capture: Capture) -> Loss | None:
    """Return the loss over the spectrum of a plan; None where it uses `squared_error`.

    Raises:
        ValueError: as `weighting_of`.
    """
    weighting = weighting_of(plan, capture)
    return None if weighting is None else SpectralError(weighting, plan.frame - plan.burn_in)


def scored_error(error: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Return a loss of somebody else as ours.

    Args:
        error: (prediction, target) -> one number, to be minimized: both (B, J, 2) at unit rms, without the burn-in.
    """

    def loss(prediction: Tensor, y: Tensor, plan: Plan, scale_y: float) -> Tensor:
        return error(*_scored(prediction, y, plan, scale_y))

    return loss


def foreign_error(plan: Plan) -> Loss | None:
    """Return the loss of a plug-in, or one passed from Python, that a plan names; None where it names ours."""
    name = plan.recipe.train.loss
    entry = plugins.find("losses", name) if isinstance(name, str) else None
    if entry is None or (entry.origin is None and name != GIVEN):
        return None
    error, function = entry.load(), _GIVEN.get()
    whose = entry.origin or f"the function {getattr(function, '__qualname__', type(function).__name__)}"

    def checked(prediction: Tensor, target: Tensor) -> Tensor:
        found: Tensor = error(prediction, target)
        if not isinstance(found, Tensor) or found.numel() != 1:
            raise PluginError(f"train.loss {name}: {whose} returned {_described(found)}, not a tensor of one element")
        if prediction.requires_grad and not found.requires_grad:
            raise PluginError(
                f"train.loss {name}: {whose} returned a number that has no gradient; compute it by torch from the "
                "prediction, without detach(), item() or numpy"
            )
        return found.reshape(())

    return scored_error(checked)


Error = Callable[[Tensor, Tensor], Tensor]
_GIVEN: ContextVar[Error | None] = ContextVar("loss", default=None)  # of the training that runs now


@contextmanager
def given_as(error: Error | None) -> Iterator[None]:
    """Let `train.loss: given` be a function for a block."""
    token = _GIVEN.set(error)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def given_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the value of the function that was passed from Python. Raises RunError where none was."""
    if (error := _GIVEN.get()) is None:
        raise RunError("train.loss: given: this loss is passed from Python: dpdrun.train(recipe, loss=...)")
    return error(prediction, target)


def _described(found: object) -> str:
    return f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__


def _error(prediction: Tensor, y: Tensor, plan: Plan, scale_y: float) -> Tensor:
    prediction, y = _scored(prediction, y, plan, scale_y)
    return prediction - y


def _scored(prediction: Tensor, y: Tensor, plan: Plan, scale_y: float) -> tuple[Tensor, Tensor]:
    """Return prediction and target at unit rms, without the burn-in."""
    scored = slice(plan.burn_in, plan.frame)
    return prediction[:, scored].to(y.dtype) / scale_y, y[:, scored]

"""Levenberg-Marquardt on a complete record: refines a small network where AdamW has become slow.

The damped Gauss-Newton step d solves (A + lambda diag A) d = -g, with g = J'r and A = J'J; r is the error of every
sample and J its derivative by every parameter (Levenberg 1944; Marquardt, J. SIAM 11(2), 1963). The damping lambda
follows the gain ratio: the decrease of the loss over that predicted by the quadratic model (Nocedal and Wright,
"Numerical Optimization", 2nd ed., chapters 4 and 10).

The gradient is that of the complete record, so the loss never rises. The curvature A need not be: each iteration takes
it from every `stride`-th sample, different ones each time, and averages over the last iterations.

With weights over the spectrum the loss and its gradient are weighted; the curvature is that of equal errors times the
greatest weight, which is nowhere below the weighted one, so no step is too long for it.

A row of J is the derivative of one output by the samples of the input that it depends on, so models with infinite
memory are left out. An iteration takes 2 backward passes over context + 1 + lookahead samples for each row pair, and
P^2 multiplications for each row.

Shapes: L records of T samples, N = L (T - context - lookahead) scored samples, P parameters, R = context + 1 +
lookahead samples of a window.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from dpdrun.models._base import BehaviouralModel

WINDOWS = 512  # whose derivatives are taken at once: their activations stay in a core's cache
CHUNK = 65_536  # samples of one pass over the record: bounds the memory of a long one
ROWS = 8_192  # of J that are multiplied at once in float32, before they are added up in float64
DAMPING, SMALLEST, LARGEST = 1e-3, 1e-10, 10.0
GOOD, POOR = 0.7, 0.25  # gain ratio above which the damping falls, and below which it rises
TRIALS = 12  # dampings tried at one point
ROWS_PER_PARAMETER = 8  # of one iteration's curvature, which with the remembered ones makes 27
REMEMBERED = 0.7  # share of the average curvature that stays when a new one comes


@dataclass(frozen=True)
class Iteration:
    """Loss before and after, gain ratio, the damping of the next iteration, and whether a step was taken."""

    before: float
    after: float
    ratio: float
    damping: float
    moved: bool


class LevenbergMarquardt:
    """Minimizes the mean square error of a model over complete records.

    Args:
        model: with finite `context` and `lookahead`, without dropout; its parameters are moved by `iterate`.
        x: training input, (L, T, 2), in the units of the capture, on the device of the model.
        target: of the output, (L, T, 2), likewise. The first `context` and last `lookahead` samples of each record are
            not scored.
        scale: rms of the target: errors are taken over it.
        weight_at: number of bins of a spectrum -> weight of an error in each, (bins,); None = all 1.

    Raises:
        ValueError: the memory of the model is infinite, or longer than a record.
    """

    def __init__(
        self, model: BehaviouralModel, x: Tensor, target: Tensor, scale: float,
        weight_at: Callable[[int], Tensor] | None = None,
    ) -> None:  # fmt: skip
        if model.context is None or model.lookahead is None:
            raise ValueError("Levenberg-Marquardt needs a model that sees a stated number of samples")
        self._past, self._future = model.context, model.lookahead
        if x.shape[1] <= self._past + self._future:
            raise ValueError(f"records of {x.shape[1]} samples are shorter than the {self._past} that the model sees")
        self._model, self._scale, self._x, self._target = model, scale, x, target
        self._weight_at = weight_at
        named = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self._names, self._shapes = list(named), [each.shape for each in named.values()]
        self._sizes = [each.numel() for each in named.values()]
        scored = x.shape[1] - self._past - self._future  # of each record
        self._scored = x.shape[0] * scored
        self._windows = x.unfold(1, self._past + 1 + self._future, 1)  # (L, N / L, 2, R), a view
        self.stride = min(scored, max(1, 2 * self._scored // (ROWS_PER_PARAMETER * sum(self._sizes))))
        self._greatest = 1.0 if weight_at is None else float(weight_at(scored).max())
        self.theta = torch.cat([each.detach().flatten() for each in named.values()])
        self.curvature: Tensor | None = None  # (P, P) float64
        self.damping = DAMPING
        self.count = 0

    def iterate(self) -> Iteration:
        """Take one step, or none where no damping that was tried lowers the loss."""
        before, slope = self._loss_and_slope()
        self._update_curvature()
        assert self.curvature is not None
        A, g = self.curvature, slope.double()
        scales = A.diagonal().clamp_min(1e-10 * float(A.diagonal().max()))
        self.count += 1
        for _ in range(TRIALS):
            factor, failed = torch.linalg.cholesky_ex(A + torch.diag(self.damping * scales))
            if not failed:
                step = -torch.cholesky_solve(g[:, None], factor)[:, 0]
                trial = (self.theta.double() + step).to(self.theta.dtype)
                after = self._loss(trial)
                if after < before:
                    ratio = (before - after) / -float(2 * g @ step + step @ A @ step)
                    change = 1 / 3 if ratio > GOOD else 2 if ratio < POOR else 1
                    self.damping = min(LARGEST, max(SMALLEST, self.damping * change))
                    self.theta = trial
                    self._copy_to_model()
                    return Iteration(before, after, ratio, self.damping, moved=True)
            self.damping *= 3
        self.damping = min(self.damping, LARGEST)
        return Iteration(before, before, 0.0, self.damping, moved=False)

    def set_parameters(self, theta: Tensor) -> None:
        """Continue from other parameters, (P,)."""
        self.theta = theta.to(self._x.device)
        self._copy_to_model()

    def _copy_to_model(self) -> None:
        with torch.no_grad():
            for name, value in self._named(self.theta).items():
                self._model.get_parameter(name).copy_(value)

    def _named(self, theta: Tensor) -> dict[str, Tensor]:
        parts = torch.split(theta, self._sizes)
        return {name: part.view(shape) for name, part, shape in zip(self._names, parts, self._shapes, strict=True)}

    def _error(self, theta: Tensor, x: Tensor, target: Tensor) -> Tensor:
        """Return the sum of |error|^2 over the scored samples of a chunk, at unit rms of the target."""
        y = functional_call(self._model, self._named(theta), (x,))
        inside = slice(self._past, x.shape[1] - self._future)
        error = (y - target)[:, inside] / self._scale  # (L, J, 2)
        if self._weight_at is not None:
            spectrum = torch.fft.fft(torch.view_as_complex(error.contiguous()), norm="ortho")
            error = torch.view_as_real(spectrum) * self._weight_at(error.shape[1]).sqrt().to(error)[:, None]
        total: Tensor = error.square().sum()
        return total

    def _chunks(self) -> list[tuple[Tensor, Tensor]]:
        """Cut the records into chunks that overlap by the memory of the model: each sample is scored once."""
        memory, T = self._past + self._future, self._x.shape[1]
        length = max(CHUNK // len(self._x), memory + 1)
        starts = range(0, T - memory, length)
        spans = [slice(start, min(start + length + memory, T)) for start in starts]
        return [(self._x[:, span], self._target[:, span]) for span in spans]

    def _loss(self, theta: Tensor) -> float:
        with torch.no_grad():
            return sum(float(self._error(theta, x, target)) for x, target in self._chunks()) / self._scored

    def _loss_and_slope(self) -> tuple[float, Tensor]:
        """Return the loss, and half its gradient, at the present parameters."""
        total, slope = 0.0, torch.zeros_like(self.theta)
        for x, target in self._chunks():
            theta = self.theta.clone().requires_grad_()
            error = self._error(theta, x, target)
            total += error.item()
            slope += torch.autograd.grad(error, theta)[0]
        return total / self._scored, slope / (2 * self._scored)

    def _update_curvature(self) -> None:
        """Average the curvature with that of every `stride`-th sample."""

        def output(theta: Tensor, window: Tensor) -> Tensor:
            y: Tensor = functional_call(self._model, self._named(theta), (window.t()[None],))
            return y[0, self._past] / self._scale

        derivative = vmap(jacrev(output), in_dims=(None, 0))
        some = self._windows[:, self.count % self.stride :: self.stride].flatten(0, 1)  # (M, 2, R)
        total = torch.zeros(len(self.theta), len(self.theta), dtype=torch.float64, device=self.theta.device)
        waiting: list[Tensor] = []
        with warnings.catch_warnings():  # a model with look-ahead takes a fifth longer for it; no one can act on that
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            for part in torch.split(some, WINDOWS):
                waiting.append(derivative(self.theta, part).flatten(0, 1))  # (2 windows, P)
                if sum(map(len, waiting)) >= ROWS:
                    total += _squared(torch.cat(waiting))
                    waiting.clear()
        if waiting:
            total += _squared(torch.cat(waiting))
        fresh = total / len(some) * self._greatest
        kept = min(REMEMBERED, self.count / (self.count + 1))  # the first ones count equally
        self.curvature = fresh if self.curvature is None else kept * self.curvature + (1 - kept) * fresh


def _squared(rows: Tensor) -> Tensor:
    """Return rows' rows, (P, P) float64, of rows (M, P)."""
    return (rows.t() @ rows).double()

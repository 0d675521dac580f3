"""Causal attention over a sliding window of samples.

Shapes: B records, T samples, D = d_model, H heads, E = D / H, W = window, N blocks of W samples.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dpdrun.recipe.schema import TransformerModel as Config


class Projections(nn.Linear):
    """Query, key and value of each sample in one product: (B, T, D) -> (B, T, 3 D).

    With `attention_bias: query` the other two have no bias, and nothing is lost: the softmax does not see what a bias
    of the keys adds to all scores of a query, and one of the values comes out of the weighted mean as it went in,
    where the bias of the output projection can do the same.
    """

    def __init__(self, config: Config) -> None:
        D = config.d_model
        super().__init__(D, 3 * D)
        self._silent = 0
        if config.attention_bias == "query":
            self.bias, self._silent = nn.Parameter(self.bias.detach()[:D].clone()), 2 * D

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, D) -> (B, T, 3 D)."""
        return F.linear(x, self.weight, F.pad(self.bias, (0, self._silent)) if self._silent else self.bias)


class _InColumns(torch.autograd.Function):
    """Attention within blocks with its derivative written out, for training steps of small models on a CPU.

    Matrix products of a few columns, as E here, are three times as slow as those with as few rows, so samples stand in
    columns. Autograd would copy and pad each slice again on the way back. docs/results.md, "Speed" has the figures.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, past: Tensor, bias: Tensor) -> Tensor:
        """rows: q, k, v (B, N, W, 3, H, E); past: keys, values (2, B, W, H, E); bias (H, W, 2W) -> (B, N W, H E)."""
        B, N, W, _, H, E = rows.shape
        columns = rows.permute(3, 0, 1, 4, 5, 2).contiguous()  # (3, B, N, H, E, W)
        q = columns[0].view(-1, E, W) * E**-0.5
        pairs = columns.new_empty(2, B, N, H, E, 2 * W)  # block before, own block
        pairs[..., W:] = columns[1:]
        pairs[:, :, 1:, ..., :W] = columns[1:, :, :-1]
        pairs[:, :, 0, ..., :W] = past.permute(0, 1, 3, 4, 2)
        k, v = pairs.view(2, -1, E, 2 * W)
        scores = torch.bmm(q.transpose(1, 2), k)
        scores.view(-1, H, W, 2 * W).add_(bias)
        weights = scores.softmax(-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.shape = (B, N, H, E, W)
        mixed = torch.bmm(v, weights.transpose(1, 2)).view(B, N, H, E, W)
        return mixed.permute(0, 1, 4, 2, 3).reshape(B, N * W, H * E)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, Tensor]:
        """Return the derivatives by `rows` and `bias`."""
        q, k, v, weights = ctx.saved_tensors
        B, N, H, E, W = ctx.shape
        slope = slope.reshape(B, N, W, H, E).permute(0, 1, 3, 4, 2).reshape(-1, E, W)
        by_weights = torch.bmm(slope.transpose(1, 2), v)
        by_scores = torch.ops.aten._softmax_backward_data(by_weights, weights, -1, weights.dtype)
        columns = slope.new_empty(3, B, N, H, E, W)
        columns[0] = torch.bmm(k, by_scores.transpose(1, 2)).view(B, N, H, E, W) * E**-0.5
        for own, left, right in ((columns[1], q, by_scores), (columns[2], slope, weights)):
            pairs = torch.bmm(left, right).view(B, N, H, E, 2 * W)
            own.copy_(pairs[..., W:])
            own[:, :-1] += pairs[:, 1:, ..., :W]
        return columns.permute(1, 2, 5, 0, 3, 4), None, by_scores.view(-1, H, W, 2 * W).sum(0)


class WindowAttention(nn.Module):
    """Causal multi-head attention over the last `window` samples.

    Computed block by block: the W queries of a block see the keys of their own block and of the one before, so time
    and memory grow with T * W instead of T * T (Beltagy et al., "Longformer", 2020, section 3.1).
    """

    def __init__(self, config: Config, window: int) -> None:
        super().__init__()
        self.heads, self.window, self.dropout = config.heads, window, dropout_of(config)
        self.qkv = Projections(config)
        self.out = nn.Linear(config.d_model, config.d_model)
        # A score for each head and distance, added before the softmax (Raffel et al., "T5", 2020, unshared buckets)
        self.relative_bias = nn.Parameter(torch.zeros(config.heads, window)) if config.positions == "relative" else None
        distance = torch.arange(window)[:, None] + window - torch.arange(2 * window)  # (W, 2W): query minus key
        self.register_buffer("distance", distance.clamp(0, window - 1), persistent=False)
        self.register_buffer("hidden", (distance < 0) | (distance >= window), persistent=False)
        self.distance: Tensor
        self.hidden: Tensor

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x: (B, T, D), keys and values of the last W samples -> (B, T, D), keys and values for the next call."""
        B, T, D = x.shape
        W, H = self.window, self.heads
        fill = -T % W  # later samples than any query, so no one attends to them
        projected = self.qkv(x)
        q, k, v = projected.view(B, T, 3, H, D // H).unbind(2)  # (B, T, H, E)
        if self._in_columns(projected, past):
            rows = F.pad(projected, (0, 0, 0, fill)) if fill else projected
            mixed: Tensor = _InColumns.apply(  # type: ignore[no-untyped-call]
                rows.view(B, -1, W, 3, H, D // H), torch.stack(past), self._bias(q.dtype)
            )
            k, v = (torch.cat([old, new[:, -W:]], dim=1)[:, -W:] for old, new in zip(past, (k, v), strict=True))
            return self.out(mixed[:, :T]), (k, v)
        k, v = (torch.cat([old.to(new), new], dim=1) for old, new in zip(past, (k, v), strict=True))  # (B, W + T, H, E)
        present = (k[:, T:], v[:, T:])

        q, k, v = (F.pad(t, (0, 0, 0, 0, 0, fill)).view(B, -1, W, H, D // H).transpose(2, 3) for t in (q, k, v))
        k, v = (torch.cat([t[:, :-1], t[:, 1:]], dim=3) for t in (k, v))  # (B, N, H, 2W, E): block before, own block
        # Written out: in eager mode on a CPU this is a quarter faster than scaled_dot_product_attention with a mask
        scores = (q * (D // H) ** -0.5) @ k.transpose(-1, -2) + self._bias(q.dtype)  # (B, N, H, W, 2W)
        out = F.dropout(scores.softmax(-1), self.dropout, self.training) @ v
        return self.out(out.transpose(2, 3).reshape(B, T + fill, D)[:, :T]), present

    def _in_columns(self, projected: Tensor, past: tuple[Tensor, Tensor]) -> bool:
        """Return whether `_InColumns` computes this: a training step on a CPU in single precision."""
        if not self.training or self.dropout or past[0].requires_grad or torch.compiler.is_compiling():
            return False
        return projected.dtype == torch.float32 and projected.device.type == "cpu"

    def _bias(self, dtype: torch.dtype) -> Tensor:
        """Return what is added to the scores: (H, W, 2W), minus infinity where the window does not reach."""
        if self.relative_bias is None:
            return torch.zeros_like(self.hidden, dtype=dtype).masked_fill(self.hidden, -torch.inf)
        return self.relative_bias.to(dtype)[:, self.distance].masked_fill(self.hidden, -torch.inf)


def dropout_of(config: Config) -> float:
    """Return the dropout of a configuration, 0 where it is off."""
    return 0.0 if config.dropout == "off" else config.dropout

"""Attention whose weights need no exponential and no division, in place of the softmax of the Transformer.

The weight of a sample is its score over the window's length, (q k / sqrt(E) + bias) / W, as it is (`linear`) or where
it is positive (`relu`). Training starts from the mean over the window, as that of a softmax does.

Shapes: B records, T samples, D = d_model, H heads, E = D / H, W = window.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpdrun.models import transformer
from dpdrun.models._window_attention import WindowAttention
from dpdrun.recipe.schema import TransformerModel


class LinearScores(WindowAttention):
    """Causal multi-head attention without softmax over the last `window` samples."""

    def __init__(self, config: TransformerModel, window: int) -> None:
        super().__init__(config, window)
        assert self.relative_bias is not None, "positions: relative"
        nn.init.ones_(self.relative_bias)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x: (B, T, D), keys and values of the last W samples -> (B, T, D), keys and values for the next call."""
        B, T, D = x.shape
        H, W = self.heads, self.window
        q, k, v = self.qkv(x).view(B, T, 3, H, D // H).unbind(2)
        k, v = (torch.cat([old, new], dim=1) for old, new in zip(past, (k, v), strict=True))  # (B, W + T, H, E)
        present, fill = (k[:, T:], v[:, T:]), -T % W
        q, k, v = (F.pad(t, (0, 0, 0, 0, 0, fill)).view(B, -1, W, H, D // H).transpose(2, 3) for t in (q, k, v))
        k, v = (torch.cat([t[:, :-1], t[:, 1:]], dim=3) for t in (k, v))  # block before, own block, as the parent
        assert self.relative_bias is not None
        scores = (q * (D // H) ** -0.5) @ k.transpose(-1, -2) + self.relative_bias[:, self.distance]
        weights = (self.weights(scores) / W).masked_fill(self.hidden, 0.0)
        return self.out((weights @ v).transpose(2, 3).reshape(B, T + fill, D)[:, :T]), present

    def weights(self, scores: Tensor) -> Tensor:
        """Return the scores."""
        return scores


class ReluScores(LinearScores):
    """The same with positive scores alone."""

    def weights(self, scores: Tensor) -> Tensor:
        """Return the positive scores."""
        return scores.relu()


SCORES: dict[str, type[WindowAttention]] = {
    "softmax": WindowAttention, "linear": LinearScores, "relu": ReluScores
}  # fmt: skip


@contextmanager
def attention(scores: str) -> Iterator[None]:
    """Build Transformers with these weights of attention."""
    transformer.WindowAttention = SCORES[scores]  # type: ignore[misc]
    try:
        yield
    finally:
        transformer.WindowAttention = WindowAttention  # type: ignore[misc]

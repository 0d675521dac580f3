"""Transformer encoder over the samples of a record, for power-amplifier behavioural modelling.

A power amplifier has a memory of some tens of samples, is time-invariant, and distorts by the envelope of its input.
The recommended settings express this: causal attention over a sliding window (the same in training and on a whole
record), positions relative to the query, envelope features, a linear path past the network, and residual branches
that start at zero, so that training starts from the linear amplifier. The other settings rebuild the Transformer that
fails on this task (attention over the whole record, absolute positions, LayerNorm on I/Q, dropout); docs/results.md
holds what each of them costs.

Shapes: B records, T samples, D = d_model, H heads, E = D / H, W = window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpdrun.models._base import BehaviouralModel
from dpdrun.models._features import FEATURE_COUNT, features
from dpdrun.models._window_attention import Projections, WindowAttention, dropout_of
from dpdrun.recipe.schema import TransformerModel as Config

# Full attention costs more per sample the longer the record; its MACs are stated for a record of this many samples.
FULL_ATTENTION_MACS_LENGTH = 256


class State(NamedTuple):
    """The state of a stream. A silent past is all zeros."""

    conv: Tensor  # (B, conv - 1, D): last inputs of the depthwise convolution
    keys_values: tuple[tuple[Tensor, Tensor], ...]  # a layer: (B, W, H, E) keys, and values of the same shape
    position: int  # samples so far
    waiting: Tensor  # (B, lookahead, 2 + inputs): outputs that lack the linear path's future, and their features


class FullAttention(nn.Module):
    """Multi-head attention of every sample to the whole record, past and future."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, dropout_of(config)
        self.qkv = Projections(config)
        self.out = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, D) -> (B, T, D)."""
        B, T, D = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, T, E)
        # No mask: that keeps the fused kernels, which never hold the T * T scores
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        attended: Tensor = self.out(out.transpose(1, 2).reshape(B, T, D))
        return attended


class Block(nn.Module):
    """Pre-norm encoder block: x + attention(norm(x)), then x + mlp(norm(x)) (Xiong et al., ICML 2020).

    Small models do better without the norms, which cost 4 D parameters and take the amplitude away, and with a product
    of two linear layers in the MLP (Shazeer, "GLU variants improve Transformer", 2020, "Bilinear"): distortion is
    made of products. docs/results.md holds what both bring to a predistorter of 500 parameters.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        D, wide = config.d_model, max(1, round(config.ff_mult * config.d_model))
        self.norm_attention, self.norm_mlp = (
            nn.LayerNorm(D) if config.norm == "layer" else nn.Identity() for _ in range(2)
        )
        self.attention = FullAttention(config) if config.window == "full" else WindowAttention(config, config.window)
        self.mlp_in = nn.Linear(D, 2 * wide if config.activation == "bilinear" else wide)
        self.mlp_out = nn.Linear(wide, D)
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[config.activation]
        self.dropout = nn.Dropout(dropout_of(config))

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """x: (B, T, D), the window's keys and values -> (B, T, D), those for the next call; full attention has none."""
        present = None
        if isinstance(self.attention, WindowAttention):
            assert past is not None
            attended, present = self.attention(self.norm_attention(x), past)
        else:
            attended = self.attention(self.norm_attention(x))
        x = x + self.dropout(attended)
        hidden = self.dropout(self.activation(self.mlp_in(self.norm_mlp(x))))
        return x + self.dropout(self.mlp_out(hidden)), present


class Model(BehaviouralModel):
    """(B, T, 2) raw input of the amplifier -> (B, T, 2) raw output.

    MACs: every weight of a matrix once, plus attention scores and weighted sums over the W keys of a window (the
    block-wise computation of a whole record does twice those), plus the taps of the convolution. Norms, softmax,
    biases and features are not counted.
    """

    def __init__(self, config: Config, *, scale_x: float, scale_y: float) -> None:
        super().__init__(scale_x=scale_x, scale_y=scale_y)
        self.config = config
        D, inputs = config.d_model, FEATURE_COUNT[config.features]
        self.embedding: nn.Module
        if config.embedding == "linear":
            self.embedding = nn.Linear(inputs, D)
        else:
            # Without a bias LayerNorm gives the same for x and 2 x: the envelope is lost before anything can use it
            half = max(D // 2, 8)
            self.embedding = nn.Sequential(
                nn.Linear(inputs, half),
                nn.LayerNorm(half),
                nn.ReLU(),
                nn.Dropout(dropout_of(config)),
                nn.Linear(half, D),
            )
        # A row for each tap, oldest sample first
        self.conv = nn.Parameter(torch.zeros(config.conv, D)) if config.conv else None
        self.dropout = nn.Dropout(dropout_of(config))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = nn.Linear(D, 2)
        self.skip = nn.Linear(inputs, 2, bias=False) if config.skip == "on" else None
        # Filter taps on future I and Q. Only the linear path looks ahead: fed to the network as well, the silence after
        # a record's last sample is a jump that upsets it (docs/results.md)
        self.skip_ahead = nn.Linear(2 * config.lookahead, 2, bias=False) if config.lookahead else None
        self._initialize()

        self.lookahead = self.context = None
        if config.window != "full":
            self.lookahead = config.lookahead
            self.context = config.layers * (config.window - 1) + max(config.conv - 1, 0)
        self.macs_per_sample = self._count_macs()

    def _initialize(self) -> None:
        if self.config.residual_init == "xavier":
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    nn.init.xavier_uniform_(module.weight)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        else:  # torch's own start, whose random biases spread the bends of the MLP: 0.1 dB better than zero biases
            for block in self.blocks:
                assert isinstance(block, Block)
                _silence(block.attention.out)
                _silence(block.mlp_out)
            _silence(self.head)
        if self.conv is not None:
            nn.init.ones_(self.conv.data[-1])  # the current sample alone
        if self.skip_ahead is not None:
            nn.init.zeros_(self.skip_ahead.weight)

    def _count_macs(self) -> int:
        config = self.config
        matrices = sum(module.weight.numel() for module in self.modules() if isinstance(module, nn.Linear))
        keys = FULL_ATTENTION_MACS_LENGTH if config.window == "full" else config.window
        return matrices + config.conv * config.d_model + config.layers * 2 * keys * config.d_model

    def no_decay(self) -> set[str]:
        """Return names of norms, biases, the convolution's taps and the relative positions."""
        extra = {name for name, _ in self.named_parameters() if name == "conv" or name.endswith("relative_bias")}
        return super().no_decay() | extra

    def initial_state(self, batch: int) -> State:
        """Return the state of silent streams."""
        config = self.config
        if config.window == "full":
            raise ValueError("attention over the whole record cannot stream: set window to a number of samples")
        zeros = self.scale_x.new_zeros
        kv_shape = (batch, config.window, config.heads, config.d_model // config.heads)
        return State(
            conv=zeros(batch, max(config.conv - 1, 0), config.d_model),
            keys_values=tuple((zeros(kv_shape), zeros(kv_shape)) for _ in self.blocks),
            position=0,
            waiting=zeros(batch, config.lookahead, 2 + FEATURE_COUNT[config.features]),
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Continue a stream; see `BehaviouralModel.step`."""
        T = x.shape[1]
        f = features(x / self.scale_x, self.config.features)  # (B, T, inputs)
        h, conv = self._convolve(self.embedding(f), state.conv)
        h = self._add_positions(h, state.position)
        keys_values = []
        for block, past in zip(self.blocks, state.keys_values, strict=True):
            h, present = block(h, past)
            keys_values.append(present)
        waiting = torch.cat([state.waiting, torch.cat([self.head(h), f], dim=-1)], dim=1)  # (B, lookahead + T, ...)
        y = self._add_linear_path(waiting[..., :2], waiting[..., 2:])
        return y, State(conv, tuple(keys_values), state.position + T, waiting[:, T:])

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for a complete record. x: (B, T, 2) -> (B, T, 2)."""
        if self.config.window != "full":
            return super().forward(x)
        f = features(x / self.scale_x, self.config.features)
        h, _ = self._convolve(self.embedding(f), None)
        h = self._add_positions(h, 0)
        for block in self.blocks:
            h, _ = block(h, None)
        return self._add_linear_path(self.head(h), f)

    def _convolve(self, h: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Apply the depthwise causal convolution. h: (B, T, D), the last `conv - 1` rows before it -> the same."""
        if past is None:
            past = h.new_zeros(h.shape[0], max(self.config.conv - 1, 0), h.shape[2])
        if self.conv is None:
            return h, past
        T = h.shape[1]
        h = torch.cat([past, h], dim=1)
        mixed = h[:, :T] * self.conv[0]
        for delay, tap in enumerate(self.conv[1:], start=1):
            mixed = torch.addcmul(mixed, h[:, delay : delay + T], tap)
        return mixed, h[:, T:]

    def _add_positions(self, h: Tensor, start: int) -> Tensor:
        """Add sinusoids of the absolute position, if configured (Vaswani et al., 2017, section 3.5). h: (B, T, D)."""
        if self.config.positions == "sinusoidal":
            h = h + sinusoids(start, h.shape[1], h.shape[2]).to(h)
        dropped: Tensor = self.dropout(h)
        return dropped

    def _add_linear_path(self, y: Tensor, f: Tensor) -> Tensor:
        """Add the linear path and the unit of the capture.

        Args:
            y: the network's output, (B, lookahead + T, 2)
            f: features of the same samples, (B, lookahead + T, inputs)

        Returns:
            (B, T, 2), for the first T of these samples: the later ones wait for their future
        """
        ahead = self.config.lookahead
        T = y.shape[1] - ahead
        y = y[:, :T]
        if self.skip is not None:
            y = y + self.skip(f[:, :T])
        if self.skip_ahead is not None:
            y = y + self.skip_ahead(f[:, 1:, :2].unfold(1, ahead, 1).flatten(2))  # (B, T, 2 * lookahead)
        return y * self.scale_y


def sinusoids(start: int, length: int, width: int) -> Tensor:
    """Return sines (even columns) and cosines (odd ones) of positions start .. start + length - 1: (length, width)."""
    positions = torch.arange(start, start + length)[:, None]
    columns = torch.arange(0, width, 2)
    angles = positions * torch.exp(columns * (-math.log(10_000.0) / width))  # (length, ceil(width / 2))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def _product(pair: Tensor) -> Tensor:
    """Multiply the first half of the features by the second. (..., 2 W) -> (..., W)."""
    first, second = pair.chunk(2, dim=-1)
    return first * second


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "bilinear": _product}


def _silence(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)

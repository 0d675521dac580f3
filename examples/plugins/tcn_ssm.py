"""Two more kinds of model: a temporal convolutional network (`tcn`) and a diagonal state-space model (`ssm`).

    dpdrun train examples/plugins/ssm.yaml --plugin examples/plugins/tcn_ssm.py

Both are one network with another memory in its layers: features -> embedding -> layers -> head, and a linear path past
them. A layer filters each channel, then adds the product of two linear maps of all channels, as the bilinear MLP of
dpdrun's Transformer: distortion is made of products. docs/results.md compares both with attention and with GRUs.

Shapes: B records, T samples, D = width, N = states.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dpdrun.plugins import BehaviouralModel, Count, Field, Section, features

INPUTS = 4  # features: I, Q, |x|, |x|^3
BLOCK = 64  # samples that a state-space layer computes at once
DECAY = 1 / 8  # of a pole whose log_decay is 0, a sample: a power amplifier remembers some tens of samples


class Tcn(Section):
    """Temporal convolutional network: causal convolutions of each channel, with dilations 1, 2, 4, ..."""

    kind: Literal["tcn"] = Field(description="which model to train")
    width: Count = Field(8, description="channels")
    layers: Count = Field(4, description="layers; the dilation doubles from one to the next")
    taps: Count = Field(5, description="taps of each convolution")

    @property
    def context(self) -> int:
        """Past samples that an output depends on."""
        return (self.taps - 1) * (2**self.layers - 1)


class Ssm(Section):
    """Diagonal state-space model (S4D, Gu et al., NeurIPS 2022): complex one-pole filters of each channel."""

    kind: Literal["ssm"] = Field(description="which model to train")
    width: Count = Field(8, description="channels")
    layers: Count = Field(2, description="layers")
    states: Count = Field(2, description="complex poles of each channel")


class Convolution(nn.Module):
    """A causal dilated convolution of each channel; it starts near the current sample alone."""

    def __init__(self, config: Tcn, layer: int) -> None:
        super().__init__()
        self.dilation = 2**layer
        self.taps = nn.Parameter(0.1 * torch.randn(config.taps, config.width))
        nn.init.ones_(self.taps.data[-1])
        self.macs = self.taps.numel()

    def silence(self, batch: int) -> Tensor:
        """Return the past of silent streams: (batch, (taps - 1) * dilation, D) zeros."""
        taps, width = self.taps.shape
        return self.taps.new_zeros(batch, (taps - 1) * self.dilation, width)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, T, D), the samples before it -> (B, T, D), those before the next call."""
        T, x = x.shape[1], torch.cat([past, x], dim=1)
        delayed = (x[:, i * self.dilation :][:, :T] * tap for i, tap in enumerate(self.taps))
        return sum(delayed, start=torch.zeros(())), x[:, T:]


class StateSpace(nn.Module):
    """s[n] = a s[n - 1] + x[n], y[n] = Re(c s[n]) + d x[n] for each channel, with N complex poles a.

    a = exp(-DECAY exp(log_decay) + j frequency) is inside the unit circle for all weights (Orvieto et al., ICML
    2023). Within a block, y is x times the Toeplitz matrix of the impulse response; s carries over between blocks.
    """

    def __init__(self, config: Ssm) -> None:
        super().__init__()
        shape = config.width, config.states
        # As S4D-Lin: a channel has a step of its own, and its poles a decay of half the step and even frequencies
        step = torch.exp(torch.empty(config.width, 1).uniform_(math.log(0.05), 0.0))
        self.log_decay = nn.Parameter(torch.log(step / 2 / DECAY).expand(shape).clone())
        self.frequency = nn.Parameter(math.pi * step * torch.arange(config.states) / config.states)
        self.readout = nn.Parameter(torch.randn(2, *shape) * step / config.states)  # real and imaginary part of c
        self.direct = nn.Parameter(torch.ones(config.width))
        self.macs = config.width * (6 * config.states + 1)  # a s: 4 for each pole, Re(c s): 2

    def silence(self, batch: int) -> Tensor:
        """Return the state of silent streams, real and imaginary part: (batch, 2, D, N) zeros."""
        return self.log_decay.new_zeros(batch, 2, *self.log_decay.shape)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, T, D), the state before it -> (B, T, D), the state after it."""
        L = min(BLOCK, x.shape[1])
        n = torch.arange(L + 1, device=x.device)
        phase, decay = (n[:, None, None] * each for each in (self.frequency, DECAY * self.log_decay.exp()))
        power = torch.stack([phase.cos(), phase.sin()]) * torch.exp(-decay)  # a^n: (2, L + 1, D, N)
        (re, im), (c_re, c_im) = power, self.readout
        from_state = torch.stack([c_re * re - c_im * im, -c_re * im - c_im * re])  # Re(c a^n s), for the parts of s
        response = from_state[0, :L].sum(-1)
        lag = n[:L, None] - n[:L]
        toeplitz = response[lag.clamp(min=0)] * (lag >= 0)[..., None]  # (L, L, D)
        outputs = []
        for block in x.split(BLOCK, dim=1):
            T = block.shape[1]
            y = torch.einsum("tkd,bkd->btd", toeplitz[:T, :T], block) + self.direct * block
            outputs.append(y + torch.einsum("ptdn,bpdn->btd", from_state[:, 1 : T + 1], state))
            (re, im), (s_re, s_im) = power[:, T], state.unbind(1)
            state = torch.stack([re * s_re - im * s_im, re * s_im + im * s_re], dim=1)
            state = state + torch.einsum("ptdn,btd->bpdn", power[:, :T].flip(1), block)
        return torch.cat(outputs, dim=1), state


class Network(BehaviouralModel):
    """(B, T, 2) -> (B, T, 2) in the units of the capture, as one record or in chunks.

    MACs: every weight of a matrix once, every tap once, six for a complex pole.
    """

    def __init__(self, config: Any, *, scale_x: float, scale_y: float) -> None:
        super().__init__(scale_x=scale_x, scale_y=scale_y)
        D, layers = config.width, range(config.layers)
        self.config = config
        self.embedding = nn.Linear(INPUTS, D)
        self.memories = nn.ModuleList(self._memory(layer) for layer in layers)
        self.maps = nn.ModuleList(nn.Linear(D, 2 * D) for _ in layers)
        self.head = nn.Linear(D, 2)
        self.skip = nn.Linear(INPUTS, 2, bias=False)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)  # training starts from the linear amplifier
        self.lookahead, self.context = 0, getattr(config, "context", None)
        matrices = sum(module.weight.numel() for module in self.modules() if isinstance(module, nn.Linear))
        self.macs_per_sample = matrices + sum(memory.macs for memory in self.memories)

    def _memory(self, layer: int) -> nn.Module:
        return Convolution(self.config, layer) if self.config.kind == "tcn" else StateSpace(self.config)

    def no_decay(self) -> set[str]:
        """Return names of parameters without weight decay: all but the matrices."""
        return super().no_decay() | {name for name, _ in self.named_parameters() if name.startswith("memories.")}

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        """Return the state of silent streams, layer by layer."""
        return tuple(memory.silence(batch) for memory in self.memories)

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Continue a stream; see `BehaviouralModel.step`."""
        f = features(x / self.scale_x, "envelope")
        h, after = self.embedding(f), []
        for memory, maps, past in zip(self.memories, self.maps, state, strict=True):
            filtered, past = memory(h, past)
            first, second = maps(filtered).chunk(2, dim=-1)
            h = h + first * second
            after.append(past)
        return (self.head(h) + self.skip(f)) * self.scale_y, tuple(after)


MODELS = [(Tcn, Network), (Ssm, Network)]

"""A recurrent network that keeps its own state: replace it by your own. `dpdrun plugins check my_net.py` checks it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from dpdrun.plugins import BehaviouralModel, Count, Field, Section

__version__ = "0.1"


class Config(Section):
    """Long short-term memory (LSTM) over I, Q and the envelope."""

    kind: Literal["my_net"] = Field(description="which model to train")
    hidden: Count = Field(8, description="units of the LSTM")


class Model(BehaviouralModel):
    """(B, T, 2) -> (B, T, 2) in the units of the capture, as one record or in chunks.

    A `BehaviouralModel` scales by `scale_x` and `scale_y` itself, and sets `lookahead`, `context` (None = no limit) and
    `macs_per_sample`.
    """

    def __init__(self, config: Config, *, scale_x: float, scale_y: float) -> None:
        super().__init__(scale_x=scale_x, scale_y=scale_y)
        self.config = config
        self.lstm = nn.LSTM(3, config.hidden, batch_first=True)
        self.head = nn.Linear(config.hidden, 2)
        self.skip = nn.Linear(2, 2)  # the linear amplifier, from which training starts
        self.lookahead = 0
        self.context = None
        self.macs_per_sample = sum(p.numel() for p in self.parameters() if p.ndim == 2)

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Return the state of streams that have been silent so far: (1, batch, hidden), twice."""
        zeros = self.scale_x.new_zeros(1, batch, self.config.hidden)
        return zeros, zeros

    def step(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Continue the streams: next samples and the state -> their outputs and the state after them."""
        x = x / self.scale_x
        envelope = (x.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        h, state = self.lstm(torch.cat([x, envelope], dim=-1), state)
        return (self.head(h) + self.skip(x)) * self.scale_y, state

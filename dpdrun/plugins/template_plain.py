"""A temporal convolutional network: replace it by your own. `dpdrun plugins check my_net.py` checks the contract."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpdrun.plugins import Count, Field, Section

__version__ = "0.1"


class Config(Section):
    """Temporal convolutional network: causal convolutions with dilations 1, 2, 4, ..."""

    kind: Literal["my_net"] = Field(description="which model to train")
    channels: Count = Field(8, description="channels of each layer")
    layers: Count = Field(4, description="convolutions of two taps; each has twice the dilation of the one before")

    @property
    def context(self) -> int:
        """Past samples that an output depends on: the stream and the burn-in follow from it."""
        return int(2**self.layers) - 1

    @property
    def look_ahead(self) -> int:
        """Future samples that an output depends on; they delay the output."""
        return 0


class Model(nn.Module):
    """(B, T, 2) -> (B, T, 2), I and Q at unit rms; dpdrun does the scaling."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = [3, *[config.channels] * config.layers]  # I, Q and the power
        self.convs = nn.ModuleList(
            nn.Conv1d(widths[i], widths[i + 1], 2, dilation=2**i) for i in range(config.layers)
        )  # fmt: skip
        self.head = nn.Linear(config.channels, 2)
        self.skip = nn.Linear(2, 2)  # the linear amplifier, from which training starts

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for records that are silent before their first sample."""
        h = torch.cat([x, x.square().sum(-1, keepdim=True)], dim=-1).transpose(1, 2)
        for i, conv in enumerate(self.convs):
            h = torch.tanh(conv(F.pad(h, (2**i, 0))))
        y: Tensor = self.head(h.transpose(1, 2)) + self.skip(x)
        return y

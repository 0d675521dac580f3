"""Gated recurrent unit network: the standard behavioural model that a Transformer must beat.

Features as in the Transformer, a stack of GRU layers (Cho et al., EMNLP 2014), one linear layer to the output, and
a linear path past the network (as in OpenDPD's DGRU, Wu et al., 2024).
"""

from __future__ import annotations

from torch import Tensor, nn

from dpdrun.models._base import BehaviouralModel
from dpdrun.models._features import FEATURE_COUNT, features
from dpdrun.recipe.schema import GRUModel as Config


class Model(BehaviouralModel):
    """(B, T, 2) raw input of the amplifier -> (B, T, 2) raw output.

    MACs: every weight of a matrix once. Gates' element-wise products, biases and features are not counted.
    """

    def __init__(self, config: Config, *, scale_x: float, scale_y: float) -> None:
        super().__init__(scale_x=scale_x, scale_y=scale_y)
        self.config = config
        inputs = FEATURE_COUNT[config.features]
        self.gru = nn.GRU(inputs, config.hidden, config.layers, batch_first=True)
        self.head = nn.Linear(config.hidden, 2)
        self.skip = nn.Linear(inputs, 2, bias=False) if config.skip == "on" else None
        self.lookahead = 0
        self.context = None
        self.macs_per_sample = sum(p.numel() for p in self.parameters() if p.ndim == 2)

    def initial_state(self, batch: int) -> Tensor:
        """Return the hidden states of silent streams: (layers, batch, hidden) zeros."""
        return self.scale_x.new_zeros(self.config.layers, batch, self.config.hidden)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Continue a stream; see `BehaviouralModel.step`."""
        f = features(x / self.scale_x, self.config.features)
        h, state = self.gru(f, state)
        y = self.head(h)
        if self.skip is not None:
            y = y + self.skip(f)
        return y * self.scale_y, state

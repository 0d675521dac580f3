"""The backbones of an installed OpenDPD (opendpd 2.4.2, Apache-2.0) as kinds of model: nothing of it is copied here.

    pip install opendpd==2.4.2
    dpdrun train examples/plugins/opendpd_dgru.yaml --plugin examples/plugins/opendpd_backbones.py

Three families, each by its own way to a stream:

- recurrent (GRU, LSTM, DGRU, QGRU, TRes-GRU): they hold a recurrent layer of torch, `rnn`. Hooks on it hand over its
  state, which the backbone drops, so that a stream is exact.
- convolutional (TCN): plain, with the reach of its kernels as context and look-ahead.
- recurrent in loops of their own (PG-JANET, DeltaGRU, TRes-DeltaGRU): plain. Their memory has no exact end, so a chunk
  is computed from `memory` samples earlier on; `dpdrun plugins check` shows whether that is enough. For DVR-JANET it is
  not (inputs 64 samples ago change an output by a sixth of its rms): it takes complete records.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from dpdrun.errors import DpdrunError
from dpdrun.plugins import BehaviouralModel, Count, Field, Section

__version__ = "2.4.2"


def core(config: Any, **settings: Any) -> nn.Module:
    """Return a network of OpenDPD with its own initial weights. Raises DpdrunError where it is not installed."""
    try:
        from models import CoreModel  # a top-level module of the package opendpd
    except ImportError as error:
        raise DpdrunError(f"model.kind {config.kind} needs OpenDPD: pip install opendpd==2.4.2 ({error})") from None
    return CoreModel(2, config.hidden, getattr(config, "layers", 1), config.kind.removeprefix("opendpd_"), **settings)


class Recurrent(BehaviouralModel):
    """A backbone whose `rnn`, a layer of torch, runs over the samples of a chunk alone, with its state carried over."""

    def __init__(self, config: Any, *, scale_x: float, scale_y: float) -> None:
        super().__init__(scale_x=scale_x, scale_y=scale_y)
        self.config, self.core = config, core(config)
        self._rnn.register_forward_pre_hook(self._enter)
        self._rnn.register_forward_hook(self._leave)
        self.lookahead, self.context = config.around, None
        self.macs_per_sample = sum(p.numel() for p in self.parameters() if p.ndim >= 2)
        self._chunk: Any = None  # state before and after the chunk that is computed, while it is

    @property
    def _rnn(self) -> nn.RNNBase:
        rnn: nn.RNNBase = self.core.backbone.rnn  # not a second time as an attribute: each tensor is saved once
        return rnn

    def initial_state(self, batch: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the last inputs, and the state of the recurrent layer: zeros."""
        parts = 2 if isinstance(self._rnn, nn.LSTM) else 1
        zeros = self.scale_x.new_zeros(self._rnn.num_layers, batch, self._rnn.hidden_size)
        return self.scale_x.new_zeros(batch, 2 * self.config.around, 2), (zeros,) * parts

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Continue a stream; see `BehaviouralModel.step`."""
        around, T = self.config.around, x.shape[1]
        x = torch.cat([state[0], x / self.scale_x], dim=1)
        self._chunk = [state[1], slice(around, around + T)]
        y: Tensor = self.core(x)[:, around : around + T]
        after, self._chunk = self._chunk[0], None
        return y * self.scale_y, (x[:, T:], after)

    def _enter(self, _: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        before, samples = self._chunk
        return given[0][:, samples].contiguous(), before if len(before) == 2 else before[0]

    def _leave(self, _: nn.Module, __: Any, made: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        out, after = made
        self._chunk[0] = after if isinstance(after, tuple) else (after,)
        around = self._chunk[1].start
        return nn.functional.pad(out, (0, 0, around, around)), after


class Backbone(nn.Module):
    """A backbone whose stream overlaps: (B, T, 2) -> (B, T, 2) at unit rms."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.core = core(config, **config.settings)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for records that are silent before their first sample."""
        y: Tensor = self.core(x)
        return y


class OfRecurrent(Section):
    """A recurrent backbone of OpenDPD."""

    around: ClassVar[int] = 0  # samples before and after the current one that its other paths use
    hidden: Count = Field(23, description="units of the recurrent layer")


class Gru(OfRecurrent):
    """OpenDPD's GRU over I and Q."""

    kind: Literal["opendpd_gru"] = Field(description="which model to train")
    layers: Count = Field(1, description="stacked layers")


class Lstm(OfRecurrent):
    """OpenDPD's LSTM over I and Q."""

    kind: Literal["opendpd_lstm"] = Field(description="which model to train")
    layers: Count = Field(1, description="stacked layers")


class Dgru(OfRecurrent):
    """DGRU (Wu et al., 2024): a GRU over I, Q, envelope and phase, with a dense path past it."""

    kind: Literal["opendpd_dgru"] = Field(description="which model to train")
    layers: Count = Field(1, description="stacked layers")


class Qgru(OfRecurrent):
    """QGRU: a GRU over I, Q and even powers of the envelope."""

    kind: Literal["opendpd_qgru"] = Field(description="which model to train")
    layers: Count = Field(1, description="stacked layers")


class TresGru(OfRecurrent):
    """TRes-GRU: a GRU and a dilated convolution in parallel, which looks 16 samples back and ahead."""

    around: ClassVar[int] = 16
    kind: Literal["opendpd_tres_gru"] = Field(description="which model to train")
    layers: Count = Field(1, description="stacked layers")


class Tcn(Section):
    """TCN-DPD (arXiv 2506.12165): depthwise convolutions of 5 taps, dilations 1, 2, 4, 8, centred."""

    kind: Literal["opendpd_tcn"] = Field(description="which model to train")
    hidden: Count = Field(16, description="channels")
    settings: ClassVar[dict[str, Any]] = {}
    context: ClassVar[int] = 30  # 2 (1 + 2 + 4 + 8)
    look_ahead: ClassVar[int] = 30


class Looped(Section):
    """A backbone of OpenDPD that is a loop in Python."""

    settings: ClassVar[dict[str, Any]] = {}
    look_ahead: ClassVar[int] = 0
    hidden: Count = Field(10, description="units of the recurrent layer")
    memory: Count = Field(256, description="past samples that are computed again for each chunk of a stream")

    @property
    def context(self) -> int:
        """Past samples after which an input is taken to be forgotten."""
        return self.memory


class PgJanet(Looped):
    """PG-JANET: phase-gated just another network (Kobal and Zhu, 2022)."""

    kind: Literal["opendpd_pgjanet"] = Field(description="which model to train")


class DvrJanet(Section):
    """DVR-JANET: JANET with decomposed vector rotation. Random weights do not forget, so it takes complete records."""

    kind: Literal["opendpd_dvrjanet"] = Field(description="which model to train")
    hidden: Count = Field(10, description="units of the recurrent layer")
    settings: ClassVar[dict[str, Any]] = {"num_dvr_units": 4}


class DeltaGru(Looped):
    """DeltaGRU with thresholds of zero, so that it skips nothing."""

    kind: Literal["opendpd_deltagru"] = Field(description="which model to train")


class TresDeltaGru(Looped):
    """TRes-DeltaGRU with thresholds of zero: a DeltaGRU and a dilated convolution in parallel."""

    kind: Literal["opendpd_tres_deltagru"] = Field(description="which model to train")
    look_ahead: ClassVar[int] = 16


MODELS = [(config, Recurrent) for config in (Gru, Lstm, Dgru, Qgru, TresGru)]
MODELS += [(config, Backbone) for config in (Tcn, PgJanet, DvrJanet, DeltaGru, TresDeltaGru)]

"""Compute the input features of each complex sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dpdrun.recipe.schema import Features

FEATURE_COUNT: dict[Features, int] = {"iq": 2, "envelope": 4}

# Root mean square of I, |x| and |x|^3 when x is complex Gaussian with unit power, as OFDM nearly is: E|x|^2n = n!
RMS_I = math.sqrt(1 / 2)
RMS_ENVELOPE_CUBED = math.sqrt(math.factorial(3))


def features(x: Tensor, kind: Features) -> Tensor:
    """Return features of unit rms: (B, T, 2) -> (B, T, FEATURE_COUNT[kind]).

    A power amplifier distorts by the envelope |x|, and odd orders dominate near the carrier: hence |x| and |x|^3
    (Wang et al., "Augmented real-valued time-delay neural network", IEEE TNNLS 30(1), 2019).

    Args:
        x: I and Q, scaled so that the complex signal has unit rms
        kind: `iq` = I, Q alone; `envelope` = I, Q, |x|, |x|^3
    """
    iq = x / RMS_I
    if kind == "iq":
        return iq
    power = x.square().sum(-1, keepdim=True)
    envelope = (power + 1e-12).sqrt()  # the slope of sqrt is infinite at 0
    return torch.cat([iq, envelope, envelope * power / RMS_ENVELOPE_CUBED], dim=-1)

"""The kinds of examples/plugins/tcn_ssm.py: the contract, and their filters against scipy's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from dpdrun.plugins.check import check_file
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import load_recipe

FOLDER = Path(__file__).parents[2] / "examples" / "plugins"
PLUGIN = FOLDER / "tcn_ssm.py"


@pytest.fixture
def module(plugin_registry: None) -> Iterator[Any]:
    plugins.load_files([PLUGIN])
    entry = plugins.find("models", "ssm")
    assert entry is not None
    return sys.modules[entry.value.section.__module__]


@pytest.mark.usefixtures("plugin_registry")
def test_both_keep_the_contract() -> None:
    checks = check_file(PLUGIN)
    assert len(checks) == 26
    assert [str(check) for check in checks if not check.passed] == []


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("name", ["tcn", "ssm"])
def test_the_recipes_are_valid(name: str) -> None:
    assert load_recipe(FOLDER / f"{name}.yaml").recipe.model.kind == name


@torch.no_grad()
def test_a_convolution_is_an_fir_filter_of_each_channel(module: Any) -> None:
    torch.manual_seed(0)
    layer = module.Convolution(module.Tcn(kind="tcn", width=3, taps=4), layer=2)
    x = torch.randn(1, 200, 3)
    y, _ = layer(x, layer.silence(1))
    for channel in range(3):
        taps = np.zeros(13)
        taps[::4] = layer.taps[:, channel].flip(0)
        assert y[0, :, channel].numpy() == pytest.approx(lfilter(taps, 1, x[0, :, channel].numpy()), abs=1e-5)


@torch.no_grad()
def test_a_state_space_layer_is_a_bank_of_one_pole_filters(module: Any) -> None:
    torch.manual_seed(0)
    layer = module.StateSpace(module.Ssm(kind="ssm", width=3, states=4))
    x = torch.randn(1, 200, 3)  # more than three blocks
    y, _ = layer(x, layer.silence(1))
    poles = np.exp(-module.DECAY * np.exp(layer.log_decay.numpy()) + 1j * layer.frequency.numpy())
    gains = layer.readout[0].numpy() + 1j * layer.readout[1].numpy()
    for channel in range(3):
        signal = x[0, :, channel].numpy()
        expected = layer.direct[channel].item() * signal
        for a, c in zip(poles[channel], gains[channel], strict=True):
            expected = expected + lfilter([c], [1, -a], signal).real
        assert y[0, :, channel].numpy() == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_no_weight_makes_a_pole_unstable(module: Any) -> None:
    layer = module.StateSpace(module.Ssm(kind="ssm", width=1, states=1))
    layer.log_decay.fill_(-20.0)
    _, state = layer(torch.ones(1, 1000, 1), layer.silence(1))
    before = state.norm()
    for _ in range(10):
        _, state = layer(torch.zeros(1, 1000, 1), state)
    assert state.norm() <= before * 1.001

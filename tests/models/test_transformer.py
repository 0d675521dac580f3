from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dpdrun.errors import RecipeError
from dpdrun.models import build
from dpdrun.models._features import features
from dpdrun.models.transformer import FULL_ATTENTION_MACS_LENGTH, Block, Config, Model, WindowAttention, sinusoids

OURS: dict[str, Any] = {"kind": "transformer", "d_model": 8, "layers": 2, "heads": 2, "window": 8}
# Revision 24 of the Transformer that failed on this task: 207,170 parameters, counted from its checkpoint's name
FAILED = Config(
    kind="transformer",
    d_model=128,
    layers=1,
    heads=4,
    ff_mult=4.0,
    activation="relu",
    window="full",
    positions="sinusoidal",
    features="iq",
    embedding="layernorm_mlp",
    conv=0,
    skip="off",
    dropout=0.1,
    residual_init="xavier",
)


def model_of(config: Config) -> Model:
    torch.manual_seed(0)
    return Model(config, scale_x=1.0, scale_y=1.0).eval()


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


@pytest.mark.parametrize("positions", ["relative", "none"])
@pytest.mark.parametrize("length", [1, 7, 8, 21])
def test_blockwise_attention_equals_its_definition_sample_by_sample(positions: str, length: int) -> None:
    torch.manual_seed(0)
    W, H, D = 8, 2, 6
    layer = WindowAttention(Config(**{**OURS, "d_model": D, "positions": positions}), W).double()
    if layer.relative_bias is not None:
        torch.nn.init.normal_(layer.relative_bias)
    x = torch.randn(1, length, D, dtype=torch.float64)
    silent = torch.zeros(1, W, H, D // H, dtype=torch.float64)
    got = layer(x, (silent, silent))[0][0].detach().numpy()

    q, k, v = layer.qkv(x)[0].detach().numpy().reshape(length, 3, H, D // H).transpose(1, 2, 0, 3)  # (H, T, E) each
    bias = np.zeros((H, W)) if layer.relative_bias is None else layer.relative_bias.detach().numpy()
    expected = np.zeros((length, H, D // H))
    for n in range(length):
        for h in range(H):
            keys = [k[h, n - age] if n >= age else np.zeros(D // H) for age in range(W)]
            values = [v[h, n - age] if n >= age else np.zeros(D // H) for age in range(W)]
            weights = softmax(np.array(keys) @ q[h, n] / np.sqrt(D / H) + bias[h])
            expected[n, h] = weights @ np.array(values)
    out = layer.out(torch.from_numpy(expected.reshape(length, D))).detach().numpy()
    np.testing.assert_allclose(got, out, rtol=1e-10, atol=1e-12)


def test_zero_residuals_start_as_the_linear_path() -> None:
    model = model_of(Config(**OURS))
    x = torch.randn(2, 20, 2)
    assert model.skip is not None
    torch.testing.assert_close(model(x), model.skip(features(x, "envelope")))


def test_the_failed_original_is_a_setting() -> None:
    model = model_of(FAILED)
    assert sum(p.numel() for p in model.parameters()) == 207_170


def test_the_failed_originals_embedding_erases_the_envelope() -> None:
    """Without biases LayerNorm sees no amplitude at all; a linear embedding sees it in full."""
    x = torch.randn(1, 50, 2)
    blind, seeing = model_of(FAILED).embedding, model_of(Config(**OURS, features="iq")).embedding
    assert (blind(2 * x) - blind(x)).norm() < 0.02 * blind(x).norm()
    torch.testing.assert_close(seeing(2 * x) - seeing.bias, 2 * (seeing(x) - seeing.bias))


def test_full_attention_survives_a_long_record() -> None:
    config = FAILED.model_copy(update={"d_model": 8, "heads": 1})
    with torch.inference_mode():
        assert model_of(config)(torch.randn(1, 19_662, 2)).isfinite().all()


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("positions", {"window": "full"}),
        ("lookahead", {"window": "full", "positions": "none", "lookahead": 3}),
        ("lookahead", {"skip": "off", "lookahead": 3}),
        ("heads", {"heads": 3}),
    ],
)
def test_settings_that_exclude_each_other_are_refused(key: str, changes: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"model.{key}"):
        build(Config(**(OURS | changes)), scale_x=1.0, scale_y=1.0)


def test_with_lookahead_too_training_starts_from_the_linear_path() -> None:
    model = model_of(Config(**OURS, lookahead=3))
    x = torch.randn(2, 20, 2)
    assert model.skip is not None
    torch.testing.assert_close(model(x), model.skip(features(x, "envelope")))


def test_sinusoids_continue_where_a_stream_left_off() -> None:
    torch.testing.assert_close(sinusoids(7, 5, 6), sinusoids(0, 12, 6)[7:])
    assert sinusoids(0, 4, 5).shape == (4, 5)


def test_dropout_acts_in_training_only() -> None:
    model = model_of(Config(**OURS, dropout=0.5, residual_init="xavier"))
    x = torch.randn(1, 16, 2)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


def test_macs_and_parameters_by_hand() -> None:
    model = model_of(Config(**OURS))  # D = 8, H = 2, W = 8, 4 features, 4 taps, MLP 32 wide
    linear = 4 * 8 + 2 * (3 * 8 * 8 + 8 * 8 + 2 * 8 * 32) + 8 * 2 + 4 * 2
    assert model.macs_per_sample == linear + 4 * 8 + 2 * (8 * 8 + 8 * 8)
    biases = 8 + 2 * (3 * 8 + 8 + 32 + 8) + 2
    norms, taps, positions = 2 * 4 * 8, 4 * 8, 2 * 2 * 8
    assert sum(p.numel() for p in model.parameters()) == linear + biases + norms + taps + positions


def test_macs_agree_with_torchs_counter() -> None:
    """The counter sees matrix products alone, and blocks of two windows where one window is needed."""
    model, T = model_of(Config(**OURS)), 64
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, T, 2))
    taps, window = 4 * 8, 2 * 2 * 8 * 8
    assert counter.get_total_flops() == 2 * T * (model.macs_per_sample - taps + window)

    full = model_of(FAILED)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        full(torch.randn(1, FULL_ATTENTION_MACS_LENGTH, 2))
    assert counter.get_total_flops() == 2 * FULL_ATTENTION_MACS_LENGTH * full.macs_per_sample


def test_weight_decay_spares_positions_and_taps() -> None:
    names = model_of(Config(**OURS)).no_decay()
    assert {"conv", "blocks.0.attention.relative_bias", "blocks.1.norm_mlp.weight", "head.bias"} <= names
    assert not {"embedding.weight", "blocks.0.attention.qkv.weight", "skip.weight"} & names


def test_keys_and_values_need_no_bias() -> None:
    """With a bias in the output projection, what biases of keys and values can say is said already."""
    torch.manual_seed(0)
    small = {**OURS, "window": 6}
    every, query = (
        Model(Config(**small, attention_bias=which), scale_x=1.0, scale_y=1.0).eval() for which in ("all", "query")
    )
    with torch.no_grad():
        for parameter in every.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        tensors, D = every.state_dict(), small["d_model"]
        for name in [name for name in tensors if name.endswith("qkv.bias")]:
            out = name.replace("qkv.bias", "out")
            tensors[f"{out}.bias"] = tensors[f"{out}.bias"] + tensors[f"{out}.weight"] @ tensors[name][2 * D :]
            tensors[name] = tensors[name][:D]
        query.load_state_dict(tensors)
        x = torch.randn(2, 30, 2)
        past = 20  # before it, a window is filled up with the keys and values of silence, which have no bias either
        torch.testing.assert_close(query(x)[:, past:], every(x)[:, past:], rtol=1e-5, atol=1e-5)
    counts = [sum(p.numel() for p in model.parameters()) for model in (every, query)]
    assert counts[0] - counts[1] == 2 * D * small["layers"]


def test_a_bilinear_mlp_is_the_product_of_two_layers() -> None:
    config = Config(**{**OURS, "window": 6}, activation="bilinear", norm="off", ff_mult=0.5)
    block = Block(config)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn_like(parameter))
        block.attention.out.weight.zero_()
        block.attention.out.bias.zero_()  # leaves x + mlp(x)
        x = torch.randn(1, 5, config.d_model)
        silent = torch.zeros(1, 6, config.heads, config.d_model // config.heads)
        found, _ = block(x, (silent, silent))
        W, b = block.mlp_in.weight.numpy(), block.mlp_in.bias.numpy()
        half = len(b) // 2
        h = x.numpy()
        product = (h @ W[:half].T + b[:half]) * (h @ W[half:].T + b[half:])
        expected = h + product @ block.mlp_out.weight.numpy().T + block.mlp_out.bias.numpy()
    assert half == config.d_model // 2
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)

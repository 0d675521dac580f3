"""A record piece by piece must be the record as a whole, for every kind and every cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.evaluation import streaming
from dpdrun.evaluation.prediction import predict
from dpdrun.evaluation.streaming import predict_pieces
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import Limited
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, TransformerModel

Samples = NDArray[np.complex128]
TRANSFORMER: dict[str, Any] = {"kind": "transformer", "d_model": 8, "layers": 2, "heads": 2, "window": 5}
SECTIONS: dict[str, ModelSection] = {
    "transformer": TransformerModel(**TRANSFORMER),
    "transformer, look-ahead": TransformerModel(**TRANSFORMER, lookahead=7, positions="none"),
    "gru": GRUModel(kind="gru", hidden=6, layers=2),
    "gmp": GMPModel(kind="gmp", order=4, delays=5, cross=3),
    "predistorter": GMPModel(kind="gmp", order=4, delays=5, cross=3),
}
FULL = TransformerModel(**{**TRANSFORMER, "window": "full", "positions": "none"})


def model_of(section: ModelSection, *, peak: float | None = None) -> BehaviouralModel:
    torch.manual_seed(0)
    model = models.build(section, scale_x=0.2, scale_y=0.7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return (model if peak is None else Limited(model, peak)).eval()


def record(length: int) -> Samples:
    rng = np.random.default_rng(length)
    return np.asarray(0.14 * (rng.standard_normal(length) + 1j * rng.standard_normal(length)))


def cut(x: Samples, lengths: list[int]) -> list[Samples]:
    """Pieces of these lengths, in turn until the record ends."""
    edges = np.cumsum(np.resize(lengths, len(x)))
    return [piece for piece in np.split(x, edges[edges < len(x)]) if len(piece)]


def require_close(y: Samples, expected: Samples) -> None:
    """Equal but for the order of sums in single precision, which depends on lengths and on the CPU."""
    np.testing.assert_allclose(y, expected, rtol=0, atol=16 * np.finfo(np.float32).eps * np.abs(expected).max())


@settings(max_examples=40)
@given(
    name=st.sampled_from(sorted(SECTIONS)),
    length=st.integers(1, 120),
    chunk=st.integers(1, 50),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5),
)
def test_pieces_of_any_length_give_the_output_of_the_whole_record(
    name: str, length: int, chunk: int, lengths: list[int]
) -> None:
    model, x = model_of(SECTIONS[name], peak=0.4 if name == "predistorter" else None), record(length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "CHUNK_SAMPLES", chunk)
        pairs = list(predict_pieces(model, cut(x, lengths)))
    assert all(len(a) == len(b) > 0 for a, b in pairs)
    np.testing.assert_array_equal(np.concatenate([a for a, _ in pairs]), x)
    require_close(np.concatenate([b for _, b in pairs]), predict(model, x))


@pytest.mark.parametrize("length", [1, 31, 32, 33, 100])
def test_a_model_that_is_scored_on_frames_gets_frames(length: int) -> None:
    """Also attention over the whole of them, in a record of any length."""
    model, x = model_of(FULL), record(length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "CHUNK_SAMPLES", 50)
        pairs = list(predict_pieces(model, cut(x, [7, 20]), piece=16))
    np.testing.assert_array_equal(np.concatenate([a for a, _ in pairs]), x)
    y = np.concatenate([b for _, b in pairs])
    require_close(y, predict(model, x, piece=16))


def test_attention_over_the_whole_record_takes_a_short_one_and_says_what_to_do_about_a_long_one() -> None:
    model, x = model_of(FULL), record(100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "WHOLE_RECORD_SAMPLES", 100)
        ((a, y),) = predict_pieces(model, cut(x, [30]))
        np.testing.assert_array_equal(a, x)
        require_close(y, predict(model, x))
        with pytest.raises(RunError, match=r"window: full.*more than 100 samples.*model.window in samples"):
            list(predict_pieces(model, cut(record(101), [30])))


def test_what_is_held_does_not_grow_with_the_record() -> None:
    """An endless record: pieces are asked for one after the other, and outputs come before the next is asked for."""
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield record(64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "CHUNK_SAMPLES", 64)
        pairs = predict_pieces(model_of(SECTIONS["transformer, look-ahead"]), endless())
        for count in range(1, 20):
            x, _ = next(pairs)
            assert len(x) <= 64 + 7
            assert asked == count
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()

"""Predictions in one pass, in frames, in chunks, in loops, and streamed from a reader."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dpdrun import models
from dpdrun.data.capture import Part
from dpdrun.errors import RunError
from dpdrun.evaluation import prediction
from dpdrun.evaluation.prediction import ALONE, Samples, Sharing, eval_frame, predict, predict_split, predict_stream
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import LimitedPredistorter
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, TransformerModel
from tests.evaluation.cases import MODELS, nmse, noise, plan_of, random_model
from tests.processes import Processes


@pytest.mark.parametrize("kind", MODELS)
def test_one_pass_is_the_model_in_the_units_of_the_capture(kind: str) -> None:
    model, x = random_model(plan_of(*MODELS[kind])), noise(50)
    pairs = torch.tensor(np.stack([x.real, x.imag], -1), dtype=torch.float32)
    with torch.no_grad():
        direct = model(pairs[None])[0].double().numpy()
    np.testing.assert_array_equal(predict(model, x), direct[:, 0] + 1j * direct[:, 1])


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("count", [101, 128, 7])
def test_chunks_with_carried_state_equal_one_pass(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = random_model(plan_of(*MODELS[kind])), noise(count)
    whole = predict(model, x)
    monkeypatch.setattr(prediction, "CHUNK_SAMPLES", 16)
    lengths: list[int] = []
    step = model.step
    monkeypatch.setattr(model, "step", lambda x, state: lengths.append(x.shape[1]) or step(x, state))  # type: ignore[func-returns-value]
    np.testing.assert_allclose(predict(model, x), whole, atol=1e-5 * np.abs(whole).max())
    if kind != "full" and count > 16:  # full attention cannot be cut
        assert len(lengths) == math.ceil(count / 16) + (kind == "lookahead")  # a flush after the end
        assert max(lengths) <= 16


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("count", [60, 64, 20, 9, 1])
def test_pieces_equal_calls_of_their_own(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last piece is shorter, where the record is shorter than a piece, and where batches are cut."""
    model, x = random_model(plan_of(*MODELS[kind])), noise(count)
    expected = np.concatenate([predict(model, x[start : start + 20]) for start in range(0, count, 20)])
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(predict(model, x, frame=20), expected, atol=tolerance)
    monkeypatch.setattr(prediction, "CHUNK_SAMPLES", 45)  # two pieces at a time
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, arguments: sizes.append(arguments[0].shape[0]))
    np.testing.assert_allclose(predict(model, x, frame=20), expected, atol=tolerance)
    assert max(sizes) <= 2


def test_pieces_do_not_see_each_other() -> None:
    model, x = random_model(plan_of()), noise(64)
    other = x.copy()
    other[:20] *= 3
    a, b = predict(model, x, frame=20), predict(model, other, frame=20)
    np.testing.assert_array_equal(a[20:], b[20:])
    assert not np.allclose(predict(model, x)[20:], predict(model, other)[20:])


def test_a_plan_says_how_a_record_is_cut() -> None:
    assert eval_frame(plan_of()) is None
    assert eval_frame(plan_of("train.eval_on=frame")) == 32


@pytest.mark.parametrize("lookahead", [0, 3])
@pytest.mark.parametrize("loop", [40, 20])
def test_a_loop_is_given_its_own_end_as_past_and_its_own_beginning_as_future(loop: int, lookahead: int) -> None:
    torch.manual_seed(0)
    config = TransformerModel(
        kind="transformer", d_model=8, layers=2, heads=2, window=8, lookahead=lookahead, residual_init="xavier"
    )
    model = models.build(config, scale_x=1.0, scale_y=1.0).eval()
    rng = np.random.default_rng(0)
    x = rng.normal(size=120) + 1j * rng.normal(size=120)
    played = [np.tile(each, 4) for each in x.reshape(-1, loop)]  # what the amplifier saw
    expected = np.concatenate([predict(model, each)[2 * loop : 3 * loop] for each in played])
    assert loop != 40 or model.context < 2 * loop
    np.testing.assert_allclose(predict(model, x, loop=loop), expected, atol=1e-5)
    assert not np.allclose(predict(model, x), expected, atol=1e-3)


CUTS: dict[str, tuple[int, dict[str, int]]] = {  # samples of one of the things that are shared, and how to cut
    "record": (1, {}),
    "frame": (16, {"frame": 16}),
    "loop": (20, {"loop": 20}),
}
COUNTS = (1, 7, 8, 9)


def in_turn(model: nn.Module, x: Any, processes: int, **cut: int) -> tuple[list[Any], list[Any]]:
    """What each of several processes puts into the sum, and the output that each would have."""
    parts: list[Any] = []

    def add(part: Any) -> Any:
        parts.append(part)
        return part

    whole = [predict(model, x, sharing=Sharing(this, processes, add), **cut) for this in range(processes)]
    return parts, [sum(parts)] * processes if parts else whole


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("kind", MODELS)
def test_a_shared_score_counts_each_sample_once(
    kind: str, cut: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Error and energy are summed over samples that one process made: none is left out, repeated or padded."""
    monkeypatch.setattr(prediction, "SETTLING_SAMPLES", 40)
    model = random_model(plan_of(*MODELS[kind]))
    unit, how = CUTS[cut]
    for count in COUNTS:
        y = noise(count * unit - (5 if cut == "frame" else 0), seed=count)  # the last frame is a shorter one
        x = noise(len(y))
        parts, outputs = in_turn(model, x, processes, **how)
        expected = nmse(y, predict(model, x, **how))
        assert [nmse(y, output) for output in outputs] == pytest.approx([expected] * processes, rel=1e-5)
        if processes == 1 or (cut == "record" and kind in ("gru", "full")):
            assert not parts, "a memory without an end is not cut: each process makes the whole record"
        else:
            filled = np.array([part != 0 for part in parts])
            assert filled.shape == (processes, len(y))
            assert (filled.sum(axis=0) == 1).all()


def scores(sharing: Sharing) -> list[float]:
    """NMSE by kind of model, cut and count."""
    found = []
    for kind, (unit, how), count in itertools.product(MODELS, CUTS.values(), COUNTS[::2]):
        x, y = noise(count * unit), noise(count * unit, seed=count)
        found.append(nmse(y, predict(random_model(plan_of(*MODELS[kind])), x, sharing=sharing, **how)))
    return found


def shared_scores(group: Any) -> list[float]:
    """The same in one of the processes of a group."""
    from dpdrun.training.loop import sharing_of

    return scores(sharing_of(group))


def test_two_processes_score_as_one(processes: Callable[[int], Processes]) -> None:
    alone = scores(ALONE)
    first, other = processes(2).run(__file__, "shared_scores")
    assert len(alone) == len(MODELS) * len(CUTS) * 2
    assert first == other
    assert first == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [0, 1, 4, 7, 8, 9])
def test_shares_are_as_equal_as_can_be(count: int, processes: int) -> None:
    slices = [Sharing(this, processes).mine(count) for this in range(processes)]
    assert [index for each in slices for index in range(count)[each]] == list(range(count))
    sizes = [each.stop - each.start for each in slices]
    assert max(sizes) - min(sizes) <= 1


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
    return (model if peak is None else LimitedPredistorter(model, peak)).eval()


def record(length: int) -> Samples:
    rng = np.random.default_rng(length)
    return np.asarray(0.14 * (rng.standard_normal(length) + 1j * rng.standard_normal(length)))


def cut(x: Samples, lengths: list[int]) -> list[Samples]:
    """Chunks of these lengths, in turn until the record ends."""
    edges = np.cumsum(np.resize(lengths, len(x)))
    return [chunk for chunk in np.split(x, edges[edges < len(x)]) if len(chunk)]


@settings(max_examples=40)
@given(
    name=st.sampled_from(sorted(SECTIONS)),
    length=st.integers(1, 120),
    chunk=st.integers(1, 50),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5),
)
def test_chunks_of_any_length_give_the_output_of_the_complete_record(
    name: str, length: int, chunk: int, lengths: list[int]
) -> None:
    model, x = model_of(SECTIONS[name], peak=0.4 if name == "predistorter" else None), record(length)
    whole = predict(model, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "CHUNK_SAMPLES", chunk)
        pairs = list(predict_stream(model, cut(x, lengths)))
    assert all(len(a) == len(b) > 0 for a, b in pairs)
    np.testing.assert_array_equal(np.concatenate([a for a, _ in pairs]), x)
    np.testing.assert_allclose(np.concatenate([b for _, b in pairs]), whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 100])
def test_a_model_that_is_scored_on_frames_gets_frames(length: int) -> None:
    """Also attention over the whole of them, in a record of any length."""
    model, x = model_of(FULL), record(length)
    whole = predict(model, x, frame=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "CHUNK_SAMPLES", 50)
        pairs = list(predict_stream(model, cut(x, [7, 20]), frame=16))
    np.testing.assert_array_equal(np.concatenate([a for a, _ in pairs]), x)
    y = np.concatenate([b for _, b in pairs])
    np.testing.assert_allclose(y, whole, rtol=0, atol=2e-6)


def test_full_attention_takes_a_short_record_and_advises_on_a_long_one() -> None:
    model, x = model_of(FULL), record(100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "FULL_ATTENTION_SAMPLES", 100)
        ((a, y),) = predict_stream(model, cut(x, [30]))
        np.testing.assert_array_equal(a, x)
        np.testing.assert_allclose(y, predict(model, x), rtol=0, atol=2e-6)
        with pytest.raises(RunError, match=r"window: full.*more than 100 samples.*model.window in samples"):
            list(predict_stream(model, cut(record(101), [30])))


def test_what_is_held_does_not_grow_with_the_record() -> None:
    """An endless record: chunks are requested one after the other, and outputs come before the next request."""
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield record(64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "CHUNK_SAMPLES", 64)
        pairs = predict_stream(model_of(SECTIONS["transformer, look-ahead"]), endless())
        for count in range(1, 20):
            x, _ = next(pairs)
            assert len(x) <= 64 + 7
            assert asked == count
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def middle(start: int, end: int, count: int) -> Part:
    x = noise(count)
    past, part, future = (Part(x[c], x[c]) for c in (slice(start), slice(start, end), slice(end, None)))
    return Part(part.x, part.y, past if start else None, future if end < count else None)


def drawn(kind: str) -> BehaviouralModel:
    if kind != "gmp":
        return random_model(plan_of(*MODELS[kind]))
    model = models.build(GMPModel(kind="gmp", order=3, delays=5), scale_x=0.7, scale_y=1.4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("kind", ["transformer", "lookahead", "gru", "gmp"])
@pytest.mark.parametrize("span", [(2000, 5000), (2000, 2020), (0, 3000), (4, 6000)])
def test_a_split_is_predicted_as_the_middle_of_its_record(kind: str, span: tuple[int, int]) -> None:
    model, part = drawn(kind), middle(*span, 6000)
    around = [side for side in (part.past, part, part.future) if side is not None]
    record = predict(model, np.concatenate([each.x for each in around]))
    found = predict_split(model, part)
    np.testing.assert_array_equal(found.cold, predict(model, part.x))
    assert found.with_past is not None
    np.testing.assert_allclose(found.with_past, record[slice(*span)], atol=2e-5)
    assert span[0] == 0 or np.max(np.abs(found.cold - found.with_past)) > 1e-3


@pytest.mark.parametrize("more", [{"frame": 50}, {"loop": 100}])
def test_frames_and_loops_have_no_other_past(more: dict[str, int]) -> None:
    model, part = random_model(plan_of()), middle(300, 800, 900)
    found = predict_split(model, part, **more)
    assert found.with_past is None
    np.testing.assert_array_equal(found.chosen, predict(model, part.x, **more))


def test_a_split_without_surroundings_starts_cold() -> None:
    assert predict_split(random_model(plan_of()), middle(0, 300, 300)).with_past is None

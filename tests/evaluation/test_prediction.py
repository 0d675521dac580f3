"""Predictions in one pass, in pieces, in chunks and in loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.evaluation import prediction
from dpdrun.evaluation.prediction import Sharing, piece_of, predict
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import load_text
from tests.processes import Processes

RECIPE = """
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 2, heads: 2, window: 8}
train: {max_steps: 12, batch_size: 4, frame: 32, burn_in: 8}
"""
MODELS = {
    "transformer": (),
    "lookahead": ("model.lookahead=3",),
    "full": ("model.window=full", "model.positions=sinusoidal"),
    "gru": ("model={kind: gru, hidden: 4}",),
}


def plan_of(*overrides: str) -> Plan:
    return make_plan(load_text(RECIPE, Path("r.yaml"), overrides).recipe, 2000)


def random_model(plan: Plan) -> nn.Module:
    """A model whose every weight is drawn, so that nothing is hidden behind a zero."""
    torch.manual_seed(0)
    model = models.build(plan.recipe.model, scale_x=0.7, scale_y=1.4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model.eval()


def noise(count: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=count) + 1j * rng.normal(size=count)


def part(count: int, seed: int) -> Part:
    """Smooth noise through a memoryless cubic amplifier."""
    x = 0.1 * np.convolve(noise(count + 8, seed), np.hanning(9), mode="valid")
    return Part(x, 2.0 * x * (1 - 0.3 * np.abs(x) ** 2))


def capture_of(**more: Any) -> Capture:
    return Capture(
        name="test", sample_rate_hz=1e6, bandwidth_hz=None, subchannels=None, licence="", note="",
        train=part(2000, 0), val=part(500, 1), test=part(300, 2), **more,
    )  # fmt: skip


def nmse(y: Any, prediction: Any) -> float:
    """By the definition, on its own."""
    return 10 * math.log10(np.linalg.norm(prediction - y) ** 2 / np.linalg.norm(y) ** 2)


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
    monkeypatch.setattr(prediction, "WHOLE_RECORD_SAMPLES", 5)
    monkeypatch.setattr(prediction, "CHUNK_SAMPLES", 16)
    lengths: list[int] = []
    step = model.step
    monkeypatch.setattr(model, "step", lambda x, state: lengths.append(x.shape[1]) or step(x, state))  # type: ignore[func-returns-value]
    np.testing.assert_allclose(predict(model, x), whole, atol=1e-5 * np.abs(whole).max())
    if kind != "full":  # which cannot be cut: it attends to the whole record
        assert len(lengths) == math.ceil(count / 16) + (kind == "lookahead")  # a flush behind the end
        assert max(lengths) <= 16


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("count", [60, 64, 20, 9, 1])
def test_pieces_equal_calls_of_their_own(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last piece is shorter, where the record is shorter than a piece, and where batches are cut."""
    model, x = random_model(plan_of(*MODELS[kind])), noise(count)
    expected = np.concatenate([predict(model, x[start : start + 20]) for start in range(0, count, 20)])
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(predict(model, x, piece=20), expected, atol=tolerance)
    monkeypatch.setattr(prediction, "CHUNK_SAMPLES", 45)  # two pieces at a time
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, arguments: sizes.append(arguments[0].shape[0]))
    np.testing.assert_allclose(predict(model, x, piece=20), expected, atol=tolerance)
    assert max(sizes) <= 2


def test_pieces_do_not_see_each_other() -> None:
    model, x = random_model(plan_of()), noise(64)
    other = x.copy()
    other[:20] *= 3
    a, b = predict(model, x, piece=20), predict(model, other, piece=20)
    np.testing.assert_array_equal(a[20:], b[20:])
    assert not np.allclose(predict(model, x)[20:], predict(model, other)[20:])


def test_a_plan_says_how_a_record_is_cut() -> None:
    assert piece_of(plan_of()) is None
    assert piece_of(plan_of("train.eval_on=frame")) == 32


@pytest.mark.parametrize("lookahead", [0, 3])
@pytest.mark.parametrize("loop", [40, 20])
def test_a_loop_is_given_its_own_end_as_past_and_its_own_beginning_as_future(loop: int, lookahead: int) -> None:
    from dpdrun import models
    from dpdrun.recipe.schema import TransformerModel

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
    "frame": (16, {"piece": 16}),
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
def test_a_shared_score_counts_each_sample_once(kind: str, cut: str, processes: int) -> None:
    """Error and energy are summed over samples that one process made: none is left out, repeated or padded."""
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


def shared_scores(group: Any) -> list[float]:
    """NMSE by kind of model, cut and count, in one of the processes of a group."""
    from dpdrun.training.loop import sharing_of

    found = []
    for kind, (unit, how), count in itertools.product(MODELS, CUTS.values(), COUNTS):
        x, y = noise(count * unit), noise(count * unit, seed=count)
        found.append(nmse(y, predict(random_model(plan_of(*MODELS[kind])), x, sharing=sharing_of(group), **how)))
    return found


def test_two_processes_score_as_one(processes: Callable[[int], Processes]) -> None:
    alone = processes(1).run(__file__, "shared_scores")[0]
    first, other = processes(2).run(__file__, "shared_scores")
    assert len(alone) == len(MODELS) * len(CUTS) * len(COUNTS)
    assert first == other
    assert first == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [0, 1, 4, 7, 8, 9])
def test_shares_are_as_equal_as_can_be(count: int, processes: int) -> None:
    slices = [Sharing(this, processes).mine(count) for this in range(processes)]
    assert [index for each in slices for index in range(count)[each]] == list(range(count))
    sizes = [each.stop - each.start for each in slices]
    assert max(sizes) - min(sizes) <= 1

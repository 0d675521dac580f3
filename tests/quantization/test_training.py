"""Fine-tuning: the forward pass is the program, the gradient that of the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from dpdrun.errors import RunError
from dpdrun.models._threads import torch_threads
from dpdrun.quantization import calibration, reference, training
from dpdrun.quantization.integers import sum_fractions, to_integers
from dpdrun.recipe.schema import QuantizationSection
from tests.quantization.conftest import case_of

COARSE = QuantizationSection(weights=7, activations=14)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few and short frames, in one thread: on a loaded machine more of them wait for each other."""
    for name, value in (("FRAMES", 4), ("FRAME", 60), ("SETTLING", 20)):
        monkeypatch.setattr(training, name, value)
    with torch_threads(1):
        yield


def weights_of(case: Any) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value, requires_grad=True) for name, value in case.network.weights.items()}


def test_without_rounding_it_is_the_model(case: Any) -> None:
    pairs = np.stack([case.x.real, case.x.imag], -1)[None, :200] * 2.0**-case.network.x_exponent
    late = case.network.lookahead
    with torch.no_grad():
        y = training.Forward(case.network, weights_of(case)).run(torch.tensor(pairs))[0, late:].numpy()
    y = (y[:, 0] + 1j * y[:, 1]) * 2.0**case.network.y_exponent
    assert calibration.decibel(y, case.expected[: 200 - late]) < -115  # without the keys that are left out


def test_the_forward_pass_is_the_program_to_the_last_bit(case: Any) -> None:
    formats, weights = calibration.choose(case.network, case.ranges, COARSE), weights_of(case)
    program, integers = to_integers(case.network, formats, weight_bits=COARSE.weights)
    words = reference.to_words(program, case.x[:48]).reshape(2, 24, 2)
    y = training.through_words(case.network, (program, integers), weights, formats, words)
    expected, _ = reference.step(program, integers, words, reference.initial_state(program))
    np.testing.assert_array_equal(np.rint(y.detach().numpy() * 2.0 ** int(formats["y"].fraction)), expected)
    y.square().sum().backward()
    named = {term["weight"] for each in program["steps"] for term in each.get("terms", ()) if term["weight"]}
    assert all(weights[name].grad is not None for name in named)


def test_fine_words_have_the_gradient_of_the_network(transformer: Any) -> None:
    """At 18 bits the straight-through gradient is that of the network, up to rounding."""
    fine = QuantizationSection(weights=18, activations=18, port=18, accumulator=60)
    formats = calibration.choose(transformer.network, transformer.ranges, fine)
    words = reference.to_words(
        transformer.rounded(weights=18, activations=18, port=18, accumulator=60)[0], transformer.x
    )
    x = torch.as_tensor(words[None, :60] * np.exp2(-float(formats["x"].fraction)))
    gradients = []
    for rounded in (False, True):
        weights = weights_of(transformer)
        if rounded:
            program = to_integers(transformer.network, formats, weight_bits=18)
            y = training.through_words(transformer.network, program, weights, formats, words[None, :60])
        else:
            y = training.Forward(transformer.network, weights).run(x)
        y[..., 0].square().sum().backward()
        gradients.append({name: value.grad for name, value in weights.items()})
    for name, exact in gradients[0].items():
        if exact is not None and exact.abs().max() > 1e-3:
            assert torch.allclose(exact, gradients[1][name], rtol=0.02, atol=2e-3 * float(exact.abs().max())), name


def test_a_clipped_word_stops_the_gradient() -> None:
    case = case_of("gmp, no memory")
    formats, weights = calibration.choose(case.network, case.ranges, COARSE), weights_of(case)
    program = to_integers(case.network, formats, weight_bits=COARSE.weights)
    words = np.full((1, 8, 2), 2**15 - 1)
    y = training.through_words(case.network, program, weights, formats, words)
    clipped = y.detach().abs() >= (2**15 - 1) * 2.0 ** -float(formats["y"].fraction)
    assert clipped.any()
    y[clipped].sum().backward()
    assert all(value.grad is None or not value.grad.any() for value in weights.values())


@pytest.mark.parametrize(("kind", "bits"), [("transformer", 7), ("gru, bare", 5), ("gmp", 6)])
def test_fine_tuning_recovers_part_of_what_coarse_weights_cost(kind: str, bits: int) -> None:
    case = case_of(kind)
    coarse = COARSE.model_copy(update={"weights": bits})
    program, weights = case.rounded(**coarse.model_dump())
    before = case.loss_db(reference.run(program, weights, case.x))
    arguments: dict[str, Any] = {"steps": 30, "context": 10}
    tuned = training.fine_tune(case.network, case.ranges, coarse, case.x, **arguments)
    after = case.loss_db(reference.run(*tuned, case.x))
    assert after < before - 2
    assert tuned[0]["tensors"] == program["tensors"]  # scales stay
    assert all(np.abs(tuned[1][term["weight"]]).max() <= 2 ** (bits - 1) for each in tuned[0]["steps"]
               for term in each.get("terms", ()) if term["weight"])  # fmt: skip


def test_the_same_seed_gives_the_same_weights(transformer: Any) -> None:
    one, two, other = (
        training.fine_tune(
            transformer.network, transformer.ranges, COARSE, transformer.x, steps=6, context=10, seed=seed
        )
        for seed in (0, 0, 1)
    )
    assert all(np.array_equal(one[1][name], two[1][name]) for name in one[1])
    assert any(not np.array_equal(one[1][name], other[1][name]) for name in one[1])


def test_a_record_shorter_than_the_context_is_refused(transformer: Any) -> None:
    with pytest.raises(RunError, match=r"frames of more than 50 samples, and the record has 40"):
        training.fine_tune(transformer.network, transformer.ranges, COARSE, transformer.x[:40], steps=1, context=50)


def test_scales_of_weights_are_those_of_the_program(case: Any) -> None:
    """With the sums of the first program its weights are rounded as they were."""
    formats = calibration.choose(case.network, case.ranges, COARSE)
    sums = sum_fractions(case.network, formats, weight_bits=9, by_row=True)
    first, again = (
        to_integers(case.network, formats, weight_bits=9, by_row=True, sums=given)[1] for given in (None, sums)
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)

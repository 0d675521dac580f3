"""What a program costs for each sample."""

from __future__ import annotations

from typing import Any

from dpdrun.quantization.cost import OPERATIONS, cost_of
from dpdrun.quantization.reference import OPERATIONS as KNOWN
from tests.quantization.conftest import case_of


def test_a_small_transformer_counted_by_hand() -> None:
    """d_model 8, two layers, window 5, three hidden units, four taps: every key has a weight."""
    program, _ = case_of("transformer").rounded(activations=16, weights=12)
    kept = [sum(map(len, each["distances"])) for each in program["steps"] if each["op"] == "attention"]
    features, embedding, conv = 2 + 2 + 1, 4 * 8, 4 * 8
    layers = sum(3 * 8 * 8 + count * (2 * 4 + 1) + 8 * 8 + 2 * 3 * 8 + 3 + 8 * 3 for count in kept)
    cost = cost_of(program)
    assert cost["multiplications"] == features + embedding + conv + layers + 2 * 8 + 2 * 4
    assert (cost["divisions"], cost["square_roots"], cost["table_lookups"]) == (2 * 8, 1, sum(kept))
    assert cost["state_bytes"] == 2 * (3 * 8 + 2 * 2 * 4 * 8)


def test_every_operation_is_counted(case: Any) -> None:
    program, weights = case.rounded()
    cost = cost_of(program)
    assert cost["multiplications"] > 0
    assert set(cost) == {*OPERATIONS, "state_bytes", "weight_bytes"}
    assert cost["weight_bytes"] <= sum(value.size for value in weights.values()) * 8
    assert {each["op"] for each in program["steps"]} <= KNOWN.keys()

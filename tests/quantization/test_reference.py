"""The integer arithmetic: against Python's integers, over chunks of any length, without dpdrun."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.quantization import reference
from tests.quantization import naive
from tests.quantization.conftest import case_of

SETTINGS: list[dict[str, Any]] = [{}, {"weights": 9, "activations": 11, "state": 13, "port": 12, "per_channel": "all"}]


def full_scale(program: Any, count: int) -> Any:
    """Words of the largest magnitude, of random signs, and a few small ones."""
    rng = np.random.default_rng(2)
    top = 2 ** (program["input"]["bits"] - 1)
    words = rng.choice([-top, top - 1], (count, 2))
    words[::5] = rng.integers(-9, 10, (len(words[::5]), 2))
    return words


def streamed(program: Any, weights: Any, words: Any, *lengths: int, seen: Any = None) -> Any:
    state, outputs, at = reference.initial_state(program), [], 0
    while at < len(words):
        length = lengths[len(outputs) % len(lengths)]
        y, state = reference.step(program, weights, words[at : at + length], state, seen)
        outputs.append(y)
        at += length
    return np.concatenate(outputs), state


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_word_equals_pythons_integers_in_any_chunks(case: Any, settings: Any) -> None:
    program, weights = case.rounded(**settings)
    words = np.concatenate([reference.to_words(program, case.x[:40]), full_scale(program, 25)])
    seen = reference.Seen()
    whole, state = streamed(program, weights, words, len(words), seen=seen)
    np.testing.assert_array_equal(whole, naive.run(program, weights, words))
    chunked, after = streamed(program, weights, words, 1, 7, 2, 21)
    np.testing.assert_array_equal(whole, chunked)
    assert all(np.array_equal(state[name], after[name]) for name in state)
    assert seen.over_bounds(program) == []


@pytest.mark.parametrize("name", ["transformer, look-ahead", "gru, bare", "gmp, limited"])
def test_every_shift_and_every_weight_array_matters(name: str) -> None:
    """A record of 40 samples notices each of them: an implementation that gets one wrong cannot pass."""
    case = case_of(name)
    program, weights = case.rounded()
    words = np.concatenate([reference.to_words(program, case.x[:25]), full_scale(program, 15)])
    right, _ = streamed(program, weights, words, 40)
    for index, each in enumerate(program["steps"]):
        if each["op"] == "attention":  # a quotient: its shift is 0 by construction
            continue
        shift = np.asarray(each["shift"]) + 1
        steps = [*program["steps"][:index], each | {"shift": shift.tolist()}, *program["steps"][index + 1 :]]
        assert not np.array_equal(right, streamed(program | {"steps": steps}, weights, words, 40)[0]), each["out"]
    for array, values in weights.items():
        if array.endswith(".distance"):  # zeros here: without positions all distances weigh alike
            continue
        other = values + np.abs(values).max() // 8 + 1
        assert not np.array_equal(right, streamed(program, weights | {array: other}, words, 40)[0]), array


def test_leading_axes_are_records_of_their_own(case: Any) -> None:
    program, weights = case.rounded()
    words = reference.to_words(program, case.x[:80]).reshape(2, 40, 2)
    both, _ = reference.step(program, weights, words, reference.initial_state(program))
    for record, y in zip(words, both, strict=True):
        np.testing.assert_array_equal(streamed(program, weights, record, 40)[0], y)


@given(st.integers(-(2**55), 2**55), st.integers(-6, 40))
def test_rescale_rounds_half_up(v: int, shift: int) -> None:
    expected = (v + 2 ** (shift - 1)) // 2**shift if shift > 0 else v * 2**-shift
    assert reference.rescale(np.array([v]), shift)[0] == expected
    assert reference.rescale(np.array([v, v]), [shift, 1]).tolist() == [expected, (v + 1) // 2]


@given(st.integers(0, 2**62 - 1))
def test_root_is_that_of_the_integers(v: int) -> None:
    assert reference.root(np.array([v, v // 3]))[0] == math.isqrt(v)


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**30))
def test_divide_rounds_half_up(a: int, b: int) -> None:
    assert reference.divide(np.array([a]), np.array([b]))[0] == math.floor(2 * a / (2 * b) + 0.5) or abs(a) > 2**20
    assert reference.divide(np.array([a]), np.array([b]))[0] == (2 * a + b) // (2 * b)


def test_a_power_of_two_is_within_its_stated_error(transformer: Any) -> None:
    t = np.arange(20 << 12)
    _, weights = transformer.rounded()
    got = reference.exp2_negative(t, weights["exp2"]) / 2**15
    assert np.abs(got - 2.0 ** -(t / 4096)).max() < 5e-5  # half a word of the table, of the interpolation, of the shift


@pytest.mark.parametrize(
    ("name", "function", "error"),
    [("sigmoid", scipy.special.expit, 2.8e-5), ("tanh", np.tanh, 4e-5), ("normal", scipy.special.ndtr, 2.4e-5)],
)
def test_functions_are_within_their_stated_error(name: str, function: Any, error: float) -> None:
    """The errors that docs/export.md states: of the interpolation, and half a word of the table."""
    from dpdrun.quantization.network import FUNCTIONS, Network, Tensor, _table

    net = Network("gru", 0, 0, 0, tensors={"sum": Tensor(1)})
    _table(net, name, "sum", "out", 1)
    interval, odd, _ = FUNCTIONS[name]
    words = np.arange(-20 << 12, 20 << 12, 3)[:, None]
    chunk = reference._Chunk({}, (), len(words))
    chunk.values["sum"] = words
    each = {"x": "sum", "table": name, "position": 12 - interval, "odd": odd}
    got = reference.table(each, net.constants, chunk, None) / 2.0 ** (15 + 12 - interval)
    assert np.abs(got - function(words / 4096)).max() < error


def test_saturations_are_counted_by_tensor(transformer: Any) -> None:
    program, weights = transformer.rounded()
    seen = reference.Seen()
    reference.run(program, weights, transformer.x, seen=seen)
    assert sum(seen.saturated.values()) == 0
    streamed(program, weights, full_scale(program, 30), 30, seen=seen)
    assert seen.saturated["cube"] > 0
    assert seen.stored["cube"] == 430


def test_it_runs_without_dpdrun(transformer: Any, tmp_path: Path) -> None:
    """A copy of the file, in a process that cannot import dpdrun or torch."""
    program, weights = transformer.rounded()
    arrays = {f"weights/{name}": value for name, value in weights.items()}
    np.savez(tmp_path / "m.npz", program=np.array(json.dumps(program)), x=transformer.x, **arrays)
    (tmp_path / "reference.py").write_text(Path(reference.__file__).read_text())
    code = """
import sys
sys.modules["dpdrun"] = sys.modules["torch"] = sys.modules["scipy"] = None
import numpy as np, reference
program, weights = reference.load("m.npz")
np.save("y.npy", reference.run(program, weights, np.load("m.npz")["x"]))
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), reference.run(program, weights, transformer.x))

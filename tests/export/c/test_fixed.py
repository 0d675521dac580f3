"""Fixed-point C against the NumPy reference: every word, for every kind, up to the largest inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.export.c import fixed, job
from dpdrun.export.c.compiler import Compiler
from dpdrun.export.fixed import FixedPoint
from dpdrun.quantization import calibration, network, reference
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, QuantizationSection, TransformerModel

Find = Callable[..., Compiler]
SMALL: dict[str, Any] = {
    "kind": "transformer", "d_model": 8, "layers": 2, "heads": 2, "window": 6, "norm": "off", "activation": "bilinear"
}  # fmt: skip
# Model, peak, settings of the rounding: words of 8, 16 and 32 bits at the ports, in the state and in the tables
CASES: dict[str, tuple[ModelSection, float, dict[str, Any]]] = {
    "transformer": (TransformerModel(**SMALL, ff_mult=0.375, attention_bias="query"), np.inf, {}),
    "transformer, look-ahead": (
        TransformerModel(**SMALL, lookahead=3, positions="none", conv=1), np.inf, {"weights": 12, "per_channel": "all"},
    ),
    "transformer, bare": (
        TransformerModel(**SMALL | {"activation": "relu", "layers": 1}, conv=0, features="iq", skip="off"),
        np.inf, {"weights": 8, "activations": 8, "port": 8, "per_channel": "weights"},
    ),
    "transformer, gelu": (
        TransformerModel(**SMALL | {"activation": "gelu", "layers": 1}, lookahead=1),
        0.3, {"activations": 14, "port": 12},
    ),
    "gru": (GRUModel(kind="gru", hidden=6, layers=2), np.inf, {"weights": 12, "activations": 14, "state": 17}),
    "gru, limited": (GRUModel(kind="gru", hidden=5, features="iq", skip="off"), 0.4, {"per_channel": "all"}),
    "gmp": (GMPModel(kind="gmp", order=5, delays=5, cross=2), np.inf, {"weights": 18, "activations": 18, "port": 18}),
    "gmp, DC and image": (
        GMPModel(kind="gmp", order=3, delays=4, cross=1, constant="on", conjugate="on"), 0.4, {"scales": "mse"},
    ),
    "gmp, no memory": (GMPModel(kind="gmp", order=1, delays=1, cross=0), np.inf, {}),
}  # fmt: skip


@cache
def rounded(name: str) -> tuple[FixedPoint, dict[str, Any], NDArray[np.complex128]]:
    """A program, its description and the record that its scales come from. Do not write into it."""
    section, peak, settings = CASES[name]
    torch.manual_seed(0)
    model = models.build(section, scale_x=0.2, scale_y=0.7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for key, parameter in model.named_parameters():
            if key.endswith("relative_bias"):
                parameter[0, 3:] = -300.0  # a learned mask: these distances are left out, in one head alone
    weights = {key: value.double().numpy() for key, value in model.state_dict().items() if "scale" not in key}
    rng = np.random.default_rng(1)
    x = 0.14 * (rng.standard_normal(1500) + 1j * rng.standard_normal(1500))
    ranges, net = calibration.observe(network.build(section, weights, scale_x=0.2, scale_y=0.7, peak=peak), x)
    program, integers = calibration.quantize(net, ranges, QuantizationSection(**settings))
    description = {"kind": section.kind, "config": {}, "lookahead": program["lookahead"], "context": model.context}
    return FixedPoint(program, integers, QuantizationSection(**settings), {}), description, x


def demanding_words(program: dict[str, Any], x: NDArray[np.complex128], seed: int = 2) -> NDArray[np.int64]:
    """The record; then the largest and smallest words, constant, alternating and at random; a pulse; silence."""
    rng, bits = np.random.default_rng(seed), program["input"]["bits"]
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    parts = [
        reference.to_words(program, x),
        np.full((60, 2), low), np.full((60, 2), high), np.tile([[low, high], [high, low]], (40, 1)),
        rng.choice([low, high], (300, 2)), rng.integers(low, high + 1, (300, 2)),
        np.zeros((100, 2), np.int64), np.array([[high, low]]), np.zeros((100, 2), np.int64),
    ]  # fmt: skip
    return np.concatenate(parts)


def expected_of(point: FixedPoint, words: NDArray[np.int64]) -> NDArray[np.int64]:
    late = point.program["lookahead"]
    padded = np.pad(words, ((0, late), (0, 0)))
    return reference.step(point.program, point.weights, padded, reference.initial_state(point.program))[0][late:]


@pytest.mark.parametrize("name", CASES)
def test_every_word_equals_the_reference(name: str, compiler: Find) -> None:
    """In uneven chunks, in place, step by step and after a reset; without a warning of the compiler."""
    point, description, x = rounded(name)
    generated = job.generate_fixed("dpd", point, description, x)
    words = demanding_words(point.program, x)
    expected = expected_of(point, words)
    done = job.verify_fixed(generated, words, expected, compiler("gcc"))
    assert done.verified is not None
    assert done.verified["samples"] == len(words)


def test_words_beyond_the_port_saturate(compiler: Find) -> None:
    """The port has 12 bits, its C type 16: what is beyond enters as the nearest word."""
    point, description, x = rounded("transformer, gelu")
    words = np.random.default_rng(4).integers(-(2**15), 2**15, (200, 2))
    expected = expected_of(point, np.clip(words, -(2**11), 2**11 - 1))
    job.verify_fixed(job.generate_fixed("dpd", point, description, x), words, expected, compiler("gcc"))


def test_a_wrong_shift_a_wrong_weight_and_a_wrong_rounding_are_found(compiler: Find) -> None:
    point, description, x = rounded("gru")
    good = job.generate_fixed("dpd", point, description, x)
    words = demanding_words(point.program, x)
    expected = expected_of(point, words)

    def changed(part: str, old: str, new: str) -> job.Files:
        source = replace(good.source, **{part: [text.replace(old, new, 1) for text in getattr(good.source, part)]})
        assert source != good.source
        return replace(good, source=source)

    weight = str(int(point.weights["head"][0, 0]))
    for wrong in (
        changed("functions", "(int64_t)1 << (shift - 1)", "(int64_t)0 << (shift - 1)"),
        changed("functions", "largest = ((int64_t)1 << (bits - 1)) - 1", "largest = ((int64_t)1 << (bits - 1)) - 2"),
        changed("functions", "found < 0 ?", "found <= 0 ?"),
        changed("tables", f"{{{weight},", f"{{{int(weight) + 1},"),
    ):
        with pytest.raises(RunError, match=r"FAILED at sample|differs from the fixed-point reference|exit code"):
            job.verify_fixed(wrong, words, expected, compiler("gcc"))


def test_the_files_say_what_the_words_mean(tmp_path: Path) -> None:
    point, description, x = rounded("transformer")
    texts = job.generate_fixed("dpd", point, description, x).texts
    said = json.loads(texts["dpd.json"])
    assert said["quantization"]["weights"] == 16
    assert said["c"]["input"] == point.program["input"]
    assert f"#define DPD_X_FRACTION ({point.program['input']['fraction']})" in texts["dpd.h"]
    assert said["c"]["accumulator_bits"]["conv"] <= 48
    assert f"conv {said['c']['accumulator_bits']['conv']}" in texts["dpd.h"].replace("\n *", "").replace("  ", "")
    assert "math.h" not in texts["dpd.c"] + texts["dpd.h"]
    assert "float" not in texts["dpd.c"]
    # The distances that a head has masked are not read
    assert "static const int8_t block0_mixed_kept[2] = {3, 6};" in texts["dpd.c"]


def test_sums_that_no_integer_holds_are_refused() -> None:
    point, description, x = rounded("gru")
    steps = [{**each, "accumulator_bits": 64} for each in point.program["steps"]]
    wide = replace(point, program={**point.program, "steps": steps})
    with pytest.raises(RunError, match="can need more than 63 bits"):
        job.generate_fixed("dpd", wide, description, x)


@pytest.mark.parametrize(("bits", "ctype"), [(4, "int8_t"), (8, "int8_t"), (9, "int16_t"), (17, "int32_t")])
def test_words_take_the_smallest_type(bits: int, ctype: str) -> None:
    assert fixed.word_type(bits) == ctype


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "gru", "gmp"])
def test_a_million_samples(name: str, compiler: Find) -> None:
    """As records of 62,500 samples, which the reference runs next to each other; the files begin each with a reset."""
    point, description, x = rounded(name)
    generated = job.generate_fixed("dpd", point, description, x)
    rng, program = np.random.default_rng(5), point.program
    records = 0.14 * (rng.standard_normal((16, 62_500)) + 1j * rng.standard_normal((16, 62_500)))
    records[:, ::1000] *= 10  # saturates
    words = reference.to_words(program, records)
    late = program["lookahead"]
    padded = np.pad(words, ((0, 0), (0, late), (0, 0)))
    state = {key: np.repeat(value[None], 16, axis=0) for key, value in reference.initial_state(program).items()}
    outputs = []
    for start in range(0, padded.shape[1], 2048):
        y, state = reference.step(program, point.weights, padded[:, start : start + 2048], state)
        outputs.append(y)
    expected = np.concatenate(outputs, axis=1)[:, late:]
    using = compiler("gcc", flags=("-O2",))
    for record, output in zip(words, expected, strict=True):
        job.verify_fixed(generated, record, output, using)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_other_compilers_and_machines_give_the_same_words(name: str, other: Compiler) -> None:
    point, description, x = rounded(name)
    words = demanding_words(point.program, x)
    job.verify_fixed(job.generate_fixed("dpd", point, description, x), words, expected_of(point, words), other)

"""The C files of every kind of model, compiled, against the model in float64."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpdrun import models
from dpdrun.errors import DataError, RunError
from dpdrun.export.c import job
from dpdrun.export.c.compiler import Compiler
from dpdrun.export.c.source import Source, literal
from dpdrun.export.description import describe_step
from dpdrun.export.step import StepGraph
from dpdrun.export.verify import reference_outputs
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, TransformerModel

Find = Callable[..., Compiler]


def generate(case: Any, prefix: str = "dpd") -> job.Files:
    return job.generate(prefix, case.graph, case.description, case.x)


def test_the_compiled_files_do_what_the_model_does(case: Any, compiler: Find) -> None:
    """Their self-test passes, and a record streams through them in uneven chunks; no warning of the compiler."""
    done = job.verify(generate(case), case.x, case.expected[1:], compiler("gcc"))
    assert done.verified is not None
    assert 0 < done.verified["rms_error"] < (1e-5 if "position" in case.graph.state else 1e-6)


def test_inputs_far_beyond_the_training_are_computed_alike(cases: Any, compiler: Find) -> None:
    """Gates and softmax saturate: powers of two far below 2^-126 and above 2^126."""
    for name in ("gru", "transformer, small"):
        case = cases(name)
        x = case.x[:300] * np.repeat([1.0, 10.0, 300.0], 100)
        done = job.verify(generate(case), x, reference_outputs(case.graph.model, x)[1:], compiler("gcc"))
        assert done.verified is not None
        assert done.verified["rms_error"] < 1e-6


def test_wrong_files_do_not_pass(gru: Any, compiler: Find) -> None:
    """One weight of 300 is off by a thousandth: the self-test notices; without its golden vector the stream does."""
    good = generate(gru)
    wrong = replace(good, source=replace(good.source, tables=list(good.source.tables)))
    tables = wrong.source.tables
    at = next(i for i, table in enumerate(tables) if " skip_weight[" in table)
    value = re.findall(r"-?\d+\.\d+f", tables[at])[0]
    tables[at] = tables[at].replace(value, f"{float(value[:-1]) + 1e-3:.6f}f")
    with pytest.raises(RunError, match=r"(?s)exit code 1; nothing was written.*one call: FAILED, rms error"):
        job.verify(wrong, gru.x, gru.expected, compiler("gcc"))
    words, expected = good.golden
    silent = replace(wrong, golden=(np.zeros_like(words[:1]), expected[:1] * 0))
    with pytest.raises(RunError, match=r"failed|the output of the compiled file differs from the run's"):
        job.verify(silent, gru.x, gru.expected, compiler("gcc"))


def test_the_description_and_the_header_say_what_the_files_need(case: Any) -> None:
    texts = generate(case).texts
    assert list(texts) == ["dpd.c", "dpd.h", "dpd_test.c", "dpd.json"]
    said = json.loads(texts["dpd.json"])
    sizes, model = said["c"]["bytes"], case.graph.inner
    assert said["c"]["latency"] == case.description["lookahead"]
    assert f"#define DPD_STATE_BYTES {sizes['state']}\n" in texts["dpd.h"]  # asserted by the compiler
    assert f"tables {sizes['tables']:,}, state {sizes['state']:,}" in texts["dpd.h"]
    assert sizes["tables"] >= 4 * 0.9 * sum(parameter.numel() for parameter in model.parameters())
    # Powers, features, units and the softmax come on top of MACs; a factor of 1 of a polynomial is left out
    multiplications, macs = said["c"]["multiplications_per_sample"], case.description["macs_per_sample"]
    assert 0.9 * macs - 2 <= multiplications <= 1.3 * macs + 60
    assert "inputs" not in said
    assert said["kind"] == case.description["kind"]


def test_the_source_needs_no_heap_and_no_library_but_math(case: Any) -> None:
    texts = generate(case).texts
    for name in ("dpd.c", "dpd.h"):
        assert set(re.findall(r"#include (\S+)", texts[name])) <= {'"dpd.h"', "<math.h>", "<stddef.h>", "<stdint.h>"}
        assert not re.search(r"\b(malloc|calloc|free|printf|double|goto)\b", texts[name])
    writable = re.findall(r"^static (?!const )\w+ \w+(?:\[\d+\])* =", texts["dpd.c"], re.MULTILINE)
    assert writable == []


def test_a_hostile_name_stays_in_its_comment(gru: Any) -> None:
    hostile = job.generate("dpd", gru.graph, gru.description | {"run": "a*/ int main(void); /*\n#error\\"}, gru.x)
    header = hostile.texts["dpd.h"]
    assert header.index("int main") < header.index("*/")
    assert "\n#error" not in header


def test_what_cannot_be_written_is_refused_before_any_work(gru: Any, tmp_path: Path) -> None:
    job.check(tmp_path / "dpd.c", force=False)
    with pytest.raises(DataError, match=r"cannot write \.txt; use \.c"):
        job.check(tmp_path / "dpd.txt", force=False)
    for name in ("my-dpd.c", "2.c", "_x.c", "math.c", "a b.c"):
        with pytest.raises(DataError, match=r"its name may have only letters, digits and _"):
            job.check(tmp_path / name, force=False)
    (tmp_path / "dpd.h").write_text("mine")
    with pytest.raises(DataError, match=r"dpd\.h: exists; give --force"):
        job.check(tmp_path / "dpd.c", force=False)
    job.check(tmp_path / "dpd.c", force=True)
    (tmp_path / "plan.json").write_text('{"recipe": {}}')  # as of a run
    with pytest.raises(DataError, match=r"plan.json: would be replaced, and is no description of an export"):
        job.check(tmp_path / "plan.c", force=True)
    (tmp_path / "plan.json").write_text('{"c": {}}')
    job.check(tmp_path / "plan.c", force=True)
    with pytest.raises(RunError, match=r"no C for model.kind lstm, only for transformer, gru, gmp"):
        job.generate("dpd", gru.graph, gru.description | {"kind": "lstm"}, gru.x)


def test_weights_that_are_not_finite_are_refused(gru: Any) -> None:
    graph = StepGraph(models.build(GRUModel(kind="gru", hidden=3), scale_x=1.0, scale_y=1.0), "gru").eval()
    torch.nn.init.constant_(graph.inner.head.weight, torch.nan)
    description = describe_step(graph, GRUModel(kind="gru", hidden=3))
    with pytest.raises(RunError, match="weights head_weight: not finite"):
        job.generate("dpd", graph, description, gru.x)


def test_a_scale_of_zero_is_refused(gru: Any) -> None:
    with pytest.raises(RunError, match="scale_x of the model is 0"):
        job.generate("dpd", gru.graph, gru.description | {"scale_x": 0.0}, gru.x)


@pytest.mark.parametrize("value", [4e38, -1e300, float("inf")])
def test_a_number_beyond_float32_is_refused(value: float) -> None:
    with pytest.raises(RunError, match="no number of float32"):
        literal(value)
    with pytest.raises(RunError, match="weights w: not finite in float32"):
        Source("dpd").table("w", np.array([value]))


def random_section(rng: np.random.Generator) -> ModelSection:
    """A small model of any kind, its settings drawn at random."""

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    shared = {"features": one_of("iq", "envelope"), "skip": one_of("on", "off")}
    kind = one_of("transformer", "transformer", "transformer", "gru", "gmp")
    if kind == "gru":
        return GRUModel(kind="gru", hidden=one_of(1, 3, 8), layers=one_of(1, 2, 3), **shared)
    if kind == "gmp":
        switches = {name: one_of("on", "off") for name in ("constant", "conjugate")}
        return GMPModel(kind="gmp", order=one_of(1, 2, 5), delays=one_of(1, 2, 9), cross=one_of(0, 1, 3), **switches)
    heads, window = one_of(1, 2, 3), one_of(1, 2, 7, 16)
    return TransformerModel(
        kind="transformer", d_model=heads * one_of(1, 2, 5), heads=heads, layers=one_of(1, 2), window=window,
        lookahead=one_of(0, 0, 1, 4) if shared["skip"] == "on" else 0, conv=one_of(0, 1, 2, 5),
        ff_mult=one_of(0.5, 1.0, 2.0),
        activation=one_of("gelu", "relu", "bilinear"), norm=one_of("layer", "off"),
        attention_bias=one_of("all", "query"), positions=one_of("relative", "sinusoidal", "none"),
        embedding=one_of("linear", "layernorm_mlp"), **shared,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_any_settings(seed: int, compiler: Find) -> None:
    rng = np.random.default_rng(seed)
    section = random_section(rng)
    torch.manual_seed(seed)
    model = models.build(section, scale_x=0.3, scale_y=1.7).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    graph = StepGraph(model, section.kind).eval()
    x = 0.2 * (rng.standard_normal(700) + 1j * rng.standard_normal(700))
    generated = job.generate("pa", graph, describe_step(graph, section), x)
    job.verify(generated, x, reference_outputs(model, x)[1:], compiler("gcc"))


@pytest.mark.slow
def test_other_compilers_and_machines(case: Any, other: Compiler) -> None:
    job.verify(generate(case), case.x, case.expected, other)

"""Counts equal to the built models; estimates that follow the work and the machine."""

from __future__ import annotations

import json
from itertools import product

import pytest
from pydantic import TypeAdapter

from benchmarks.effort.fit import WHOLE, fitted, load, run_mib
from benchmarks.effort.table import factors, memory_factors, off
from dpdrun import models
from dpdrun.plan import cost
from dpdrun.plan.cost import (
    DownstreamPA,
    Estimate,
    MachineSpeed,
    about_time,
    estimate,
    measure_speed,
    peak_mib,
    size_of,
)
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, TransformerModel

HERE = MachineSpeed(matrix=2e-11, memory=1e-10, call=3.5e-7)
SECTION: TypeAdapter[ModelSection] = TypeAdapter(ModelSection)

TRANSFORMERS = [
    {
        "kind": "transformer", "d_model": d_model, "layers": layers, "heads": 4, "window": window, "ff_mult": ff_mult,
        "features": features, "embedding": embedding, "conv": conv, "skip": skip,
        "lookahead": 5 if skip == "on" and window != "full" else 0,
        "positions": "sinusoidal" if window == "full" else positions,
    }
    for (d_model, layers), window, ff_mult, features, embedding, conv, skip, positions in product(
        ((8, 1), (20, 3)), (4, "full"), (4.0, 0.3), ("iq", "envelope"), ("linear", "layernorm_mlp"), (0, 4),
        ("on", "off"), ("relative", "none"),
    )
] + [
    {"kind": "transformer", "d_model": 8, "layers": 2, "heads": 2, "window": 4, "ff_mult": 0.375,
     "activation": activation, "norm": norm, "attention_bias": bias}
    for activation, norm, bias in product(("bilinear", "relu"), ("layer", "off"), ("all", "query"))
]  # fmt: skip
GRUS = [
    {"kind": "gru", "hidden": hidden, "layers": layers, "features": features, "skip": skip}
    for hidden, layers, features, skip in product((1, 23), (1, 3), ("iq", "envelope"), ("on", "off"))
]
GMPS = [
    {"kind": "gmp", "order": order, "delays": delays, "cross": cross}
    for order, delays, cross in product((1, 7), (1, 24), (0, 2))
]


@pytest.mark.parametrize("sections", [TRANSFORMERS, GRUS, GMPS], ids=["transformer", "gru", "gmp"])
def test_counts_are_those_of_the_built_model(sections: list[dict[str, object]]) -> None:
    assert sections
    for content in sections:
        section = SECTION.validate_python(content)
        built = models.build(section, scale_x=1.0, scale_y=1.0)
        found = size_of(section)
        assert found.parameters == sum(p.numel() for p in built.parameters()), content
        assert found.macs_per_sample == built.macs_per_sample, content


def of(model: ModelSection, *, speed: MachineSpeed = HERE, pa: DownstreamPA | None = None, **changes: int) -> Estimate:
    plan = {"batch": 8, "frame": 256, "steps": 1000, "scorings": 40, "val_samples": 20_000} | changes
    found = estimate(model, speed=speed, pa=pa, **plan)
    assert found is not None
    return found


def transformer(**changes: object) -> ModelSection:
    content = {"kind": "transformer", "d_model": 16, "layers": 2, "heads": 2, "window": 32}
    return SECTION.validate_python(content | changes)


GRU = GRUModel(kind="gru", hidden=23)


@pytest.mark.parametrize("model", [transformer(), GRU], ids=["transformer", "gru"])
def test_time_grows_with_the_work(model: ModelSection) -> None:
    once = of(model)
    assert of(model, steps=2000, scorings=80).seconds == pytest.approx(2 * once.seconds)
    assert of(model, batch=32).step_s > once.step_s
    assert of(model, frame=512).step_s > once.step_s
    assert of(model, val_samples=200_000).memory_mib >= once.memory_mib
    slower = MachineSpeed(2 * HERE.matrix, 2 * HERE.memory, 2 * HERE.call)
    assert of(model, speed=slower).seconds == pytest.approx(2 * once.seconds)


def test_larger_models_take_longer_and_more() -> None:
    small, wide, deep = of(transformer()), of(transformer(d_model=64, heads=8)), of(transformer(layers=4))
    assert small.step_s < deep.step_s < wide.step_s
    assert of(transformer(), batch=64).memory_mib < of(transformer(d_model=64, heads=8), batch=64).memory_mib
    assert of(transformer(window=128)).step_s > small.step_s


def test_memory_of_a_scoring_is_that_of_a_chunk() -> None:
    model = transformer(d_model=256, heads=64)
    short, chunk, long = (of(model, batch=1, val_samples=n).memory_mib for n in (64, 8192, 10_000_000))
    assert short < chunk == long


def test_memory_is_the_peak_of_a_complete_run() -> None:
    """A run whose training takes little has its peak at its end."""
    assert of(GRU).memory_mib == cost.END_MIB
    assert peak_mib(0.0) == cost.END_MIB
    assert peak_mib(10_000.0) == cost.RUN_MIB + 10_000.0


def test_memory_follows_from_complete_runs() -> None:
    results, whole = load(), load(WHOLE)
    assert len(whole) >= 12
    assert run_mib(whole, fitted(results)) == (cost.RUN_MIB, cost.END_MIB)
    ratios = memory_factors(results, whole)
    assert len(ratios) >= 6
    assert off([*ratios.values()])[1] < 1.1


@pytest.mark.parametrize(
    ("changes", "basis"),
    [({}, "timed"), ({"d_model": 512, "heads": 8}, "extrapolated"), ({"layers": 6}, "extrapolated")],
)
def test_basis(changes: dict[str, object], basis: str) -> None:
    found = of(transformer(**changes))
    assert found.basis == basis
    assert (found.to_json()["within_factor"] is None) == (basis != "timed")


@pytest.mark.parametrize("model", [transformer(), GRU], ids=["transformer", "gru"])
def test_a_pa_model_costs_what_it_costs_alone(model: ModelSection) -> None:
    pa = transformer(d_model=32, heads=4)
    alone, its = of(model), of(pa)
    direct, indirect = (of(model, pa=DownstreamPA(pa, in_steps=yes)) for yes in (True, False))
    assert direct.step_s == pytest.approx(alone.step_s + its.step_s)
    assert indirect.step_s == alone.step_s
    assert direct.seconds == pytest.approx(alone.seconds + its.seconds)
    assert alone.seconds < indirect.seconds < direct.seconds


def test_the_memory_of_a_pa_model_counts_where_steps_go_through_it() -> None:
    model, pa = transformer(), transformer(d_model=64, heads=8)
    alone, direct, indirect = (
        of(model, batch=256, pa=None if yes is None else DownstreamPA(pa, in_steps=yes)).memory_mib
        for yes in (None, True, False)
    )
    assert alone == indirect < direct < alone + of(pa, batch=256).memory_mib


def test_no_estimate_for_what_was_never_timed() -> None:
    plan = {"batch": 8, "frame": 256, "steps": 10, "scorings": 1, "val_samples": 100}
    assert estimate(GMPModel(kind="gmp"), **plan) is None
    full = TransformerModel(kind="transformer", d_model=8, layers=1, heads=1, window="full", positions="sinusoidal")
    assert estimate(full, **plan) is None
    assert estimate(GRU, **plan, pa=DownstreamPA(GMPModel(kind="gmp"), in_steps=True)) is None


def test_costs_and_accuracy_are_those_of_the_study() -> None:
    """What users are told follows from benchmarks/effort/results.json."""
    results = load()
    assert fitted(results) == cost.COSTS
    ratios = factors(results)
    assert len(ratios) >= 24
    _, worst = off([each["step"] for each in ratios.values()])
    assert round(worst, 1) <= cost.WITHIN
    samples = {r["setting"]["train"]["batch_size"] * r["setting"]["train"]["frame"] for r in results.values()}
    widths = {r["setting"]["model"].get("d_model") for r in results.values()} - {None}
    assert (min(samples), max(samples)) == cost.TIMED["samples"]
    assert (min(widths), max(widths)) == cost.TIMED["d_model"]


def test_speed_of_this_machine_is_plausible() -> None:
    speed = measure_speed()
    assert 0 < speed.matrix < 1e-6
    assert 0 < speed.memory < 1e-6
    assert 0 < speed.call < 1e-3


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.01, "1 s"),
        (38.2, "40 s"),
        (61, "60 s"),
        (240, "4 min"),
        (100, "1.7 min"),
        (7000, "1.9 h"),
        (3e5, "3.5 days"),
        (1e9, "32 years"),
    ],
)
def test_about_time(seconds: float, said: str) -> None:
    assert about_time(seconds) == said


def test_absurd_times_are_not_spelled_out() -> None:
    assert str(of(transformer(), steps=10**15)).startswith("more than a hundred years and a peak of ")


def test_words_and_json() -> None:
    found = of(transformer())
    assert "one core of" in str(found)
    assert "MiB" in str(found)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["memory_mib"] > 200

"""What is concluded from a probe: a pick that a lucky batch does not move, and a merge that keeps what is given."""

from __future__ import annotations

import json
import math
import random

import pytest

from dpdrun.plan.probe_result import ProbeReading, median_curve, merged, probed_facts, valley_of
from dpdrun.plan.recipe_writer import recipe_text
from dpdrun.plan.recommendation import recommend
from dpdrun.rules.facts.plan import PlanFacts

RATES = [1e-4 * 10 ** (4 * i / 119) for i in range(120)]
FACTS = PlanFacts(kind="transformer", d_model=16, layers=2, window=32, conv=4, samples=58_980)


def curve(seed: int, *, best: float = 1e-2, scatter_db: float = 1.0) -> list[float]:
    """Losses of a sweep: falling, flat over a decade around `best`, then rising steeply."""
    noise = random.Random(seed)
    found = []
    for rate in RATES:
        off = max(0.0, abs(math.log10(rate / best)) - 0.5)
        db = -20 + 20 * off + noise.gauss(0.0, scatter_db)
        found.append(10 ** (db / 10))
    return found


def probe_of(**changes: object) -> ProbeReading:
    values: dict[str, object] = {
        "device": "CPU, 1 thread", "seconds": 60.0, "seeds": 3, "rates_tried": 120, "lr": 0.013, "lr_low": 0.008,
        "lr_high": 0.021, "lr_open": False, "curve": ((1e-4, 0.0), (1e-2, -20.0)),
        "norms": {10: 0.1, 50: 0.2, 90: 0.4242, 99: 1.0}, "norm_steps": 150, "step_s": 0.01, "samples_per_s": 2e5,
        "score_s": 0.1, "peak_mib": 100.0,
    }  # fmt: skip
    return ProbeReading(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("best", [1e-3, 1e-2, 5e-2])
@pytest.mark.parametrize("seed", range(0, 15, 3))
def test_pick_is_near_the_middle_of_the_flat_part(best: float, seed: int) -> None:
    valley = valley_of(RATES, median_curve([curve(s, best=best) for s in range(seed, seed + 3)]))
    assert valley is not None
    assert abs(math.log10(valley.pick / best)) < 0.15
    assert valley.low < valley.pick < valley.high


def test_a_probe_without_norms_leaves_the_clip_to_the_rules() -> None:
    probe = probe_of(norms={}, norm_steps=0, seeds=1, cut=("1 of 3 seeds",))
    catalogue = recommend(FACTS, "measured")
    assert probed_facts(catalogue, probe) == {"lr": 0.013}
    this = merged(catalogue, catalogue, probe)
    assert this.values["optim.clip_norm"] == catalogue.values["optim.clip_norm"]
    assert "1 seed of 120 steps" in this.values["optim.lr"].why
    assert json.loads(json.dumps(probe.to_json()))["clip_norm"] is None


def test_one_lucky_batch_does_not_move_the_pick() -> None:
    seeds = [curve(s, scatter_db=0.1) for s in range(3)]
    before = valley_of(RATES, median_curve(seeds))
    for seed in seeds:
        seed[100] = 1e-9
    assert valley_of(RATES, median_curve(seeds)) == before


def test_one_bad_seed_does_not_move_the_pick() -> None:
    seeds = [curve(s, scatter_db=0.1) for s in range(3)]
    good = valley_of(RATES, median_curve(seeds))
    seeds[2] = [*seeds[2][:20], float("nan")]  # diverged early and was cut off
    bad = valley_of(RATES, median_curve(seeds))
    assert good is not None
    assert bad is not None
    assert abs(math.log10(bad.pick / good.pick)) < 0.1


def test_no_valley_where_nothing_is_learned() -> None:
    assert valley_of(RATES, median_curve([[1.0] * len(RATES)] * 3)) is None
    rising = [10 ** (i / 20) for i in range(len(RATES))]
    assert valley_of(RATES, median_curve([rising] * 3)) is None


def test_valley_may_be_open_above() -> None:
    falling = [10 ** (-i / 20) for i in range(len(RATES))]
    valley = valley_of(RATES, median_curve([falling] * 3))
    assert valley is not None
    assert valley.open_above


def test_merge_shows_the_catalogues_value_too() -> None:
    catalogue, probe = recommend(FACTS, "measured"), probe_of()
    facts = probed_facts(catalogue, probe)
    assert facts == {"lr": 0.013, "clip_norm": 0.42}
    from dataclasses import replace

    this = merged(recommend(replace(FACTS, **facts), "measured"), catalogue, probe)  # type: ignore[arg-type]
    lr, clip = this.values["optim.lr"], this.values["optim.clip_norm"]
    assert (lr.value, lr.rule, lr.evidence, (lr.low, lr.high)) == (0.013, "probe", "measured here", (0.008, 0.021))
    assert lr.why.endswith(f"; {catalogue.values['optim.lr'].rule} says {catalogue.values['optim.lr'].value:g}")
    assert lr.note_value == 3e-4
    assert clip.value == 0.42
    assert "90th percentile of 150 gradient norms" in clip.why
    assert "over lr 0.013 x" in this.values["optim.weight_decay"].why, "what follows from the lr follows"
    model = {"kind": "transformer", "d_model": 16, "layers": 2, "heads": 2, "window": 32}
    text = recipe_text(this, {"data": {"source": "synthetic/mild"}, "model": model}, "dpdrun recommend")
    assert "lr: 0.013  # probe: lr range test on this machine" in text


def test_merge_keeps_what_the_user_gave() -> None:
    from dataclasses import replace

    facts = replace(FACTS, lr=5e-3)
    catalogue, probe = recommend(facts, "measured"), probe_of()
    assert probed_facts(catalogue, probe) == {"clip_norm": 0.42}
    this = merged(recommend(replace(facts, clip_norm=0.42), "measured"), catalogue, probe)
    assert (this.values["optim.lr"].value, this.values["optim.lr"].rule) == (5e-3, None)
    assert this.values["optim.clip_norm"].evidence == "measured here"


def test_json_is_stable() -> None:
    content = json.loads(json.dumps(probe_of().to_json(), allow_nan=False))
    assert {"lr", "lr_low", "lr_high", "norms", "clip_norm", "step_s", "samples_per_s", "peak_mib"} <= set(content)

"""What fixed point costs: predistorters at 16 to 8 bits, before and after fine-tuning, judged by the Arena's own code.

make fixed-point        (or: build/arena-env/bin/python -m benchmarks.fixed_point.run; resumable)

The predistorters of benchmarks/arena (496 parameters, three seeds, and 974), and a GRU and a GMP trained on the
same board by the recipes in this folder. Ranges and fine-tuning see the training part. Whether fine-tuned weights are
taken is decided on the validation part; the test part is judged once for each row of the table, through the integers.
"""

from __future__ import annotations

import time
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.arena.judge import MODELS as ARENA_MODELS
from benchmarks.arena.judge import load
from benchmarks.arena.protocol import LABEL, Arena, parameters
from benchmarks.common import ResultsFile, machine, write_table
from benchmarks.fixed_point.picture import draw
from benchmarks.fixed_point.table import BITS, SCALE_BITS, SCALES, costs, hardware, name_of, resets, scales
from dpdrun.evaluation.deployment import MAX_SAMPLES, reset_change_db
from dpdrun.evaluation.prediction import predict
from dpdrun.export.fixed import FixedPointModel
from dpdrun.models._base import BehaviouralModel
from dpdrun.quantization import calibration, network, reference
from dpdrun.quantization.cost import cost_of
from dpdrun.quantization.training import fine_tune
from dpdrun.recipe.loader import load_recipe
from dpdrun.recipe.schema import ModelSection, QuantizationSection

HERE = Path(__file__).parent
FOLDERS = [*sorted(ARENA_MODELS.glob("transformer-500-*")), ARENA_MODELS / "transformer-1000-seed0",
           *sorted((HERE / "models").glob("*-seed*"))]  # fmt: skip
TUNED = ((12, 14), (12, 12), (10, 10), (8, 8))
SLOW = ((12, 14), (10, 10))  # of these for a GRU, a step of which takes a second
STEPS = {"transformer": 100, "gru": 20, "gmp": 100}  # of fine-tuning
FIGURES = ("nmse_db", "evm_db", "aclr_db", "power_error_db", "limited_share")


class Case:
    """A predistorter on the board: its network, its ranges, its output on the validation part."""

    def __init__(self, arena: Arena, folder: Path) -> None:
        self.arena, self.model = arena, load(folder)
        self.section: ModelSection = load_recipe(folder / "recipe.yaml").recipe.model
        weights = {n: t.double().numpy() for n, t in self.model.state_dict().items() if n not in ("scale_x", "scale_y")}
        scales = {name: float(getattr(self.model, name)) for name in ("scale_x", "scale_y")}
        self.x_train, self.x_val = (x[:, 0] + 1j * x[:, 1].astype(np.float64) for x in (arena.x_train, arena.x_val))
        net = network.build(self.section, weights, **scales)
        self.ranges, self.network = calibration.observe(net, self.x_train)
        self.exact = predict(self.model, self.x_val)

    def scored(self, model: BehaviouralModel) -> dict[str, Any]:
        """Judge a model on the test part, and its in-band error on the validation part."""
        judged = dict(zip(FIGURES, astuple(self.arena.judge(model)), strict=True))
        return judged | {"val_in_band_db": self.arena.validate(model)["ib_error_db"]}

    def rounded(self, program: Any, weights: Any) -> tuple[FixedPointModel, float, int]:
        """Return a program as a model, its change of the output [dB] and clipped words on the validation part."""
        seen = reference.Seen()
        change = predict(FixedPointModel(program, weights, self.model.context, seen), self.x_val)
        db = calibration.decibel(change, self.exact)
        return FixedPointModel(program, weights, self.model.context).eval(), db, sum(seen.saturated.values())


def measure(case: Case, how: str, bits: tuple[int, int]) -> dict[str, Any]:
    """Return the scores of one way of rounding: by `tensor`, by `channel`, or by channel and `tuned`.

    Fine-tuning starts from `minmax`, and from the way of choosing ranges that changes the validation part least.
    """
    per_channel: Any = "off" if how == "tensor" else "all"
    choices: dict[str, QuantizationSection] = {
        scales: QuantizationSection(weights=bits[0], activations=bits[1], per_channel=per_channel, scales=scales)
        for scales in SCALES
    }
    tried = {"minmax": case.rounded(*calibration.quantize(case.network, case.ranges, choices["minmax"]))}
    result: dict[str, Any] = {"machine": machine()}
    if how == "tuned":
        began, steps = time.process_time(), STEPS[case.section.kind]
        changes = {
            scales: case.rounded(*calibration.quantize(case.network, case.ranges, settings))[1]
            for scales, settings in choices.items()
        }
        for scales in dict.fromkeys(("minmax", min(changes, key=changes.__getitem__))):
            tuned = fine_tune(
                case.network, case.ranges, choices[scales], case.x_train, steps=steps, context=case.model.context
            )
            tried[f"{scales}, tuned"] = case.rounded(*tuned)
        seconds = round(time.process_time() - began, 1)
        result |= {"steps": steps, "tuning_seconds": seconds, "before_db": round(changes["minmax"], 2)}
    result["taken"] = min(tried, key=lambda name: tried[name][1])  # on the validation part
    model, change, clipped = tried[result["taken"]]
    program = model.program
    bounds = max(each["accumulator_bits"] for each in program["steps"] if each["op"] not in ("magnitude", "limit"))
    scores = {name: round(value, 4) for name, value in case.scored(model).items()}
    return result | {"change_db": round(change, 2), "clipped": clipped, "accumulator_bits": bounds} | scores


def scales_of(case: Case) -> dict[str, float]:
    """Return the change on the validation part by the way in which ranges are chosen, at 14 and 12 bits."""
    found = {}
    for bits in SCALE_BITS:
        for way in SCALES:
            settings = QuantizationSection(weights=bits, activations=bits, scales=way)
            program = calibration.quantize(case.network, case.ranges, settings)
            found[f"{way}/{bits}"] = round(case.rounded(*program)[1], 2)
    return found


def jobs(folder: Path) -> list[tuple[str, str, tuple[int, int]]]:
    """Return (name of the result, how, bits) of a predistorter."""
    tuned = SLOW if folder.name.startswith("gru") else TUNED
    ways = [("tensor", bits) for bits in BITS] + [("channel", bits) for bits in BITS] + [("tuned", b) for b in tuned]
    return [(name_of(folder.name, how, bits), how, bits) for how, bits in ways]


def main() -> None:
    """Measure what is missing, then write the tables."""
    torch.set_num_threads(1)
    results, arena = ResultsFile(HERE / "results.json"), Arena()
    print(LABEL)
    for folder in FOLDERS:
        wanted = [job for job in jobs(folder) if job[0] not in results]
        if not wanted and all(f"{folder.name}/{name}" in results for name in ("scales", "cost", "resets")):
            continue
        case = Case(arena, folder)
        if f"{folder.name}/float" not in results:
            results.add(f"{folder.name}/float", {"parameters": parameters(case.model), **case.scored(case.model)})
        if f"{folder.name}/cost" not in results:
            program, _ = calibration.quantize(case.network, case.ranges, QuantizationSection())
            results.add(f"{folder.name}/cost", dict(cost_of(program)))
        if f"{folder.name}/scales" not in results:
            results.add(f"{folder.name}/scales", scales_of(case))
        if f"{folder.name}/resets" not in results:
            changes = reset_change_db(case.model, case.x_train[:MAX_SAMPLES])
            results.add(f"{folder.name}/resets", {str(length): round(db, 2) for length, db in changes.items()})
        for name, how, bits in wanted:
            began = time.process_time()
            results.add(name, measure(case, how, bits))
            print(f"{name}: {results.results[name]['change_db']} dB, {time.process_time() - began:.1f} s", flush=True)
    write_table("fixed-point", costs(results.results))
    write_table("fixed-point-scales", scales(results.results))
    write_table("fixed-point-cost", hardware(results.results))
    write_table("state-resets", resets(results.results))
    draw(results.results)


if __name__ == "__main__":
    main()

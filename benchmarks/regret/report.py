"""What follows from the trials: the tables of docs/results.md, and dpdrun/rules/regret.json, which users are shown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.common import ROOT, ResultsFile, markdown, write_table
from benchmarks.regret.advisors import EFFECTS, NOTE_LR, OURS, OURS_BY_DATA, left_out, regrets
from benchmarks.regret.curves import Curve, curves
from benchmarks.regret.law import REFERENCE, Law, fit
from benchmarks.regret.picture import draw
from benchmarks.regret.sweep import score_of
from benchmarks.regret.workloads import SOURCES, Workload
from benchmarks.regret.worth import ALL, NOTE_ENCODER, SEEDS, SWEPT, VARIANTS, steps_of

PACKAGED = ROOT / "dpdrun" / "rules" / "regret.json"
OFFSETS = [float(x) for x in np.arange(-9.0, 4.5, 0.5)]  # octaves from our learning rate
TIE_DB, LOST_DB = 0.3, 2.0


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between the order statistics, as numpy has it."""
    return float(np.percentile(values, share))


def advisor_table(losses: Mapping[str, Mapping[str, float]]) -> str:
    """One row an advisor, best median first."""
    rows = []
    for name, each in sorted(losses.items(), key=lambda item: statistics.median(item[1].values())):
        values = list(each.values())
        close = sum(value <= TIE_DB for value in values)
        bold = "**" if name in (OURS, OURS_BY_DATA) else ""
        rows.append([f"{bold}{name}{bold}", f"{statistics.median(values):.2f}", f"{percentile(values, 95):.2f}",
                     f"{max(values):.2f}", f"{close} of {len(values)}"])  # fmt: skip
    return markdown(
        ["advisor", "median regret [dB]", "95th percentile [dB]", "worst [dB]", f"within {TIE_DB} dB"], rows
    )


def workload_table(found: Sequence[Curve], ours: Mapping[str, float], losses: Mapping[str, Mapping[str, float]]) -> str:
    """One row a workload."""
    rows = []
    for curve in found:
        name, (exponent, best) = curve.workload.name, curve.oracle
        lrs = (f"{2**exponent:.2g}", f"{2 ** ours[name]:.2g}")
        scores = (best, curve.scatter_db, losses[OURS][name], losses[NOTE_LR][name])
        rows.append([f"`{name}`", *lrs, *(f"{score:.2f}" for score in scores)])
    header = ["workload", "best lr", "our lr", "NMSE at the best [dB]", "seeds' range [dB]", "our regret [dB]"]
    return markdown([*header, "regret of the note's lr [dB]"], rows)


def laws(found: Sequence[Curve]) -> dict[str, dict[str, Any]]:
    """The law fitted to all workloads of a kind, with what it was fitted to; dpdrun.rules.lr_law reads it."""
    out: dict[str, dict[str, Any]] = {}
    for kind, effects in EFFECTS.items():
        mine = [curve for curve in found if curve.workload.kind == kind]
        law = fit(mine, effects)
        out[kind] = {
            "level": round(law.level, 2),
            "effects": {name: round(value, 2) for name, value in law.effects.items()},
            "reference": REFERENCE[kind],
            "swept": {name: sorted({getattr(curve.workload, name) for curve in mine}) for name in effects},
            "sources": sorted({SOURCES[curve.workload.data] for curve in mine}),
        }
    return out


def law_table(fitted: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int]) -> str:
    """The law, by kind."""
    names = EFFECTS["transformer"]
    rows = []
    for kind, law in fitted.items():
        effects = [f"{law['effects'][name]:+.2f}" if name in law["effects"] else "" for name in names]
        rows.append([kind, str(counts[kind]), f"{2 ** law['level']:.3g}", *effects])
    header = ["kind", "workloads", "lr at the reference", *(f"octaves an octave of {name}" for name in names)]
    return markdown(header, rows)


def band_table(fitted: Mapping[str, Mapping[str, Any]]) -> str:
    """What the law gives: one row a width, one column a run length; batch of the reference, two layers (GRU: one)."""
    rows, lengths = [], sorted({steps for law in fitted.values() for steps in law["swept"]["steps"]})
    for kind, law in fitted.items():
        layers = 2 if kind == "transformer" else 1
        for width in law["swept"]["width"]:
            jobs = [Workload("", kind, width, layers, steps, int(law["reference"]["batch"])) for steps in lengths]
            rates = [2 ** Law(law["level"], law["effects"]).exponent(job) for job in jobs]
            swept = [
                f"{lr:.2g}" if job.steps in law["swept"]["steps"] else "" for lr, job in zip(rates, jobs, strict=True)
            ]
            rows.append([f"{kind}, {width}", *swept])
    return markdown(["lr", *(f"{steps:,} steps" for steps in lengths)], rows)


def expected(found: Sequence[Curve], ours: Mapping[str, float]) -> dict[str, Any]:
    """Regret against the distance from our (left-out) learning rate, by kind and run length."""
    out: dict[str, Any] = {"tie_db": TIE_DB, "lost_db": LOST_DB}
    for kind in EFFECTS:
        mine = [curve for curve in found if curve.workload.kind == kind]
        out[kind] = {"all": _by_distance(mine, ours)}
        for steps in sorted({curve.workload.steps for curve in mine}):
            out[kind][str(steps)] = _by_distance([curve for curve in mine if curve.workload.steps == steps], ours)
    return out


def _by_distance(found: Sequence[Curve], ours: Mapping[str, float]) -> dict[str, Any]:
    """Median and 95th percentile at each of OFFSETS that at least half of the sweeps tried, and what follows.

    `tie`: how far one can go down until half of the workloads lose TIE_DB more, and up until one in twenty does.
    `lost`: how far until half of them lose LOST_DB.
    """
    octaves, at = [], []
    for offset in OFFSETS:
        tried = [curve for curve in found if curve.tried(ours[curve.workload.name] + offset)]
        if 2 * len(tried) >= len(found):
            octaves.append(offset)
            at.append([curve.regret(ours[curve.workload.name] + offset) for curve in tried])
    medians, tails = [statistics.median(each) for each in at], [percentile(each, 95) for each in at]
    home = octaves.index(0.0)
    # above the best a sweep ends in a cliff: there the worst of them count
    close = [
        median <= medians[home] + TIE_DB and (octave <= 0 or tail <= tails[home] + TIE_DB)
        for octave, median, tail in zip(octaves, medians, tails, strict=True)
    ]
    return {
        "octaves": octaves,
        "median_db": [round(value, 2) for value in medians],
        "p95_db": [round(value, 2) for value in tails],
        "workloads": len(found),
        "tie": _around(octaves, close),
        "lost": _around(octaves, [median <= LOST_DB for median in medians]),
    }


def _around(octaves: Sequence[float], good: Sequence[bool]) -> list[float]:
    """The ends of the stretch of good offsets that holds 0."""
    low = high = list(octaves).index(0.0)
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(octaves) and good[high + 1]:
        high += 1
    return [octaves[low], octaves[high]]


def worth(results: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Loss [dB] by workload and dropped rule: median over seeds, with the range over the seeds."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name in (*SWEPT, NOTE_ENCODER):
        scores: dict[str, list[float]] = {}
        for key, result in results.items():
            job, variant, _ = key.split("/")
            if job == name:
                scores.setdefault(variant, []).append(score_of(result))
        complete = {variant: values for variant, values in scores.items() if len(values) >= SEEDS}
        if ALL in complete:
            base = statistics.median(complete[ALL])
            out[name] = {variant: _against(base, complete[variant]) for variant in VARIANTS if variant in complete}
    return out


def _against(base: float, values: Sequence[float]) -> dict[str, float]:
    middle = statistics.median(values)
    return {"db": middle, "loss_db": middle - base, "range_db": max(values) - min(values)}


# What a dropped rule is called in worth.py -> the field that the rule sets.
FIELD_OF = {
    "no warmup": "optim.warmup",
    "no clipping": "optim.clip_norm",
    "no weight decay": "optim.weight_decay",
    "constant schedule": "optim.schedule",
    "lr 1e-3": "optim.lr",
    "beta2 0.999": "optim.beta2",
    "no burn-in": "train.burn_in",
    "batch 32, a quarter of the steps": "train.batch_size",
    "frame 512, half the batch": "train.frame",
    "features iq": "model.features",
    "no convolution": "model.conv",
    "no skip, xavier residuals": "model.skip",
}


def worth_by_field(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, Any]]:
    """The same by kind of model (and `note` for its encoder), field and run length, over workloads."""
    out: dict[str, dict[str, Any]] = {}
    for group in ("transformer", "gru", "note"):
        mine = {name: each for name, each in found.items() if f"-{group}-" in name or name.startswith(group)}
        for variant, field in FIELD_OF.items():
            for steps in sorted({steps_of(name) for name in mine}):
                jobs = [each for name, each in mine.items() if steps_of(name) == steps and variant in each]
                if jobs:
                    losses = [each[variant]["loss_db"] for each in jobs]
                    ranges = [max(each[variant]["range_db"], each[ALL]["range_db"]) for each in jobs]
                    out.setdefault(group, {}).setdefault(field, {})[str(steps)] = {
                        "median_db": round(statistics.median(losses), 2),
                        "low_db": round(min(losses), 2),
                        "high_db": round(max(losses), 2),
                        "beyond_seeds": sum(abs(loss) > spread for loss, spread in zip(losses, ranges, strict=True)),
                        "instead": variant,
                        "steps": steps,
                        "workloads": len(losses),
                    }
    return out


def worth_table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """One row a dropped rule, one column a workload."""
    variants = list(dict.fromkeys(variant for each in found.values() for variant in each))
    rows = []
    for variant in variants:
        cells = []
        for each in found.values():
            entry = each.get(variant)
            if entry is None:
                cells.append("")
            elif variant == ALL:
                cells.append(f"{entry['db']:.2f} (range {entry['range_db']:.2f})")
            else:
                cells.append(f"{entry['loss_db']:+.2f}")
        rows.append([variant, *cells])
    return markdown(["loss in dB", *(f"`{name}`" for name in found)], rows)


def write(sweeps: ResultsFile, dropped: ResultsFile) -> None:
    """All tables, and the file that the package reads."""
    found = curves(sweeps.results)
    ours = left_out(found)
    losses = regrets(found, ours, sweeps.results)
    by_data = left_out(found, whole_data_set=True)
    losses[OURS_BY_DATA] = {curve.workload.name: curve.regret(by_data[curve.workload.name]) for curve in found}
    values = worth(dropped.results)
    write_table("regret-advisors", advisor_table(losses))
    draw(losses)
    fitted = laws(found)
    write_table("regret-bands", band_table(fitted))
    counts = {kind: sum(curve.workload.kind == kind for curve in found) for kind in EFFECTS}
    write_table("regret-law", law_table(fitted, counts))
    write_table("regret-workloads", workload_table(found, ours, losses))
    if values:
        write_table("regret-worth", worth_table(values))
    content = {
        "schema_version": 1,
        "source": "make regret, make worth",
        "law": fitted,
        "expected": expected(found, ours),
        "worth": worth_by_field(values),
    }
    PACKAGED.write_text(json.dumps(content, indent=1) + "\n")

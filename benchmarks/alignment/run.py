"""How well flawed records are aligned, and what alignment costs sound ones.

    make alignment            (or: python -m benchmarks.alignment.run)

200 records with random flaws (`draws`) are aligned as `data.align: auto` does. The score is the NMSE of a memory
polynomial that is fitted to the first 60 % of the samples and scored on the last 20 %; it is compared with that of the
untouched capture at the same instants. So is what a search for the largest cross-correlation leaves, the usual way to
align: a whole delay, and nothing else. Sound records are pieces of the captures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alignment.draws import CAPTURES, DRAWS, Signal, capture, draw
from benchmarks.common import ResultsFile, markdown, write_table
from dpdrun.data.align.record import align
from dpdrun.data.capture import Part, SourceRecord
from dpdrun.errors import DataError
from dpdrun.recipe.schema import DataSection
from dpdrun.rf import memory_polynomial
from dpdrun.rf.alignment import delay
from dpdrun.rf.metrics import one_tap_gain, rms, to_db
from dpdrun.rf.synchronization import synchronize

RESULTS = Path(__file__).parent / "results.json"
SECTION = DataSection(source="a draw", align="auto")
PIECES = (10_000, 20_000, 40_000)  # of sound records [samples]
TRAIN, TEST = 0.6, 0.8  # where the fit ends and the score begins
ROWS = 12_000
CLOSE_DB = 0.3
SOUND_DB = 0.02


def scores(x: Signal, y: Signal) -> tuple[float, float]:
    """Return the NMSE of one gain and of a memory polynomial on the last fifth of a record [dB]."""
    if len(x) < 1000 or not np.any(y):
        return 0.0, 0.0
    at = memory_polynomial.instants_of(len(x), ROWS)
    A, target = memory_polynomial.terms(x / rms(x), at), y[at]
    fitted, scored = at < TRAIN * len(x), at >= TEST * len(x)
    power = float(np.sum(np.abs(target[scored]) ** 2))
    c = memory_polynomial.fit(A[fitted], target[fitted])
    gain = one_tap_gain(x[at][fitted], target[fitted])
    errors = (target[scored] - gain * x[at][scored], target[scored] - A[scored] @ c)
    one_tap, polynomial = (to_db(float(np.sum(np.abs(error) ** 2)) / power) for error in errors)
    return one_tap, polynomial


def aligned(name: str, seed: int) -> dict[str, Any]:
    """Return what becomes of one draw."""
    drawn = draw(name, seed)
    result: dict[str, Any] = {"flaws": drawn.flaws}
    try:
        reading, found = align(SourceRecord(name, (drawn.pair,)), SECTION)
    except DataError as error:
        return result | {"refused": str(error)}
    pair, truth = reading.records[0], drawn.truth[found.first : found.end]
    assert found.decision is not None
    (one_tap, polynomial), (best_one_tap, best) = scores(pair.x, pair.y), scores(pair.x, truth)
    values = found.values.model_dump(mode="json")
    clock = drawn.flaws["ppm"] * 1e-6
    middle = (found.first + found.end) / 2
    late = values["delay_samples"] + values["clock_ppm"] * 1e-6 * middle - drawn.flaws["delay"] - clock * middle
    turned = (values["frequency_offset"] - drawn.flaws["offset"] + 0.5) % 1 - 0.5
    return result | {
        "applied": [stage.name for stage in found.decision.stages if stage.applied],
        "one_tap_db": [round(one_tap, 3), round(best_one_tap, 3)],
        "polynomial_db": [round(polynomial, 3), round(best, 3)],
        "delay_error": round(late, 4),
        "phase_error_deg": round(360 * abs(turned) * (found.end - found.first), 3),
        "ppm_error": round(values["clock_ppm"] - drawn.flaws["ppm"], 4),
        "by_correlation_db": round(by_correlation(drawn.pair.x, drawn.pair.y), 3),
    }


def by_correlation(x: Signal, y: Signal) -> float:
    """Return the polynomial's NMSE after a shift by the lag of the largest cross-correlation [dB]."""
    length = min(len(x), len(y))
    late = delay(x[:length], y[:length]).whole
    x, y = x[max(0, -late) :], y[max(0, late) :]
    length = min(len(x), len(y))
    return scores(x[:length], y[:length])[1]


def sound(name: str, start: int, samples: int) -> dict[str, Any]:
    """Return what alignment does to a sound piece of a capture, and what applying every estimate would do [dB]."""
    x, y = (side[start : start + samples] for side in capture(name))
    before = scores(x, y)[1]
    reading, found = align(SourceRecord(name, (Part(x, y),)), SECTION)
    pair = reading.records[0]
    assert found.decision is not None
    everything = synchronize(x[: int(TRAIN * samples)], y)
    assert everything is not None
    first, end = everything.overlap(samples, samples)
    ungated = scores(x[first:end], everything.restore(y, first, end))[1] - scores(x[first:end], y[first:end])[1]
    return {
        "applied": [stage.name for stage in found.decision.stages if stage.applied],
        "cost_db": round(scores(pair.x, pair.y)[1] - scores(pair.x, y[found.first : found.end])[1], 4),
        "ungated_cost_db": round(ungated, 4),
        "polynomial_db": round(before, 3),
    }


def pieces(name: str) -> list[tuple[str, int, int]]:
    """Return the sound records of a capture: key, first sample and length."""
    total = len(capture(name)[0])
    found = [(start, length) for length in PIECES for start in range(0, total - length + 1, length)]
    return [(f"sound/{name}/{length}/{start}", start, length) for start, length in [*found, (0, total)]]


def flawed_table(results: dict[str, Any]) -> str:
    """A row a capture: how close to the untouched one, by alignment and by cross-correlation."""
    rows, everything = [], []
    for name in (*CAPTURES, "all"):
        found = everything if name == "all" else [results[f"{name}/{seed}"] for seed in range(DRAWS)]
        everything = everything if name == "all" else everything + found
        good = [each for each in found if "refused" not in each]
        losses = np.array([each["polynomial_db"][0] - each["polynomial_db"][1] for each in good])
        plain = np.array([each["by_correlation_db"] - each["polynomial_db"][1] for each in good])
        close = int(np.sum(losses <= CLOSE_DB))
        rows.append([
            f"`{name}`" if name != "all" else "**all**",
            f"**{close} of {len(found)}**",
            f"{np.median(losses):+.2f}",
            f"{np.max(losses):+.2f}",
            f"{np.quantile([abs(each['delay_error']) for each in good], 0.95):.3f}",
            f"{np.quantile([each['phase_error_deg'] for each in good], 0.95):.2f}",
            f"{np.quantile([abs(each['ppm_error']) for each in good], 0.95):.3f}",
            f"{int(np.sum(plain <= CLOSE_DB))} of {len(found)}",
            f"{np.median(plain):+.2f}",
        ])  # fmt: skip
    head = [
        "200 flawed records", f"within {CLOSE_DB} dB", "median loss [dB]", "largest [dB]", "delay [samples]",
        "phase run [deg]", "clock [ppm]", f"cross-correlation: within {CLOSE_DB} dB", "median loss [dB]",
    ]  # fmt: skip
    return markdown(head, rows)


def sound_table(results: dict[str, Any]) -> str:
    """A row a length of sound records: how often something is applied, what it costs, and what no gate would cost."""
    rows = []
    every = {key: each for key, each in results.items() if key.startswith("sound/")}
    for length in (*PIECES, "whole"):
        found = [
            each for key, each in every.items()
            if (int(key.split("/")[-2]) == length if length != "whole" else int(key.split("/")[-2]) not in PIECES)
        ]  # fmt: skip
        costs = np.array([each["cost_db"] for each in found])
        ungated = np.array([each["ungated_cost_db"] for each in found])
        rows.append([
            f"{length:,} samples" if length != "whole" else "complete (38,400 to 60,000)",
            str(len(found)),
            str(sum(bool(each["applied"]) for each in found)),
            f"{np.max(costs):+.3f}",
            f"{np.median(ungated):+.3f}",
            f"{np.max(ungated):+.3f}",
        ])  # fmt: skip
    head = [
        "sound records", "records", "something applied", "largest cost [dB]", "all estimates applied: median cost [dB]",
        "largest [dB]",
    ]  # fmt: skip
    return markdown(head, rows)


def main() -> None:
    """Measure what is missing, then write the tables."""
    results = ResultsFile(RESULTS)
    for name in CAPTURES:
        for seed in range(DRAWS):
            if (key := f"{name}/{seed}") not in results:
                results.add(key, aligned(name, seed))
                each = results.results[key]
                print(key, each.get("refused") or each["polynomial_db"], flush=True)
        for key, start, samples in pieces(name):
            if key not in results:
                results.add(key, sound(name, start, samples))
                print(key, results.results[key], flush=True)
    if "--no-tables" not in sys.argv:
        write_table("alignment-flawed", flawed_table(results.results))
        write_table("alignment-sound", sound_table(results.results))


if __name__ == "__main__":
    main()

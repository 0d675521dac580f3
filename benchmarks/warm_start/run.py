"""How many optimizer steps a model saves that starts from a run on another capture of the same amplifier.

    make warm-start           (or: python -m benchmarks.warm_start.run)

A Transformer is trained on APA_200MHz. The same model is then trained on APA_200MHz_b, another measurement with another
signal: fresh, from those weights, and from those weights with all but the output layers frozen. Each length is a run
with a schedule of its own, so that lengths can be compared; the learning rate and all else is what the rules set.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dpdrun
from benchmarks.common import ResultsFile, machine, markdown, write_table

RESULTS = Path(__file__).parent / "results.json"
SOURCE, TARGET = "opendpd/APA_200MHz", "opendpd/APA_200MHz_b"
MODEL = {"kind": "transformer", "d_model": 16, "layers": 1, "heads": 2, "window": 32}
SOURCE_STEPS = 1000
LENGTHS = (50, 100, 200, 400, 800, 1600)
FROZEN = ["embedding", "conv", "blocks"]
KINDS = {"fresh": LENGTHS, "warm": LENGTHS[:-1], "output layers": (100, 400)}
NAMES = {
    "fresh": "fresh",
    "warm": "from the run on APA_200MHz",
    "output layers": "the same, all but the output layers frozen",
}


def recipe(source: str, steps: int, **train: Any) -> dict[str, Any]:
    """Return the recipe of one run; scored once, at its end."""
    length = {"max_steps": steps, "eval_every": steps, "checkpoint_every": "off", "seed": 0, "threads": 1}
    return {"task": "pa", "data": {"source": source}, "model": MODEL, "train": length | train}


def result_of(run: dpdrun.Run) -> dict[str, Any]:
    """Return what is kept of a run."""
    report, scores = run.scores.to_dict(), run.scores.nmse_db
    return {
        "val_db": round(scores["val"], 3), "test_db": round(scores["test"], 3), "parameters": report["parameters"],
        "lr": run.plan.lr, "seconds": round(report["seconds"], 1), "first_loss": run.metrics.steps[0]["loss"],
        "machine": machine(),
    }  # fmt: skip


def measure(results: ResultsFile, folder: Path) -> None:
    """Train what is not in the results yet."""
    jobs = [(f"{kind}/{steps}", kind, steps) for kind, lengths in KINDS.items() for steps in lengths]
    missing = [job for job in jobs if job[0] not in results]
    if not missing and "source" in results:
        return
    source = dpdrun.train(recipe(SOURCE, SOURCE_STEPS), out=folder / "source")
    results.add("source", result_of(source))
    for key, kind, steps in missing:
        start = {} if kind == "fresh" else {"init_from": source.path}
        frozen = {"freeze": FROZEN} if kind == "output layers" else {}
        run = dpdrun.train(recipe(TARGET, steps, **start, **frozen), out=folder / key.replace("/", "-"))
        results.add(key, result_of(run))
        print(f"{key}: {run.scores}", flush=True)


def table(results: dict[str, Any]) -> str:
    """A row a kind of start, a column a length: NMSE of the validation split, and of the test split [dB]."""
    rows = []
    for kind in KINDS:
        found = [results.get(f"{kind}/{steps}") for steps in LENGTHS]
        rows.append(
            [NAMES[kind], *("" if each is None else f"{each['val_db']:.2f} / {each['test_db']:.2f}" for each in found)]
        )
    return markdown(["start", *(f"{steps:,} steps" for steps in LENGTHS)], rows)


def main() -> None:
    """Measure what is missing, then write the table."""
    results = ResultsFile(RESULTS)
    with TemporaryDirectory(prefix="dpdrun-study-") as folder:
        measure(results, Path(folder))
    if "--no-tables" not in sys.argv:
        write_table("warm-start", table(results.results))


if __name__ == "__main__":
    main()

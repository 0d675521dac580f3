"""The trials of one cell. Prints a JSON line for each that is not in the results yet.

python -m benchmarks.pathbench.work CELL/faults|CELL/healthy [RESULTS]       (run.py calls this)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pathbench.cells import CELL_OF, CELLS, Cell
from benchmarks.pathbench.faults import FAULTS
from benchmarks.pathbench.healthy import HEALTHY, SEEDS, TWINS
from benchmarks.pathbench.variant import Variant

JOBS = [f"{cell.name}/{kind}" for kind in ("healthy", "faults") for cell in CELLS]
Trial = tuple[str, Variant, int]


def trials(cell: Cell, kind: str) -> Iterator[Trial]:
    """Name (`cell/kind/variant/seed`), variant and seed of each trial; one seed of all variants after the other."""
    variants = [each for each in (HEALTHY if kind == "healthy" else FAULTS) if cell.kind in each.kinds]
    for seed in range(cell.seeds):
        for variant in variants:
            if kind == "faults" or seed < SEEDS or variant.name in TWINS:
                yield f"{cell.name}/{kind}/{variant.name}/{seed}", variant, seed


def all_trials() -> list[str]:
    """Names of all trials of the study."""
    return [name for job in JOBS for name, _, _ in trials(CELL_OF[job.split("/")[0]], job.split("/")[1])]


def main() -> None:
    """Run what is missing of one job."""
    cell, kind = sys.argv[1].split("/")
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    known = json.loads(path.read_text()) if path and path.is_file() else {}
    missing = [each for each in trials(CELL_OF[cell], kind) if each[0] not in known]
    if not missing:
        return
    import torch

    from benchmarks.pathbench.trial import trial

    torch.set_num_threads(1)
    for name, variant, seed in missing:
        print(json.dumps({"name": name, "result": trial(CELL_OF[cell], variant, seed)}), flush=True)


if __name__ == "__main__":
    main()

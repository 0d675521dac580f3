"""What following the advice brings: the faulty run, and the recipe that `dpdrun diagnose --fix` makes of it.

python -m benchmarks.pathbench.repairs CELL [RESULTS]       (run.py calls this; known trials are not repeated)

Both runs have one seed, and the second one is all that the first round of advice changes. A mistake in the training
code or in the data a recipe cannot reach. Where a right finding says so in words (it has no patch), following it is to
mend that mistake, which makes the run its healthy twin: nothing is trained then. Where it is missed, or named by a
finding that would change the recipe, that change is trained with the mistake still in. To ask changed rules, delete
repairs.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.pathbench.cells import CELL_OF, CELLS, Cell
from benchmarks.pathbench.faults import FAULTS, Fault

JOBS = [cell.name for cell in CELLS if cell.part == "score"]
SEEDS = 1


def repaired(cell: Cell, fault: Fault, seed: int) -> dict[str, Any]:
    """Train, repair, train again.

    Returns:
        Validation NMSE [dB] before and after (None where nothing finite was scored), the codes whose patches were
        made and the patches; without a patch no `after_db`. `said`: codes that name a mistake outside of the recipe.
    """
    from benchmarks.pathbench.trial import facts_of, loaded, mutated, train
    from dpdrun.diagnosis.diagnose import diagnose
    from dpdrun.diagnosis.repair import propose

    with tempfile.TemporaryDirectory() as folder, mutated(cell, fault):
        before, after = Path(folder) / "before", Path(folder) / "after"
        train(loaded(cell, fault, seed), before, stop=fault.stop)
        result: dict[str, Any] = {"before_db": facts_of(before).best_nmse_db}
        if fault.patch or fault.data:
            said = {each.code for each in diagnose(before).findings if each.severity != "info" and not each.patch}
            if said & fault.codes:
                return result | {"said": sorted(said & fault.codes)}
        repair = propose(before)
        if repair.applied:
            train(repair.after, after, stop=fault.stop)
            result["after_db"] = facts_of(after).best_nmse_db
            result["patches"] = {finding.code: finding.to_json()["patch"] for finding in repair.applied}
    return result


def main() -> None:
    """Run what is missing of one cell."""
    cell, path = CELL_OF[sys.argv[1]], Path(sys.argv[2]) if len(sys.argv) > 2 else None
    known = json.loads(path.read_text()) if path and path.is_file() else {}
    import torch

    torch.set_num_threads(1)
    for seed in range(SEEDS):
        for fault in FAULTS:
            name = f"{cell.name}/faults/{fault.name}/{seed}"
            if cell.kind in fault.kinds and name not in known:
                print(json.dumps({"name": name, "result": repaired(cell, fault, seed)}), flush=True)


if __name__ == "__main__":
    main()

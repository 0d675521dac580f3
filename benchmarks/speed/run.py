"""How fast, against OpenDPD 2.4.2's own training step: its GRU on its frames, from its wheel, same machine.

    make speed            (or: python -m benchmarks.speed.run)

In one call, one after the other: (1) OpenDPD's `net_train` trains its GRU-23 (frame 200, stride 1, batch 64, AdamW
5e-3: its defaults) on APA_200MHz for BUDGET_S seconds of training, evaluation not counted, and its validation NMSE is
taken; (2) `dpdrun train recipes/apa_200mhz_transformer.yaml`, its evaluations counted. Reported are ratios: samples per
second, and the time for the score that OpenDPD reached. Both get one thread: on a shared machine that is the fairer
comparison, since waiting threads of the other would count. OpenDPD's code is read from its wheel, not installed.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.common import ROOT, THREADS, ResultsFile, machine, markdown, trained, write_table
from benchmarks.recipes.run import first_reached
from dpdrun.data.formats.opendpd_wheel import wheel_path
from dpdrun.data.sources import load_capture
from dpdrun.models._arrays import to_complex, to_pairs
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.metrics import nmse_db

HERE = Path(__file__).parent
RECIPE = ROOT / "recipes" / "apa_200mhz_transformer.yaml"
BUDGET_S = 180
STEPS_PER_CALL = 40  # net_train runs a loader to its end; short loaders let us look at the clock
FRAME, BATCH, HIDDEN = 200, 64, 23
PUBLISHED_EPOCHS, PUBLISHED_DB = 240, -38.87  # the same GRU in OpenDPD's report on PA modelling


class Frames(Dataset[tuple[Tensor, Tensor]]):
    """What OpenDPD's loader expects: `features` and `targets`, (N, FRAME, 2)."""

    def __init__(self, features: Tensor, targets: Tensor) -> None:
        self.features, self.targets = features, targets

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.features[index], self.targets[index]


def opendpd() -> dict[str, Any]:
    """Train OpenDPD's GRU for the budget: samples per second, and the validation score it reached."""
    torch.set_num_threads(THREADS)  # as many as our run gets
    capture = load_capture(DataSection(source="opendpd/APA_200MHz"))
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel_path()) as wheel:
            wheel.extractall(folder, [name for name in wheel.namelist() if name.endswith(".py")])
        sys.path.insert(0, folder)
        net_train = import_module("modules.train_funcs").net_train
        iq_loader = import_module("modules.batched_loader").iq_loader
        torch.manual_seed(0)
        model = import_module("models").CoreModel(2, HIDDEN, 1, "gru")
        sys.path.remove(folder)

    x, y = (
        to_pairs(side).unfold(0, FRAME, 1).transpose(1, 2).contiguous() for side in (capture.train.x, capture.train.y)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    order = torch.randperm(len(x))
    per_call = STEPS_PER_CALL * BATCH
    spent, steps = 0.0, 0
    while spent < BUDGET_S:
        first = steps * BATCH % (len(order) - per_call)
        chosen = order[first : first + per_call]
        loader = iq_loader(Frames(x[chosen], y[chosen]), batch_size=BATCH, shuffle=True, pin_memory=False)
        began = time.perf_counter()
        net_train({}, model, loader, optimizer, torch.nn.MSELoss(), 200.0, torch.device("cpu"))
        spent += time.perf_counter() - began
        steps += STEPS_PER_CALL
    with torch.inference_mode():
        score = nmse_db(capture.val.y, to_complex(model(to_pairs(capture.val.x)[None])[0]))
    return {
        "machine": f"{machine()}; {THREADS} thread(s)",
        "seconds": round(spent, 1),
        "steps": steps,
        "samples_per_s": round(steps * BATCH * FRAME / spent),
        "seconds_per_epoch": round(spent / steps * len(x) / BATCH, 1),
        "val_nmse_db": round(score, 3),
    }


def table(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Both sides and their ratios."""
    reached = first_reached(ours["trace"], theirs["val_nmse_db"])
    published = first_reached(ours["trace"], PUBLISHED_DB)
    theirs_published = theirs["seconds_per_epoch"] * PUBLISHED_EPOCHS
    rate = ours["samples_per_s"]
    rows = [
        ["training samples per second", f"{theirs['samples_per_s']:,}", f"{rate:,}",
         f"{rate / theirs['samples_per_s']:.1f}x"],
        [f"time to {theirs['val_nmse_db']:.1f} dB validation", f"{theirs['seconds']:.0f} s",
         f"{reached:.1f} s" if reached else "not reached", f"{theirs['seconds'] / reached:.0f}x" if reached else ""],
        [f"time to {PUBLISHED_DB:.1f} dB ({PUBLISHED_EPOCHS} of their epochs, extrapolated from the measured step)",
         f"{theirs_published / 3600:.1f} h", f"{published:.0f} s" if published else "not reached",
         f"{theirs_published / published:.0f}x" if published else ""],
    ]  # fmt: skip
    return markdown(
        ["APA_200MHz", "OpenDPD 2.4.2, GRU of 1,911", f"dpdrun, Transformer of {ours['parameters']:,}", "ratio"], rows
    )


def main() -> None:
    """Measure both, then write the table."""
    results = ResultsFile(HERE / "results.json")
    if "opendpd" not in results or "dpdrun" not in results:
        results.add("opendpd", opendpd())
        with trained(RECIPE) as (_, result):
            results.add("dpdrun", result)
    write_table("speed", table(results.results["opendpd"], results.results["dpdrun"]))


if __name__ == "__main__":
    main()

"""The small runs that faults are put into: amplifiers, two kinds of network, and the split between them.

On the runs of the part `tune` thresholds of rules may be set; the runs of the part `score` are only scored. No capture
and no network is in both. Once a held-out part has been looked at and a rule was changed for what it showed, it belongs
to `tune`, and another has to be held out: so it went with APA_200MHz and DPA_200MHz, on which rules that had seen only
synthetic amplifiers named 94.5 % of the faults (92.6 to 95.9) with 3.1 % of false alarms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from dpdrun.plan.plan import make_plan
from dpdrun.recipe.loader import load_text

STEPS = 300  # optimizer steps of a run
VAL_SAMPLES = 6144  # of the validation part are scored
SOURCES = {  # by the key of the data set
    "hard": "synthetic/hard",
    "mild": "synthetic/mild",
    "apa": "opendpd/APA_200MHz",
    "dpa": "opendpd/DPA_200MHz",
    "apab": "opendpd/APA_200MHz_b",
    "dpa160": "opendpd/DPA_160MHz",
}


@dataclass(frozen=True)
class Cell:
    """One job that trials are made of.

    Attributes:
        part: "tune" or "score".
        data: key of SOURCES; that of the runs with faults, and of most healthy ones.
        other: key of SOURCES of a second amplifier, for healthy runs.
        model: the section of the recipe, without its braces.
        batch, frame: frames in a step, samples in a frame; a GRU goes through a frame sample by sample.
        seeds: seeds a fault.
    """

    part: str
    data: str
    other: str
    kind: str
    model: str
    batch: int
    frame: int
    seeds: int

    @property
    def name(self) -> str:
        """Unique: `apa-gru`."""
        return f"{self.data}-{self.kind}"

    @property
    def recipe(self) -> str:
        """The recipe: everything that is not written is what `rules: measured` sets, the learning rate too."""
        return (
            "task: pa\n"
            f"data: {{source: {SOURCES[self.data]}}}\n"
            f"model: {{kind: {self.kind}, {self.model}}}\n"
            f"train: {{max_steps: {STEPS}, batch_size: {self.batch}, frame: {self.frame}, eval_every: 15, "
            "checkpoint_every: off, compile: off}\n"
            "optim: {beta2: 0.95, warmup: 5%, schedule: cosine, clip_norm: 1.0, weight_decay: 0.01}\n"
        )


CELLS = [
    Cell("tune", "hard", "mild", "transformer", "d_model: 16, heads: 2, layers: 2, window: 16", 8, 128, seeds=5),
    Cell("tune", "hard", "mild", "gru", "hidden: 16", 16, 64, seeds=5),
    Cell("tune", "apa", "dpa", "transformer", "d_model: 24, heads: 3, layers: 1, window: 24", 8, 128, seeds=10),
    Cell("tune", "apa", "dpa", "gru", "hidden: 12", 16, 64, seeds=10),
    Cell("score", "apab", "dpa160", "transformer", "d_model: 12, heads: 2, layers: 2, window: 32", 8, 160, seeds=5),
    Cell("score", "apab", "dpa160", "gru", "hidden: 20", 16, 80, seeds=5),
]
CELL_OF = {cell.name: cell for cell in CELLS}


@cache
def rule_lr(cell: Cell) -> float:
    """The learning rate that the rules set for a cell."""
    recipe = load_text(cell.recipe, cell.name, []).recipe
    return make_plan(recipe, 60_000).lr  # the number of samples decides no learning rate where max_steps is given

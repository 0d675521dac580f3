"""The workloads: small jobs over data sets, widths, depths, batches, run lengths and both kinds of network.

Everything but the learning rate is what `rules: measured` sets. In the order of their worth to the study, so that a
part of it already covers every axis.
"""

from __future__ import annotations

from dataclasses import dataclass

SHORT, LONG, RECIPE = 400, 1600, 6400  # optimizer steps; the last is about what the shipped recipes run

SOURCES = {"apa": "opendpd/APA_200MHz", "dpa": "opendpd/DPA_200MHz", "hard": "synthetic/hard"}


@dataclass(frozen=True)
class Workload:
    """One job whose learning rate is swept.

    Attributes:
        data: key of SOURCES.
        width: d_model of a Transformer, hidden units of a GRU.
        batch: frames in an optimizer step.
        seeds: 3, or 2 where a run takes more than a minute.
    """

    data: str
    kind: str
    width: int
    layers: int
    steps: int
    batch: int
    seeds: int = 3

    @property
    def name(self) -> str:
        """Unique: `apa-transformer-d16-l2-t400-b8`."""
        size = f"d{self.width}" if self.kind == "transformer" else f"h{self.width}"
        return f"{self.data}-{self.kind}-{size}-l{self.layers}-t{self.steps}-b{self.batch}"

    @property
    def recipe(self) -> str:
        """The recipe; a learning rate and a seed are set over it."""
        size = f"d_model: {self.width}, heads: 2, window: 32" if self.kind == "transformer" else f"hidden: {self.width}"
        return (
            "task: pa\n"
            f"data: {{source: {SOURCES[self.data]}}}\n"
            f"model: {{kind: {self.kind}, {size}, layers: {self.layers}}}\n"
            f"train: {{max_steps: {self.steps}, batch_size: {self.batch}, eval_every: {self.steps}, "
            "checkpoint_every: off, compile: off}\n"
            # above the widths that `measured` knows, its rules are the note's; ours are what is studied here
            "optim: {beta2: 0.95, warmup: 5%, schedule: cosine, clip_norm: 1.0, weight_decay: 0.01}\n"
        )


def _t(data: str, width: int, layers: int, steps: int = SHORT, batch: int = 8, seeds: int = 3) -> Workload:
    return Workload(data, "transformer", width, layers, steps, batch, seeds)


def _g(data: str, width: int, batch: int = 32) -> Workload:
    return Workload(data, "gru", width, 1, SHORT, batch)


WORKLOADS = [
    _t("apa", 16, 2),
    _t("dpa", 16, 2),
    _t("hard", 16, 2),
    _g("apa", 16),
    _t("apa", 32, 2),
    _t("apa", 64, 2),
    _t("apa", 128, 1),
    _t("dpa", 32, 2),
    _t("hard", 32, 2),
    _t("apa", 16, 1),
    _t("apa", 16, 2, LONG),
    _g("dpa", 16),
    _t("apa", 16, 2, batch=32),
    _g("hard", 16),
    _t("dpa", 16, 2, LONG),
    _t("apa", 16, 4),
    _t("apa", 16, 2, RECIPE, seeds=2),
    _t("dpa", 64, 1),
    _g("apa", 8),
    _t("apa", 8, 2),
    _g("apa", 32),
    _t("hard", 64, 2),
    _g("apa", 16, batch=8),
    _t("apa", 256, 1),
    _g("apa", 64),
]

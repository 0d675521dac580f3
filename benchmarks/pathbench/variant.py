"""What one trial differs in from its cell: recipe values, the data, or the training code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.pathbench.cells import Cell, rule_lr
from dpdrun.data.capture import Capture

Patch = Callable[[], AbstractContextManager[object]]
BOTH = ("transformer", "gru")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One kind of run.

    Attributes:
        sets: overrides of the recipe, as `--set` takes them; {half} and {double} are batches, {frame} twice the frame.
        lr: factor on the learning rate of the rules.
        data: what happens to the capture.
        patch: what happens to the training code, for the time of a trial.
        stop: step after which the run is stopped, to be resumed from its checkpoint; 0 = it runs through.
        kinds: of networks that have it.
        other: the second amplifier of the cell.
    """

    name: str
    sets: tuple[str, ...] = ()
    lr: float = 1.0
    data: Callable[[Capture], Capture] | None = None
    patch: Patch | None = None
    stop: int = 0
    kinds: tuple[str, ...] = BOTH
    other: bool = False

    def overrides(self, cell: Cell, seed: int) -> list[str]:
        """What is set over the recipe of a cell."""
        sets = [f"train.seed={seed}", f"optim.lr={rule_lr(cell) * self.lr!r}"]
        if self.stop:
            sets.append(f"train.checkpoint_every={self.stop}")
        sizes = {"half": cell.batch // 2, "double": 2 * cell.batch, "frame": 2 * cell.frame}
        return [*sets, *(text.format(**sizes) for text in self.sets)]

"""Read and align the capture; refuse one that cannot carry a model."""

from __future__ import annotations

from dataclasses import dataclass

from dpdrun.data.align.stages import Decision
from dpdrun.data.capture import Capture
from dpdrun.data.inspection import Inspection, inspect_capture
from dpdrun.data.sources import load_capture, locate_source
from dpdrun.errors import DataError
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.schema import DataSection


@dataclass(frozen=True, eq=False)
class Reading:
    """A capture as all steps use it.

    Attributes:
        capture: aligned.
        facts: of the aligned capture.
        section: `data` of the recipes, with the corrections as values.
        corrected: what was corrected, in words; empty if nothing was needed.
    """

    capture: Capture
    facts: Inspection
    section: DataSection
    corrected: tuple[str, ...]


def read(section: DataSection) -> Reading:
    """Read a capture, align it, and inspect what is left.

    Args:
        section: as the user described the data; it is aligned where the section leaves that open.

    Raises:
        DataError: it cannot be read or aligned, or no model can be trained on it; with all reasons.
    """
    wanted = section if section.align != OFF else section.model_copy(update={"align": AUTO})
    capture = load_capture(wanted)
    facts = inspect_capture(capture)
    if facts.obstacles:
        reasons = "".join(f"\n  - {each}" for each in facts.obstacles)
        raise DataError(f"{capture.name}: no model can be trained on this capture:{reasons}")
    alignment = capture.alignment
    changes = alignment is not None and alignment.changes
    kept = section.model_copy(
        update={"source": locate_source(section.source), "align": alignment.values if changes and alignment else OFF}
    )
    decision = alignment.decision if alignment is not None else None
    return Reading(load_capture(kept), facts, kept, _corrections(decision))


def _corrections(decision: Decision | None) -> tuple[str, ...]:
    if decision is None:
        return ()
    return tuple(f"{stage.name}: {stage.estimate}" for stage in decision.stages if stage.applied)

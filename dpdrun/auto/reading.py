"""Read and align the capture; refuse one that cannot carry a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from dpdrun.data.align.stages import Decision
from dpdrun.data.capture import Capture
from dpdrun.data.changes import split_between_loops
from dpdrun.data.inspection import Inspection, exchanged, inspect_capture
from dpdrun.data.plausibility import ACCEPT, occupied_widths
from dpdrun.data.sizing import DataReading, read_sizes
from dpdrun.data.sources import load_capture, locate_source
from dpdrun.errors import DataError
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.memory_polynomial import explained
from dpdrun.rf.spectrum import occupied_band

STEEP = 1.25  # width 20 dB below the level in band, over that 6 dB below
OFF_CENTER = 0.1  # of the width: twice the middle of the band
GAINED_DB, EXPLAINED_DB = 3.0, -35.0  # by a memory polynomial: 12 to 19 dB more than a gain, in the captures of dpdrun


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

    @cached_property
    def sizes(self) -> DataReading:
        """What the capture implies about the size of its model; takes seconds."""
        return read_sizes(self.capture)


def read(section: DataSection) -> Reading:
    """Read a capture, align it, and inspect what is left.

    Args:
        section: as the user described the data; it is aligned where the section leaves that open.

    Raises:
        DataError: it cannot be read or aligned, no model can be trained on it (with all reasons), or its bandwidth is
            neither stated nor to be seen.
    """
    wanted = section if section.align != OFF else section.model_copy(update={"align": AUTO})
    capture = load_capture(wanted)
    cut = split_between_loops(capture) if section.split == AUTO else None
    length, split = cut or (0, None)
    if split is not None:
        section, wanted = (each.model_copy(update={"split": split}) for each in (section, wanted))
        capture = load_capture(wanted)
    measured = None if capture.bandwidth_hz is not None else measured_bandwidth_hz(capture)
    if measured is not None:
        capture = replace(capture, bandwidth_hz=measured)
        section = section.model_copy(update={"bandwidth_hz": measured})
    facts = inspect_capture(capture)
    suspected = exchanged(facts) if section.check_rates == "on" else []
    if obstacles := [*(f"{each}; {ACCEPT}" for each in suspected), *facts.obstacles]:
        noted = [each for each in facts.warnings if each not in (*suspected, *facts.obstacles)]
        lines = [*obstacles, *(f"noted as well: {each}" for each in noted)]
        reasons = "".join(f"\n  - {each}" for each in lines)
        raise DataError(f"{capture.name}: no model can be trained on this capture:{reasons}")
    if capture.bandwidth_hz is None:
        raise DataError(
            f"{capture.name}: its bandwidth is not stated, and the input does not show it by steep edges around 0 Hz; "
            "ACLR and the training need it: give --bandwidth-hz, the width of the occupied band"
        )
    if measured is not None:
        assumed = (
            f"the bandwidth is not stated: taken are the {measured / 1e6:g} MHz that the input occupies; if the "
            "channel is another one, give --bandwidth-hz now: the training depends on it"
        )
        facts = replace(facts, warnings=(assumed, *facts.warnings))
    facts = replace(facts, warnings=(*facts.warnings, *_beyond_the_input(capture)))
    alignment = capture.alignment
    changes = alignment is not None and alignment.changes
    kept = section.model_copy(
        update={"source": locate_source(section.source), "align": alignment.values if changes and alignment else OFF}
    )
    decision = alignment.decision if alignment is not None else None
    loops = [] if split is None else [f"the splits: at the ends of the loops of {length:,} samples"]
    return Reading(load_capture(kept), facts, kept, (*loops, *_corrections(decision)))


def _beyond_the_input(capture: Capture) -> list[str]:
    """Return a warning where a memory polynomial explains hardly more of the output than a gain."""
    found = explained(capture.train.x, capture.train.y)
    if found.polynomial_db < max(EXPLAINED_DB, found.one_tap_db - GAINED_DB):
        return []
    return [
        f"a memory polynomial of the input leaves {found.polynomial_db:.1f} dB of the output, hardly less than a gain "
        f"({found.one_tap_db:.1f} dB): something else acts on it (a second band in the same amplifier that the "
        "receiver has filtered out, noise, a long echo), which no model of this input can learn"
    ]


def measured_bandwidth_hz(capture: Capture) -> float | None:
    """Return the width of the occupied band [Hz]; None where its edges are not steep, or it is not around 0 Hz."""
    x, rate = capture.train.x, capture.sample_rate_hz
    widths, (low, high) = occupied_widths(x, rate), occupied_band(x, rate)
    if widths is None or widths[1] > STEEP * widths[0] or abs(low + high) > OFF_CENTER * (high - low):
        return None
    return float(f"{widths[1]:.3g}")


def _corrections(decision: Decision | None) -> tuple[str, ...]:
    if decision is None:
        return ()
    return tuple(f"{stage.name}: {stage.estimate}" for stage in decision.stages if stage.applied)

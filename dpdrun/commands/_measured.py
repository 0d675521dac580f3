"""What `dpdrun recommend` measured itself, beside what the rules say: the data, the time a plan takes, a probe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from dpdrun.data.sizing import DataReading
    from dpdrun.plan.cost import Estimate
    from dpdrun.plan.probe_result import ProbeReading
    from dpdrun.plan.recommendation import Recommendation
    from dpdrun.recipe.schema import DataSection, ModelSection
    from dpdrun.rules.facts.plan import PlanFacts

# What a recipe states of each kind and what the flags call it; the note's rules say nothing of sizes.
NEEDED_SIZES = {"transformer": ("d_model", "layers", "heads", "window"), "gru": ("hidden",)}


@dataclass(frozen=True)
class Measured:
    """Everything that was measured for one call; None where it was not asked for. `model`: of the recipe, if given."""

    data: DataReading | None = None
    probe: ProbeReading | None = None
    model: ModelSection | None = None

    def to_json(self, this: Recommendation) -> dict[str, Any]:
        """Keys that `--format json` has beside those of the recommendation."""
        estimate = self.estimate(this)
        return {
            "estimate": None if estimate is None else estimate.to_json(),
            "no_estimate": self.missing(this),
            "data": None if self.data is None else self.data.to_json(),
            "probe": None if self.probe is None else self.probe.to_json(),
        }

    def before(self) -> list[RenderableType]:
        """What to show above the table of values."""
        if self.data is None and self.probe is None:
            return []
        from dpdrun.report.measured import probe_lines, reading_lines  # load numpy, by way of the data

        found = [] if self.data is None else reading_lines(self.data)
        return found + ([] if self.probe is None else probe_lines(self.probe))

    def missing(self, this: Recommendation) -> str | None:
        """Why there is no estimate; None where there is one, or where nothing is trained step by step."""
        facts = this.facts
        if not this.values or self.estimate(this) is not None:
            return None
        if facts.kind == "transformer" and facts.window == float("inf"):
            return "full attention was not timed; --probe 60s measures it here"
        unknown = {
            "the amount of data": facts.samples or facts.frames,
            "the number of epochs": this.total_steps or facts.epochs,
            "train.batch_size": facts.batch,
        }
        if missing := [name for name, known in unknown.items() if not known]:
            return f"needs {' and '.join(missing)}"
        return "these sizes make no model" if self.model is None else "needs train.frame"

    def estimate(self, this: Recommendation) -> Estimate | None:
        """Time and memory of the plan, from the probe where there was one; None where too little is known."""
        facts, assumed = (this.facts, "") if self.model is not None else _assumed(this)
        model = self.model or _model_of(facts)
        steps, samples = this.total_steps, facts.samples or (facts.frames or 0) * (facts.frame or 0)
        if model is None or not steps or facts.batch is None or facts.frame is None or not samples:
            return None
        from dpdrun.plan.cost import Estimate, estimate, peak_mib

        scorings = -(-steps // (facts.eval_every or steps))
        if self.probe is not None:
            on_cpu = self.probe.device.startswith("CPU")  # a GPU holds no program
            return Estimate(
                seconds=steps * self.probe.step_s + scorings * self.probe.score_s,
                step_s=self.probe.step_s,
                memory_mib=peak_mib(self.probe.peak_mib) if on_cpu else self.probe.peak_mib,
                machine=self.probe.device,
                basis="probe",
            )
        val = facts.val_samples or samples // 3  # the usual split is 60/20/20 %
        found = estimate(model, batch=facts.batch, frame=facts.frame, steps=steps, scorings=scorings, val_samples=val)
        return None if found is None else replace(found, assumed=assumed)


def _assumed(this: Recommendation) -> tuple[PlanFacts, str]:
    """The facts with the sizes that are missing as our recipes have them, what follows from those, and their flags."""
    from dpdrun.rules.advice import derive
    from dpdrun.rules.plan.sizing import LAYERS, SHORTEST_WINDOW, heads_for

    facts = this.facts
    if facts.kind != "transformer" or facts.d_model is None:
        return facts, ""
    usual = {"layers": LAYERS["transformer"], "heads": heads_for(facts.d_model), "window": SHORTEST_WINDOW}
    missing = {name: size for name, size in usual.items() if facts.get(name) is None}
    if not missing:
        return facts, ""
    filled = derive(replace(facts, **cast("dict[str, Any]", missing)), this.rules).facts
    return filled, " ".join(f"--{name} {size}" for name, size in missing.items())


def _model_of(facts: PlanFacts) -> ModelSection | None:
    """The `model` section that facts describe, None where a size is missing."""
    from pydantic import ValidationError

    from dpdrun.recipe.schema import GRUModel, TransformerModel

    kind = GRUModel if facts.kind == "gru" else TransformerModel
    known = {name: facts.get(name) for name in kind.model_fields if hasattr(facts, name)}
    known = {name: value for name, value in known.items() if value is not None}
    if known.get("window") == float("inf"):
        known |= {"window": "full", "positions": "sinusoidal"}
    try:
        return kind.model_validate(known)
    except ValidationError:
        return None


def look_at(section: DataSection, recipe: Path | None = None) -> DataReading:
    """Read a capture and ask it what sizes it needs. Raises DataError when it cannot be read."""
    from dpdrun.data.sizing import read_sizes
    from dpdrun.data.sources import load_capture  # loads numpy

    return read_sizes(load_capture(section, recipe=recipe))


def section_of(source: str, sample_rate_hz: float | None, bandwidth_hz: float | None) -> DataSection:
    """The `data` section that flags describe."""
    from pydantic import ValidationError

    from dpdrun.recipe.schema import DataSection

    stated = {"sample_rate_hz": sample_rate_hz, "bandwidth_hz": bandwidth_hz}
    for name, value in stated.items():
        if value is not None and not 0 < value < float("inf"):
            raise RecipeError(f"--{name.replace('_', '-')} must be a positive number, not {value:g}")
    try:
        known = {name: value for name, value in stated.items() if value is not None}
        return DataSection.model_validate({"source": source} | known)
    except ValidationError:
        raise RecipeError("--data: name a source, see `dpdrun data list`, or a file or folder of yours") from None


def with_reading(facts: PlanFacts, reading: DataReading | None, probed: dict[str, float] | None = None) -> PlanFacts:
    """The facts with what a look at the data found, and what a probe did."""
    if probed:
        facts = replace(facts, **cast("dict[str, Any]", probed))
    if reading is None:
        return facts
    return replace(
        facts,
        samples=reading.train_samples,
        val_samples=reading.val_samples,
        memory=reading.memory,
        ahead=reading.ahead,
        polynomial_db=reading.polynomial_db,
        noise_floor_db=reading.floor_db,
    )


def sizes_of(this: Recommendation) -> dict[str, Any]:
    """The sizes that the rules advise, by their name in `model`."""
    return {key.removeprefix("model."): value.value for key, value in this.values.items() if key.startswith("model.")}
